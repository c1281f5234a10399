package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A Finder is a [Provider] in which people can be looked for. It is what users
// who exist are brought to, one by one.
type Finder interface {
	Provider
	// Find returns who has one of the addresses, or is called one of the logins.
	// Whether they may log in is for Lookup to say.
	Find(ctx context.Context, emails, logins []string) ([]Identity, error)
}

// finder returns the provider of a name as a [Finder].
func (u *Users) finder(provider string) (Finder, error) {
	for _, p := range u.cfg.Providers {
		if f, ok := p.(Finder); ok && p.Name() == provider {
			return f, nil
		}
	}
	return nil, fmt.Errorf("directory: %.40q is none of the settings: %w", provider, ci.ErrInvalid)
}

// Matches lists all users, and who of a directory may be the same person: by
// address, or where nobody has one of those, by login. It changes nothing. by
// has to be allowed to read settings. A directory that does not answer is an
// error.
func (u *Users) Matches(ctx context.Context, provider string, by ci.Actor) ([]ci.Match, error) {
	if err := u.Allowed(ctx, by, RoleRead); err != nil {
		return nil, err
	}
	f, err := u.finder(provider)
	if err != nil {
		return nil, err
	}
	all, err := u.all(ctx)
	if err != nil {
		return nil, err
	}
	var emails, logins []string
	taken := map[string]string{} // by subject, whose it is
	for _, r := range all {
		if id, ok := r.identity(provider); ok {
			taken[id.Subject] = r.Login
		} else {
			emails, logins = append(emails, r.Emails...), append(logins, r.Login)
		}
	}
	var there []Identity
	if len(logins) > 0 {
		if there, err = f.Find(ctx, emails, logins); err != nil {
			return nil, fmt.Errorf("look for users in %s: %w", provider, fault(err))
		}
	}
	byEmail, byLogin := index(there)
	var out []ci.Match
	for _, r := range all {
		out = append(out, matchOf(r, provider, byEmail, byLogin, taken))
	}
	warn(out, all, u.entrances())
	return out, nil
}

// index orders identities by what they are recognised by.
func index(all []Identity) (byEmail, byLogin map[string][]Identity) {
	byEmail, byLogin = map[string][]Identity{}, map[string][]Identity{}
	for _, id := range all {
		for _, e := range id.Emails {
			byEmail[strings.ToLower(e)] = append(byEmail[strings.ToLower(e)], id)
		}
		byLogin[strings.ToLower(id.Login)] = append(byLogin[strings.ToLower(id.Login)], id)
	}
	return byEmail, byLogin
}

func matchOf(r record, provider string, byEmail, byLogin map[string][]Identity, taken map[string]string) ci.Match {
	m := ci.Match{User: r.User, Found: []string{}}
	if id, ok := r.identity(provider); ok {
		m.Linked = id.Login
		return m
	}
	var found []Identity
	for _, e := range r.Emails {
		found = append(found, byEmail[strings.ToLower(e)]...)
	}
	m.By = "email"
	if len(found) == 0 {
		found, m.By = byLogin[strings.ToLower(r.Login)], "login"
	}
	for _, id := range found {
		if whose, ok := taken[id.Subject]; ok {
			m.Problem = fmt.Sprintf("%s there is linked to the user %s", id.Login, whose)
		} else if !slices.Contains(m.Found, id.Login) {
			m.Found = append(m.Found, id.Login)
		}
	}
	switch {
	case len(m.Found) > 1:
		m.Problem = "several people there may be meant; choose"
	case len(m.Found) == 0:
		m.By = ""
		if m.Problem == "" {
			m.Problem = "nobody there has the same address or login"
		}
	}
	return m
}

// warn says of administrators that they could not log in any more.
func warn(out []ci.Match, all []record, entrances []string) {
	for i, r := range all {
		if Role(r.Role) == RoleAll && r.Suspended == "" && !enters(r, entrances) {
			out[i].Problem = strings.TrimPrefix(out[i].Problem+"; an administrator, who has no way to log in by the settings as they are", "; ")
		}
	}
}

// entrances are the providers by which people can log in.
func (u *Users) entrances() []string {
	var names []string
	for _, p := range u.cfg.Providers {
		names = append(names, p.Name())
	}
	for _, h := range u.cfg.Hosts {
		names = append(names, h.Name())
	}
	return names
}

// enters reports whether the user has a way to log in.
func enters(r record, entrances []string) bool {
	return slices.ContainsFunc(r.Identities, func(i Identity) bool { return slices.Contains(entrances, i.Provider) })
}

// Link gives a user the identity of a login in a directory, which has to let
// that person in. by has to be an administrator. Somebody else's identity, or a
// second one, is [ci.ErrConflict]; a login that nobody has there, or more than
// one, [ci.ErrInvalid].
func (u *Users) Link(ctx context.Context, user, provider, login string, by ci.Actor) (ci.User, error) {
	if err := u.Allowed(ctx, by, RoleAll); err != nil {
		return ci.User{}, err
	}
	f, err := u.finder(provider)
	if err != nil {
		return ci.User{}, err
	}
	login = strings.TrimSpace(login)
	found, err := f.Find(ctx, nil, []string{login})
	if err != nil {
		return ci.User{}, fmt.Errorf("link user: %w", fault(err))
	}
	if len(found) != 1 {
		return ci.User{}, fmt.Errorf("link user: %d people of %s have the login %.80q: %w", len(found), provider, login, ci.ErrInvalid)
	}
	id, err := f.Lookup(ctx, found[0].Subject)
	switch {
	case errors.Is(err, ci.ErrNotFound):
		return ci.User{}, fmt.Errorf("link user: %.80q may not log in: %w: %w", login, fault(err), ci.ErrInvalid)
	case err != nil:
		return ci.User{}, fmt.Errorf("link user: %w", fault(err))
	}
	id.Provider = provider
	return u.connect(ctx, user, id, by)
}

// Unlink takes the identity of a directory from a user again. by has to be an
// administrator. It is [ci.ErrConflict] if the user could not log in any more,
// or nobody were an administrator.
func (u *Users) Unlink(ctx context.Context, user, provider string, by ci.Actor) error {
	if err := u.Allowed(ctx, by, RoleAll); err != nil {
		return err
	}
	if _, err := u.finder(provider); err != nil {
		return err
	}
	_, err := u.Disconnect(ctx, user, provider, by)
	return err
}
