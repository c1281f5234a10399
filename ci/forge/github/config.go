package github

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	gh "github.com/google/go-github/v89/github"
	"golang.org/x/sync/semaphore"

	"github.com/rondo-ci/rondo/ci"
)

// Records is what a [Host] asks of the database. What does not exist is
// [ci.ErrNotFound].
type Records interface {
	ci.Docs
	Project(ctx context.Context, id ci.ProjectID) (ci.Project, error)
	ProjectBySlug(ctx context.Context, slug string) (ci.Project, error)
	PutProject(ctx context.Context, p ci.Project) error
	Pipeline(ctx context.Context, id ci.PipelineID) (ci.Pipeline, error)
	Workflow(ctx context.Context, id ci.WorkflowID) (ci.Workflow, error)
}

// Config is what a [Host] can do without, though without Token it sees public
// repositories only, without Secrets it accepts no webhook, and without Trigger
// no push.
type Config struct {
	// URL is the address of a GitHub Enterprise, as people use it; "" is
	// https://github.com.
	URL string
	// Server is Rondo's own address as the code host reaches it, without a
	// path: webhooks go to Server + [HookPath].
	Server string
	// Token returns the API token. It is asked before each call, so a token may
	// be replaced at any time.
	Token func(ctx context.Context) (string, error)
	// Secrets returns the webhook secrets of a project, or with "" those of the
	// installation; the first one signs, the others are still accepted. None
	// for a project means that those of the installation hold. Each has at
	// least [MinSecret] bytes; shorter ones are not accepted.
	Secrets func(ctx context.Context, p ci.ProjectID) ([]string, error)
	// KeepKey keeps the deploy key of a project in place of the one before; a
	// key without Private forgets it. nil makes no deploy keys: then the agents
	// need another way to read private repositories.
	KeepKey func(ctx context.Context, p ci.ProjectID, key ci.SSHKey) error
	// Trigger is [ci.Server.Trigger]: what it returns is durable.
	Trigger func(ctx context.Context, t ci.Trigger) (ci.Pipeline, error)
	// Gone is told of a branch that was deleted, perhaps more than once; nil is
	// not.
	Gone func(ctx context.Context, p ci.ProjectID, branch string) error
	// Events is [ci.Server.Follow]; nil sends no statuses.
	Events func(ctx context.Context, after uint64) iter.Seq2[ci.Event, error]
	Status StatusConfig
	// Transport makes the connections: custom authorities, proxies. nil is
	// [http.DefaultTransport].
	Transport http.RoundTripper
	// Timeout bounds one call of the API; 0 is 20 seconds.
	Timeout time.Duration
	// Log receives what operators should know; nil is silent.
	Log *slog.Logger
}

// StatusConfig says how statuses of commits look.
type StatusConfig struct {
	// Prefix begins their contexts; "" is "ci/circleci".
	Prefix string
	// TargetURL returns the page that a status about the event leads to; nil or
	// "" leads nowhere.
	TargetURL func(p ci.Project, e ci.Event) string
}

// HookPath is the path that webhooks are sent to.
const HookPath = "/hooks/github"

// MinSecret is the length in bytes of the shortest webhook secret that is
// accepted: a short one could be guessed from one signed message.
const MinSecret = 32

// A Host is github.com or one GitHub Enterprise. All methods are safe for
// concurrent use, and several processes may share a database.
type Host struct {
	records Records
	cfg     Config
	log     *slog.Logger
	api     *gh.Client
	web     string // the address that people use, without a slash at the end

	bodies *semaphore.Weighted // bytes of webhooks in memory
	wake   chan struct{}       // there may be a status to send
	stale  chan struct{}       // there may be a repository to look after

	following sync.Mutex // one change of who is followed at a time

	mu     sync.Mutex
	warned time.Time // when a refused webhook was last logged
}

// New returns a host over the records. It asks nothing of the network. An
// address that cannot be one is [ci.ErrInvalid].
func New(records Records, cfg Config) (*Host, error) {
	cfg.URL = strings.TrimSuffix(cmp.Or(cfg.URL, "https://github.com"), "/")
	cfg.Server = strings.TrimSuffix(cfg.Server, "/")
	cfg.Status.Prefix = cmp.Or(cfg.Status.Prefix, "ci/circleci")
	cfg.Timeout = cmp.Or(cfg.Timeout, 20*time.Second)
	if cfg.Transport == nil {
		cfg.Transport = http.DefaultTransport
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	base, err := apiURL(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("code host %q: %w", cfg.URL, err)
	}
	if u, err := url.Parse(cfg.Server); cfg.Server != "" && (err != nil || u.Host == "" || u.Path != "") {
		return nil, fmt.Errorf("server address %q: it should look like https://ci.example.com: %w", cfg.Server, ci.ErrInvalid)
	}
	client := &http.Client{
		Transport: &transport{next: cfg.Transport, base: base, token: cfg.Token},
		Timeout:   cfg.Timeout,
	}
	address := base.String()
	api, err := gh.NewClient(gh.WithHTTPClient(client), gh.WithURLs(&address, &address), gh.WithUserAgent("rondo"))
	if err != nil {
		return nil, fmt.Errorf("code host %q: %w", cfg.URL, err)
	}
	return &Host{
		records: records, cfg: cfg, log: cfg.Log, api: api, web: cfg.URL, bodies: semaphore.NewWeighted(bodyMemory),
		wake: make(chan struct{}, 1), stale: make(chan struct{}, 1),
	}, nil
}

// apiURL returns the address of the API that belongs to the address that
// people use.
func apiURL(web string) (*url.URL, error) {
	u, err := url.Parse(web)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("it should look like https://ghe.example.com: %w", ci.ErrInvalid)
	case u.Host == "github.com" || u.Host == "www.github.com":
		return &url.URL{Scheme: "https", Host: "api.github.com", Path: "/"}, nil
	case strings.HasSuffix(u.Host, ".ghe.com"):
		return &url.URL{Scheme: u.Scheme, Host: "api." + u.Host, Path: "/"}, nil
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "/") + "/api/v3/"}, nil
}

// poke puts an element into a channel of one, if there is room.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
