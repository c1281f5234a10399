package web_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A floor is nodes and a queue for the pages.
type floor struct {
	w     *world
	nodes []ci.Node
	evil  string
	deny  bool
	state ci.QueueState
}

func newFloor(w *world) *floor {
	return &floor{
		w: w, nodes: []ci.Node{
			{ID: "ec2727c5-0000-8000-8000-000000000001", Name: "node-1", Class: "linux-64bit", Datacenter: "us-east-1", State: "ready", CPU: 8, UsedCPU: 6, MemoryMB: 16384, UsedMemoryMB: 9000, Tasks: 3},
			{ID: "ec2727c5-0000-8000-8000-000000000002", Name: "node-2", Class: "linux-64bit", Datacenter: "us-east-1", State: "draining", Drain: true, Reason: "an operator drains it", CPU: 8, MemoryMB: 16384, Safe: true},
			{ID: "ec2727c5-0000-8000-8000-000000000003", Name: "node-7", Class: "linux-64bit", Datacenter: "us-east-1", State: "down", Reason: "not heard of for 40 seconds", CPU: 8, MemoryMB: 16384, Safe: true},
		},
		state: ci.QueueState{Ready: true, Running: 3, Run: 1, Usage: 2, Missing: 2, Advice: "2 more nodes of 8 CPUs and 16384 MB, like node node-1, would start all that waits."},
	}
}

func (f *floor) State(context.Context, ci.Actor) (ci.QueueState, error) {
	s := f.state
	s.Nodes = f.nodes
	return s, nil
}

func (f *floor) DrainNode(_ context.Context, node string, on bool, _ time.Duration, by ci.Actor) (ci.Node, error) {
	if f.deny {
		return ci.Node{}, fmt.Errorf("drain node %s: this takes an operator: %w", node, ci.ErrDenied)
	}
	for i, n := range f.nodes {
		if n.ID == node {
			f.nodes[i].Drain, f.nodes[i].State = on, map[bool]string{true: "draining", false: "ready"}[on]
			return f.nodes[i], nil
		}
	}
	return ci.Node{}, ci.ErrNotFound
}

func (f *floor) Traces(context.Context, int, ci.Actor) ([]ci.Trace, error) {
	if f.deny {
		return nil, ci.ErrDenied
	}
	t := ci.Trace{
		ID: "5a4ea06b7d560d000116830f-0-build-home-shop-2", Allocation: "9f2b1c44-0000-8000-8000-000000000002", State: "running", Node: "node-1",
		Task: ci.Task{Name: "test", Project: f.w.project.ID, Number: 2, Total: 2}, Placed: time.Now().Add(-3 * time.Minute), Reason: f.evil,
	}
	if f.evil != "" {
		t.ID, t.Allocation, t.Node, t.State, t.Task.Name = f.evil, f.evil, f.evil, f.evil, f.evil
	}
	return []ci.Trace{t}, nil
}

func (f *floor) AgentOutput(context.Context, ci.Trace, bool, ci.Actor) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("")), nil
}

func (f *floor) Explain(_ context.Context, task ci.TaskID, _ ci.Actor) (ci.Explanation, error) {
	at := time.Now().Add(-time.Minute)
	x := ci.Explanation{
		Trace: ci.Trace{Queued: at}, Hops: []ci.Hop{{Name: "usage-queue", Since: at, Until: at.Add(5 * time.Second), Seconds: 5}, {Name: "run-queue", Since: at.Add(5 * time.Second), Seconds: 55}},
		Diagnosis: &ci.Diagnosis{
			Code: "capacity_exhausted", Text: "All 1 ready nodes are full: 3 tasks run; it needs 2 CPU, 4096 MB, and no node has more free than 2 CPU, 7384 MB.",
			Fix: "Wait, or add nodes: " + f.state.Advice, Evidence: []string{"node-1: ready, 3 allocations", "node-7: down, 0 allocations, not heard of for 40 seconds"},
		},
	}
	if f.evil != "" {
		x.Diagnosis = &ci.Diagnosis{Code: f.evil, Text: f.evil, Fix: f.evil, Evidence: []string{f.evil}}
	}
	return x, nil
}

func (f *floor) Part(context.Context, string, int, ci.Actor) (ci.QueuePart, error) {
	return ci.QueuePart{}, nil
}

func (f *floor) Promote(context.Context, string, int, bool, ci.Actor) (ci.QueueMove, error) {
	return ci.QueueMove{}, nil
}

func (f *floor) CancelWaiting(context.Context, int, time.Duration, ci.Actor) (ci.QueueMove, error) {
	return ci.QueueMove{}, nil
}
