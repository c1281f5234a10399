package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Tokens keeps the tokens of projects.
type Tokens interface {
	// ProjectTokens lists those of a project by time of making.
	ProjectTokens(ctx context.Context, p ci.ProjectID) ([]ci.ProjectToken, error)
	// CreateProjectToken makes one that is good for so long (0 is until it is
	// deleted), and returns it once.
	CreateProjectToken(ctx context.Context, p ci.ProjectID, scope ci.TokenScope, label string, life time.Duration, by ci.Actor) (ci.ProjectToken, string, error)
	DeleteProjectToken(ctx context.Context, p ci.ProjectID, id string, by ci.Actor) error
}

// An Account is what people have of their own: the tokens with which programs
// act in their name. One whose List is nil has no page.
type Account struct {
	// List lists the tokens of somebody, Create makes one that is good for so
	// long (0 is until it is deleted) and returns it once, and Delete takes one
	// back.
	List   func(ctx context.Context, owner ci.Actor) ([]PersonalToken, error)
	Create func(ctx context.Context, owner ci.Actor, label string, life time.Duration) (token string, err error)
	Delete func(ctx context.Context, owner ci.Actor, id string) error
}

// A PersonalToken is what people may see of a token that they have made.
type PersonalToken struct {
	ID, Label string
	Created   time.Time
	Expires   time.Time // zero is never
	Used      time.Time // to within an hour; zero is never
}

// scopes are those of project tokens, with what each is good for.
var scopes = []struct {
	Value      ci.TokenScope
	Title, Use string
}{
	{ci.ScopeStatus, "Status", "Reads badges and cc.xml: for a README, or a light on the wall."},
	{ci.ScopeBuilds, "View builds", "Reads builds, their output and artifacts, too."},
	{ci.ScopeAll, "All", "Reads and changes the project by the API v1.1."},
}

func (s *site) fillTokens(ctx context.Context, b *settingsBody, _ url.Values) error {
	var err error
	b.Tokens, err = s.cfg.Chapters.Tokens.ProjectTokens(ctx, b.Project.ID)
	b.Scopes = scopes
	return err
}

func (s *site) changeTokens(ctx context.Context, b *settingsBody, form url.Values) (string, string, error) {
	kept, by, p := s.cfg.Chapters.Tokens, actorIn(ctx), b.Project.ID
	switch form.Get("do") {
	case "create":
		label, life, err := newToken(form)
		if err == nil {
			_, b.Made, err = kept.CreateProjectToken(ctx, p, ci.TokenScope(form.Get("scope")), label, life, by)
		}
		return "", "", err
	case "delete":
		return "token-gone", "", kept.DeleteProjectToken(ctx, p, form.Get("id"), by)
	}
	return "", "", ci.ErrNotFound
}

// newToken returns what people call the token of a form, and for how long it
// is to be good.
func newToken(form url.Values) (string, time.Duration, error) {
	label := strings.TrimSpace(form.Get("label"))
	if label == "" || len(label) > 100 {
		return "", 0, fmt.Errorf("create token: say in a few words what it is for, so that you know later whether it is still needed: %w", ci.ErrInvalid)
	}
	days := 0
	if text := form.Get("days"); text != "" {
		var err error
		if days, err = strconv.Atoi(text); err != nil || days < 1 || days > 3650 {
			return "", 0, fmt.Errorf("create token: it is good for 1 to 3650 days: %w", ci.ErrInvalid)
		}
	}
	return label, time.Duration(days) * 24 * time.Hour, nil
}

// accountBody is what the page of somebody's own things shows.
type accountBody struct {
	notice
	Tokens []PersonalToken
	Made   string // a token that was made just now
	Setup  string // how the command line takes it
	Logins bool   // there is a page of how one logs in
}

// account serves the tokens of the one who asks.
func (s *site) account(w http.ResponseWriter, r *http.Request) error {
	return s.showAccount(w, r, http.StatusOK, accountBody{notice: noticeOf(r)})
}

func (s *site) showAccount(w http.ResponseWriter, r *http.Request, code int, b accountBody) error {
	if s.cfg.Chapters.Account.List == nil {
		return absent{"accounts"}
	}
	var err error
	if b.Tokens, err = s.cfg.Chapters.Account.List(r.Context(), actorOf(r)); err != nil {
		return err
	}
	b.Logins = s.cfg.Chapters.Users != nil
	b.Setup = "circleci setup --token " + b.Made
	if s.cfg.Chapters.Address != "" {
		b.Setup += " --host " + strings.TrimRight(s.cfg.Chapters.Address, "/")
	}
	return s.render(w, r, code, "account", view{Title: "Your tokens", Body: b, Crumbs: []crumb{{"You", ""}}})
}

// changeAccount makes a token or takes one back. A new one is on the answer
// itself and nowhere else.
func (s *site) changeAccount(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Chapters.Account.List == nil {
		return absent{"accounts"}
	}
	if err := form(w, r); err != nil {
		return err
	}
	var b accountBody
	var err error
	switch r.PostForm.Get("do") {
	case "create":
		var label string
		var life time.Duration
		if label, life, err = newToken(r.PostForm); err == nil {
			b.Made, err = s.cfg.Chapters.Account.Create(r.Context(), actorOf(r), label, life)
		}
	case "delete":
		if err = s.cfg.Chapters.Account.Delete(r.Context(), actorOf(r), r.PostForm.Get("id")); err == nil {
			done(w, AccountPath, "token-gone")
			return nil
		}
	default:
		err = ci.ErrNotFound
	}
	code := http.StatusOK
	if err != nil {
		n, ok := refused(err, r.PostForm)
		if !ok {
			return err
		}
		b.notice, code = n, n.Problem.Code
	}
	return s.showAccount(w, r, code, b)
}
