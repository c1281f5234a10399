package api_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
)

// another makes a second project.
func (w *world) another(repo string, open bool) ci.Project {
	w.t.Helper()
	p := ci.Project{ID: ci.ProjectID(ci.NewID()), Slug: "gh/acme/" + repo, Org: "acme", Repo: repo, DefaultBranch: "main", Followed: true}
	p.Open = open
	require.NoError(w.t, w.db.PutProject(context.Background(), p))
	return p
}

// TestA114_ProjectTokens tries tokens of each scope in each place that a token
// may stand, for what they are good for and what not.
func TestA114_ProjectTokens(t *testing.T) {
	w, c := newOldWorld(t)
	w.work(w.trigger(ci.Trigger{}), ci.Failed)
	w.another("other", false)
	tokens := map[ci.TokenScope]string{}
	for _, s := range []ci.TokenScope{ci.ScopeStatus, ci.ScopeBuilds, ci.ScopeAll} {
		_, secret, err := c.CreateProjectToken(t.Context(), w.now.ID, s, "t", 0, ada)
		require.NoError(t, err)
		tokens[s] = secret
	}
	places := map[string]func(string) func(*http.Request){
		"header": with,
		"bearer": func(s string) func(*http.Request) {
			return func(r *http.Request) { with("")(r); r.Header.Set("Authorization", "Bearer "+s) }
		},
		"basic": func(s string) func(*http.Request) {
			return func(r *http.Request) { with("")(r); r.SetBasicAuth(s, "") }
		},
		"query": func(s string) func(*http.Request) {
			return func(r *http.Request) { with("")(r); r.URL.RawQuery = "circle-token=" + s }
		},
	}
	for _, c := range []struct {
		method, path        string
		status, builds, all int
	}{
		{"GET", "/gh/acme/shop.svg", 200, 200, 200},
		{"GET", "/gh/acme/shop.cc.xml", 200, 200, 200},
		{"GET", "/cc.xml", 200, 200, 200},
		{"GET", "/gh/acme/other.svg", 404, 404, 404},
		{"GET", shop1, 403, 200, 200},
		{"GET", shop1 + "/1", 403, 200, 200},
		{"GET", shop1 + "/1/tests", 403, 200, 200},
		{"GET", shop1 + "/1/artifacts", 403, 200, 200},
		{"GET", shop1 + "/1/artifacts/0/out/a%20b.txt", 403, 200, 200},
		{"GET", "/api/v1.1/recent-builds", 403, 200, 200},
		{"GET", "/api/v1.1/projects", 403, 200, 200},
		{"GET", "/api/v1.1/project/gh/acme/other", 403, 404, 404},
		{"POST", "/api/v1.1/project/gh/acme/other", 403, 403, 404},
		{"POST", shop1 + "/1/cancel", 403, 403, 409},
		{"POST", shop1 + "/build", 403, 403, 200},
		{"GET", "/api/v1.1/me", 401, 401, 401},
		{"GET", shop1 + "/envvar", 401, 401, 401},
		{"POST", shop1 + "/envvar", 401, 401, 401},
		{"GET", shop1 + "/token", 401, 401, 401},
		{"GET", shop1 + "/settings", 401, 401, 401},
		{"POST", shop1 + "/follow", 401, 401, 401},
		{"GET", "/api/v2/me", 401, 401, 401},
		{"GET", "/api/v2/project/gh/acme/shop", 401, 401, 401},
		{"GET", "/api/v2/project/gh/acme/shop/pipeline", 401, 401, 401},
		{"POST", "/api/v2/project/gh/acme/shop/pipeline", 401, 401, 401},
		{"GET", "/api/private/me/followed-projects", 401, 401, 401},
	} {
		for place, give := range places {
			for scope, want := range map[ci.TokenScope]int{ci.ScopeStatus: c.status, ci.ScopeBuilds: c.builds, ci.ScopeAll: c.all} {
				r := w.call(c.method, c.path, "", give(tokens[scope]))
				require.Equal(t, want, r.StatusCode, "%s %s with %s in %s: %s", c.method, c.path, scope, place, r.body)
			}
			r := w.call(c.method, c.path, "", give(tokens[ci.ScopeAll]+"x"))
			require.Equal(t, 401, r.StatusCode, "%s %s, a wrong one", c.method, c.path)
		}
	}
	require.Len(t, w.call("GET", "/cc.xml", "", with(tokens[ci.ScopeStatus])).body, len(w.call("GET", "/gh/acme/shop.cc.xml", "").body), "its project alone")
	lists, err := w.db.ProjectBySlug(t.Context(), "gh/acme/shop")
	require.NoError(t, err)
	require.Equal(t, 201, w.call("POST", shop1, "", with(tokens[ci.ScopeAll])).StatusCode)
	for p, err := range w.db.Pipelines(t.Context(), ci.Query{Project: lists.ID, Limit: 1}) {
		require.NoError(t, err)
		require.Equal(t, []any{ci.ActorProject, "project token t"}, []any{p.Trigger.Actor.Kind, p.Trigger.Actor.Login})
	}
}

// TestOpenProject reads with no token at all: what is open, and nothing else.
func TestOpenProject(t *testing.T) {
	w, _ := newOldWorld(t)
	closed := w.another("closed", false)
	w.now.Open = true
	require.NoError(t, w.db.PutProject(t.Context(), w.now))
	w.work(w.trigger(ci.Trigger{}), ci.Failed)
	nobody := with("")
	for _, path := range []string{
		shop1, shop1 + "/1", shop1 + "/1/tests", shop1 + "/1/artifacts", shop1 + "/latest/artifacts", shop1 + "/tree/main",
		"/gh/acme/shop.svg", "/gh/acme/shop/tree/main.svg", "/gh/acme/shop.cc.xml", shop1 + "/1/artifacts/0/out/a%20b.txt",
	} {
		r := w.call("GET", path, "", nobody)
		require.Equal(t, 200, r.StatusCode, "%s: %s", path, r.body)
		there := strings.NewReplacer("/shop", "/closed").Replace(path)
		none := strings.NewReplacer("/shop", "/none").Replace(path)
		a, b := w.call("GET", there, "", nobody), w.call("GET", none, "", nobody)
		require.Equal(t, []any{404, a.body}, []any{b.StatusCode, b.body}, "%s: what is closed is not there", path)
		require.Equal(t, 404, a.StatusCode)
		require.Equal(t, 401, w.call("GET", path, "", with("wrong")).StatusCode, "a token that is given must be good")
		require.Equal(t, 401, w.call("GET", path, "", func(r *http.Request) { nobody(r); r.Header.Set("Authorization", "junk") }).StatusCode)
	}
	for _, path := range []string{
		"/cc.xml", "/api/v1.1/recent-builds", "/api/v1.1/projects", "/api/v1.1/me", shop1 + "/envvar", shop1 + "/settings",
		"/api/v2/project/gh/acme/shop", "/api/v2/project/gh/acme/shop/job/1", "/api/private/output/raw/gh/acme/shop/1/output/0/1",
	} {
		require.Equal(t, 401, w.call("GET", path, "", nobody).StatusCode, path)
	}
	require.Equal(t, 401, w.call("POST", shop1+"/1/cancel", "", nobody).StatusCode)
	require.Equal(t, 401, w.call("POST", shop1, "", nobody).StatusCode)
	_ = closed
}

// TestA113_NoAccess makes sure that a person learns nothing of a project that
// is none of their business, but reads what is open.
func TestA113_NoAccess(t *testing.T) {
	for _, refused := range []error{ci.ErrNotFound, ci.ErrDenied} {
		w, _ := newOldWorld(t, func(cfg *api.Config) {
			cfg.May = func(_ context.Context, _ ci.Actor, p ci.Project, write bool) error {
				if p.Repo == "shop" {
					return nil
				}
				return fmt.Errorf("no rights: %w", refused)
			}
		})
		w.trigger(ci.Trigger{})
		w.another("closed", false)
		w.another("open", true)
		for _, c := range []struct{ method, path string }{
			{"GET", "/api/v1.1/project/gh/acme/%s"}, {"GET", "/api/v1.1/project/gh/acme/%s/settings"}, {"POST", "/api/v1.1/project/gh/acme/%s"},
			{"POST", "/api/v1.1/project/gh/acme/%s/1/cancel"}, {"GET", "/gh/acme/%s.svg"}, {"GET", "/gh/acme/%s.cc.xml"},
			{"GET", "/api/private/output/raw/gh/acme/%s/1/output/0/0"}, {"GET", "/api/v2/project/gh/acme/%s"}, {"POST", "/api/v2/project/gh/acme/%s/pipeline"},
		} {
			a := w.call(c.method, fmt.Sprintf(c.path, "closed"), "")
			b := w.call(c.method, fmt.Sprintf(c.path, "none"), "")
			require.Equal(t, []any{404, b.body}, []any{a.StatusCode, a.body}, c.path)
		}
		require.Equal(t, 200, w.call("GET", "/api/v1.1/project/gh/acme/open", "").StatusCode)
		require.Equal(t, 404, w.call("POST", "/api/v1.1/project/gh/acme/open", "").StatusCode)
		require.Equal(t, 404, w.call("GET", "/api/v2/project/gh/acme/open", "").StatusCode, "v2 knows members only")
		require.NotContains(t, w.call("GET", "/cc.xml", "").body, "closed")
		require.NotContains(t, w.call("GET", "/api/v1.1/projects", "").body, "closed")
		require.NotContains(t, w.call("GET", "/api/private/project", "").body, "closed")
	}
}

// TestReadersChangeNothing walks the table of v1.1 as somebody who may only
// read: what changes something, and what shows secrets' endings, is refused.
func TestReadersChangeNothing(t *testing.T) {
	w, _ := newOldWorld(t, func(cfg *api.Config) {
		cfg.May = func(_ context.Context, _ ci.Actor, _ ci.Project, write bool) error {
			if write {
				return ci.ErrDenied
			}
			return nil
		}
	})
	w.work(w.trigger(ci.Trigger{}), ci.Failed)
	before := w.call("GET", shop1+"/1", "").body
	var spec struct{ Paths map[string]map[string]any }
	w.old("/api/v1.1/openapi.json", &spec)
	fill := strings.NewReplacer("{project-slug}", "github/acme/shop", "{job-number}", "1", "{branch}", "main", "{name}", "KEY", "{fingerprint}", "c9:0b", "{token-id}", ci.NewID())
	n := 0
	for path, methods := range spec.Paths {
		for method := range methods {
			if method != "get" {
				n++
				r := w.call(strings.ToUpper(method), "/api/v1.1"+fill.Replace(path), "{}")
				require.Equal(t, []any{403, `{"message":"Permission denied"}`}, []any{r.StatusCode, r.body}, "%s %s", method, path)
			}
		}
	}
	require.Greater(t, n, 15)
	for _, path := range []string{"/envvar", "/envvar/KEY", "/token"} {
		require.Equal(t, 403, w.call("GET", shop1+path, "").StatusCode, path)
	}
	pattern := regexp.MustCompile(`expires=\d+&signature=\w+|expires=\d+\\u0026signature=\w+`)
	require.Equal(t, pattern.ReplaceAllString(before, ""), pattern.ReplaceAllString(w.call("GET", shop1+"/1", "").body, ""))
}
