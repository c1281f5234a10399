package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
)

func TestAuth(t *testing.T) {
	w := newWorld(t)
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del("Circle-Token")
			r.Header.Set(name, value)
		}
	}
	none := func(r *http.Request) { r.Header.Del("Circle-Token") }
	basic := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { none(r); r.SetBasicAuth(user, password) }
	}
	for name, edit := range map[string]func(*http.Request){
		"header": header("Circle-Token", token), "bearer": header("Authorization", "Bearer "+token),
		"bearer case": header("Authorization", "bearer "+token), "basic": basic(token, ""),
		"query": func(r *http.Request) { none(r); r.URL.RawQuery = "circle-token=" + token },
	} {
		r := w.call("GET", "/api/v2/me", "", edit)
		require.Equal(t, 200, r.StatusCode, name)
		me := w.decode(r)
		require.Equal(t, "ada", me["login"])
		require.Equal(t, ada.ID, me["id"])
	}
	for name, edit := range map[string]func(*http.Request){
		"none": none, "wrong": header("Circle-Token", token+"x"), "cut": header("Authorization", "Bearer "+token[1:]),
		"bare": header("Authorization", token), "password": basic(token, "x"), "as password": basic("", token),
		"wrong first": func(r *http.Request) {
			r.Header.Set("Circle-Token", "x")
			r.Header.Set("Authorization", "Bearer "+token)
		},
	} {
		r := w.call("GET", "/api/v2/me", "", edit)
		require.Equal(t, 401, r.StatusCode, name)
		require.Equal(t, `{"message":"You must log in first."}`, r.body)
	}
	r := w.call("GET", "/api/v2/me", "", header("Circle-Token", "broken"))
	require.Equal(t, 500, r.StatusCode)
	require.NotContains(t, r.body, "directory")

	// Nobody is let in by default.
	w.url = httptest.NewServer(api.New(w.server, w.db, w.logs, w.files, api.Config{})).URL
	require.Equal(t, 401, w.call("GET", "/api/v2/me", "").StatusCode)
}

func TestReplies(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		method, path string
		status       int
		text         string
	}{
		{"GET", "/api/v2", 404, "Not found"},
		{"GET", "/api/v2/nothing", 404, "Not found"},
		{"GET", "/elsewhere", 404, "Not found"},
		{"PATCH", "/api/v2/me", 405, "Method not allowed"},
		{"DELETE", "/api/v2/project/gh/acme/shop/pipeline", 405, "Method not allowed"},
		{"GET", "/api/v2/project/gh/acme/none", 404, "Project not found"},
		{"GET", "/api/v2/project/gh/acme", 404, "Not found"},
		{"GET", "/api/v2/project/gh/acme/none/pipeline", 404, "Project not found"},
		{"GET", "/api/v2/project/gh%2Facme", 404, "Project not found"},
		{"GET", "/api/v2/project/" + ci.NewID(), 404, "Project not found"},
		{"GET", "/api/v2/pipeline/x", 404, "Pipeline not found"},
		{"GET", "/api/v2/workflow/" + ci.NewID(), 404, "Workflow not found"},
		{"POST", "/api/v2/workflow/" + ci.NewID() + "/cancel", 404, "Workflow not found"},
		{"GET", "/api/v2/project/gh/acme/shop/job/0", 404, "Job not found"},
		{"GET", "/api/v2/project/gh/acme/shop/job/1", 404, "Job not found"},
		{"GET", "/api/v2/project/gh/acme/shop/job/-1", 404, "Job not found"},
		{"GET", "/api/v2/project/gh/acme/shop/99999999999999999999/tests", 404, "Job not found"},
		{"GET", "/api/v2/project/gh/acme/shop/pipeline/1", 404, "Pipeline not found"},
		{"GET", "/api/v2/pipeline?page-token=!", 400, "page-token is not one of this list"},
		{"GET", "/api/v2/pipeline?page-token=W10", 400, "page-token is not one of this list"},
	} {
		r := w.call(c.method, c.path, "")
		require.Equal(t, c.status, r.StatusCode, "%s %s", c.method, c.path)
		if c.text != "" {
			require.Equal(t, c.text, w.decode(r)["message"], "%s %s", c.method, c.path)
		}
		if c.status == 405 {
			require.NotEmpty(t, r.Header.Get("Allow"))
		}
	}
	r := w.call("GET", "/api/v2/me", "", func(r *http.Request) { r.Header.Set("X-Request-Id", "my-id.1") })
	require.Equal(t, "my-id.1", r.Header.Get("X-Request-Id"))
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "same-origin"} {
		require.Equal(t, want, r.Header.Get(name))
	}
	require.Contains(t, r.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
	r = w.call("GET", "/api/v2/nothing", "", func(r *http.Request) { r.Header.Set("X-Request-Id", "<b>") })
	require.Regexp(t, `^[0-9a-f-]{36}$`, r.Header.Get("X-Request-Id"))
	require.Equal(t, 200, w.call("HEAD", "/api/v2/me", "").StatusCode)
}

func TestProject(t *testing.T) {
	w := newWorld(t)
	for _, slug := range []string{
		"gh/acme/shop", "github/acme/shop", "gh%2Facme%2Fshop", "gh%2facme%2fshop", "github%2Facme%2Fshop",
		string(w.now.ID), strings.ToUpper(string(w.now.ID)), "g%68/acme/shop",
	} {
		p := w.get("/project/" + slug)
		require.Equal(t, string(w.now.ID), p["id"], slug)
		require.Equal(t, "gh/acme/shop", p["slug"])
		require.Equal(t, "gh/acme", p["organization_slug"])
		require.Equal(t, map[string]any{"vcs_url": "https://github.com/acme/shop", "provider": "GitHub", "default_branch": "main"}, p["vcs_info"])
		require.Empty(t, w.get("/project/" + slug + "/pipeline")["items"])
	}
	require.Len(t, w.get("/rondo/projects")["items"], 1)

	// A name of the organisation's own making stays one segment.
	odd := ci.Project{ID: ci.ProjectID(ci.NewID()), Slug: "local/a b/50%", Org: "a b", Repo: "50%", CloneURL: "/srv/50%"}
	require.NoError(t, w.db.PutProject(context.Background(), odd))
	require.Equal(t, string(odd.ID), w.get("/project/local/a%20b/50%25")["id"])
	require.Equal(t, string(odd.ID), w.get("/project/local%2Fa%20b%2F50%25")["id"])
}

func TestMay(t *testing.T) {
	var refuse error
	var writes bool
	w := newWorld(t, func(c *api.Config) {
		c.May = func(_ context.Context, _ ci.Actor, _ ci.Project, write bool) error {
			if writes && !write {
				return nil
			}
			return refuse
		}
	})
	p := w.trigger(ci.Trigger{})
	f := w.workflow(p)
	job := f.Jobs[0].ID
	reads := []string{
		"/project/gh/acme/shop", "/pipeline/" + string(p.ID), "/pipeline/" + string(p.ID) + "/workflow", "/pipeline/" + string(p.ID) + "/config",
		"/workflow/" + string(f.ID), "/workflow/" + string(f.ID) + "/job", "/project/gh/acme/shop/job/1", "/project/gh/acme/shop/1/tests",
		"/project/gh/acme/shop/1/artifacts", "/rondo/job/" + string(job) + "/steps", "/rondo/log?task=" + string(job) + ".0",
		"/rondo/events?project=gh/acme/shop", "/project/gh/acme/shop/pipeline",
	}
	changes := []string{
		"/project/gh/acme/shop/pipeline", "/pipeline/" + string(p.ID) + "/cancel", "/workflow/" + string(f.ID) + "/cancel",
		"/workflow/" + string(f.ID) + "/rerun", "/workflow/" + string(f.ID) + "/approve/" + string(f.Jobs[1].ID),
		"/project/gh/acme/shop/job/1/cancel", "/jobs/" + string(job) + "/cancel",
	}
	refuse = ci.ErrNotFound
	for _, path := range reads {
		require.Equal(t, 404, w.call("GET", "/api/v2"+path, "").StatusCode, path)
	}
	require.Empty(t, w.get("/pipeline")["items"])
	require.Empty(t, w.get("/rondo/projects")["items"])
	refuse, writes = ci.ErrDenied, true
	for _, path := range changes {
		r := w.call("POST", "/api/v2"+path, "")
		require.Equal(t, 403, r.StatusCode, path)
		require.Equal(t, `{"message":"Permission denied"}`, r.body)
	}
	require.Equal(t, ci.Running, w.workflow(p).Status)
}

// TestARC06_RouteCoverage walks the table by its own description: each route
// answers, wants a token, and hides nothing behind a fault.
func TestARC06_RouteCoverage(t *testing.T) {
	w := newWorld(t)
	p := w.trigger(ci.Trigger{})
	f := w.workflow(p)
	r := w.call("GET", "/api/v2/openapi.json", "", func(r *http.Request) { r.Header.Del("Circle-Token") })
	require.Equal(t, 200, r.StatusCode)
	spec := w.decode(r)
	require.Equal(t, "3.0.3", spec["openapi"])
	refs := regexp.MustCompile(`"#/components/schemas/(\w+)"`).FindAllStringSubmatch(r.body, -1)
	require.NotEmpty(t, refs)
	schemas := spec["components"].(map[string]any)["schemas"].(map[string]any)
	for _, ref := range refs {
		require.Contains(t, schemas, ref[1])
	}
	require.Contains(t, schemas["workflow"].(map[string]any)["properties"], "stopped_at")
	fill := strings.NewReplacer(
		"{project-slug}", "gh%2Facme%2Fshop", "{org-slug-or-id}", "gh%2Facme", "{pipeline-id}", string(p.ID), "{workflow-id}", string(f.ID), "{pipeline-number}", "1",
		"{job-number}", "1", "{job-id}", string(f.Jobs[0].ID), "{approval-request-id}", string(f.Jobs[1].ID), "{node}", "0", "{path}", "none",
	)
	n, ids := 0, map[string]bool{}
	for path, operations := range spec["paths"].(map[string]any) {
		require.False(t, strings.HasPrefix(path, "/api"), path)
		for method, op := range operations.(map[string]any) {
			n++
			// The things of chapters that this world lacks are not there.
			address := "/api/v2" + regexp.MustCompile(`\{[\w-]+\}`).ReplaceAllString(fill.Replace(path), "none")
			r := w.call(strings.ToUpper(method), address, "", func(r *http.Request) { r.Header.Del("Circle-Token") })
			if path != "/openapi.json" && path != "/pipeline/continue" && !strings.HasPrefix(path, "/rondo/usage/") {
				require.Equal(t, 401, r.StatusCode, "%s %s", method, path)
			}
			id := op.(map[string]any)["operationId"].(string)
			require.False(t, ids[id], id)
			ids[id] = true
			if path == "/rondo/events" {
				continue // never ends
			}
			r = w.call(strings.ToUpper(method), address, "")
			require.NotEqual(t, 405, r.StatusCode, "%s %s", method, path)
			require.Less(t, r.StatusCode, 500, "%s %s: %s", method, path, r.body)
			if r.StatusCode == 404 {
				require.NotEqual(t, "Not found", w.decode(r)["message"], "%s %s", method, path)
			}
		}
	}
	require.Greater(t, n, 25)
}

func FuzzAddress(f *testing.F) {
	f.Add("GET", "project/gh/acme/shop/pipeline", "page-token=IiI", "")
	f.Add("POST", "project/gh%2Facme%2Fshop/pipeline", "", `{"branch":"x","parameters":{"a":1}}`)
	f.Add("POST", "workflow/x/rerun", "", `{"jobs":[1]}`)
	f.Add("GET", "rondo/log", "task=a.0&offset=-1", "")
	f.Add("GET", "rondo/job/a/artifacts/0/x/../y", "", "")
	w := newWorld(f, unlimited)
	p := w.trigger(ci.Trigger{})
	f.Add("POST", "workflow/"+string(w.workflow(p).ID)+"/rerun", "", `{"from_failed":true}`)
	h := api.New(w.server, w.db, w.logs, w.files, w.cfg)
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		if method != "GET" {
			method = "POST"
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // streams end at once
		r := httptest.NewRequestWithContext(ctx, method, "/", strings.NewReader(body))
		r.URL.RawPath, r.URL.RawQuery = "/api/v2/"+path, query
		r.URL.Path = "/api/v2/" + path
		r.Header.Set("Circle-Token", token)
		h.ServeHTTP(httptest.NewRecorder(), r)
	})
}

func TestHostileBodies(t *testing.T) {
	w := newWorld(t)
	const path = "/api/v2/project/gh/acme/shop/pipeline"
	for _, c := range []struct {
		name, body, kind string
		status           int
	}{
		{"large", `{"branch":"` + strings.Repeat("x", 10<<20) + `"}`, "application/json", 413},
		{"deep", strings.Repeat(`{"parameters":`, 50_000), "application/json", 400},
		{"deep array", `{"branch":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`, "application/json", 400},
		{"bad UTF-8", "{\"branch\":\"\xff\"}", "application/json", 400},
		{"form", `branch=main`, "application/x-www-form-urlencoded", 415},
		{"text", `{"branch":"main"}`, "text/plain", 415},
		{"charset", `{"branch":"main"}`, "application/json; charset=utf-16", 415},
		{"odd type", `{"branch":"main"}`, ";;", 415},
		{"not JSON", `{`, "application/json", 400},
		{"two values", `{}{}`, "application/json", 400},
		{"array", `[]`, "application/json", 400},
		{"wrong type", `{"branch":7}`, "application/json", 400},
		{"both", `{"branch":"a","tag":"b"}`, "application/json", 400},
		{"option", `{"branch":"--upload-pack=x"}`, "application/json", 400},
		{"control", `{"branch":"a\u0000b"}`, "application/json", 400},
		{"dots", `{"branch":"a..b"}`, "application/json", 400},
		{"null parameter", `{"parameters":{"a":null}}`, "application/json", 400},
		{"object parameter", `{"parameters":{"a":{}}}`, "application/json", 400},
		{"fraction", `{"parameters":{"a":1.5}}`, "application/json", 400},
		{"huge number", `{"parameters":{"a":1e999}}`, "application/json", 400},
		{"inline", `{"config":"version: 2.1"}`, "application/json", 400},
		{"unknown branch", `{"branch":"none"}`, "application/json", 400},
	} {
		r := w.call("POST", path, c.body, func(r *http.Request) { r.Header.Set("Content-Type", c.kind) })
		require.Equal(t, c.status, r.StatusCode, "%s: %s", c.name, r.body)
		require.NotEmpty(t, w.decode(r)["message"])
	}
	require.Empty(t, w.get("/pipeline")["items"], "nothing was started")
	for _, body := range []string{"", "null", "{}", " \n", `{"config":null,"unknown":1}`} {
		require.Equal(t, 201, w.call("POST", path, body).StatusCode, body)
	}
}

func Example() {
	w := newWorld(exampleT{})
	h := api.New(w.server, w.db, w.logs, w.files, w.cfg)
	s := httptest.NewServer(h)
	defer s.Close()
	req, _ := http.NewRequest("GET", s.URL+"/api/v2/project/gh/acme/shop", nil)
	req.Header.Set("Circle-Token", token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	data, _ := io.ReadAll(res.Body)
	var p struct{ Slug, Name string }
	_ = json.Unmarshal(data, &p)
	fmt.Println(res.StatusCode, p.Slug, p.Name)
	// Output: 200 gh/acme/shop shop
}

// exampleT lets an Example use what tests use.
type exampleT struct{ testing.TB }

func (exampleT) Helper()               {}
func (exampleT) Cleanup(func())        {}
func (exampleT) Errorf(string, ...any) {}
func (exampleT) FailNow()              {}
