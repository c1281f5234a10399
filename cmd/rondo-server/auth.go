package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/auth/github"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
	"github.com/rondo-ci/rondo/ci/web"
)

// authSettings say how people log in. Without them the token of the data
// folder is the one key, and whoever has it the one user.
type authSettings struct {
	// Local lets administrators log in with passwords that are kept here.
	Local  bool            `yaml:"local"`
	GitHub *githubAppLogin `yaml:"github"`
	// FirstAdmin is "link": whoever opens the link that is printed at the start
	// is the first administrator, or "login": whoever logs in first.
	FirstAdmin string        `yaml:"first_admin"`
	Recheck    time.Duration `yaml:"recheck"` // 0 is 15 minutes
	Grace      time.Duration `yaml:"grace"`   // 0 is 4 hours
}

// githubAppLogin is an OAuth app of the GitHub of the settings.
type githubAppLogin struct {
	Host   string    `yaml:"host"` // "" is that of github.host
	ID     string    `yaml:"client_id"`
	Secret secretRef `yaml:"client_secret"`
	Orgs   []string  `yaml:"orgs"`
}

func (s *authSettings) check() error {
	switch {
	case s == nil:
		return nil
	case s.FirstAdmin != "" && s.FirstAdmin != "link" && s.FirstAdmin != "login":
		return fmt.Errorf("auth.first_admin: %q is neither link nor login", s.FirstAdmin)
	case s.Recheck < 0 || s.Grace < 0:
		return errors.New("auth.recheck and auth.grace are times, as in 15m")
	case s.GitHub != nil && s.GitHub.ID == "":
		return errors.New("auth.github.client_id is missing: that of the OAuth app, whose callback is the url of this server and " + github.CallbackPath)
	case s.GitHub != nil:
		return s.GitHub.Secret.check("auth.github.client_secret", true)
	}
	return nil
}

// A people is who may use an installation with settings of auth.
type people struct {
	users *auth.Users
	gate  *auth.Gate
	door  *auth.Door
	hub   *github.Login // nil without a login by GitHub
}

// openPeople opens what the settings say about people; nil without any.
// Providers of passwords besides the local one come along.
func (in *installation) openPeople(ctx context.Context, s *authSettings, githubHost string, providers ...auth.Provider) (*people, error) {
	if s == nil {
		return nil, nil
	}
	p := &people{}
	cfg := auth.Config{Providers: providers, OpenFirst: s.FirstAdmin == "login", Recheck: s.Recheck, Grace: s.Grace, Note: in.book.Draft, Log: in.log}
	door := auth.DoorConfig{Secure: strings.HasPrefix(in.url, "https://"), Address: in.rate.From, Log: in.log}
	gate := auth.GateConfig{Operator: in.access.token, Orgs: func(ctx context.Context) ([]string, error) { return in.allOrgs(ctx) }}
	if s.Local {
		door.Local = auth.NewLocal(in.db)
		cfg.Providers = append([]auth.Provider{door.Local}, cfg.Providers...)
	}
	if g := s.GitHub; g != nil {
		var err error
		p.hub, err = github.New(in.db, in.keeper, github.Config{
			URL: cmp.Or(g.Host, githubHost), Server: in.url, ID: g.ID, Secret: g.Secret.read, Orgs: g.Orgs, Log: in.log, Client: in.reach.client(15 * time.Second),
		})
		if err != nil {
			return nil, fmt.Errorf("auth.github: %w", err)
		}
		cfg.Hosts = []auth.Directory{p.hub}
		door.Buttons, door.Disconnected = []auth.Button{p.hub.Button()}, p.hub.Disconnect
		gate.Hosts = []auth.Host{p.hub}
	}
	p.users = auth.NewUsers(in.db, cfg)
	p.door = auth.NewDoor(p.users, door)
	gate.Page, gate.Session = p.door.User, p.door.Session
	p.gate = auth.NewGate(p.users, in.tokens, gate)
	in.parts = append(in.parts, p.users.Run)
	return p, nil
}

// invite prints the link that makes the first administrator, if there is none.
func (in *installation) invite(ctx context.Context, again bool) error {
	if in.people == nil {
		return nil
	}
	token, err := in.people.users.Bootstrap(ctx, again)
	if err == nil && token != "" {
		in.log.Warn("there is no administrator yet: open this link, once, to become it", "link", in.url+"/bootstrap?token="+url.QueryEscape(token))
	}
	return err
}

// mayAudit lets auditors and administrators read the book.
func (in *installation) mayAudit(ctx context.Context, by ci.Actor) error {
	if in.allowed(ctx, by, auth.RoleAuditor) == nil {
		return nil
	}
	return in.admin(ctx, by)
}

// mount serves logging in.
func (p *people) mount(mux *http.ServeMux) {
	for _, path := range p.door.Paths() {
		mux.Handle(path, p.door.Handler())
	}
	if p.hub != nil {
		mux.Handle(github.CallbackPath, p.hub.Handler(p.door, p.users))
	}
}

// The questions of the rooms. Without people whoever has the token may do
// everything.

func (in *installation) may(ctx context.Context, by ci.Actor, p ci.Project, write bool) error {
	if in.people == nil {
		return nil
	}
	return in.people.gate.May(ctx, by, p, write)
}

func (in *installation) mayOrg(ctx context.Context, by ci.Actor, org string, write bool) error {
	if in.people == nil {
		return nil
	}
	return in.people.gate.MayOrg(ctx, by, org, write)
}

func (in *installation) admin(ctx context.Context, by ci.Actor) error {
	if in.people == nil {
		return nil
	}
	return in.people.gate.Admin(ctx, by)
}

func (in *installation) orgAdmin(ctx context.Context, org string, of ci.Actor) (bool, error) {
	if in.people == nil {
		return of.Kind == ci.ActorUser, nil // there is one user
	}
	return in.people.gate.OrgAdmin(ctx, org, of)
}

func (in *installation) groups(ctx context.Context, org string, of ci.Actor) ([]string, error) {
	if in.people == nil {
		return []string{auth.AllMembers}, nil
	}
	return in.people.gate.Groups(ctx, org, of)
}

// allowed says whether the actor has a role.
func (in *installation) allowed(ctx context.Context, by ci.Actor, role auth.Role) error {
	if in.people == nil {
		return nil
	}
	return in.people.users.Allowed(ctx, by, role)
}

// A guardedKeyring is one that takes a role.
type guardedKeyring struct {
	ring api.Keyring
	in   *installation
}

func (k guardedKeyring) SealingKeys(ctx context.Context, by ci.Actor) ([]ci.SealingKey, error) {
	if err := k.in.allowed(ctx, by, auth.RoleRead); err != nil {
		return nil, err
	}
	return k.ring.SealingKeys(ctx, by)
}

func (k guardedKeyring) RotateKeys(ctx context.Context, by ci.Actor) (ci.SealingKey, error) {
	if err := k.in.allowed(ctx, by, auth.RoleWrite); err != nil {
		return ci.SealingKey{}, err
	}
	return k.ring.RotateKeys(ctx, by)
}

// apiUsers are the people as the API asks for them.
func (in *installation) apiUsers() api.Users {
	if in.people == nil {
		return nil
	}
	return in.people.users
}

// webUsers are the people as the pages ask for them.
func (in *installation) webUsers() web.Users {
	if in.people == nil {
		return nil
	}
	return in.people.users
}

// maySettings says who may change the settings of projects; nil is everybody
// who may change the project.
func (in *installation) maySettings() func(ctx context.Context, by ci.Actor, p ci.Project) error {
	if in.people == nil {
		return nil
	}
	return in.people.gate.MaySettings
}

// mayPages is may for the pages, which need no guard without people.
func (in *installation) mayPages() func(ctx context.Context, by ci.Actor, p ci.Project, write bool) error {
	if in.people == nil {
		return nil
	}
	return in.people.gate.May
}

// whoLive says who watches live events: by a token, or on one of our pages.
func (in *installation) whoLive(r *http.Request, token string) (ci.Actor, error) {
	if in.people != nil {
		return in.people.gate.Live(r, token)
	}
	return in.whoAPI(r, token)
}
