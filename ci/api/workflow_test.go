package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

func TestWorkflow(t *testing.T) {
	w := newWorld(t)
	p := w.trigger(ci.Trigger{})
	f := w.workflow(p)
	path := "/workflow/" + string(f.ID)
	got := w.get(path)
	require.Equal(t, "running", got["status"])
	require.Contains(t, got, "stopped_at")
	require.Nil(t, got["stopped_at"], "null, never empty")
	require.Equal(t, 1.0, got["pipeline_number"])
	require.NotContains(t, got, "canceled_by")
	require.Equal(t, got, items(w.get("/pipeline/" + string(p.ID) + "/workflow"))[0])

	jobs := items(w.get(path + "/job"))
	require.Len(t, jobs, 3)
	build, hold, ship := jobs[0], jobs[1], jobs[2]
	require.Equal(t, []any{"queued", "build", 1.0, nil}, []any{build["status"], build["type"], build["job_number"], build["started_at"]})
	require.Equal(t, []any{}, build["dependencies"])
	require.Equal(t, []any{"blocked", "approval", hold["id"]}, []any{hold["status"], hold["type"], hold["approval_request_id"]})
	require.NotContains(t, hold, "job_number")
	require.Equal(t, []any{build["id"]}, hold["dependencies"])
	require.NotContains(t, ship, "approval_request_id")

	approve := path + "/approve/" + hold["id"].(string)
	require.Equal(t, 409, w.call("POST", "/api/v2"+approve, "").StatusCode, "too early")
	for node := range 2 {
		w.report(w.run(f, "build", node), ci.Success, "")
	}
	require.Equal(t, "on_hold", w.get(path)["status"])
	r := w.call("POST", "/api/v2"+approve, "")
	require.Equal(t, 202, r.StatusCode)
	require.Equal(t, `{"message":"Accepted."}`, r.body)
	require.Equal(t, 404, w.call("POST", "/api/v2"+path+"/approve/"+ci.NewID(), "").StatusCode)
	require.Equal(t, 400, w.call("POST", "/api/v2"+path+"/approve/"+ship["id"].(string), "").StatusCode)
	jobs = items(w.get(path + "/job"))
	require.Equal(t, ada.ID, jobs[1]["approved_by"])
	require.Equal(t, "queued", jobs[2]["status"])

	w.report(w.run(w.workflow(p), "ship", 0), ci.Failed, "exited with code 1")
	got = w.get(path)
	require.Equal(t, "failed", got["status"])
	require.NotNil(t, got["stopped_at"])
	job := w.get("/project/gh/acme/shop/job/2")
	require.Equal(t, []any{map[string]any{"type": "warning", "message": "exited with code 1", "reason": "failed"}}, job["messages"])
	require.NotNil(t, job["duration"])

	for body, status := range map[string]int{
		`{"jobs":["x"]}`: 400, `{"jobs":["` + ci.NewID() + `"]}`: 404, `{"enable_ssh":true}`: 400, `{"sparse_tree":true}`: 400,
		`{"from_failed":true,"jobs":["` + ci.NewID() + `"]}`: 400, `{"from_failed":"yes"}`: 400,
	} {
		require.Equal(t, status, w.call("POST", "/api/v2"+path+"/rerun", body).StatusCode, body)
	}
	r = w.call("POST", "/api/v2"+path+"/rerun", `{"from_failed":true}`)
	require.Equal(t, 202, r.StatusCode, r.body)
	again := w.get("/workflow/" + w.decode(r)["workflow_id"].(string))
	require.Equal(t, string(f.ID), again["rerun_of"])
	require.Equal(t, ada.ID, again["started_by"])
	require.Equal(t, "running", again["status"])
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	p := w.trigger(ci.Trigger{})
	f := w.workflow(p)
	for range 2 { // the reply may be lost
		require.Equal(t, 200, w.call("POST", "/api/v2/project/gh/acme/shop/job/1/cancel", "").StatusCode)
		require.Equal(t, 200, w.call("POST", "/api/v2/jobs/"+string(f.Jobs[0].ID)+"/cancel", "").StatusCode)
	}
	require.Equal(t, "canceled", w.get("/project/gh/acme/shop/job/1")["status"])

	p = w.trigger(ci.Trigger{})
	f = w.workflow(p)
	for range 2 {
		require.Equal(t, 202, w.call("POST", "/api/v2/workflow/"+string(f.ID)+"/cancel", "").StatusCode)
		require.Equal(t, 202, w.call("POST", "/api/v2/pipeline/"+string(p.ID)+"/cancel", "").StatusCode)
	}
	got := w.get("/workflow/" + string(f.ID))
	require.Equal(t, []any{"canceled", ada.ID}, []any{got["status"], got["canceled_by"]})
	require.Equal(t, ada.ID, items(w.get("/workflow/" + string(f.ID) + "/job"))[0]["canceled_by"])

	p = w.trigger(ci.Trigger{})
	f = w.workflow(p)
	require.Equal(t, 202, w.call("POST", "/api/v2/pipeline/"+string(p.ID)+"/cancel", "").StatusCode)
	require.Equal(t, ci.Canceled, w.workflow(p).Status)
}

func TestJob(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	p := w.trigger(ci.Trigger{})
	f := w.workflow(p)
	job := w.get("/project/gh/acme/shop/job/1")
	for _, name := range []string{"started_at", "stopped_at", "duration"} {
		require.Contains(t, job, name)
		require.Nil(t, job[name])
	}
	require.NotNil(t, job["queued_at"])
	require.Equal(t, "https://ci.example/gh/acme/shop/1", job["web_url"])
	require.Equal(t, map[string]any{"resource_class": "medium", "type": "docker"}, job["executor"])
	require.Equal(t, []any{map[string]any{"name": "deploy-keys"}}, job["contexts"])
	require.Equal(t, []any{map[string]any{"index": 0.0, "status": "queued"}, map[string]any{"index": 1.0, "status": "queued"}}, job["parallel_runs"])
	require.Equal(t, []any{}, job["messages"])
	require.Equal(t, job, w.get("/rondo/job/"+string(f.Jobs[0].ID)))
	require.Empty(t, w.get("/project/gh/acme/shop/1/tests")["items"])
	require.Empty(t, w.get("/project/gh/acme/shop/1/artifacts")["items"])
	require.Empty(t, items(w.get("/rondo/job/" + string(f.Jobs[0].ID) + "/steps"))[0]["steps"])

	for node := range 2 {
		l := w.run(f, "build", node)
		s := ci.Step{Index: 0, Kind: ci.StepRun, Name: "test", Command: "make", Status: ci.Running, Started: time.Now()}
		require.NoError(t, w.db.PutStep(ctx, l, s))
		if node == 0 {
			s.Status, s.ExitCode, s.Stopped, s.Bytes = ci.Failed, 2, time.Now(), 5
			require.NoError(t, w.db.PutStep(ctx, l, s))
		}
		tests := []ci.Test{{Name: "a", Classname: "c", Result: "success", Seconds: 0.5, Node: node}}
		for i := range 600 {
			tests = append(tests, ci.Test{Name: fmt.Sprint("t", i), Result: "failure", Node: node})
		}
		require.NoError(t, w.db.PutTests(ctx, l, tests))
		for _, name := range []string{"out/a b+ü.html", "z"} {
			_, err := w.files.PutFile(ctx, f.Project, ci.File{Kind: ci.FileArtifact, Task: l.Task, Epoch: 1, Name: name},
				strings.NewReader(fmt.Sprint(name, " of ", node)))
			require.NoError(t, err)
		}
	}
	nodes := items(w.get("/rondo/job/" + string(f.Jobs[0].ID) + "/steps"))
	require.Len(t, nodes, 2)
	step := nodes[0]["steps"].([]any)[0].(map[string]any)
	require.Equal(t, []any{"failed", 2.0, 5.0, "make", "run"}, []any{step["status"], step["exit_code"], step["bytes"], step["command"], step["kind"]})
	step = nodes[1]["steps"].([]any)[0].(map[string]any)
	require.Equal(t, []any{"running", nil, nil}, []any{step["status"], step["exit_code"], step["stopped_at"]})
	require.Equal(t, "node-1", nodes[0]["node"])

	first := w.get("/project/gh/acme/shop/1/tests")
	require.Len(t, items(first), 1000)
	rest := w.get("/project/gh%2Facme%2Fshop/1/tests?page-token=" + first["next_page_token"].(string))
	require.Len(t, items(rest), 202)
	require.Nil(t, rest["next_page_token"])
	last := items(rest)[201]
	require.Equal(t, []any{"a", "success", 0.5, ""}, []any{last["name"], last["result"], last["run_time"], last["message"]})
	require.Equal(t, first, w.get("/project/gh/acme/shop/job/1/tests"), "the other address")

	list := items(w.get("/project/gh/acme/shop/1/artifacts"))
	require.Len(t, list, 4)
	for i, a := range list {
		require.Equal(t, float64(i/2), a["node_index"])
		r := w.call("GET", strings.TrimPrefix(a["url"].(string), w.url), "")
		require.Equal(t, 200, r.StatusCode)
		require.Equal(t, fmt.Sprint(a["path"], " of ", i/2), r.body)
		require.True(t, strings.HasPrefix(r.Header.Get("Content-Disposition"), "attachment"), "never a page of ours")
		require.Equal(t, fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256([]byte(r.body)))), r.Header.Get("ETag"))
	}
	for _, path := range []string{"0/none", "2/z", "-1/z", "x/z", "0/out"} {
		require.Equal(t, 404, w.call("GET", "/api/v2/rondo/job/"+string(f.Jobs[0].ID)+"/artifacts/"+path, "").StatusCode, path)
	}
}

func TestLog(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	f := w.workflow(w.trigger(ci.Trigger{}))
	task := f.Jobs[0].ID.Task(0)
	path := "/api/v2/rondo/log?task=" + string(task)
	require.Equal(t, 404, w.call("GET", path, "").StatusCode, "not begun")
	l := w.run(f, "build", 0)
	key := ci.LogKey{Task: l.Task, Epoch: 1, Step: 2}
	data := bytes.Repeat([]byte("line\x1b[31m\n"), 20_000)
	_, err := w.logs.Append(ctx, key, 0, data)
	require.NoError(t, err)
	path += "&step=2"
	r := w.call("GET", path, "")
	require.Equal(t, 200, r.StatusCode)
	require.True(t, string(data) == r.body)
	require.Equal(t, "text/plain; charset=utf-8", r.Header.Get("Content-Type"))
	require.Equal(t, fmt.Sprint(len(data)), r.Header.Get("Rondo-Size"))
	r = w.call("GET", path+"&offset=5&limit=7&epoch=1", "")
	require.Equal(t, string(data[5:12]), r.body)
	require.Equal(t, "5", r.Header.Get("Rondo-Offset"))
	require.Equal(t, "", w.call("GET", path+fmt.Sprint("&offset=", len(data)), "").body)
	require.Equal(t, 416, w.call("GET", path+fmt.Sprint("&offset=", len(data)+1), "").StatusCode)
	require.Equal(t, "", w.call("GET", path+"&limit=0", "").body)
	require.Equal(t, "", w.call("GET", "/api/v2/rondo/log?step=9&task="+string(task), "").body)
	for _, bad := range []string{"&offset=-1", "&offset=x", "&limit=x", "&epoch=x"} {
		require.Equal(t, 400, w.call("GET", path+bad, "").StatusCode, bad)
	}
	for q, status := range map[string]int{"": 400, "task=x": 400, "task=x.0": 404, "task=" + string(f.Jobs[0].ID.Task(7)): 404, "step=99999999999999999999&task=" + string(task): 400} {
		require.Equal(t, status, w.call("GET", "/api/v2/rondo/log?"+q, "").StatusCode, q)
	}
	// The address in the list of steps leads here.
	require.NoError(t, w.db.PutStep(ctx, l, ci.Step{Index: 2, Status: ci.Running}))
	step := items(w.get("/rondo/job/" + string(f.Jobs[0].ID) + "/steps"))[0]["steps"].([]any)[0].(map[string]any)
	require.True(t, string(data) == w.call("GET", strings.TrimPrefix(step["log_url"].(string), w.url), "").body)

	require.Equal(t, string(data[:3]), w.call("GET", path+"&follow=true&limit=3", "").body)
	done := make(chan string)
	go func() { done <- w.call("GET", path+"&follow=true&offset=10", "").body }()
	more := "the end\n"
	time.Sleep(20 * time.Millisecond)
	_, err = w.logs.Append(ctx, key, int64(len(data)), []byte(more))
	require.NoError(t, err)
	require.NoError(t, w.logs.End(ctx, l.Task, 1))
	require.True(t, string(data[10:])+more == <-done, "all of it, then the end")
	require.Equal(t, http.StatusOK, w.call("HEAD", path, "").StatusCode)
}
