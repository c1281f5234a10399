package auth_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// administrator makes the local account root.
func (p *place) administrator(t *testing.T) (ci.User, string) {
	token, err := p.users.Bootstrap(t.Context(), true)
	require.NoError(t, err)
	u, session, err := p.users.MakeAdministrator(t.Context(), "root", "in case of fire", auth.Visit{Bootstrap: token})
	require.NoError(t, err)
	require.Equal(t, "all", u.Role)
	return u, session
}

// OPS-07: a reset takes the password and the sessions at once; its link gives
// another, once and within a day, and all of it is on record.
func TestOPS07_Reset(t *testing.T) {
	ctx := t.Context()
	p := newPlace(memdb.New())
	root, session := p.administrator(t)
	_, err := p.users.ResetPassword(ctx, "root", ci.Actor{ID: "x", Kind: ci.ActorUser})
	require.ErrorIs(t, err, ci.ErrDenied)
	_, err = p.users.ResetPassword(ctx, "rot", auth.Operator)
	require.ErrorIs(t, err, ci.ErrNotFound)
	require.ErrorContains(t, err, "which are root")
	first, err := p.users.ResetPassword(ctx, "ROOT", auth.Operator)
	require.NoError(t, err)
	_, _, err = p.users.Session(ctx, session)
	require.ErrorIs(t, err, ci.ErrDenied, "old sessions are revoked")
	_, _, err = p.users.Login(ctx, "root", "in case of fire", auth.Visit{})
	require.ErrorIs(t, err, auth.ErrLogin, "the old password is gone")
	token, err := p.users.ResetPassword(ctx, "", auth.Operator)
	require.NoError(t, err)
	_, err = p.users.Reset(ctx, first)
	require.ErrorIs(t, err, ci.ErrDenied, "a new link replaces the one before")
	login, err := p.users.Reset(ctx, token)
	require.NoError(t, err)
	require.Equal(t, "root", login)
	_, err = p.users.CreatePassword(ctx, token, "short", auth.Visit{})
	require.ErrorIs(t, err, ci.ErrInvalid)
	session, err = p.users.CreatePassword(ctx, token, "another one it is", auth.Visit{})
	require.NoError(t, err)
	u, _, err := p.users.Session(ctx, session)
	require.NoError(t, err)
	require.Equal(t, root.ID, u.ID)
	require.Equal(t, "all", u.Role)
	_, err = p.users.CreatePassword(ctx, token, "yet another one", auth.Visit{})
	require.ErrorIs(t, err, ci.ErrDenied, "the link is good once")
	_, _, err = p.users.Login(ctx, "root", "another one it is", auth.Visit{})
	require.NoError(t, err)

	token, err = p.users.ResetPassword(ctx, "root", auth.Operator)
	require.NoError(t, err)
	p.now = p.now.Add(24 * time.Hour)
	_, err = p.users.CreatePassword(ctx, token, "too late for this", auth.Visit{})
	require.ErrorIs(t, err, ci.ErrDenied)
	notes := strings.Join(p.notes, "\n")
	require.Equal(t, 3, strings.Count(notes, "rondo.user.password_reset root"), notes)
	require.Equal(t, 2, strings.Count(notes, "rondo.user.password_change root"), "made, and changed: "+notes)
	require.Equal(t, 1, strings.Count(notes, "rondo.user.invite"), notes)
}

// OPS-07: somebody changes their own password; the old one is asked for, and
// guessing it is limited as logins are.
func TestOPS07_Change(t *testing.T) {
	ctx := t.Context()
	p := newPlace(memdb.New())
	_, session := p.administrator(t)
	_, other, err := p.users.Login(ctx, "root", "in case of fire", auth.Visit{Address: "192.0.2.1"})
	require.NoError(t, err)
	for range 3 {
		_, err = p.users.ChangePassword(ctx, session, "guess", "a new long one", auth.Visit{})
		require.ErrorIs(t, err, auth.ErrLogin)
	}
	next, err := p.users.ChangePassword(ctx, session, "in case of fire", "a new long one", auth.Visit{})
	require.NoError(t, err)
	for _, secret := range []string{session, other} {
		_, _, err = p.users.Session(ctx, secret)
		require.ErrorIs(t, err, ci.ErrDenied)
	}
	for range 4 {
		_, err = p.users.ChangePassword(ctx, next, "guess", "a new long one", auth.Visit{})
		require.ErrorIs(t, err, auth.ErrLogin)
	}
	_, err = p.users.ChangePassword(ctx, next, "a new long one", "a newer long one", auth.Visit{})
	require.ErrorAs(t, err, new(auth.TooMany))
	_, _, err = p.users.Session(ctx, next)
	require.NoError(t, err)
}

// The pages of it, without a script.
func TestOPS07_Pages(t *testing.T) {
	p := newPlace(memdb.New())
	door := auth.NewDoor(p.users, auth.DoorConfig{Local: p.local})
	srv := httptest.NewServer(door.Handler())
	defer srv.Close()
	p.administrator(t)
	token, err := p.users.ResetPassword(t.Context(), "root", auth.Operator)
	require.NoError(t, err)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &http.Client{Jar: jar}
	do := func(want int, path string, form url.Values) string {
		t.Helper()
		res, err := browser.Get(srv.URL + path)
		if form != nil {
			res, err = browser.PostForm(srv.URL+path, form)
		}
		require.NoError(t, err)
		b, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		text := string(b)
		require.Equal(t, want, res.StatusCode, text)
		return text
	}
	do(403, "/create-password", nil)
	require.Contains(t, do(200, "/create-password?token="+token, nil), "<b>root</b>")
	require.Contains(t, do(400, "/create-password", url.Values{"password": {"one long password"}, "again": {"another"}}), "not the same")
	require.Contains(t, do(400, "/create-password", url.Values{"password": {"short"}, "again": {"short"}}), "12 to 1024 are allowed")
	require.Contains(t, do(200, "/create-password", url.Values{"password": {"one long password"}, "again": {"one long password"}}), "The password is changed")
	do(403, "/create-password?token="+token, nil)
	require.Contains(t, do(200, "/password", nil), "autocomplete=\"current-password\"")
	require.Contains(t, do(403, "/password", url.Values{"old": {"x"}, "password": {"two long passwords"}, "again": {"two long passwords"}}), "is wrong")
	require.Contains(t, do(200, "/password", url.Values{"old": {"one long password"}, "password": {"two long passwords"}, "again": {"two long passwords"}}), "The password is changed")
	do(200, "/accounts", nil)
	browser.Jar = nil
	require.Contains(t, do(200, "/password", nil), "<h1>Log in</h1>")
}
