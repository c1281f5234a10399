package api_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

func items(v map[string]any) []map[string]any {
	var out []map[string]any
	for _, i := range v["items"].([]any) {
		out = append(out, i.(map[string]any))
	}
	return out
}

func TestTriggerPipeline(t *testing.T) {
	w := newWorld(t)
	r := w.call("POST", "/api/v2/project/github%2Facme%2Fshop/pipeline", `{"branch":"feature/ü","parameters":{"n":7,"b":true,"s":"x"}}`)
	require.Equal(t, 201, r.StatusCode)
	made := w.decode(r)
	require.Equal(t, "pending", made["state"])
	require.Equal(t, 1.0, made["number"])
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, made["created_at"])
	p := w.compiled(ci.PipelineID(made["id"].(string)))
	require.Equal(t, ada, p.Trigger.Actor)
	require.Equal(t, ci.SourceAPI, p.Trigger.Source)

	got := w.get("/pipeline/" + string(p.ID))
	require.Equal(t, "created", got["state"])
	require.Equal(t, []any{}, got["errors"])
	require.Equal(t, "gh/acme/shop", got["project_slug"])
	require.Equal(t, map[string]any{"n": 7.0, "b": true, "s": "x"}, got["trigger_parameters"])
	require.Equal(t, map[string]any{"login": "ada", "avatar_url": nil}, got["trigger"].(map[string]any)["actor"])
	vcs := got["vcs"].(map[string]any)
	require.Equal(t, "feature/ü", vcs["branch"])
	require.NotContains(t, vcs, "tag")
	require.Equal(t, "https://github.com/acme/shop", vcs["origin_repository_url"])
	require.Equal(t, map[string]any{"source": "version: 2.1", "compiled": "version: 2"}, w.get("/pipeline/"+string(p.ID)+"/config"))
	require.Equal(t, got, w.get("/project/gh/acme/shop/pipeline/1"))

	r = w.call("POST", "/api/v2/project/gh/acme/shop/pipeline", "")
	second := w.compiled(ci.PipelineID(w.decode(r)["id"].(string)))
	require.Equal(t, "main", second.Trigger.Branch, "the default one")
	r = w.call("POST", "/api/v2/project/gh/acme/shop/pipeline", `{"tag":"v1"}`)
	require.Equal(t, "v1", w.compiled(ci.PipelineID(w.decode(r)["id"].(string))).Trigger.Tag)

	r = w.call("POST", "/api/v2/project/gh/acme/shop/pipeline", `{"branch":"broken"}`)
	id := w.decode(r)["id"].(string)
	w.compiled(ci.PipelineID(id))
	bad := w.get("/pipeline/" + id)
	require.Equal(t, "errored", bad["state"])
	require.Equal(t, []any{map[string]any{"type": "config", "message": "config.yml:3:1: no such thing"}}, bad["errors"])
	require.Empty(t, w.get("/pipeline/" + id + "/workflow")["items"])
	require.Equal(t, 404, w.call("GET", "/api/v2/pipeline/"+id+"/config", "").StatusCode)
}

func TestForkPipeline(t *testing.T) {
	w := newWorld(t)
	p := w.trigger(ci.Trigger{Fork: "eve/shop", PullRequests: []string{"https://github.com/acme/shop/pull/12"}, Subject: "s", Body: "b"})
	vcs := w.get("/pipeline/" + string(p.ID))["vcs"].(map[string]any)
	require.Equal(t, "https://github.com/eve/shop", vcs["origin_repository_url"])
	require.Equal(t, "https://github.com/acme/shop", vcs["target_repository_url"])
	require.Equal(t, "12", vcs["review_id"])
	require.Equal(t, map[string]any{"subject": "s", "body": "b"}, vcs["commit"])
}

// pages reads a list to its end.
func (w *world) pages(path string) (numbers []int) {
	token, sep := "", "?"
	if u, err := url.Parse(path); err == nil && u.RawQuery != "" {
		sep = "&"
	}
	for range 100 {
		v := w.get(path + sep + "page-token=" + url.QueryEscape(token))
		for _, i := range items(v) {
			numbers = append(numbers, int(i["number"].(float64)))
		}
		if v["next_page_token"] == nil {
			return numbers
		}
		require.NotEqual(w.t, token, v["next_page_token"])
		token = v["next_page_token"].(string)
	}
	require.Fail(w.t, "the list does not end")
	return nil
}

func TestListPipelines(t *testing.T) {
	w := newWorld(t)
	require.Empty(t, w.pages("/pipeline"))
	other := ci.Project{ID: ci.ProjectID(ci.NewID()), Slug: "gh/acmeco/tool", Org: "acmeco", Repo: "tool", CloneURL: "git@ghe.example:acmeco/tool.git"}
	require.NoError(t, w.db.PutProject(context.Background(), other))
	var want []int
	for i := range 45 {
		tr := ci.Trigger{Branch: fmt.Sprint("b", i%2)}
		if i%3 == 0 {
			tr.Source, tr.Actor = ci.SourceAPI, ada
		}
		w.trigger(tr)
		want = append([]int{i + 1}, want...)
	}
	require.Equal(t, want, w.pages("/pipeline"), "newest first, none twice, none missing")
	require.Equal(t, want, w.pages("/project/gh/acme/shop/pipeline"))
	require.Equal(t, want, w.pages("/pipeline?org-slug=github/acme"))
	require.Empty(t, w.pages("/pipeline?org-slug=gh/acmeco"))
	require.Empty(t, w.pages("/project/gh/acmeco/tool/pipeline"))
	require.Len(t, w.pages("/project/gh/acme/shop/pipeline?branch=b1"), 22)
	require.Len(t, w.pages("/pipeline?mine=true"), 15)
	require.Equal(t, w.pages("/pipeline?mine=true"), w.pages("/project/gh/acme/shop/pipeline/mine"))
	require.Len(t, items(w.get("/pipeline")), 20)
	for _, n := range []int{1, 25, 45} {
		require.Equal(t, float64(n), w.get(fmt.Sprint("/project/gh/acme/shop/pipeline/", n))["number"])
	}
	require.Equal(t, 404, w.call("GET", "/api/v2/project/gh/acme/shop/pipeline/46", "").StatusCode)
	require.Equal(t, "https://ghe.example/acmeco/tool", w.get("/project/gh/acmeco/tool")["vcs_info"].(map[string]any)["vcs_url"])

	// A page is exactly full.
	w2 := newWorld(t)
	for range 20 {
		w2.trigger(ci.Trigger{})
	}
	require.Nil(t, w2.get("/pipeline")["next_page_token"])
}

func BenchmarkListPipelines(b *testing.B) {
	w := newWorld(b, unlimited)
	for range 100 {
		w.trigger(ci.Trigger{})
	}
	for b.Loop() {
		w.get("/project/gh/acme/shop/pipeline")
	}
}
