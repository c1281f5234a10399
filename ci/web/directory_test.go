package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/auth/ldap"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// A counter is a directory as rondo-server shows it.
type counter struct {
	users *auth.Users
	dir   *ldap.Directory
}

func (counter) Settings(context.Context, ci.Actor) ([][2]string, error) {
	return [][2]string{{"type", "openldap"}, {"hostname", "ldap.example.org"}, {"search_password", "set"}, {"test_password", "not set"}}, nil
}

func (c counter) Test(ctx context.Context, login, password string, by ci.Actor) (web.DirectoryTest, error) {
	if err := c.users.Allowed(ctx, by, auth.RoleWrite); err != nil {
		return web.DirectoryTest{}, err
	}
	trace := c.dir.Test(ctx, login, password)
	out := web.DirectoryTest{Login: login, OK: trace.Err == nil}
	for _, s := range trace.Steps {
		out.Steps = append(out.Steps, web.DirectoryStep{Name: s.Name, Asked: s.Asked, Command: s.Command, Result: s.Result, OK: s.OK, Took: s.Took})
	}
	return out, nil
}

func (c counter) Matches(ctx context.Context, by ci.Actor) ([]ci.Match, error) {
	return c.users.Matches(ctx, "ldap", by)
}

func (c counter) Link(ctx context.Context, id, login string, by ci.Actor) error {
	_, err := c.users.Link(ctx, id, "ldap", login, by)
	return err
}

func (c counter) Unlink(ctx context.Context, id string, by ci.Actor) error {
	return c.users.Unlink(ctx, id, "ldap", by)
}

// newCounter returns a directory of four people, and users who exist already.
func newCounter(t *testing.T) (counter, map[string]string) {
	server := authtest.NewDirectory(authtest.OpenLDAP)
	k := authtest.Start(t, server, ldap.StartTLS)
	for _, p := range []authtest.Person{
		{Login: "alovelace", Password: "ada-secret", Name: "Ada", Mail: "ada@example.com"}, {Login: "bob", Password: "bob-secret", Name: "Bob"},
		{Login: "eve1", Password: "x", Name: "Eve", Mail: "eve@example.com"}, {Login: "eve2", Password: "x", Name: "Eve Two", Mail: "Eve@example.com"},
	} {
		require.NoError(t, server.AddPerson(p))
	}
	d, err := ldap.New(k.Settings(), ldap.Config{})
	require.NoError(t, err)
	t.Cleanup(d.Close)
	docs := memdb.New()
	users := auth.NewUsers(docs, auth.Config{Providers: []auth.Provider{auth.NewLocal(docs), d}, OpenFirst: true})
	ids := map[string]string{}
	for _, login := range []string{"ada", "bob", "eve", "old-root"} {
		id := auth.Identity{Provider: "github", Subject: login, Login: login, Emails: []string{login + "@example.com"}}
		u, _, err := users.Enter(t.Context(), id, auth.Visit{Address: "192.0.2.1"})
		require.NoError(t, err)
		ids[login] = u.ID
	}
	return counter{users, d}, ids
}

// LDP-09: the page shows the settings, tries a login and says every step; no
// password is on it.
func TestLDP09_Page(t *testing.T) {
	w := newWorld(t, demoPlan())
	c, ids := newCounter(t)
	w.cfg.Chapters.Users, w.cfg.Chapters.Directory = c.users, c
	by := ci.Actor{ID: ids["ada"], Kind: ci.ActorUser, Login: "ada"} // who came first
	w.cfg.Authorize = func(*http.Request) (ci.Actor, error) { return by, nil }
	_, text := get(t, w.handler(), "/admin/ldap")
	require.Contains(t, text, "search_password")
	require.Contains(t, text, "ldap.example.org")
	code, _, text := sends(t, w, "/admin/ldap", "do", "test", "login", "alovelace", "password", "ada-secret")
	require.Equal(t, 200, code)
	require.Contains(t, text, "alovelace may log in")
	require.Contains(t, text, "the password is right")
	require.Contains(t, text, "ldapsearch -x -LLL -H")
	require.NotContains(t, text, "ada-secret")
	code, _, text = sends(t, w, "/admin/ldap", "do", "test", "login", "alovelace", "password", "guessed")
	require.Equal(t, 200, code)
	require.Contains(t, text, "alovelace may not log in")
	require.NotContains(t, text, "guessed")
	by = ci.Actor{ID: ids["bob"], Kind: ci.ActorUser, Login: "bob"}
	code, _, _ = sends(t, w, "/admin/ldap", "do", "test", "login", "alovelace", "password", "ada-secret")
	require.Equal(t, 403, code, "passwords are not for everybody to try")
	w.cfg.Chapters.Directory = nil
	r := httptest.NewRequest("GET", "/admin/ldap", nil)
	res, _ := ask(t, w.handler(), r)
	require.Equal(t, 404, res.StatusCode)
}

// LDP-13: users who exist are listed with who they may be; they are linked one
// by one, and the administrator stays one.
func TestLDP13_MigrationPage(t *testing.T) {
	w := newWorld(t, demoPlan())
	c, ids := newCounter(t)
	w.cfg.Chapters.Users, w.cfg.Chapters.Directory = c.users, c
	by := ci.Actor{ID: ids["ada"], Kind: ci.ActorUser, Login: "ada"}
	w.cfg.Authorize = func(*http.Request) (ci.Actor, error) { return by, nil }
	all, err := c.users.Matches(t.Context(), "ldap", by)
	require.NoError(t, err)
	require.Equal(t, []string{"alovelace"}, all[0].Found)
	require.Contains(t, all[0].Problem, "no way to log in by the settings", "GitHub is none of them any more")
	require.Equal(t, []any{[]string{"bob"}, "login"}, []any{all[1].Found, all[1].By})
	require.Equal(t, []any{2, "several people there may be meant; choose"}, []any{len(all[2].Found), all[2].Problem})
	require.Equal(t, "nobody there has the same address or login", all[3].Problem)

	const path = "/admin/ldap/users"
	_, text := get(t, w.handler(), path)
	require.Contains(t, text, "0 of 4 users")
	require.Contains(t, text, `value="alovelace"`)
	code, to, _ := sends(t, w, path, "do", "link", "id", ids["ada"], "login", "alovelace")
	require.Equal(t, 303, code)
	_, text = get(t, w.handler(), to)
	require.Contains(t, text, "The user is linked")
	require.Contains(t, text, "1 of 4 users")
	code, _, text = sends(t, w, path, "do", "link", "id", ids["bob"], "login", "alovelace")
	require.Equal(t, 409, code)
	require.Contains(t, text, "belongs to another user")
	code, _, text = sends(t, w, path, "do", "link", "id", ids["bob"], "login", "nobody")
	require.Equal(t, 400, code)
	require.Contains(t, text, "0 people of ldap")
	u, _, err := c.users.Login(t.Context(), "alovelace", "ada-secret", auth.Visit{})
	require.NoError(t, err)
	require.Equal(t, []string{ids["ada"], "all"}, []string{u.ID, u.Role}, "the same person, who is still administrator")
	code, _, text = sends(t, w, path, "do", "unlink", "id", ids["ada"])
	require.Equal(t, 409, code)
	require.Contains(t, text, "only way of the settings")
	code, _, _ = sends(t, w, path, "do", "link", "id", ids["bob"], "login", "bob")
	require.Equal(t, 303, code)
	code, _, _ = sends(t, w, path, "do", "unlink", "id", ids["bob"])
	require.Equal(t, 303, code)
	by = ci.Actor{ID: ids["bob"], Kind: ci.ActorUser, Login: "bob"}
	code, _, _ = sends(t, w, path, "do", "link", "id", ids["bob"], "login", "bob")
	require.Equal(t, 403, code)
}
