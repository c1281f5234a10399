package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Visit is from where somebody logs in.
type Visit struct {
	Address string // of the client, without a port
	Agent   string // how the browser calls itself
	// Bootstrap is a token of [Users.Bootstrap] that came along.
	Bootstrap string
}

// Enter lets in who was proven to be an identity, and returns the secret of a
// new session. Somebody new becomes a user: the first one, or one with the
// bootstrap token, an administrator. One that is suspended is [ci.ErrDenied];
// a login brings back only who was suspended because that very directory had
// lost them.
func (u *Users) Enter(ctx context.Context, id Identity, v Visit) (ci.User, string, error) {
	return u.enterWith(ctx, id, v, func(*draft) error { return nil })
}

// enterWith is Enter with something more that is written together with it.
func (u *Users) enterWith(ctx context.Context, id Identity, v Visit, more func(*draft) error) (ci.User, string, error) {
	if id.Provider == "" || id.Subject == "" || id.Login == "" {
		return ci.User{}, "", fmt.Errorf("log in: an identity without provider, subject or login: %w", ci.ErrInvalid)
	}
	var r record
	var created bool
	for range tries {
		user, err := u.find(ctx, id)
		action := actionLoggedIn
		created = user == ""
		if errors.Is(err, ci.ErrNotFound) {
			action = actionCreate
		} else if err != nil {
			return ci.User{}, "", fmt.Errorf("log in: %w", err)
		}
		by := ci.Actor{ID: user, Kind: ci.ActorUser, Login: id.Login}
		r, err = u.change(ctx, user, action, by, func(d *draft) (map[string]string, error) {
			if user == "" {
				if _, err := u.docs.Doc(ctx, kindIdentity, identityID(id.Provider, id.Subject)); !errors.Is(err, ci.ErrNotFound) {
					return nil, errors.Join(errTaken, err)
				}
			}
			target, err := u.enter(d, id, v)
			return target, errors.Join(err, more(d))
		})
		if errors.Is(err, errTaken) || user != "" && errors.Is(err, ci.ErrNotFound) {
			continue // somebody was faster with the same identity, or deleted the user
		}
		if err != nil {
			return ci.User{}, "", fmt.Errorf("log in: %w", err)
		}
		break
	}
	if r.ID == "" {
		return ci.User{}, "", fmt.Errorf("log in: others keep changing the user, try again: %w", ci.ErrConflict)
	}
	if r.Suspended != "" {
		u.figures.refused.Add(1)
		var err error
		if created { // else the refusal is on record with the visit
			act := u.act(actionLoggedIn, actor(r.User), r, map[string]string{"provider": id.Provider, "address": v.Address})
			act.Success, act.Reason = false, "suspended"
			err = u.tell(ctx, act)
		}
		return r.User, "", errors.Join(fmt.Errorf("log in: this account is suspended (%s): %w", r.Suspended, ci.ErrDenied), err)
	}
	secret, err := u.open(ctx, r, v)
	if err == nil {
		u.figures.logins.Add(1)
	}
	return r.User, secret, err
}

// errTaken says that the identity was linked meanwhile.
var errTaken = errors.New("the identity is linked already")

// find returns the user of an identity, or the one that the rules for users
// from a new directory recognise, or [ci.ErrNotFound].
func (u *Users) find(ctx context.Context, id Identity) (string, error) {
	d, err := u.docs.Doc(ctx, kindIdentity, identityID(id.Provider, id.Subject))
	if err == nil {
		return d.Scope, nil
	}
	if !errors.Is(err, ci.ErrNotFound) {
		return "", err
	}
	ro, err := u.roster(ctx)
	if err != nil {
		return "", err
	}
	by, ok := ro.Join[id.Provider]
	if !ok {
		return "", ci.ErrNotFound
	}
	all, err := u.all(ctx)
	if err != nil {
		return "", err
	}
	if found := matches(all, id, by); len(found) == 1 {
		return found[0], nil
	}
	return "", ci.ErrNotFound
}

// matches returns the users without an identity of the provider that share
// the login or an address with the identity.
func matches(all []record, id Identity, by string) []string {
	var found []string
	for _, r := range all {
		if _, has := r.identity(id.Provider); has {
			continue
		}
		if by == "login" && strings.EqualFold(r.Login, id.Login) || by == "email" && slices.ContainsFunc(r.Emails, func(e string) bool {
			return slices.ContainsFunc(id.Emails, func(other string) bool { return strings.EqualFold(e, other) })
		}) {
			found = append(found, r.ID)
		}
	}
	return found
}

// enter changes the user who logs in.
func (u *Users) enter(d *draft, id Identity, v Visit) (map[string]string, error) {
	now := u.now()
	invited := d.roster.Bootstrap != "" && v.Bootstrap != "" && same(d.roster.Bootstrap, hash(v.Bootstrap))
	d.invited = invited
	if d.ID == "" {
		d.ID, d.Login, d.Created = ci.NewID(), id.Login, now
		if d.roster.SuspendNew && d.roster.Begun && !invited {
			d.Suspended = SuspendedNew
		}
	}
	old, linked := d.identity(id.Provider)
	if linked && old.Subject != id.Subject {
		return nil, fmt.Errorf("the user has another account of %s: %w", id.Provider, ci.ErrConflict)
	}
	if !linked {
		d.more = append(d.more, linkOf(id, d.ID))
	}
	if d.Suspended == removed+id.Provider {
		d.Suspended = ""
	}
	if d.Login == old.Login {
		d.Login = id.Login // renamed there
	}
	d.put(id)
	if invited {
		d.Epoch++ // whoever lost the way in has perhaps lost it to somebody
	}
	if d.Suspended == "" && (invited || u.cfg.OpenFirst && !d.roster.Begun) {
		d.Granted = RoleAll
		d.roster.Begun, d.roster.Bootstrap = true, ""
		if slices.Contains(d.roster.Admins, d.ID) { // it is written anyway when they change
			c, err := d.roster.change()
			if err != nil {
				return nil, err
			}
			d.more = append(d.more, c)
		}
	}
	d.Checked, d.Tried = now, now.Add(-retry)
	if as := id.AsOf.UTC().Truncate(time.Millisecond); !id.AsOf.IsZero() && as.Before(now) {
		d.Checked = as
	}
	if d.Suspended == "" {
		d.SignIns++
		d.Last, d.Current = d.Current, ci.SignIn{At: now, Address: v.Address}
	}
	return map[string]string{"provider": id.Provider, "address": v.Address, "agent": cmp.Or(clip(v.Agent), "none")}, nil
}

// linkOf is the document that ties an identity to a user. Its version makes
// sure that the identity has one user only.
func linkOf(id Identity, user string) ci.DocChange {
	return ci.DocChange{Doc: ci.Doc{Kind: kindIdentity, ID: identityID(id.Provider, id.Subject), Scope: user, Body: []byte("{}")}}
}

// clip shortens what a browser says of itself.
func clip(text string) string {
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "")
	}
	return text
}
