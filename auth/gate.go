package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A Permission is what somebody may do in a repository, in the words of the
// code hosts.
type Permission int

// The permissions. Each has those before it.
const (
	NoPermission Permission = iota
	Pull                    // read
	Push                    // read and change
	Administer              // settings, too
)

// A Host says what an identity of a code host may do there. An error is a
// fault, and grants nothing.
type Host interface {
	// Name is the Provider of its identities.
	Name() string
	// Has reports whether a project, or an organisation by its slug, is one of
	// the host's.
	Has(slug string) bool
	// Subject returns the subject of an account by the host's own number, as
	// its webhooks name it.
	Subject(id string) string
	// Permission returns what the identity may do in the project.
	Permission(ctx context.Context, subject string, p ci.Project) (Permission, error)
	// Orgs returns the slugs of the organisations of the identity, and whether
	// it administers them.
	Orgs(ctx context.Context, subject string) (map[string]bool, error)
	// Teams returns the names of the teams of the identity in an organisation.
	Teams(ctx context.Context, subject, org string) ([]string, error)
}

// GateConfig holds what a [Gate] is told about its surroundings.
type GateConfig struct {
	// Hosts decide about what is theirs. In a project that is no host's every
	// user may do everything.
	Hosts []Host
	// Operator is a token that stands for [Operator]; "" is none.
	Operator string
	// Page returns the session's user of a request for a page, see [Door.User].
	// nil lets nobody open pages.
	Page func(r *http.Request) (ci.User, error)
	// Session returns the secret of the session of a request, see
	// [Door.Session]; nil gives no tickets to pages.
	Session func(r *http.Request) string
	// Orgs lists the slugs of all organisations with a project here.
	Orgs func(ctx context.Context) ([]string, error)
}

// A Gate is the one place where it is decided who somebody is and what they
// may do. Its methods have the shapes in which the rooms ask. What it does not
// know it denies; who may not read a thing is told that there is none. All
// methods are safe for concurrent use.
type Gate struct {
	users  *Users
	tokens *Tokens
	cfg    GateConfig
}

// NewGate returns the gate.
func NewGate(u *Users, t *Tokens, cfg GateConfig) *Gate { return &Gate{u, t, cfg} }

// API says who sends a token: a person of whom it is, if they may do anything
// now. Everybody else is [ci.ErrDenied].
func (g *Gate) API(r *http.Request, token string) (ci.Actor, error) {
	if token == "" {
		if r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Site") == "same-origin" && strings.HasPrefix(r.URL.Path, "/status-badge/") {
			return g.Page(r) // a badge on one of our own pages
		}
		return ci.Actor{}, fmt.Errorf("no token: %w", ci.ErrDenied)
	}
	if g.cfg.Operator != "" && same(token, g.cfg.Operator) {
		return Operator, nil
	}
	one, err := g.tokens.PersonalToken(r.Context(), token)
	if errors.Is(err, ci.ErrNotFound) {
		return ci.Actor{}, fmt.Errorf("no such token: %w", ci.ErrDenied)
	}
	if err != nil {
		return ci.Actor{}, err
	}
	u, err := g.users.Alive(r.Context(), one.Owner.ID)
	if err != nil {
		return ci.Actor{}, err
	}
	return actor(u), nil
}

// Page says who opens a page: whose session the browser has, or whose token
// the request bears.
func (g *Gate) Page(r *http.Request) (ci.Actor, error) {
	for _, token := range []string{r.Header.Get("Circle-Token"), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")} {
		if token != "" {
			return g.API(r, token)
		}
	}
	if g.cfg.Page == nil {
		return ci.Actor{}, fmt.Errorf("log in first: %w", ci.ErrDenied)
	}
	u, err := g.cfg.Page(r)
	if err != nil {
		return ci.Actor{}, err
	}
	return actor(u), nil
}

// Live has the shape of pusher's question: it takes a token, or a session.
func (g *Gate) Live(r *http.Request, token string) (ci.Actor, error) {
	if token == "" {
		return g.Page(r)
	}
	return g.API(r, token)
}

// May says whether the actor may read the project, or change things in it:
// nil, [ci.ErrDenied], or [ci.ErrNotFound] if they may not know of it.
func (g *Gate) May(ctx context.Context, by ci.Actor, p ci.Project, write bool) error {
	need := Pull
	if write {
		need = Push
	}
	return g.need(ctx, by, p, need)
}

// MaySettings says whether the actor may change the settings of the project.
func (g *Gate) MaySettings(ctx context.Context, by ci.Actor, p ci.Project) error {
	return g.need(ctx, by, p, Administer)
}

func (g *Gate) need(ctx context.Context, by ci.Actor, p ci.Project, need Permission) error {
	r, all, err := g.who(ctx, by)
	if err != nil || all {
		return err
	}
	has := Administer // of what no code host decides about
	if h := g.host(p.Slug); h != nil {
		has = NoPermission
		if id, ok := r.identity(h.Name()); ok {
			if has, err = h.Permission(ctx, id.Subject, p); err != nil {
				return fmt.Errorf("permissions of %s: %w", h.Name(), fault(err))
			}
		}
	}
	switch {
	case has >= need && need > NoPermission:
		return nil
	case has < Pull:
		return fmt.Errorf("project: %w", ci.ErrNotFound)
	}
	return fmt.Errorf("your account at the code host does not allow that: %w", ci.ErrDenied)
}

// who returns the user who acts, and whether they may do everything. Only
// people pass, among them those of whom a code host says that they caused an
// event; what else acts does so by rules of its own.
func (g *Gate) who(ctx context.Context, by ci.Actor) (record, bool, error) {
	if by == Operator {
		return record{}, true, nil
	}
	if by.Kind == ci.ActorForge && by.ID != "" {
		for _, h := range g.cfg.Hosts {
			d, err := g.users.docs.Doc(ctx, kindIdentity, identityID(h.Name(), h.Subject(by.ID)))
			if err == nil {
				by = ci.Actor{ID: d.Scope, Kind: ci.ActorUser}
			} else if !errors.Is(err, ci.ErrNotFound) {
				return record{}, false, fmt.Errorf("who caused this: %w", err)
			}
		}
	}
	if by.Kind != ci.ActorUser || by.ID == "" {
		return record{}, false, fmt.Errorf("nobody in particular: %w", ci.ErrDenied)
	}
	r, err := g.users.alive(ctx, by.ID)
	return r, Role(r.Role) == RoleAll, err
}

// fault returns an error that nobody takes for an answer.
func fault(err error) error {
	if errors.Is(err, ci.ErrDenied) || errors.Is(err, ci.ErrNotFound) {
		return errors.New(err.Error())
	}
	return err
}

func (g *Gate) host(slug string) Host {
	for _, h := range g.cfg.Hosts {
		if h.Has(slug) {
			return h
		}
	}
	return nil
}

// MayOrg is as [Gate.May], for what belongs to an organisation by its slug:
// its members may read it; its administrators, and members with [RoleWrite],
// may change it.
func (g *Gate) MayOrg(ctx context.Context, by ci.Actor, org string, write bool) error {
	member, admin, err := g.member(ctx, by, org)
	switch {
	case err != nil:
		return err
	case !member:
		return fmt.Errorf("organisation: %w", ci.ErrNotFound)
	case write && !admin:
		if err := g.users.Allowed(ctx, by, RoleWrite); err != nil {
			return fmt.Errorf("change what belongs to the organisation: you do not administer it at the code host: %w", err)
		}
	}
	return nil
}

// member reports whether the actor is a member and an administrator of the
// organisation.
func (g *Gate) member(ctx context.Context, by ci.Actor, org string) (member, admin bool, err error) {
	h := g.host(org)
	if h == nil && by.Kind == ci.ActorForge {
		return true, false, nil // a git folder of this machine knows no people
	}
	r, all, err := g.who(ctx, by)
	if err != nil || all {
		return all, all, err
	}
	if h == nil {
		return true, true, nil
	}
	id, ok := r.identity(h.Name())
	if !ok {
		return false, false, nil
	}
	orgs, err := h.Orgs(ctx, id.Subject)
	if err != nil {
		return false, false, fmt.Errorf("organisations of %s: %w", h.Name(), fault(err))
	}
	admin, member = orgs[strings.ToLower(org)]
	return member, admin, nil
}

// OrgAdmin reports whether the actor administers the organisation.
func (g *Gate) OrgAdmin(ctx context.Context, org string, of ci.Actor) (bool, error) {
	_, admin, err := g.member(ctx, of, org)
	if errors.Is(err, ci.ErrDenied) {
		return false, nil
	}
	return admin, err
}

// Admin says whether the actor is an administrator of the installation: nil or
// [ci.ErrDenied].
func (g *Gate) Admin(ctx context.Context, by ci.Actor) error {
	_, all, err := g.who(ctx, by)
	if err == nil && !all {
		err = fmt.Errorf("this takes an administrator: %w", ci.ErrDenied)
	}
	return err
}

// AllMembers is the group of everybody in an organisation.
const AllMembers = "All members"

// Groups returns the groups of an organisation that the actor is in: that of
// all members, the teams of the code host, and the groups of the directory.
func (g *Gate) Groups(ctx context.Context, org string, of ci.Actor) ([]string, error) {
	member, _, err := g.member(ctx, of, org)
	if errors.Is(err, ci.ErrDenied) || err == nil && !member {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	groups := []string{AllMembers}
	r, _, err := g.who(ctx, of)
	if errors.Is(err, ci.ErrDenied) {
		return groups, nil
	}
	if err != nil {
		return nil, err
	}
	for _, id := range r.Identities {
		groups = append(groups, id.Groups...)
	}
	if h := g.host(org); h != nil {
		if id, ok := r.identity(h.Name()); ok {
			teams, err := h.Teams(ctx, id.Subject, org)
			if err != nil {
				return nil, fmt.Errorf("teams of %s: %w", h.Name(), fault(err))
			}
			groups = append(groups, teams...)
		}
	}
	return groups, nil
}

// Orgs lists the slugs of the organisations that the actor belongs to.
func (g *Gate) Orgs(ctx context.Context, by ci.Actor) ([]string, error) {
	r, all, err := g.who(ctx, by)
	if err != nil {
		return nil, err
	}
	var known, out []string
	if g.cfg.Orgs != nil {
		if known, err = g.cfg.Orgs(ctx); err != nil {
			return nil, err
		}
	}
	for _, slug := range known {
		if all || g.host(slug) == nil {
			out = append(out, slug)
		}
	}
	for _, h := range g.cfg.Hosts {
		id, ok := r.identity(h.Name())
		if !ok {
			continue
		}
		orgs, err := h.Orgs(ctx, id.Subject)
		if err != nil {
			return nil, fmt.Errorf("organisations of %s: %w", h.Name(), fault(err))
		}
		for slug := range orgs {
			if i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, slug) }); i >= 0 {
				slug = known[i]
			}
			out = append(out, slug)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// User returns the person with an ID, for lists that name them.
func (g *Gate) User(ctx context.Context, id string) (ci.Actor, error) {
	u, err := g.users.User(ctx, id)
	if err != nil {
		return ci.Actor{}, err
	}
	return actor(u), nil
}
