package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/apitest"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// people are users with an administrator, and the pages of logging in beside
// ours.
func people(t *testing.T) (*auth.Users, http.Handler, ci.User) {
	docs := memdb.New()
	local := auth.NewLocal(docs)
	users := auth.NewUsers(docs, auth.Config{Providers: []auth.Provider{local}, OpenFirst: true})
	enter := func(provider, login string) (ci.User, string) {
		u, secret, err := users.Enter(t.Context(), auth.Identity{
			Provider: provider, Subject: login, Login: login, Name: "A Name", Emails: []string{login + "@example.com"},
		}, auth.Visit{Address: "192.0.2.1"})
		require.NoError(t, err)
		return u, secret
	}
	ada, secret := enter("github", "ada")
	_, err := users.Connect(t.Context(), secret, auth.Identity{Provider: "ldap", Subject: "1", Login: "ada"})
	require.NoError(t, err)
	var again, reset string
	for _, login := range []string{"root", "spare"} {
		_, err = local.SetPassword(t.Context(), login, "in case of fire")
		require.NoError(t, err)
		_, again, err = users.Login(t.Context(), login, "in case of fire", auth.Visit{})
		require.NoError(t, err)
	}
	reset, err = users.ResetPassword(t.Context(), "root", auth.Operator)
	require.NoError(t, err)
	bob, _ := enter("ldap", "bob")
	_, err = users.Suspend(t.Context(), bob.ID, true, auth.Operator)
	require.NoError(t, err)
	invite, err := users.Bootstrap(t.Context(), true)
	require.NoError(t, err)
	door := auth.NewDoor(users, auth.DoorConfig{Local: local, Buttons: []auth.Button{{Provider: "other", Title: "GitHub", Path: "/auth/github"}}})
	pages := door.Handler()
	return users, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/accounts":
			r.AddCookie(door.Cookie("rondo_session", secret, 1))
		case "/password":
			r.AddCookie(door.Cookie("rondo_session", again, 1))
		case "/create-password":
			r.URL.RawQuery = "token=" + reset
		case "/bootstrap":
			r.URL.RawQuery = "token=" + invite
		}
		pages.ServeHTTP(w, r)
	}), ada
}

func TestOPS04_UsersPage(t *testing.T) {
	w := newWorld(t, demoPlan())
	users, _, ada := people(t)
	w.cfg.Chapters.Users = users
	by := ci.Actor{ID: ada.ID, Kind: ci.ActorUser, Login: "ada"}
	w.cfg.Authorize = func(*http.Request) (ci.Actor, error) { return by, nil }
	h := w.handler()
	ask := func(method string, form url.Values) (int, string) {
		r := httptest.NewRequest(method, "/admin/users", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec.Code, rec.Body.String()
	}
	code, text := ask("GET", nil)
	require.Equal(t, 200, code)
	require.Contains(t, text, "Suspended: by an administrator")
	code, text = ask("POST", url.Values{"do": {"role"}, "id": {ada.ID}, "role": {"auditor"}})
	require.Equal(t, 409, code)
	require.Contains(t, text, "last administrator")
	all, err := users.Users(t.Context(), auth.Operator)
	require.NoError(t, err)
	code, _ = ask("POST", url.Values{"do": {"reinstate"}, "id": {all[1].ID}})
	require.Equal(t, 303, code)
	for _, role := range []string{"all", "write-settings"} {
		code, _ = ask("POST", url.Values{"do": {"role"}, "id": {all[1].ID}, "role": {role}})
		require.Equal(t, 303, code)
	}
	code, _ = ask("POST", url.Values{"do": {"delete"}, "login": {"bob"}, "forge": {"github"}})
	require.NotEqual(t, 303, code)
	code, _ = ask("POST", url.Values{"do": {"delete"}, "login": {"bob"}, "forge": {"ldap"}})
	require.Equal(t, 303, code)
	by = ci.Actor{ID: "x", Kind: ci.ActorUser}
	code, _ = ask("GET", nil)
	require.Equal(t, 403, code)
}

// The pages of people have no serious fault of accessibility, in light or in
// dark, and don't scroll sideways on a telephone.
func TestBrowser_People(t *testing.T) {
	home := apitest.Npm(t, "testdata/npm")
	axe, err := os.ReadFile(filepath.Join(home, "node_modules", "axe-core", "axe.min.js"))
	require.NoError(t, err)
	ctx, seen := browser(t)
	w := newWorld(t, demoPlan())
	users, door, _ := people(t)
	w.cfg.Chapters.Users = users
	w.cfg.Authorize = func(*http.Request) (ci.Actor, error) { return auth.Operator, nil }
	c, _ := newCounter(t)
	w.cfg.Chapters.Directory = c
	mux := http.NewServeMux()
	mux.Handle("/", w.handler())
	for _, path := range []string{"/login", "/bootstrap", "/accounts", "/password", "/create-password"} {
		mux.Handle(path, door)
	}
	mux.HandleFunc("/tested", func(rw http.ResponseWriter, r *http.Request) { // what the form of the test shows
		post := httptest.NewRequest("POST", "/admin/ldap", strings.NewReader("do=test&login=alovelace&password=wrong"))
		post.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w.handler().ServeHTTP(rw, post)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	for _, path := range []string{"/login", "/bootstrap", "/accounts", "/password", "/create-password", "/admin/users", "/admin/ldap", "/admin/ldap/users", "/tested"} {
		require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(1280, 800), scheme("light"), chromedp.Navigate(srv.URL+path)))
		picture(t, ctx, strings.ReplaceAll(path[1:], "/", "-"))
		_, err := chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void](string(axe)+"; void 0"))
		require.NoError(t, err, path)
		for look, rules := range map[string]string{"light": "null", "dark": `["color-contrast", "link-in-text-block"]`} {
			require.NoError(t, chromedp.Do(ctx, scheme(look)))
			if look == "dark" {
				picture(t, ctx, strings.ReplaceAll(path[1:], "/", "-")+"-dark")
			}
			found, err := chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf(audit, rules), chromedp.EvalAwaitPromise))
			require.NoError(t, err, path)
			require.Empty(t, found, "%s, %s", path, look)
		}
		require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(400, 800), scheme("light")))
		width, err := chromedp.Run(ctx, chromedp.Evaluate[int]("document.documentElement.scrollWidth"))
		require.NoError(t, err)
		require.Equal(t, 400, width, path)
	}
	require.Empty(t, seen.all())
}
