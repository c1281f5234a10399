package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

func TestBuildList(t *testing.T) {
	w, _ := newOldWorld(t)
	require.Equal(t, "[]", w.call("GET", shop1, "").body)
	w.work(w.trigger(ci.Trigger{Author: "Ada <ada@example.org>", Subject: "one", PullRequests: []string{"https://github.com/acme/shop/pull/7"}}), ci.Failed)
	w.work(w.trigger(ci.Trigger{Branch: "feature/x"}), ci.Success)
	w.work(w.trigger(ci.Trigger{}), ci.Success)
	last := w.trigger(ci.Trigger{})

	all := w.builds(shop1)
	require.Equal(t, []any{7.0, 5.0, 3.0, 1.0}, numbers(all), "jobs that wait are no builds yet")
	for path, want := range map[string][]any{
		shop1 + "?limit=2": {7.0, 5.0}, shop1 + "?limit=2&offset=2": {3.0, 1.0}, shop1 + "?offset=4": {}, shop1 + "?limit=0": {},
		shop1 + "?offset=99999999999": {}, shop1 + "/tree/feature%2Fx": {3.0}, shop1 + "/tree/feature/x": {3.0}, shop1 + "/tree/none": {},
		"/api/v1.1/recent-builds?limit=3":       {7.0, 5.0, 3.0},
		"/api/v1.1/project/gh%2Facme%2Fshop":    {7.0, 5.0, 3.0, 1.0},
		"/api/v1/project/acme/shop/tree/main":   {7.0, 5.0, 1.0},
		"/api/v1/recent-builds":                 {7.0, 5.0, 3.0, 1.0},
		shop1 + "?filter=completed":             {5.0, 3.0, 1.0},
		shop1 + "?filter=successful":            {5.0, 3.0},
		shop1 + "?filter=failed":                {1.0},
		shop1 + "?filter=running":               {},
		shop1 + "?filter=failed&shallow=true":   {1.0},
		"/api/v1.1/project/" + string(w.now.ID): {7.0, 5.0, 3.0, 1.0},
	} {
		require.Equal(t, want, numbers(w.builds(path)), path)
	}
	for _, query := range []string{"filter=x", "limit=-1", "limit=x", "offset=-1"} {
		require.Equal(t, 400, w.call("GET", shop1+"?"+query, "").StatusCode, query)
	}

	queued, fixed, alone, failed := all[0], all[1], all[2], all[3]
	require.Equal(t, []any{"queued", nil, "queued", nil, nil, nil}, []any{
		queued["lifecycle"], queued["outcome"], queued["status"], queued["start_time"], queued["build_time_millis"], queued["failed"]})
	require.Equal(t, []any{"finished", "success", "fixed", false}, []any{fixed["lifecycle"], fixed["outcome"], fixed["status"], fixed["failed"]})
	require.Equal(t, map[string]any{"build_num": 1.0, "status": "failed", "build_time_millis": failed["build_time_millis"]}, fixed["previous"])
	require.Nil(t, fixed["previous_successful_build"])
	require.Equal(t, 5.0, queued["previous_successful_build"].(map[string]any)["build_num"])
	require.Equal(t, []any{"success", nil}, []any{alone["status"], alone["previous"]}, "another branch")
	require.Equal(t, []any{"failed", true, "one", "Ada", "ada@example.org"}, []any{failed["status"], failed["failed"], failed["subject"], failed["author_name"], failed["author_email"]})
	require.Equal(t, []any{map[string]any{"head_sha": strings.Repeat("b", 40), "url": "https://github.com/acme/shop/pull/7"}}, failed["pull_requests"])
	require.Equal(t, []any{"github", "github", "acme", "shop", "main", w.url + "/gh/acme/shop/1"}, []any{
		failed["why"], failed["vcs_type"], failed["username"], failed["reponame"], failed["branch"], failed["build_url"]})
	require.Equal(t, "https://github.com/acme/shop", failed["vcs_url"], "no password")
	flow := queued["workflows"].(map[string]any)
	f := w.newest(last)
	require.Equal(t, []any{"build", string(f.Jobs[0].ID), string(f.ID), string(f.ID), "main", []any{}}, []any{
		flow["job_name"], flow["job_id"], flow["workflow_id"], flow["workspace_id"], flow["workflow_name"], flow["upstream_job_ids"]})
	for _, b := range all {
		for name, v := range b {
			if strings.HasSuffix(name, "_at") || strings.HasSuffix(name, "_time") || strings.HasSuffix(name, "_date") {
				require.NotEqual(t, "", v, "%s: null, never empty", name)
			}
		}
	}
	require.Equal(t, "success", w.builds(shop1 + "?filter=successful&shallow=true")[0]["status"], "nothing is looked up")
}

func TestBuild(t *testing.T) {
	w, _ := newOldWorld(t)
	p := w.trigger(ci.Trigger{})
	require.Equal(t, "queued", w.builds(shop1)[0]["status"])
	w.work(p, ci.Failed)
	var b map[string]any
	w.old(shop1+"/1", &b)
	require.Equal(t, []any{"docker", "medium"}, []any{b["picard"].(map[string]any)["executor"], b["picard"].(map[string]any)["resource_class"].(map[string]any)["class"]})
	require.Equal(t, "version: 2.1", b["circle_yml"].(map[string]any)["string"])
	require.Equal(t, true, b["has_artifacts"])
	require.Equal(t, 2.0, b["parallel"])
	steps := b["steps"].([]any)
	require.Len(t, steps, 2)
	actions := steps[1].(map[string]any)["actions"].([]any)
	require.Len(t, actions, 2, "one for each node")
	good, bad := actions[0].(map[string]any), actions[1].(map[string]any)
	require.Equal(t, []any{0.0, 1.0, "success", nil, 0.0, "make test", true, true}, []any{
		good["index"], good["step"], good["status"], good["failed"], good["exit_code"], good["bash_command"], good["parallel"], good["has_output"]})
	require.Equal(t, []any{1.0, 1.0, "failed", true, 2.0}, []any{bad["index"], bad["step"], bad["status"], bad["failed"], bad["exit_code"]})
	none := steps[0].(map[string]any)["actions"].([]any)[0].(map[string]any)
	require.Equal(t, []any{false, nil, nil}, []any{none["has_output"], none["output_url"], none["bash_command"]})

	for path, status := range map[string]int{"/2": 200, "/3": 404, "/0": 404, "/x": 404, "/99999999999999999999": 404} {
		require.Equal(t, status, w.call("GET", shop1+path, "").StatusCode, path)
	}
	waits := map[string]any{}
	w.old(shop1+"/2", &waits)
	require.Equal(t, []any{"not_run", "not_run", nil}, []any{waits["lifecycle"], waits["status"], waits["outcome"]})

	var tests struct{ Tests []map[string]any }
	w.old(shop1+"/1/tests", &tests)
	require.Len(t, tests.Tests, 4)
	require.Equal(t, []any{"divides", "failure", "1/0"}, []any{tests.Tests[0]["name"], tests.Tests[0]["result"], tests.Tests[0]["message"]})
	for _, path := range []string{"/1/artifacts", "/latest/artifacts", "/latest/artifacts?branch=main&filter=failed"} {
		artifacts := w.builds(shop1 + path)
		require.Len(t, artifacts, 2, path)
		r := w.call("GET", strings.TrimPrefix(artifacts[0]["url"].(string), w.url), "")
		require.Equal(t, []any{200, "bytes", "out/a b.txt"}, []any{r.StatusCode, r.body, artifacts[0]["pretty_path"]})
	}
	for _, path := range []string{"/2/artifacts", "/latest/artifacts?branch=none", "/latest/artifacts?filter=successful"} {
		require.Equal(t, "[]", w.call("GET", shop1+path, "").body, path)
	}
}

// TestA022_LatestArtifacts: what the code of a stranger built is nobody's latest
// artifact, whatever the branch is called.
func TestA022_LatestArtifacts(t *testing.T) {
	w, _ := newOldWorld(t)
	w.work(w.trigger(ci.Trigger{}), ci.Failed)
	ours := w.builds(shop1 + "/latest/artifacts")
	require.Len(t, ours, 2)
	w.work(w.trigger(ci.Trigger{Fork: "mallory/shop"}), ci.Failed)
	require.Len(t, w.builds(shop1), 2)
	require.Equal(t, ours, w.builds(shop1+"/latest/artifacts"))
	require.Equal(t, ours, w.builds(shop1+"/latest/artifacts?branch=main"))
}

// TestBuildOutput fetches output as scripts do: by its address and no token.
func TestBuildOutput(t *testing.T) {
	w, _ := newOldWorld(t)
	w.work(w.trigger(ci.Trigger{}), ci.Failed)
	var b struct {
		Steps []struct {
			Actions []struct {
				URL *string `json:"output_url"`
			}
		}
	}
	w.old(shop1+"/1", &b)
	address := strings.TrimPrefix(*b.Steps[1].Actions[1].URL, w.url)
	r := w.call("GET", address, "", with(""))
	require.Equal(t, 200, r.StatusCode, r.body)
	var messages []map[string]string
	w.decodeInto(r, &messages)
	require.Len(t, messages, 1)
	require.Equal(t, []string{"out", strings.Repeat("line of test on node 1\n", 3)}, []string{messages[0]["type"], messages[0]["message"]})
	require.NotEmpty(t, messages[0]["time"])

	u, err := url.Parse(address)
	require.NoError(t, err)
	change := func(name, value string) string {
		q := u.Query()
		q.Set(name, value)
		return u.Path + "?" + q.Encode()
	}
	for _, other := range []string{
		u.Path, change("signature", ""), change("signature", strings.Repeat("0", 64)), change("expires", "99999999999"), change("expires", ""),
		strings.Replace(address, "/1/1/1?", "/0/1/1?", 1), strings.Replace(address, "/1/1/1?", "/1/1/0?", 1), strings.Replace(address, "/1/1/1?", "/1/x/1?", 1),
	} {
		require.NotEqual(t, address, other)
		r := w.call("GET", other, "", with(""))
		require.Equal(t, 403, r.StatusCode, other)
	}
}

func TestRetryAndCancel(t *testing.T) {
	w, _ := newOldWorld(t)
	p := w.trigger(ci.Trigger{})
	var b map[string]any
	w.decodeInto(w.call("POST", shop1+"/1/cancel", ""), &b)
	require.Equal(t, []any{1.0, "canceled", "canceled", true}, []any{b["build_num"], b["outcome"], b["status"], b["canceled"]})
	require.Equal(t, 200, w.call("POST", shop1+"/1/cancel", "").StatusCode, "twice")

	r := w.call("POST", shop1+"/1/retry", "")
	require.Equal(t, 200, r.StatusCode, r.body)
	w.decodeInto(r, &b)
	require.Equal(t, []any{3.0, 1.0, "retry", "queued", "ada"}, []any{
		b["build_num"], b["retry_of"], b["why"], b["status"], b["user"].(map[string]any)["login"]})
	w.old(shop1+"/1", &b)
	require.Equal(t, []any{"retried", "canceled", []any{3.0}}, []any{b["status"], b["outcome"], b["retries"]})
	require.Equal(t, []any{3.0, 1.0}, numbers(w.builds(shop1)))
	w.work(p, ci.Success)
	require.Equal(t, string(w.workflowNamed(p, 0).ID), w.builds(shop1)[0]["workflows"].(map[string]any)["workspace_id"], "the first")

	for _, verb := range []string{"ssh", "ssh-users"} {
		r := w.call("POST", shop1+"/1/"+verb, "")
		require.Equal(t, 400, r.StatusCode)
		require.Contains(t, r.body, "not offered")
	}
	require.Equal(t, 404, w.call("POST", shop1+"/99/retry", "").StatusCode)
}

func TestTriggerOld(t *testing.T) {
	w, _ := newOldWorld(t)
	var b map[string]any
	r := w.call("POST", shop1+"/tree/feature%2Fx", `{"build_parameters":{"n":1}}`)
	require.Equal(t, 201, r.StatusCode, r.body)
	w.decodeInto(r, &b)
	require.Equal(t, []any{1.0, "feature/x", "api", "queued", "ada"}, []any{b["build_num"], b["branch"], b["why"], b["status"], b["user"].(map[string]any)["login"]})
	r = w.call("POST", shop1, "")
	w.decodeInto(r, &b)
	require.Equal(t, []any{3.0, "main"}, []any{b["build_num"], b["branch"]})
	r = w.call("POST", shop1+"/build", `{"tag":"v1"}`)
	require.Equal(t, []any{200, `{"status":200,"body":"Build created"}`}, []any{r.StatusCode, r.body})
	r = w.call("POST", shop1, `{"branch":"broken"}`)
	require.Equal(t, 201, r.StatusCode)
	w.decodeInto(r, &b)
	require.Nil(t, b["build_num"], "nothing came of it")
	for body, status := range map[string]int{
		`{"branch":"none"}`: 400, `{"tag":"v1","branch":"main"}`: 400, `{"job":"build"}`: 400, `{"branch":"-x"}`: 400,
		`{"revision":"--upload-pack=x"}`: 400, `{"revision":"` + strings.Repeat("c", 40) + `"}`: 409, `{"revision":"aaaaaaa"}`: 201,
		`{"build_parameters":{"a":[]}}`: 400, `[]`: 400,
	} {
		r := w.call("POST", shop1, body)
		require.Equal(t, status, r.StatusCode, "%s: %s", body, r.body)
	}
}

// workflowNamed returns one of the workflows of a pipeline.
func (w *world) workflowNamed(p ci.Pipeline, i int) ci.Workflow {
	all, err := w.db.Workflows(w.t.Context(), p.ID)
	require.NoError(w.t, err)
	return all[i]
}

// TestARC06_RouteCoverage1 walks the table of v1.1 by its own description.
func TestARC06_RouteCoverage1(t *testing.T) {
	w, _ := newOldWorld(t)
	w.work(w.trigger(ci.Trigger{}), ci.Failed)
	var spec struct {
		Servers []struct{ URL string }
		Paths   map[string]map[string]struct{ OperationID string }
	}
	r := w.call("GET", "/api/v1.1/openapi.json", "", with(""))
	require.NoError(t, json.Unmarshal([]byte(r.body), &spec))
	require.Equal(t, w.url+"/api/v1.1", spec.Servers[0].URL)
	fill := strings.NewReplacer("{project-slug}", "github/acme/shop", "{job-number}", "1", "{branch}", "main", "{node}", "0", "{path}", "out/none",
		"{name}", "NONE", "{fingerprint}", "c9:0b", "{token-id}", ci.NewID(), "{job-id}", ci.NewID(), "{epoch}", "1", "{step}", "1")
	n := 0
	for path, operations := range spec.Paths {
		for method := range operations {
			n++
			address := "/api/v1.1" + fill.Replace(path)
			require.NotContains(t, address, "{")
			open := path == "/openapi.json" || strings.HasPrefix(path, "/rondo/output")
			r := w.call(strings.ToUpper(method), address, "", with(""))
			if !open {
				require.Contains(t, []int{401, 404}, r.StatusCode, "%s %s", method, path)
				require.Contains(t, []string{`{"message":"You must log in first."}`, `{"message":"Project not found"}`, `{"message":"Job not found"}`}, r.body, path)
			}
			r = w.call(strings.ToUpper(method), address, "")
			require.NotEqual(t, 405, r.StatusCode, "%s %s", method, path)
			require.Less(t, r.StatusCode, 500, "%s %s: %s", method, path, r.body)
			require.NotContains(t, r.body, `"Not found"`, "%s %s", method, path)
			require.NotEmpty(t, r.Header.Get("X-Request-Id"))
		}
	}
	require.Greater(t, n, 35)
	require.Equal(t, 405, w.call("PATCH", shop1+"/settings", "{}").StatusCode)
	require.Equal(t, 404, w.call("GET", shop1+"/nothing", "").StatusCode)
	require.Equal(t, 404, w.call("GET", "/api/v1.1/project/github/acme/none/1", "").StatusCode)
}

func ExampleAPI_Mount() {
	w := newWorld(exampleT{})
	mux := http.NewServeMux()
	w.handler.Mount(mux)
	for _, path := range []string{"/api/v2/me", "/api/v1.1/me", "/gh/acme/shop.svg", "/cc.xml", "/pipelines/some-id"} {
		r, _ := http.NewRequest("GET", path, nil)
		_, pattern := mux.Handler(r)
		fmt.Printf("%s %q\n", path, pattern)
	}
	// Output:
	// /api/v2/me "/api/v2/"
	// /api/v1.1/me "/api/v1.1/"
	// /gh/acme/shop.svg "/gh/"
	// /cc.xml "/cc.xml"
	// /pipelines/some-id ""
}
