package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A guest is who calls without being a person: a program with a project token,
// or anybody. Only routes that have a scope let guests in, which are those of
// v1.1, the badges and cc.xml; v2 does not know them.
type guest struct {
	// token is what a project token stands for.
	token *ci.ProjectToken
	// anybody has no token at all and may read open projects.
	anybody bool
	// open says that the route lets people read open projects that are not
	// theirs.
	open bool
}

// welcome decides about a caller whom Auth does not know.
func (c *call) welcome(route route) error {
	login := refuse(http.StatusUnauthorized, "You must log in first.")
	t := token(c.r)
	switch {
	case route.scope == "":
		return login
	case t == "" && c.r.Header.Get("Authorization") == "" && (c.r.Method == http.MethodGet || c.r.Method == http.MethodHead):
		c.guest = guest{anybody: true, open: true}
		return nil
	case t == "" || c.cfg.Chapters.Tokens == nil:
		return login
	}
	p, err := c.cfg.Chapters.Tokens.ProjectToken(c.r.Context(), t)
	if hidden(err) {
		return login
	}
	if err != nil {
		return err
	}
	if !p.Scope.Covers(route.scope) {
		return refuse(http.StatusForbidden, "The scope of this project token does not allow that.")
	}
	c.guest = guest{token: &p}
	// People choose the label: it must not be taken for anybody's login, on a
	// page or where groups are looked up.
	c.by = ci.Actor{ID: p.ID, Kind: ci.ActorProject, Login: strings.TrimSpace("project token " + p.Label)}
	return nil
}

// known refuses who has no token, for lists that are nobody's then.
func (c *call) known() error {
	if c.anybody {
		return refuse(http.StatusUnauthorized, "You must log in first.")
	}
	return nil
}

// access says whether the caller may read, or change, the project. What they
// may not even read does not exist for them.
func (c *call) access(ctx context.Context, p ci.Project, write bool) error {
	switch {
	case c.guest.token != nil && c.guest.token.Project != p.ID, c.anybody && (write || !p.Open):
		return ci.ErrNotFound
	case c.guest.token != nil && write && !c.guest.token.Scope.Covers(ci.ScopeAll):
		return ci.ErrDenied
	case c.guest.token != nil, c.anybody:
		return nil
	}
	err := c.cfg.May(ctx, c.by, p, write)
	switch {
	case hidden(err) && !write && c.open && p.Open:
		return nil
	case errors.Is(err, ci.ErrDenied) && (!write || hidden(c.cfg.May(ctx, c.by, p, false))):
		return ci.ErrNotFound
	}
	return err
}
