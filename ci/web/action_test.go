package web_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
)

// Asks 39 and 43: each button does what it says, in the name of who pressed it.
func TestActions(t *testing.T) {
	hold := ci.PlannedJob{Name: "hold", Type: ci.JobApproval, Requires: []ci.Requirement{{Job: "a"}}}
	w := newWorld(t, flow(build("a"), hold, build("b", "hold"), build("c")))
	h := w.handler()
	_, flows := w.run()
	id := flows[0].ID
	form := func(name string) string { return "job=" + url.QueryEscape(string(w.job(id, name).ID)) }
	w.through(id, "a", ci.Success)

	res := post(t, h, web.WorkflowPath(id)+"/approve", form("hold"))
	require.Equal(t, 303, res.StatusCode)
	require.Equal(t, web.WorkflowPath(id), res.Header.Get("Location"))
	require.Equal(t, "local", w.job(id, "hold").Approved.Login)
	_, body := get(t, h, web.WorkflowPath(id))
	require.Contains(t, body, "approved by <bdi>local</bdi>")
	require.Equal(t, 409, post(t, h, web.WorkflowPath(id)+"/approve", form("hold")).StatusCode, "twice")

	w.through(id, "c", ci.Failed)
	require.Equal(t, 303, post(t, h, web.WorkflowPath(id)+"/rerun-failed", "").StatusCode, "while others still run")
	require.Equal(t, 2, w.job(id, "c").Attempt)
	_, body = get(t, h, web.WorkflowPath(id))
	require.Contains(t, body, "Past attempts")

	res = post(t, h, web.WorkflowPath(id)+"/cancel-job", form("c")+"&stay=1")
	require.Equal(t, "/jobs/"+string(w.job(id, "c").ID), res.Header.Get("Location"))
	require.Equal(t, ci.Canceled, w.job(id, "c").Status)
	require.Equal(t, 303, post(t, h, web.WorkflowPath(id)+"/cancel", "").StatusCode)
	require.Equal(t, "local", w.workflow(id).Canceled.Login)
	require.Equal(t, 409, post(t, h, web.WorkflowPath(id)+"/cancel", "").StatusCode)

	res = post(t, h, web.WorkflowPath(id)+"/rerun-job", form("b"))
	require.Equal(t, 303, res.StatusCode)
	again := ci.WorkflowID(strings.TrimPrefix(res.Header.Get("Location"), "/workflows/"))
	require.NotEqual(t, id, again)
	require.Equal(t, id, w.workflow(again).RerunOf)
	_, body = get(t, h, web.WorkflowPath(id))
	require.Contains(t, body, web.WorkflowPath(again), "the old run names the new one")

	require.Equal(t, 404, post(t, h, web.WorkflowPath(id)+"/explode", "").StatusCode)
	require.Equal(t, 400, post(t, h, web.WorkflowPath(id)+"/approve", "").StatusCode)
	require.Equal(t, 404, post(t, h, "/workflows/x/cancel", "").StatusCode)
	require.Equal(t, 413, post(t, h, web.WorkflowPath(id)+"/approve", strings.Repeat("a", 1<<20)).StatusCode)
}

func TestActions_RunPipelines(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	h := w.handler()
	p, _ := w.run(func(tr *ci.Trigger) { tr.Fork, tr.Key, tr.Schedule = "evil/shop", "k", "nightly" })
	res := post(t, h, web.PipelinePath(p.ID)+"/again", "")
	require.Equal(t, 303, res.StatusCode)
	again, err := w.db.Pipeline(w.ctx, ci.PipelineID(strings.TrimPrefix(res.Header.Get("Location"), "/pipelines/")))
	require.NoError(t, err)
	require.Equal(t, int64(2), again.Number)
	require.Equal(t, "evil/shop", again.Trigger.Fork, "trust is that of the origin (A025)")
	require.Equal(t, "local", again.Trigger.Actor.Login)
	require.Empty(t, again.Trigger.Key+again.Trigger.Schedule)

	require.Equal(t, 303, post(t, h, "/projects/local/home/shop", "branch=dev").StatusCode)
	require.Equal(t, 303, post(t, h, "/projects/local/home/shop", "branch=").StatusCode, "the default branch")
	for _, bad := range []string{"--upload-pack=x", "a%0Ab", strings.Repeat("a", 300)} {
		require.Equal(t, 400, post(t, h, "/projects/local/home/shop", "branch="+bad).StatusCode, bad)
	}
	w.cfg.Retrigger = nil
	_, body := get(t, w.handler(), "/projects/local/home/shop")
	require.NotContains(t, body, "Run pipeline")
}

// A form of another site, and a GET, do nothing.
func TestActions_RefuseOtherSites(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	h := w.handler()
	_, flows := w.run()
	path := web.WorkflowPath(flows[0].ID) + "/cancel"
	for _, head := range [][2]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
	} {
		r := httptest.NewRequest("POST", path, nil)
		r.Header.Set(head[0], head[1])
		res, body := ask(t, h, r)
		require.Equal(t, 403, res.StatusCode, head)
		require.Contains(t, body, "another site")
	}
	res, _ := get(t, h, path)
	require.NotEqual(t, 303, res.StatusCode)
	require.Equal(t, ci.Running, w.workflow(flows[0].ID).Status)
}
