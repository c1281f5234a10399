package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// fresh is how long after the login of a session an account may be connected:
// somebody at a forgotten browser cannot give themselves a way in.
const fresh = 15 * time.Minute

// Connect gives the user of a session one more identity. A session that did
// not begin in the last 15 minutes is [ci.ErrDenied]; an identity that is
// somebody's already, or a second one of the same provider, [ci.ErrConflict].
func (u *Users) Connect(ctx context.Context, secret string, id Identity) (ci.User, error) {
	who, s, err := u.Session(ctx, secret)
	if err != nil {
		return ci.User{}, err
	}
	if u.now().Sub(s.Created) > fresh {
		return ci.User{}, fmt.Errorf("connect account: log in again first; this takes a login of the last %d minutes: %w", int(fresh.Minutes()), ci.ErrDenied)
	}
	return u.connect(ctx, who.ID, id, actor(who))
}

// connect gives a user an identity.
func (u *Users) connect(ctx context.Context, user string, id Identity, by ci.Actor) (ci.User, error) {
	r, err := u.change(ctx, user, actionLinked, by, func(d *draft) (map[string]string, error) {
		target := map[string]string{"provider": id.Provider, "account": id.Login}
		if old, ok := d.identity(id.Provider); ok && old.Subject != id.Subject {
			return nil, fmt.Errorf("connect account: %s is connected already; disconnect it first: %w", old.Login, ci.ErrConflict)
		} else if ok {
			d.put(id)
			return target, nil
		}
		k, err := u.docs.Doc(ctx, kindIdentity, identityID(id.Provider, id.Subject))
		if err == nil && k.Scope != d.ID {
			return nil, fmt.Errorf("connect account: %s belongs to another user here; an administrator can delete that one: %w", id.Login, ci.ErrConflict)
		}
		if err != nil && !errors.Is(err, ci.ErrNotFound) {
			return nil, err
		}
		d.put(id)
		d.more = append(d.more, linkOf(id, d.ID))
		return target, nil
	})
	return r.User, err
}

// Disconnect takes an identity from a user; by is the user or an
// administrator. The last one stays, and of an administrator the last one by
// which the settings let people in: [ci.ErrConflict].
func (u *Users) Disconnect(ctx context.Context, user, provider string, by ci.Actor) (Identity, error) {
	if by.ID != user || by.Kind != ci.ActorUser {
		if err := u.Allowed(ctx, by, RoleAll); err != nil {
			return Identity{}, err
		}
	}
	var gone Identity
	_, err := u.change(ctx, user, actionUnlinked, by, func(d *draft) (map[string]string, error) {
		var ok bool
		if gone, ok = d.identity(provider); !ok {
			return nil, fmt.Errorf("disconnect account: none of %.40q is connected: %w", provider, ci.ErrNotFound)
		}
		if len(d.Identities) == 1 {
			return nil, fmt.Errorf("disconnect account: it is the only way for this user to log in: %w", ci.ErrConflict)
		}
		d.Identities = slices.DeleteFunc(d.Identities, func(i Identity) bool { return i.Provider == provider })
		if Role(d.Role) == RoleAll && !enters(d.record, u.entrances()) {
			return nil, fmt.Errorf("disconnect account: it is the only way of the settings by which this administrator can log in: %w", ci.ErrConflict)
		}
		d.more = append(d.more, ci.DocChange{Delete: true, Doc: ci.Doc{Kind: kindIdentity, ID: identityID(provider, gone.Subject), Version: ci.AnyVersion}})
		d.put(d.Identities[len(d.Identities)-1])
		return map[string]string{"provider": provider, "account": gone.Login}, nil
	})
	return gone, err
}

// Identity returns the user's identity of a provider.
func (u *Users) Identity(ctx context.Context, user, provider string) (Identity, error) {
	r, err := u.record(ctx, user)
	if err != nil {
		return Identity{}, err
	}
	id, ok := r.identity(provider)
	if !ok {
		return id, fmt.Errorf("account of %s: none is connected: %w", provider, ci.ErrNotFound)
	}
	return id, nil
}

// Preview says what would become of each user if people of a directory that is
// new here were recognised by "email" or by "login"; nothing is changed. by
// has to be allowed to read settings.
func (u *Users) Preview(ctx context.Context, provider, rule string, by ci.Actor) ([]ci.Joining, error) {
	if err := u.Allowed(ctx, by, RoleRead); err != nil {
		return nil, err
	}
	if rule != "email" && rule != "login" {
		return nil, fmt.Errorf("recognise users: by email or by login, not by %.20q: %w", rule, ci.ErrInvalid)
	}
	all, err := u.all(ctx)
	if err != nil {
		return nil, err
	}
	var out []ci.Joining
	for _, r := range all {
		j := ci.Joining{User: r.User}
		if rule == "login" {
			j.Key = []string{r.Login}
		} else {
			j.Key = r.Emails
		}
		switch found := matches(all, Identity{Provider: provider, Login: r.Login, Emails: r.Emails}, rule); {
		case r.Logins[provider] != "":
			j.Problem = "is linked already"
		case len(j.Key) == 0:
			j.Problem = "has no verified address: link by login, or connect by hand"
		case len(found) > 1:
			j.Problem = "shares it with another user: delete one of them, or connect by hand"
		}
		out = append(out, j)
	}
	return out, nil
}

// Join recognises people who come from a directory for the first time as users
// that exist, by "email" or "login", or with "" no longer. Only a directory
// among Config.Providers may be named, since it answers for what its people
// are called. by has to be an administrator.
func (u *Users) Join(ctx context.Context, provider, rule string, by ci.Actor) error {
	if err := u.Allowed(ctx, by, RoleAll); err != nil {
		return err
	}
	known := slices.ContainsFunc(u.cfg.Providers, func(p Provider) bool { return p.Name() == provider && provider != LocalProvider })
	if !known || !slices.Contains([]string{"", "email", "login"}, rule) {
		return fmt.Errorf("recognise users: of %.40q by %.20q: name a directory of the settings, and email or login: %w", provider, rule, ci.ErrInvalid)
	}
	target := map[string]string{"provider": provider, "join": strings.TrimSpace(rule)}
	return u.changeRoster(ctx, actionSettings, by, target, func(r *roster) {
		if r.Join == nil {
			r.Join = map[string]string{}
		}
		if r.Join[provider] = rule; rule == "" {
			delete(r.Join, provider)
		}
	})
}
