package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// The words that tickets begin with.
const (
	ticketOperator = "operator"
	ticketToken    = "token "
	ticketSession  = "session "
)

// Ticket names what a request shows, so that one can ask later whether it is
// still good: see [Gate.Still]. A ticket opens nothing: it has the hash of a
// token or session. It is "" if the request shows neither.
func (g *Gate) Ticket(r *http.Request, token string) string {
	switch {
	case token != "" && g.cfg.Operator != "" && same(token, g.cfg.Operator):
		return ticketOperator
	case token != "":
		return ticketToken + hash(token)
	case g.cfg.Session != nil && g.cfg.Session(r) != "":
		return ticketSession + hash(g.cfg.Session(r))
	}
	return ""
}

// Still returns whose ticket it is, as long as the token or session, and its
// user, may do anything; else [ci.ErrDenied]. Looking is no use of a session.
func (g *Gate) Still(ctx context.Context, ticket string) (ci.Actor, error) {
	gone := fmt.Errorf("this token or session is good no longer: %w", ci.ErrDenied)
	if ticket == ticketOperator {
		return Operator, nil
	}
	if id, ok := strings.CutPrefix(ticket, ticketToken); ok {
		one, err := g.tokens.personal(ctx, id)
		if errors.Is(err, ci.ErrNotFound) {
			return ci.Actor{}, gone
		}
		if err != nil {
			return ci.Actor{}, err
		}
		u, err := g.users.Alive(ctx, one.Owner.ID)
		return actor(u), err
	}
	if id, ok := strings.CutPrefix(ticket, ticketSession); ok {
		r, _, _, err := g.users.sessionOf(ctx, id)
		return actor(r.User), err
	}
	return ci.Actor{}, gone
}
