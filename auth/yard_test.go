package auth_test

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// A yard is one node that runs the town's one task.
type yard struct {
	db    *memdb.DB
	drain bool
}

func (y *yard) Explain(context.Context, ci.TaskID) (ci.Reason, error) {
	return ci.Reason{Code: "running", Text: "It runs."}, nil
}

func (y *yard) Trace(task ci.TaskID) (ci.Trace, bool) {
	return ci.Trace{ID: "5a4ea06b7d560d000116830f-0-build-acme-shop-1", Allocation: "9f2b1c40", Task: ci.Task{ID: task}, Epoch: 1, State: "running"}, true
}

// Traces has the first job of the town.
func (y *yard) Traces(int) []ci.Trace {
	ctx := context.Background()
	for id, err := range y.db.Open(ctx, "") {
		if err != nil {
			return nil
		}
		w, err := y.db.Workflow(ctx, id)
		if err == nil {
			t, _ := y.Trace(w.Jobs[0].ID.Task(0))
			return []ci.Trace{t}
		}
	}
	t, _ := y.Trace("gone.0")
	return []ci.Trace{t}
}

func (y *yard) State() ci.QueueState {
	return ci.QueueState{Ready: true, Nodes: []ci.Node{{ID: "0", Name: "0", State: "ready", Drain: y.drain}}}
}

func (y *yard) Promote(string, int) int { return 0 }
func (y *yard) Adopt(ci.Task) bool      { return false }

func (y *yard) line(bool, int) (first, last []ci.Ticket, total int) { return nil, nil, 0 }

func (y *yard) DrainNode(_ context.Context, _ string, on bool, _ time.Duration) error {
	y.drain = on
	return nil
}

func (y *yard) AgentOutput(context.Context, ci.Task, int64, bool) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("")), nil
}
