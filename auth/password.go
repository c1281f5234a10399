package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// kindReset is the kind of links to a new password. Their ID is the hash of the
// token, their scope the user, their name the login, and they are due when they
// are good no longer.
const kindReset = "user-reset"

const resetPrefix = "rondo_reset_"

// resetLife is how long a link to a new password is good.
const resetLife = 24 * time.Hour

// local returns the local accounts among the providers, or nil.
func (u *Users) local() *Local {
	for _, p := range u.cfg.Providers {
		if l, ok := p.(*Local); ok {
			return l
		}
	}
	return nil
}

// MakeAdministrator makes a local account with a password for whoever has the
// bootstrap token, and logs them in as [Users.Enter] does: one transaction, so
// there is no account without an administrator. Without the token it is
// [ci.ErrDenied], with a password that is too short [ci.ErrInvalid].
func (u *Users) MakeAdministrator(ctx context.Context, login, password string, v Visit) (ci.User, string, error) {
	good, err := u.Invited(ctx, v.Bootstrap)
	l := u.local()
	switch {
	case err != nil:
		return ci.User{}, "", err
	case !good:
		return ci.User{}, "", fmt.Errorf("make administrator: open the link that the server printed first: %w", ci.ErrDenied)
	case l == nil:
		return ci.User{}, "", fmt.Errorf("make administrator: this server keeps no passwords: %w", ci.ErrInvalid)
	}
	a, c, err := l.draft(ctx, login, password)
	if err != nil {
		return ci.User{}, "", err
	}
	return u.enterWith(ctx, a.identity(), v, func(d *draft) error {
		if !d.invited {
			return fmt.Errorf("make administrator: somebody else has used the link: %w", ci.ErrDenied)
		}
		return u.password(ctx, d, c, actor(d.User))
	})
}

// password adds the change of a password, and its event, to a draft.
func (u *Users) password(ctx context.Context, d *draft, c ci.DocChange, by ci.Actor) error {
	event, err := u.note(ctx, u.act(actionPassword, by, d.record, map[string]string{"provider": LocalProvider}))
	d.more = append(d.more, append(event, c)...)
	return err
}

// ChangePassword gives the user of a session another local password. It takes
// the old one, whose wrong tries count as those of a login do; all other
// sessions end, and the secret of a new one is returned. The error is that of
// [Users.Session], a [TooMany], [ErrLogin] for a wrong old password, or
// [ci.ErrInvalid].
func (u *Users) ChangePassword(ctx context.Context, secret, old, password string, v Visit) (string, error) {
	who, _, err := u.Session(ctx, secret)
	if err != nil {
		return "", err
	}
	id, err := u.Identity(ctx, who.ID, LocalProvider)
	l := u.local()
	if err != nil || l == nil {
		return "", errors.Join(fmt.Errorf("change password: you log in elsewhere, and change it there: %w", ci.ErrInvalid), fault(err))
	}
	account, address := accountKey(id.Login), addressKey(v.Address)
	if wait := u.limits.begin(account, address, u.cfg.Now()); wait > 0 {
		u.figures.limited.Add(1)
		return "", TooMany{wait}
	}
	if _, err := l.Login(ctx, id.Login, old); errors.Is(err, ci.ErrDenied) {
		act := u.act(actionPassword, actor(who), record{User: who}, map[string]string{"provider": LocalProvider, "address": v.Address})
		act.Success, act.Reason = false, "wrong password"
		return "", errors.Join(ErrLogin, fault(u.tell(ctx, act)))
	} else if err != nil {
		u.limits.forgive(account, address)
		return "", err
	}
	u.limits.forgive(account, address)
	_, c, err := l.draft(ctx, id.Login, password)
	if err != nil {
		return "", err
	}
	return u.renew(ctx, who.ID, actor(who), c, v)
}

// renew writes a new password, which ends all sessions, and opens one.
func (u *Users) renew(ctx context.Context, user string, by ci.Actor, c ci.DocChange, v Visit, more ...ci.DocChange) (string, error) {
	r, err := u.change(ctx, user, actionPassword, by, func(d *draft) (map[string]string, error) {
		d.Epoch++
		d.more = append(d.more, append(slices.Clone(more), c)...)
		return map[string]string{"provider": LocalProvider, "address": v.Address}, nil
	})
	if err != nil {
		return "", fmt.Errorf("change password: %w", err)
	}
	if err := u.sweep(ctx, user); err != nil {
		return "", err
	}
	return u.open(ctx, r, v)
}

// ResetPassword takes the password of a local account away, ends the sessions
// of its user, and returns a token with which, once and within a day,
// [Users.CreatePassword] gives it another. Login "" is the only account that
// there is. by has to be an administrator. No such account is
// [ci.ErrNotFound], with those that there are.
func (u *Users) ResetPassword(ctx context.Context, login string, by ci.Actor) (token string, err error) {
	if err := u.Allowed(ctx, by, RoleAll); err != nil {
		return "", err
	}
	all, err := u.all(ctx)
	if err != nil {
		return "", err
	}
	var logins []string
	var found []record
	for _, r := range all {
		if i, ok := r.identity(LocalProvider); ok {
			logins = append(logins, i.Login)
			if login == "" || localID(i.Login) == localID(login) {
				found = append(found, r)
			}
		}
	}
	l := u.local()
	switch {
	case l == nil:
		return "", fmt.Errorf("reset password: this server keeps none; set auth.local: true: %w", ci.ErrConflict)
	case len(logins) == 0:
		return "", fmt.Errorf("reset password: nobody has one here; rondo-server serve --bootstrap prints a link that makes an administrator: %w", ci.ErrNotFound)
	case len(found) != 1:
		return "", fmt.Errorf("reset password: %.80q is none of the accounts of this server, which are %s: %w", login, strings.Join(logins, ", "), ci.ErrNotFound)
	}
	id, _ := found[0].identity(LocalProvider)
	_, c, err := l.put(ctx, id.Login, "")
	if err != nil {
		return "", err
	}
	token = newSecret(resetPrefix)
	link := ci.DocChange{Doc: ci.Doc{Kind: kindReset, ID: hash(token), Scope: found[0].ID, Name: localID(id.Login), Body: []byte("{}"), Due: u.now().Add(resetLife)}}
	older, err := u.resets(ctx, found[0].ID)
	if err != nil {
		return "", err
	}
	_, err = u.change(ctx, found[0].ID, actionReset, by, func(d *draft) (map[string]string, error) {
		d.Epoch++
		d.more = append(d.more, append(slices.Clone(older), c, link)...)
		return map[string]string{"provider": LocalProvider}, nil
	})
	if err != nil {
		return "", fmt.Errorf("reset password: %w", err)
	}
	return token, u.sweep(ctx, found[0].ID)
}

// resets returns what forgets the links of a user.
func (u *Users) resets(ctx context.Context, user string) (gone []ci.DocChange, err error) {
	for d, err := range u.docs.Docs(ctx, ci.DocQuery{Kind: kindReset, Scope: user}) {
		if err != nil {
			return nil, fmt.Errorf("links to a new password: %w", err)
		}
		gone = append(gone, ci.DocChange{Doc: d, Delete: true})
	}
	return gone, nil
}

// Reset returns whose password a token of [Users.ResetPassword] lets set;
// [ci.ErrDenied] if it is good no longer.
func (u *Users) Reset(ctx context.Context, token string) (login string, err error) {
	d, err := u.reset(ctx, token)
	if err != nil {
		return "", err
	}
	r, err := u.record(ctx, d.Scope)
	if err != nil {
		return "", err
	}
	id, _ := r.identity(LocalProvider)
	return id.Login, nil
}

func (u *Users) reset(ctx context.Context, token string) (ci.Doc, error) {
	gone := fmt.Errorf("this link is good no longer; rondo-server auth reset makes another: %w", ci.ErrDenied)
	if !genuine(token, resetPrefix) {
		return ci.Doc{}, gone
	}
	d, err := u.docs.Doc(ctx, kindReset, hash(token))
	if errors.Is(err, ci.ErrNotFound) || err == nil && !u.now().Before(d.Due) {
		return ci.Doc{}, gone
	}
	return d, err
}

// CreatePassword gives the account of a token of [Users.ResetPassword] a
// password, which uses the token up, and returns the secret of a new session.
func (u *Users) CreatePassword(ctx context.Context, token, password string, v Visit) (string, error) {
	d, err := u.reset(ctx, token)
	if err != nil {
		return "", err
	}
	l := u.local()
	if l == nil {
		return "", fmt.Errorf("create password: this server keeps none; set auth.local: true: %w", ci.ErrConflict)
	}
	p, err := l.docs.Doc(ctx, kindPassword, d.Name)
	var a account
	if err == nil {
		err = json.Unmarshal(p.Body, &a)
	}
	if err != nil {
		return "", fmt.Errorf("create password: %w", fault(err))
	}
	_, c, err := l.draft(ctx, a.Login, password)
	if err != nil {
		return "", err
	}
	r, err := u.record(ctx, d.Scope)
	if err != nil {
		return "", err
	}
	if r.Suspended != "" {
		return "", fmt.Errorf("create password: this account is suspended (%s): %w", r.Suspended, ci.ErrDenied)
	}
	return u.renew(ctx, d.Scope, actor(r.User), c, v, ci.DocChange{Doc: d, Delete: true})
}
