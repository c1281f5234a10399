package web_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
)

func TestSCH15_NodesPage(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	furnish(w)
	h := w.handler()
	_, body := get(t, h, "/nodes")
	require.Contains(t, body, "1 of 3 nodes take tasks.")
	require.Contains(t, body, "2 more nodes of 8 CPUs", "SCH-17")
	require.Contains(t, body, "safe to terminate")
	require.Contains(t, body, "not heard of for 40 seconds", "SCH-16")
	require.Contains(t, body, "5a4ea06b7d560d000116830f-0-build-home-shop-2")
	require.Contains(t, body, `href="/jobs/local/home/shop/2"`)
	_, body = get(t, h, "/nodes/node-1")
	require.Contains(t, body, "node-1")
	require.NotContains(t, body, "node-7")
	res, _ := get(t, h, "/nodes/node-9")
	require.Equal(t, 404, res.StatusCode)
	node := w.cfg.Queue.Operations.(*floor).nodes[0]
	code, to, _ := sends(t, w, "/nodes", "do", "drain", "node", node.ID)
	require.Equal(t, 303, code)
	require.Equal(t, "/nodes?done=drained", to)
	_, body = get(t, h, to)
	require.Contains(t, body, "it finishes what it has and takes nothing new")
	require.Contains(t, body, "0 of 3 nodes take tasks.")
	code, to, _ = sends(t, w, "/nodes", "do", "ready", "node", node.ID)
	require.Equal(t, 303, code)
	require.Equal(t, "/nodes?done=undrained", to)
	w.cfg.Queue.Operations.(*floor).deny = true
	code, _, body = sends(t, w, "/nodes", "do", "drain", "node", node.ID)
	require.Equal(t, 403, code)
	require.Contains(t, body, "this takes an operator")
	require.NotContains(t, body, "5a4ea06b7d560d000116830f", "who is no operator does not see what runs")
}

// SCH-12, "Beat": the reason of the command line stands on the job's page.
func TestSCH12_WhyOnTheJobsPage(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	furnish(w)
	_, flows := w.run()
	j := w.job(flows[0].ID, "a")
	_, body := get(t, w.handler(), web.JobPath(w.project, j.Number))
	require.Contains(t, body, "capacity_exhausted")
	require.Contains(t, body, "node-1: ready, 3 allocations")
	require.Contains(t, body, "usage-queue")
	require.Contains(t, body, "run-queue")
	_, body = get(t, w.handler(), "/queue")
	require.Contains(t, body, "All nodes are full.")
	require.Contains(t, body, "in the usage queue")
	l := w.claim(flows[0].ID, j.ID.Task(0))
	w.finish(l, ci.Success)
	_, body = get(t, w.handler(), web.JobPath(w.project, j.Number))
	require.NotContains(t, body, "capacity_exhausted")
	require.False(t, strings.Contains(body, url.QueryEscape("capacity")))
}
