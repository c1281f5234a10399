package github

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
)

// Provider is the name of the identities.
const Provider = "github"

// CallbackPath is where GitHub sends browsers back to: the callback address of
// the OAuth app is the address of the server and this path.
const CallbackPath = "/auth/github"

// A Keeper seals tokens, as that of ci/secret.
type Keeper interface {
	Seal(ctx context.Context, place []string, plain []byte) (string, error)
	Open(ctx context.Context, place []string, sealed string) ([]byte, error)
}

// Config holds what a [Login] is told about its surroundings.
type Config struct {
	// URL is the address of a GitHub Enterprise; "" is https://github.com.
	URL string
	// Server is Rondo's own address, without a path.
	Server string
	// ID and Secret are those of the OAuth app.
	ID     string
	Secret func() (string, error)
	// Orgs are the organisations whose members may log in; none is everybody.
	Orgs []string
	// Scopes are what is asked for; nil is repo, user:email and read:org.
	// Without repo there are no permissions in private repositories.
	Scopes []string
	// Fresh is for how long what GitHub says is taken for true; 0 is 5 minutes.
	Fresh time.Duration
	// Client talks to GitHub; nil is one with a time limit.
	Client *http.Client
	// Log receives faults; nil is silent.
	Log *slog.Logger
	// Now is the time of day; nil is [time.Now].
	Now func() time.Time
}

// A Login is the way to log in by a GitHub. It is an auth.Directory and an
// auth.Host, and safe for concurrent use.
type Login struct {
	docs   ci.Docs
	keeper Keeper
	cfg    Config
	site   string // https://github.com
	api    string // https://api.github.com
	key    []byte // binds states to browsers
	client *http.Client
	log    *slog.Logger

	mu     sync.Mutex
	used   map[string]time.Time // states that were answered
	grants map[string]*grants   // by subject
	epoch  int                  // counts the times that all was forgotten
}

// New returns the login. An address that is none is [ci.ErrInvalid].
func New(docs ci.Docs, k Keeper, cfg Config) (*Login, error) {
	site := strings.TrimRight(cfg.URL, "/")
	if site == "" {
		site = "https://github.com"
	}
	u, err := url.Parse(site)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Path != "" {
		return nil, fmt.Errorf("login by github: %q is no address of a server: %w", cfg.URL, ci.ErrInvalid)
	}
	l := &Login{
		docs: docs, keeper: k, cfg: cfg, site: site, api: site + "/api/v3", client: cfg.Client, log: cfg.Log,
		key: []byte(rand.Text() + rand.Text()), used: map[string]time.Time{}, grants: map[string]*grants{},
	}
	switch {
	case u.Host == "github.com":
		l.api = "https://api.github.com"
	case strings.HasSuffix(u.Host, ".ghe.com"):
		l.api = "https://api." + u.Host
	}
	if l.client == nil {
		l.client = &http.Client{Timeout: 15 * time.Second}
	}
	client := *l.client
	client.CheckRedirect = sameHost
	l.client = &client
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.cfg.Now == nil {
		l.cfg.Now = time.Now
	}
	if l.cfg.Fresh <= 0 {
		l.cfg.Fresh = 5 * time.Minute
	}
	if l.cfg.Scopes == nil {
		l.cfg.Scopes = []string{"repo", "user:email", "read:org"}
	}
	return l, nil
}

// sameHost refuses to follow a redirect to another host: a token goes along.
func sameHost(r *http.Request, via []*http.Request) error {
	if len(via) > 3 || r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

// Name is "github".
func (*Login) Name() string { return Provider }

// Button leads to the login.
func (l *Login) Button() auth.Button {
	title := "GitHub"
	if l.site != "https://github.com" {
		title = "GitHub Enterprise"
	}
	return auth.Button{Provider: Provider, Title: title, Path: CallbackPath, To: l.site}
}

func (l *Login) oauth() (*oauth2.Config, error) {
	secret, err := l.cfg.Secret()
	if err != nil {
		return nil, fmt.Errorf("client secret of the OAuth app: %w", err)
	}
	return &oauth2.Config{
		ClientID: l.cfg.ID, ClientSecret: secret, Scopes: l.cfg.Scopes,
		RedirectURL: strings.TrimRight(l.cfg.Server, "/") + CallbackPath,
		Endpoint: oauth2.Endpoint{
			AuthURL: l.site + "/login/oauth/authorize", TokenURL: l.site + "/login/oauth/access_token", AuthStyle: oauth2.AuthStyleInParams,
		},
	}, nil
}

// Subject is the identity's subject of a user by their number. Those of a
// GitHub Enterprise are apart from those of another.
func (l *Login) Subject(id string) string {
	if l.site == "https://github.com" {
		return id
	}
	_, host, _ := strings.Cut(l.site, "://")
	return host + "/" + id
}
