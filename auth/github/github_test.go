package github_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/auth/github"
	"github.com/rondo-ci/rondo/ci"
)

var octo = authtest.GitHubUser{
	ID: 7, Login: "octo", Name: "Octo Cat", Emails: []string{"octo@example.com"}, Claims: []string{"boss@example.com"},
	Orgs: map[string]string{"acme": "member"}, Teams: map[string]string{"Ops": "acme"},
	Repos: []authtest.GitHubRepo{{ID: 1, FullName: "acme/shop", May: "admin"}, {ID: 2, FullName: "acme/docs", May: "pull"}, {ID: 3, FullName: "acme/lib", May: "push"}},
}

func TestOPS06_LoginByGitHub(t *testing.T) {
	w := newWorld(t)
	w.hub.Put(octo)
	w.hub.As("octo")
	b := w.browser()
	code, text := w.post(b, github.CallbackPath, url.Values{"to": {"/jobs/x"}})
	require.Equal(t, 200, code, text)
	require.Equal(t, "octo", text)
	all, err := w.users.Users(t.Context(), auth.Operator)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, "all", all[0].Role)
	require.Equal(t, []string{"octo@example.com"}, all[0].Emails, "verified addresses only")

	renamed := octo
	renamed.Login = "octocat"
	w.hub.Put(renamed)
	w.hub.As("octocat")
	_, text = w.post(w.browser(), github.CallbackPath, nil)
	require.Equal(t, "octocat", text, "the number is the person, not the login")
}

// A106: state.
func TestSEC08_State(t *testing.T) {
	w := newWorld(t)
	w.hub.Put(octo)
	w.hub.As("octo")
	// stop keeps the browser from following GitHub back to us.
	begin := func(b *http.Client) string {
		b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if r.URL.Path == github.CallbackPath {
				return http.ErrUseLastResponse
			}
			return nil
		}
		r, err := b.PostForm(w.url+github.CallbackPath, nil)
		require.NoError(t, err)
		_ = r.Body.Close()
		u, err := url.Parse(r.Header.Get("Location"))
		require.NoError(t, err)
		require.NotEmpty(t, u.Query().Get("code"))
		return u.RequestURI()
	}
	mine, theirs := w.browser(), w.browser()
	back := begin(mine)
	begin(theirs)
	code, _ := w.get(theirs, back)
	require.Equal(t, 400, code, "a state of another browser")
	code, _ = w.get(w.browser(), back)
	require.Equal(t, 400, code, "no cookie")
	code, _ = w.get(mine, github.CallbackPath+"?code=x")
	require.Equal(t, 400, code, "no state")

	mine = w.browser()
	back = begin(mine)
	site, _ := url.Parse(w.url)
	kept := mine.Jar.Cookies(site)
	mine.CheckRedirect = nil
	code, text := w.get(mine, back)
	require.Equal(t, 200, code)
	require.Equal(t, "octo", text)
	again := w.browser()
	again.Jar.SetCookies(site, kept)
	code, _ = w.get(again, back)
	require.Equal(t, 400, code, "a state is good once")

	late := w.browser()
	back = begin(late)
	w.now = w.now.Add(11 * time.Minute)
	code, _ = w.get(late, back)
	require.Equal(t, 400, code, "too late")
}

// A107: what comes back is not believed.
func TestSEC08_HostileAnswers(t *testing.T) {
	w := newWorld(t)
	w.hub.Put(octo)
	w.hub.As("")
	code, text := w.post(w.browser(), github.CallbackPath, nil)
	require.Equal(t, 403, code)
	require.NotContains(t, text, "denied your application")
	w.hub.As("octo")
	for name, answer := range map[string]string{
		"html": "<html>", "no token": `{"token_type":"bearer"}`, "kind": `{"access_token":"x","token_type":"mac"}`, "empty": "",
	} {
		w.hub.Fault(func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost {
				return false
			}
			rw.Header().Set("Content-Type", "application/json")
			_, _ = rw.Write([]byte(answer))
			return true
		})
		code, _ := w.post(w.browser(), github.CallbackPath, nil)
		require.Equal(t, 502, code, name)
	}
	w.hub.Fault(nil)
	r, err := http.NewRequest("POST", w.url+github.CallbackPath, nil)
	require.NoError(t, err)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	_ = res.Body.Close()
	require.Equal(t, 403, res.StatusCode, "another site begins no login")
}

func TestOrgs(t *testing.T) {
	w := newWorld(t, "Other", "ACME")
	w.hub.Put(octo)
	w.hub.Put(authtest.GitHubUser{ID: 8, Login: "stranger"})
	w.hub.As("stranger")
	code, text := w.post(w.browser(), github.CallbackPath, nil)
	require.Equal(t, 403, code)
	require.Contains(t, text, "none of the organisations")
	w.hub.As("octo")
	b := w.browser()
	code, _ = w.post(b, github.CallbackPath, nil)
	require.Equal(t, 200, code)
	left := octo
	left.Orgs = nil
	w.hub.Put(left)
	w.now = w.now.Add(16 * time.Minute)
	code, _ = w.get(b, "/")
	require.Equal(t, 403, code, "who leaves the organisation is out")
}

// LDP-10, LDP-12, A109.
func TestLDP10_Connect(t *testing.T) {
	w := newWorld(t)
	_, err := w.local.SetPassword(t.Context(), "root", "a long password")
	require.NoError(t, err)
	_, err = w.local.SetPassword(t.Context(), "ada", "another long one")
	require.NoError(t, err)
	w.post(w.browser(), "/login", url.Values{"login": {"root"}, "password": {"a long password"}})
	w.hub.Put(octo)
	w.hub.As("octo")
	b := w.browser()
	code, text := w.post(b, "/login", url.Values{"login": {"ada"}, "password": {"another long one"}})
	require.Equal(t, 200, code)
	require.Contains(t, text, "Connect GitHub Enterprise", "who has no account of the code host is asked to connect one")
	all, err := w.users.Users(t.Context(), auth.Operator)
	require.NoError(t, err)
	ada := ci.Actor{ID: all[0].ID, Kind: ci.ActorUser, Login: "ada"}
	shop := ci.Project{ID: "p", Slug: "gh/acme/shop", RepoID: "1"}
	require.ErrorIs(t, w.gate.May(t.Context(), ada, shop, false), ci.ErrNotFound, "LDP-12")
	code, text = w.post(b, github.CallbackPath, url.Values{"connect": {"yes"}})
	require.Equal(t, 200, code)
	require.Equal(t, "ada", text, "still the same user")
	require.NoError(t, w.gate.May(t.Context(), ada, shop, true))
	code, text = w.get(b, "/accounts")
	require.Equal(t, 200, code)
	require.Contains(t, text, "octo@example.com")

	other := w.browser()
	w.post(other, "/login", url.Values{"login": {"root"}, "password": {"a long password"}})
	code, text = w.post(other, github.CallbackPath, url.Values{"connect": {"yes"}})
	require.Equal(t, 409, code, text)

	code, _ = w.post(b, "/accounts", url.Values{"disconnect": {"github"}})
	require.Equal(t, 200, code)
	require.ErrorIs(t, w.gate.May(t.Context(), ada, shop, false), ci.ErrNotFound, "rights go at once")
	w.now = w.now.Add(14 * time.Minute)
	w.get(b, "/")
	w.now = w.now.Add(2 * time.Minute)
	code, _ = w.post(b, github.CallbackPath, url.Values{"connect": {"yes"}})
	require.Equal(t, 403, code, "an old session connects nothing")
}

func TestPermissions(t *testing.T) {
	w := newWorld(t)
	w.hub.Put(authtest.GitHubUser{ID: 1, Login: "root"})
	w.hub.As("root")
	w.post(w.browser(), github.CallbackPath, nil)
	w.hub.Put(octo)
	w.hub.As("octo")
	w.post(w.browser(), github.CallbackPath, nil)
	all, err := w.users.Users(t.Context(), auth.Operator)
	require.NoError(t, err)
	by := ci.Actor{ID: all[0].ID, Kind: ci.ActorUser, Login: "octo"}
	ctx := t.Context()
	shop, docs, lib := ci.Project{Slug: "gh/acme/shop"}, ci.Project{Slug: "gh/Acme/Docs"}, ci.Project{Slug: "gh/acme/lib", RepoID: "3"}
	require.NoError(t, w.gate.MaySettings(ctx, by, shop))
	require.NoError(t, w.gate.May(ctx, by, docs, false))
	require.ErrorIs(t, w.gate.May(ctx, by, docs, true), ci.ErrDenied)
	require.NoError(t, w.gate.May(ctx, by, lib, true))
	require.ErrorIs(t, w.gate.MaySettings(ctx, by, lib), ci.ErrDenied)
	require.ErrorIs(t, w.gate.May(ctx, by, ci.Project{Slug: "gh/acme/shop", RepoID: "99"}, false), ci.ErrNotFound, "a name that was taken over")
	require.ErrorIs(t, w.gate.May(ctx, by, ci.Project{Slug: "gh/evil/x"}, false), ci.ErrNotFound)
	require.NoError(t, w.gate.May(ctx, by, ci.Project{Slug: "local/home/x"}, true), "no code host decides")
	groups, err := w.gate.Groups(ctx, "gh/acme", by)
	require.NoError(t, err)
	require.Equal(t, []string{auth.AllMembers, "Ops"}, groups)
	pushed := ci.Actor{ID: "7", Kind: ci.ActorForge, Login: "octo"}
	groups, err = w.gate.Groups(ctx, "gh/acme", pushed)
	require.NoError(t, err)
	require.Equal(t, []string{auth.AllMembers, "Ops"}, groups, "who pushes is the same person")
	for _, other := range []ci.Actor{{ID: "99", Kind: ci.ActorForge}, {Kind: ci.ActorForge}, {Kind: ci.ActorSchedule, ID: "7"}, {}} {
		groups, err = w.gate.Groups(ctx, "gh/acme", other)
		require.NoError(t, err)
		require.Empty(t, groups)
	}
	groups, err = w.gate.Groups(ctx, "local/home", ci.Actor{Kind: ci.ActorForge})
	require.NoError(t, err)
	require.Equal(t, []string{auth.AllMembers}, groups)
	orgs, err := w.gate.Orgs(ctx, by)
	require.NoError(t, err)
	require.Equal(t, []string{"gh/acme"}, orgs)
	require.NoError(t, w.gate.MayOrg(ctx, by, "gh/acme", false))
	require.ErrorIs(t, w.gate.MayOrg(ctx, by, "gh/acme", true), ci.ErrDenied, "a member is no administrator")
	_, err = w.users.SetRole(ctx, by.ID, string(auth.RoleWrite), auth.Operator)
	require.NoError(t, err)
	require.NoError(t, w.gate.MayOrg(ctx, by, "gh/acme", true))
	require.ErrorIs(t, w.gate.MayOrg(ctx, by, "gh/evil", true), ci.ErrNotFound, "a role makes nobody a member")
	require.ErrorIs(t, w.gate.MayOrg(ctx, by, "gh/evil", false), ci.ErrNotFound)
	admin, err := w.gate.OrgAdmin(ctx, "gh/acme", by)
	require.NoError(t, err)
	require.False(t, admin)

	calls := w.hub.Calls()
	require.NoError(t, w.gate.May(ctx, by, docs, false))
	require.Equal(t, calls, w.hub.Calls(), "nobody is asked twice in five minutes")
	less := octo
	less.Repos = nil
	w.hub.Put(less)
	w.login.Refresh()
	require.ErrorIs(t, w.gate.May(ctx, by, docs, false), ci.ErrNotFound, "a webhook makes it be asked at once")

	w.hub.Put(octo)
	w.now = w.now.Add(6 * time.Minute)
	w.hub.Fault(func(rw http.ResponseWriter, _ *http.Request) bool { rw.WriteHeader(500); return true }) // A124
	err = w.gate.May(ctx, by, docs, false)
	require.Error(t, err)
	require.NotErrorIs(t, err, ci.ErrNotFound, "an outage is no answer")
	w.hub.Fault(func(rw http.ResponseWriter, _ *http.Request) bool { _, _ = rw.Write([]byte("null")); return true })
	require.Error(t, w.gate.May(ctx, by, docs, false))
	w.hub.Fault(func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.Header().Set("Link", `<http://evil/>; rel="next"`)
		_, _ = rw.Write([]byte("[]"))
		return true
	})
	require.Error(t, w.gate.May(ctx, by, docs, false), "pages without end")
	w.hub.Fault(nil)
	w.hub.Revoke("octo")
	require.ErrorIs(t, w.gate.May(ctx, by, docs, false), ci.ErrNotFound, "a revoked token")
}
