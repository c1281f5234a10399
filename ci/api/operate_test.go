package api_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
)

// A floor is the queue and the nodes of a test.
type floor struct {
	nodes   []ci.Node
	traces  []ci.Trace
	drained map[string]time.Duration
	denied  bool
}

func newFloor() *floor {
	task := ci.Task{Job: "11111111-2222-4333-8444-000000000001", Name: "build", Number: 1, Total: 2}
	f := &floor{drained: map[string]time.Duration{}, nodes: []ci.Node{
		{ID: "ec2727c5-0000-8000-8000-000000000001", Name: "none", State: "ready", Tasks: 2},
		{ID: "ec2727c5-0000-8000-8000-000000000002", Name: "n2", State: "down", Reason: "its certificate has expired"},
		{ID: "ab2727c5-0000-8000-8000-000000000003", Name: "n3", State: "draining", Drain: true, Safe: true},
	}}
	for i := range 2 {
		f.traces = append(f.traces, ci.Trace{
			ID: fmt.Sprintf("5a4ea06b7d560d000116830f-%d-build-acme-shop-1", i), Allocation: fmt.Sprintf("9f2b1c4%d-0000-8000-8000-000000000001", i),
			Task: task.Slice(i), Epoch: 1, State: []string{"running", "pending"}[i], Node: []string{"none", ""}[i],
		})
	}
	return f
}

func (f *floor) State(context.Context, ci.Actor) (ci.QueueState, error) {
	return ci.QueueState{Ready: true, Nodes: f.nodes, Running: 1, Run: 1, Missing: 2, Advice: "2 more nodes of 8 CPUs"}, nil
}

func (f *floor) DrainNode(_ context.Context, node string, on bool, deadline time.Duration, _ ci.Actor) (ci.Node, error) {
	if f.denied {
		return ci.Node{}, ci.ErrDenied
	}
	for i := range f.nodes {
		if n := &f.nodes[i]; n.ID == node {
			n.Drain, f.drained[n.Name] = on, deadline
			return *n, nil
		}
	}
	return ci.Node{}, ci.ErrNotFound
}

func (f *floor) Traces(context.Context, int, ci.Actor) ([]ci.Trace, error) {
	return append([]ci.Trace{}, f.traces...), nil
}

func (f *floor) AgentOutput(_ context.Context, t ci.Trace, stderr bool, _ ci.Actor) (io.ReadCloser, error) {
	if !stderr {
		return nil, ci.ErrNotFound
	}
	return io.NopCloser(strings.NewReader("agent of " + t.Allocation)), nil
}

func (f *floor) Explain(_ context.Context, task ci.TaskID, _ ci.Actor) (ci.Explanation, error) {
	x := ci.Explanation{Trace: ci.Trace{Task: ci.Task{ID: task}, Epoch: 1}, Hops: []ci.Hop{}, Why: ci.Reason{Code: "capacity", Text: "All are full."}}
	for _, t := range f.traces {
		if t.Task.ID == task {
			x.Trace = t
		}
	}
	x.Diagnosis = &ci.Diagnosis{Code: "capacity_exhausted", Text: "All are full.", Fix: "Add nodes."}
	return x, nil
}

func (f *floor) Part(_ context.Context, queue string, n int, _ ci.Actor) (ci.QueuePart, error) {
	return ci.QueuePart{Name: queue, Total: n, First: []ci.QueuePlace{}, Last: []ci.QueuePlace{}}, nil
}

func (f *floor) Promote(_ context.Context, _ string, n int, force bool, _ ci.Actor) (ci.QueueMove, error) {
	if n > 100 && !force {
		return ci.QueueMove{}, fmt.Errorf("promote: at most 100 at once: %w", ci.ErrConflict)
	}
	return ci.QueueMove{Moved: n}, nil
}

func (f *floor) CancelWaiting(_ context.Context, n int, _ time.Duration, _ ci.Actor) (ci.QueueMove, error) {
	return ci.QueueMove{Moved: n, Left: 150}, nil
}

// operate gives a configuration a queue and nodes.
func operate(f *floor) func(*api.Config) {
	return func(c *api.Config) {
		c.Chapters.Operations = f
		c.Chapters.Services = func(context.Context, ci.Actor) ([]ci.Service, error) {
			return []ci.Service{{Role: "frontend", State: "up"}}, nil
		}
	}
}

func TestSCH07_NodesByState(t *testing.T) {
	w := newWorld(t, operate(newFloor()))
	for state, want := range map[string]int{"": 3, "ready": 1, "active": 1, "down": 1, "draining": 1} {
		require.Len(t, w.get("/rondo/nodes?state=" + state)["items"], want, state)
	}
	require.Equal(t, 400, w.call("GET", "/api/v2/rondo/nodes?state=idle", "").StatusCode)
	for _, name := range []string{"n3", "ab2727c5-0000-8000-8000-000000000003", "ab2"} {
		require.Equal(t, "n3", w.get("/rondo/nodes/" + name)["name"])
		require.Equal(t, true, w.get("/rondo/nodes/" + name)["safe_to_terminate"])
	}
	r := w.call("GET", "/api/v2/rondo/nodes/ec27", "")
	require.Equal(t, 404, r.StatusCode, "two begin so")
	require.Contains(t, r.body, "there are: none, n2, n3")
	require.Equal(t, "its certificate has expired", w.get("/rondo/nodes/n2")["reason"], "SCH-16")
}

func TestSCH14_DrainByTheAPI(t *testing.T) {
	f := newFloor()
	w := newWorld(t, operate(f))
	r := w.call("POST", "/api/v2/rondo/nodes/none/drain", `{"on":true,"deadline":"1h30m"}`)
	require.Equal(t, 200, r.StatusCode, r.body)
	require.Equal(t, true, w.decode(r)["drain"])
	require.Equal(t, 90*time.Minute, f.drained["none"])
	require.Equal(t, 400, w.call("POST", "/api/v2/rondo/nodes/none/drain", `{"on":true,"deadline":"soon"}`).StatusCode)
	require.Equal(t, false, w.decode(w.call("POST", "/api/v2/rondo/nodes/none/drain", `{"on":false}`))["drain"])
	f.denied = true
	require.Equal(t, 403, w.call("POST", "/api/v2/rondo/nodes/none/drain", `{"on":true}`).StatusCode)
}

func TestSCH10_OutputOfOneOfSeveral(t *testing.T) {
	w := newWorld(t, operate(newFloor()))
	seen := map[string]bool{}
	for range 100 {
		r := w.call("GET", "/api/v2/rondo/placements/5a4ea06b7d560d000116830f/output?stderr=true", "")
		require.Equal(t, 200, r.StatusCode, r.body)
		require.Equal(t, "agent of "+r.Header.Get("X-Allocation"), r.body)
		seen[r.body] = true
	}
	require.Len(t, seen, 2, "one of them at random")
	r := w.call("GET", "/api/v2/rondo/placements/9f2b1c41/output?stderr=true", "")
	require.Contains(t, r.body, "9f2b1c41")
	require.Equal(t, 404, w.call("GET", "/api/v2/rondo/placements/9f2b1c41/output", "").StatusCode)
	require.Equal(t, 404, w.call("GET", "/api/v2/rondo/placements/nosuch", "").StatusCode)
	require.Len(t, w.get("/rondo/placements?status=pending")["items"], 1)
	require.Len(t, w.get("/rondo/placements?node=none")["items"], 1)
}

func TestSCH17_ExplainByAnyName(t *testing.T) {
	w := newWorld(t, operate(newFloor()))
	j := w.workflow(w.trigger(ci.Trigger{})).Jobs[0]
	for _, of := range []string{
		string(j.ID), "https://ci.example/jobs/gh/acme/shop/1", "/gh/acme/shop/1", "gh/acme/shop/1", "1",
	} {
		items := w.get("/rondo/queue/explain?of=" + of)["items"].([]any)
		require.Len(t, items, 2, of)
		require.Equal(t, "capacity_exhausted", items[0].(map[string]any)["diagnosis"].(map[string]any)["code"])
	}
	require.Len(t, w.get("/rondo/queue/explain?of=" + string(j.ID.Task(1)))["items"], 1)
	for of, code := range map[string]int{"": 400, "x": 400, "99": 404, "gh/acme/other/1": 404, "gh/acme/shop/x": 404} {
		require.Equal(t, code, w.call("GET", "/api/v2/rondo/queue/explain?of="+of, "").StatusCode, of)
	}
	require.Equal(t, "2 more nodes of 8 CPUs", w.get("/rondo/queue")["advice"])
}

func TestQUE03_GuardIsAConflict(t *testing.T) {
	w := newWorld(t, operate(newFloor()))
	require.Equal(t, 200, w.call("POST", "/api/v2/rondo/queue/promote", `{"count":100}`).StatusCode)
	require.Equal(t, 409, w.call("POST", "/api/v2/rondo/queue/promote", `{"count":101}`).StatusCode)
	require.Equal(t, 200, w.call("POST", "/api/v2/rondo/queue/promote", `{"count":101,"force":true}`).StatusCode)
	require.Equal(t, 200, w.call("POST", "/api/v2/rondo/queue/cancel", `{"count":100,"older_than":"1h"}`).StatusCode)
	require.Equal(t, 400, w.call("POST", "/api/v2/rondo/queue/cancel", `{"count":100,"older_than":"old"}`).StatusCode)
}
