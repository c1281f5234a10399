package api

import (
	"context"
	"iter"

	"github.com/rondo-ci/rondo/ci"
)

// A Conductor does what people ask for. A [ci.Server] is one.
type Conductor interface {
	Approve(ctx context.Context, id ci.WorkflowID, job ci.JobID, by ci.Actor) error
	Cancel(ctx context.Context, id ci.WorkflowID, by ci.Actor) error
	CancelJob(ctx context.Context, id ci.WorkflowID, job ci.JobID, by ci.Actor) error
	Rerun(ctx context.Context, id ci.WorkflowID, r ci.Rerun, by ci.Actor) (ci.WorkflowID, error)
	// Follow yields all events after the given number and waits for more.
	Follow(ctx context.Context, after uint64) iter.Seq2[ci.Event, error]
}
