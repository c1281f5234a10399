package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// The actions on record, besides the guide's own words user.create,
// user.logged_in, user.logged_out and user.suspended.
const (
	actionCreate      = "user.create"
	actionLoggedIn    = "user.logged_in"
	actionLoggedOut   = "user.logged_out"
	actionSuspended   = "user.suspended"
	actionReinstated  = "rondo.user.reactivate"
	actionRole        = "rondo.user.role_change"
	actionDelete      = "rondo.user.delete"
	actionLinked      = "rondo.user.link"
	actionUnlinked    = "rondo.user.unlink"
	actionSettings    = "rondo.user.settings_change"
	actionSessionsOut = "rondo.user.sessions_end"
	actionPassword    = "rondo.user.password_change"
	actionReset       = "rondo.user.password_reset"
	actionInvite      = "rondo.user.invite"
)

// Why users are suspended. Only what begins with removed is lifted by a login.
const (
	SuspendedByAdmin = "by an administrator"
	SuspendedNew     = "new users wait for an administrator"
	removed          = "removed from "
)

// SetRole gives a user a role; by has to be an administrator. It ends the
// user's sessions. The last administrator cannot lose theirs:
// [ci.ErrConflict].
func (u *Users) SetRole(ctx context.Context, id, role string, by ci.Actor) (ci.User, error) {
	if rank(Role(role)) < 0 {
		return ci.User{}, fmt.Errorf("role %.40q: there are read-settings, write-settings, all, auditor, operator, and the empty one: %w", role, ci.ErrInvalid)
	}
	if err := u.Allowed(ctx, by, RoleAll); err != nil {
		return ci.User{}, err
	}
	r, err := u.change(ctx, id, actionRole, by, func(d *draft) (map[string]string, error) {
		d.Granted = Role(role)
		d.Epoch++
		return map[string]string{"role": role}, nil
	})
	if err != nil {
		return ci.User{}, fmt.Errorf("set role: %w", err)
	}
	return r.User, nil
}

// Suspend takes everything from a user, or gives it back; by has to be an
// administrator. Sessions and tokens are refused at once; sessions do not come
// back.
func (u *Users) Suspend(ctx context.Context, id string, suspended bool, by ci.Actor) (ci.User, error) {
	if err := u.Allowed(ctx, by, RoleAll); err != nil {
		return ci.User{}, err
	}
	action := actionSuspended
	if !suspended {
		action = actionReinstated
	}
	r, err := u.change(ctx, id, action, by, func(d *draft) (map[string]string, error) {
		d.Suspended = ""
		if suspended {
			d.Suspended = SuspendedByAdmin
		}
		d.Epoch++
		return map[string]string{"reason": d.Suspended}, nil
	})
	if err != nil {
		return ci.User{}, fmt.Errorf("suspend user: %w", err)
	}
	return r.User, nil
}

// DeleteUser forgets the user of that login at a forge or directory ("github",
// "ldap", "local"); the same login elsewhere is another person. by has to be
// an administrator. Nobody of that name there is [ci.ErrNotFound].
func (u *Users) DeleteUser(ctx context.Context, login, forge string, by ci.Actor) error {
	if err := u.Allowed(ctx, by, RoleAll); err != nil {
		return err
	}
	all, err := u.all(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(r record) bool {
		i, ok := r.identity(forge)
		return ok && strings.EqualFold(i.Login, login)
	})
	if i < 0 {
		return fmt.Errorf("delete user: nobody is %.80q at %.40q: %w", login, forge, ci.ErrNotFound)
	}
	_, err = u.change(ctx, all[i].ID, actionDelete, by, func(d *draft) (map[string]string, error) {
		d.drop = true
		for _, i := range d.Identities {
			d.more = append(d.more, ci.DocChange{Delete: true, Doc: ci.Doc{Kind: kindIdentity, ID: identityID(i.Provider, i.Subject), Version: ci.AnyVersion}})
		}
		return map[string]string{"forge": forge}, nil
	})
	if err != nil {
		return fmt.Errorf("delete user: %w", err)
	}
	return u.sweep(ctx, all[i].ID)
}

// SuspendNew says whether users are suspended from their first login on, until
// an administrator lets them in.
func (u *Users) SuspendNew(ctx context.Context) (bool, error) {
	r, err := u.roster(ctx)
	return r.SuspendNew, err
}

// SetSuspendNew changes that; by has to be allowed to write settings.
func (u *Users) SetSuspendNew(ctx context.Context, suspend bool, by ci.Actor) error {
	if err := u.Allowed(ctx, by, RoleWrite); err != nil {
		return err
	}
	target := map[string]string{"suspend_new": fmt.Sprint(suspend)}
	return u.changeRoster(ctx, actionSettings, by, target, func(r *roster) { r.SuspendNew = suspend })
}

// changeRoster changes what all users have together, and puts that on record.
func (u *Users) changeRoster(ctx context.Context, action string, by ci.Actor, target map[string]string, edit func(*roster)) error {
	for range tries {
		event, err := u.note(ctx, ci.Act{Action: action, Actor: by, Target: target, Success: true})
		if err != nil {
			return err
		}
		r, err := u.roster(ctx)
		if err != nil {
			return err
		}
		edit(&r)
		c, err := r.change()
		if err != nil {
			return err
		}
		if _, err := u.docs.WriteDocs(ctx, append(event, c)...); !errors.Is(err, ci.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("users: others keep changing them, try again: %w", ci.ErrConflict)
}

// Bootstrap returns a token that makes whoever logs in with it, once, an
// administrator: it is to be printed where operators only see it. It is "" when
// there is an administrator, unless again asks for another. A new one replaces
// the one before.
func (u *Users) Bootstrap(ctx context.Context, again bool) (string, error) {
	r, err := u.roster(ctx)
	if err != nil || len(r.Admins) > 0 && !again {
		return "", err
	}
	token := newSecret("rondo_bootstrap_")
	return token, u.changeRoster(ctx, actionInvite, Operator, map[string]string{"role": string(RoleAll)}, func(r *roster) { r.Bootstrap = hash(token) })
}

// Invited reports whether a bootstrap token is good.
func (u *Users) Invited(ctx context.Context, token string) (bool, error) {
	r, err := u.roster(ctx)
	return r.Bootstrap != "" && same(r.Bootstrap, hash(token)), err
}
