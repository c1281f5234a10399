package web

import (
	"context"
	"iter"

	"github.com/rondo-ci/rondo/ci"
)

// A Conductor does what the buttons of the pages ask for, and tells what
// happened. A *ci.Server is one.
type Conductor interface {
	Trigger(ctx context.Context, t ci.Trigger) (ci.Pipeline, error)
	Approve(ctx context.Context, id ci.WorkflowID, job ci.JobID, by ci.Actor) error
	Cancel(ctx context.Context, id ci.WorkflowID, by ci.Actor) error
	CancelJob(ctx context.Context, id ci.WorkflowID, job ci.JobID, by ci.Actor) error
	Rerun(ctx context.Context, id ci.WorkflowID, r ci.Rerun, by ci.Actor) (ci.WorkflowID, error)
	Follow(ctx context.Context, after uint64) iter.Seq2[ci.Event, error]
}
