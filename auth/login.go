package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/rondo-ci/rondo/ci"
)

// The errors of [Users.Login], whose texts may be shown to anybody.
var (
	// ErrLogin does not say what was wrong: whether there is such a user is
	// nobody's business.
	ErrLogin = fmt.Errorf("the login or the password is wrong: %w", ci.ErrDenied)
	// ErrAway says that a directory could not be asked.
	ErrAway = errors.New("your login cannot be checked at the moment; try again, or tell whoever runs this server")
)

// A TooMany is an error of [Users.Login] after too many wrong tries. It is
// [ci.ErrDenied].
type TooMany struct{ Wait time.Duration }

func (t TooMany) Error() string {
	return fmt.Sprintf("too many tries; wait %d minutes", int(t.Wait.Minutes())+1)
}

// Unwrap returns [ci.ErrDenied].
func (TooMany) Unwrap() error { return ci.ErrDenied }

// Login lets in whom one of the providers knows by login and password, and
// returns the secret of a new session. Every provider is asked until one
// agrees, also for logins that nobody has. The error is [ErrLogin], [ErrAway],
// a [TooMany], or that of [Users.Enter].
func (u *Users) Login(ctx context.Context, login, password string, v Visit) (ci.User, string, error) {
	login = norm.NFC.String(strings.TrimSpace(login))
	account, address := accountKey(login), addressKey(v.Address)
	if wait := u.limits.begin(account, address, u.cfg.Now()); wait > 0 {
		u.figures.limited.Add(1)
		return ci.User{}, "", TooMany{wait}
	}
	id, err := u.prove(ctx, login, password)
	switch {
	case errors.Is(err, ci.ErrDenied):
		u.figures.failures.Add(1)
		u.log.Info("login refused", "login", clip(login), "address", v.Address, "reason", err)
		act := ci.Act{Action: actionLoggedIn, Actor: ci.Actor{Kind: ci.ActorUser, Login: clip(login)}, Reason: "wrong login or password",
			Target: map[string]string{"type": "user", "login": clip(login), "address": v.Address}}
		if err := u.tell(ctx, act); err != nil {
			return ci.User{}, "", err
		}
		return ci.User{}, "", ErrLogin
	case err != nil:
		u.limits.forgive(account, address)
		u.figures.down.Add(1)
		u.log.Error("login cannot be checked", "err", err)
		return ci.User{}, "", ErrAway
	}
	u.limits.forgive(account, address)
	return u.Enter(ctx, id, v)
}

// Limited lets try have a go at a password of a login elsewhere than at
// [Users.Login], within the same limits: it reports whether the password was
// right. After too many wrong ones the error is a [TooMany].
func (u *Users) Limited(login, address string, try func() bool) error {
	account, from := accountKey(login), addressKey(address)
	if wait := u.limits.begin(account, from, u.cfg.Now()); wait > 0 {
		u.figures.limited.Add(1)
		return TooMany{wait}
	}
	if try() {
		u.limits.forgive(account, from)
	}
	return nil
}

// prove asks the providers. One that cannot answer does not keep the next from
// being asked: the local administrator gets in when the directory is down.
func (u *Users) prove(ctx context.Context, login, password string) (Identity, error) {
	odd := func(r rune) bool { return unicode.IsControl(r) }
	if login == "" || len(login) > 256 || !utf8.ValidString(login) || strings.ContainsFunc(login, odd) || len(password) > 1024 || strings.ContainsRune(password, 0) {
		login, password = "", "" // nobody's, but it takes the same time
	}
	denied := fmt.Errorf("nobody knows this login and password: %w", ci.ErrDenied)
	var down error
	for _, p := range u.cfg.Providers {
		if password == "" && p.Name() != LocalProvider {
			continue // directories take an empty password for no login at all
		}
		id, err := p.Login(ctx, login, password)
		switch {
		case err == nil:
			id.Provider = p.Name()
			return id, nil
		case errors.Is(err, ci.ErrDenied):
			denied = err
		default:
			down = errors.Join(down, fmt.Errorf("%s: %w", p.Name(), err))
		}
	}
	if down != nil {
		return Identity{}, down
	}
	return Identity{}, denied
}
