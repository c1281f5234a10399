package operator

import (
	"context"
	"io"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Scheduler is the queue.
type Scheduler interface {
	Explain(ctx context.Context, task ci.TaskID) (ci.Reason, error)
	// Trace is false when nothing is known of the task.
	Trace(task ci.TaskID) (ci.Trace, bool)
	// Traces returns all hand-outs, the first so many that wait for room, the
	// latest that have ended.
	Traces(waiting int) []ci.Trace
	State() ci.QueueState
	// Promote moves up to n tasks of an organisation past its limit.
	Promote(org string, n int) int
	// Adopt makes the ticket of a task that has none.
	Adopt(t ci.Task) bool
}

// A Cluster is the machines.
type Cluster interface {
	DrainNode(ctx context.Context, node string, on bool, deadline time.Duration) error
	AgentOutput(ctx context.Context, task ci.Task, epoch int64, stderr bool) (io.ReadCloser, error)
}

// A Reader reads the records.
type Reader interface {
	Project(ctx context.Context, id ci.ProjectID) (ci.Project, error)
	Workflow(ctx context.Context, id ci.WorkflowID) (ci.Workflow, error)
	JobWorkflow(ctx context.Context, id ci.JobID) (ci.WorkflowID, error)
	Steps(ctx context.Context, t ci.TaskID, epoch int64) ([]ci.Step, error)
	LastEvent(ctx context.Context) (uint64, error)
}

// Config holds what a [Desk] can do without.
type Config struct {
	// Line returns the first and last n tickets of the usage queue or the run
	// queue, and how many there are. It is needed for Part, Promote and
	// CancelWaiting.
	Line func(usage bool, n int) (first, last []ci.Ticket, total int)
	// CancelJob cancels one job, for CancelWaiting.
	CancelJob func(ctx context.Context, id ci.WorkflowID, job ci.JobID, by ci.Actor) error
	// Operator says whether the actor may run machines and queue; May whether
	// it may read the project. nil allows everything.
	Operator func(ctx context.Context, by ci.Actor) error
	May      func(ctx context.Context, by ci.Actor, p ci.Project, write bool) error
	// Record puts an act on record and does it; nil does it.
	Record func(ctx context.Context, act ci.Act, do func() error) error
	// JobURL is the address of a job's page; nil has none.
	JobURL func(p ci.Project, number int64) string
}
