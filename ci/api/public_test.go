package api_test

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
)

// word returns what a badge says.
func (w *world) word(path string) string {
	w.t.Helper()
	r := w.call("GET", path, "")
	require.Equal(w.t, 200, r.StatusCode, "%s: %s", path, r.body)
	require.Equal(w.t, "image/svg+xml; charset=utf-8", r.Header.Get("Content-Type"))
	var svg struct {
		Title string `xml:"title"`
	}
	require.NoError(w.t, xml.Unmarshal([]byte(r.body), &svg), r.body)
	return svg.Title
}

func TestBadge(t *testing.T) {
	w, _ := newOldWorld(t)
	const at = "/gh/acme/shop"
	require.Equal(t, "RONDO: NO BUILDS", w.word(at+".svg"))
	first := w.trigger(ci.Trigger{})
	require.Equal(t, "RONDO: RUNNING", w.word(at+".svg"))
	w.work(first, ci.Success)
	require.Equal(t, "RONDO: PASSED", w.word(at+".svg"), "an approval may wait")
	w.work(w.trigger(ci.Trigger{Branch: "feature/x"}), ci.Failed)
	for _, path := range []string{
		at + "/tree/feature/x.svg", at + "/tree/feature%2Fx.svg", "/github/acme/shop/tree/feature/x.svg?circle-token=x&style=svg",
		"/status-badge/img/gh/acme/shop/tree/feature/x.svg?style=svg", "/status-badge/img/github/acme/shop/tree/feature%2Fx.svg",
	} {
		require.Equal(t, "RONDO: FAILED", w.word(path), path)
	}
	require.Equal(t, "RONDO: PASSED", w.word(at+".svg"), "another branch")
	require.Equal(t, "build: passing", w.word(at+".svg?style=shield"))
	require.Equal(t, "build: failing", w.word(at+"/tree/feature/x.svg?style=shield"))
	require.Equal(t, "RONDO: NO BUILDS", w.word(at+"/tree/none.svg"))
	w.work(w.trigger(ci.Trigger{Fork: "mallory/shop"}), ci.Failed)
	require.Equal(t, "RONDO: PASSED", w.word(at+".svg"), "A022: a fork's main is not ours")
	running := w.trigger(ci.Trigger{})
	require.Equal(t, "RONDO: RUNNING", w.word(at+".svg"))
	require.NoError(t, w.server.Cancel(t.Context(), w.newest(running).ID, ada))
	require.Equal(t, "RONDO: PASSED", w.word(at+".svg"), "what was canceled says nothing")
	w.trigger(ci.Trigger{Branch: "broken"})
	require.Equal(t, "RONDO: FAILED", w.word(at+"/tree/broken.svg"))

	r := w.call("GET", at+".svg", "")
	require.Equal(t, "no-cache, private", r.Header.Get("Cache-Control"))
	tag := r.Header.Get("ETag")
	require.NotEmpty(t, tag)
	r = w.call("GET", at+".svg", "", func(r *http.Request) { r.Header.Set("If-None-Match", tag) })
	require.Equal(t, 304, r.StatusCode)
	r = w.call("GET", at+"/tree/none.svg", "", func(r *http.Request) { r.Header.Set("If-None-Match", tag) })
	require.Equal(t, 200, r.StatusCode)
	require.Equal(t, 405, w.call("POST", at+".svg", "").StatusCode)
}

func TestCC(t *testing.T) {
	w, _ := newOldWorld(t)
	type project struct {
		Name     string `xml:"name,attr"`
		Activity string `xml:"activity,attr"`
		Status   string `xml:"lastBuildStatus,attr"`
		Label    string `xml:"lastBuildLabel,attr"`
		Time     string `xml:"lastBuildTime,attr"`
		URL      string `xml:"webUrl,attr"`
	}
	get := func(path string) []project {
		r := w.call("GET", path, "")
		require.Equal(t, 200, r.StatusCode, r.body)
		require.Equal(t, "application/xml; charset=utf-8", r.Header.Get("Content-Type"))
		var v struct{ Project []project }
		require.NoError(t, xml.Unmarshal([]byte(r.body), &v))
		return v.Project
	}
	const one = "/gh/acme/shop.cc.xml"
	require.Equal(t, []project{{"acme/shop", "Sleeping", "Unknown", "", "", w.url + "/gh/acme/shop"}}, get(one))
	p := w.trigger(ci.Trigger{})
	require.Equal(t, []project{{"acme/shop", "Building", "Unknown", "", "", w.url + "/gh/acme/shop"}}, get(one))
	f := w.work(p, ci.Failed)
	failed := project{"acme/shop", "Sleeping", "Failure", "2", f.Stopped.UTC().Format("2006-01-02T15:04:05.000Z"), w.url + "/gh/acme/shop"}
	require.Equal(t, []project{failed}, get(one))
	w.trigger(ci.Trigger{})
	failed.Activity = "Building"
	require.Equal(t, []project{failed}, get(one+"?ccmenu=cc.xml"), "what it was before counts as last")
	w.work(w.trigger(ci.Trigger{Branch: "a<&\"b"}), ci.InfraFailed)
	odd := get("/gh/acme/shop/tree/" + "a%3C&%22b" + ".cc.xml")
	require.Equal(t, []string{"Exception", w.url + "/gh/acme/shop/tree/a%3C&%22b"}, []string{odd[0].Status, odd[0].URL})
	w.another(`q"<b>&'`, false)
	all := get("/cc.xml?circle-token=" + token + "&ccmenu=cc.xml")
	require.Equal(t, []string{`acme/q"<b>&'`, "acme/shop"}, []string{all[0].Name, all[1].Name})
	w.now.Followed = false
	require.NoError(t, w.db.PutProject(t.Context(), w.now))
	require.Len(t, get("/cc.xml"), 1)
}

func TestRedirects(t *testing.T) {
	w, _ := newOldWorld(t)
	p := w.trigger(ci.Trigger{})
	id := string(w.newest(p).ID)
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	get := func(path, given string) (int, string) {
		r, err := http.NewRequest("GET", w.url+path, nil)
		require.NoError(t, err)
		with(given)(r)
		res, err := c.Do(r)
		require.NoError(t, err)
		_ = res.Body.Close()
		return res.StatusCode, res.Header.Get("Location")
	}
	for path, to := range map[string]string{
		"/gh/acme/shop": "/projects/gh/acme/shop", "/github/acme/shop/tree/main": "/projects/gh/acme/shop",
		"/gh/acme/shop/5": "https://ci.example/gh/acme/shop/5", "/bitbucket/a/b/1": "https://ci.example/bb/a/b/1",
		"/account/api": "/account", "/pipelines/gh/acme/shop": "/projects/gh/acme/shop",
		"/pipelines/github/acme/shop/1/workflows/" + id: "/workflows/" + id, "/pipelines/workflows/" + id: "/workflows/" + id,
		"/pipelines/gh/acme/shop/1/workflows/" + id + "/jobs/7":     "https://ci.example/gh/acme/shop/7",
		"/status-badge/redirect/gh/acme/shop/tree/feature/x":        "/projects/gh/acme/shop",
		"/gh/acme/shop/tree/feature%2Fx.png?style=shield":           "/gh/acme/shop/tree/feature%2Fx.svg?style=shield",
		"/circleci/GM1mbrQEWnNbzLKEnotDo4/5gh9pgQgohHwicwomY5nYQ/3": "https://ci.example/circleci/GM1mbrQEWnNbzLKEnotDo4/5gh9pgQgohHwicwomY5nYQ/3",
	} {
		status, got := get(path, "")
		require.Equal(t, []any{302, to}, []any{status, got}, path)
	}
	status, to := get("/pipelines/gh/acme/shop/1", token)
	require.Equal(t, []any{302, "/pipelines/" + string(p.ID)}, []any{status, to})
	status, to = get("/pipelines/gh/acme/shop/1", "")
	require.Equal(t, []any{302, "/projects/gh/acme/shop"}, []any{status, to}, "which pipeline that is, is for members to know")
	status, _ = get("/pipelines/gh/acme/shop/99", token)
	require.Equal(t, 404, status)
	for _, path := range []string{
		"/gh/acme", "/gh/acme/shop/x", "/gh/acme/shop/tree", "/gh/acme/shop/0", "/gh/acme/shop/-1", "/gh/acme/shop/5/6", "/gh/acme/shop/5.svg",
		"/pipelines/gh/acme/shop/x", "/pipelines/gh/acme/shop/1/workflows/x", "/pipelines/gh/acme/shop/1/workflows/" + id + "/jobs",
		"/status-badge/redirect/gh/acme/shop.svg", "/status-badge/img/gh/acme/shop", "/status-badge/x/gh/acme/shop", "/gh/",
	} {
		status, _ := get(path, token)
		require.Equal(t, 404, status, path)
	}
}

func FuzzPublicAddress(f *testing.F) {
	for _, path := range []string{
		"/gh/acme/shop.svg", "/gh/acme/shop/tree/feature%2Fx.svg", "/gh/acme/shop/5", "/pipelines/gh/acme/shop/1/workflows/x/jobs/7",
		"/api/v1.1/project/gh%2Facme%2Fshop/tree/a%2Fb", "/api/v1/project/acme/shop/1", "/api/private/output/raw/gh/acme/shop/1/output/0/0",
		"/status-badge/img/gh/acme/shop/tree/a.svg", "/cc.xml", "/gh/%2f/%zz", "/pipelines/workflows/%00", "/gh/a/b/tree/%ff.cc.xml",
	} {
		f.Add(path, "")
	}
	w, _ := newOldWorld(f, unlimited)
	w.trigger(ci.Trigger{})
	f.Fuzz(func(t *testing.T, path, query string) {
		u, err := url.ParseRequestURI("/" + strings.TrimPrefix(path, "/") + "?" + query)
		if err != nil {
			t.Skip("no request has that address")
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.URL = u
		r.Header.Set("Circle-Token", token)
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		if rec.Code >= 500 {
			t.Fatalf("%q: %d %s", path, rec.Code, rec.Body)
		}
		if to := rec.Header().Get("Location"); strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\r\n") {
			t.Fatalf("%q leads to %q", path, to)
		}
	})
}

// TestPublicWithoutPages answers 404 where there is no page to lead to.
func TestPublicWithoutPages(t *testing.T) {
	w := newWorld(t, func(c *api.Config) { c.JobURL = nil })
	for _, path := range []string{"/gh/acme/shop", "/gh/acme/shop/1", "/account/api", "/pipelines/gh/acme/shop/1", "/pipelines/workflows/" + ci.NewID()} {
		require.Equal(t, 404, w.call("GET", path, "").StatusCode, path)
	}
	require.Equal(t, "[]", fmt.Sprint(w.builds("/api/v1.1/projects")))
}
