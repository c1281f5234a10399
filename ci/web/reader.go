package web

import (
	"context"
	"io"
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

// A Reader is what the pages read: the reading half of a database that is a
// ci.Store and a ci.Records. What does not exist is ci.ErrNotFound.
type Reader interface {
	ProjectReader
	PipelineReader
	WorkflowReader
	RecordReader
	EventReader
}

// A ProjectReader reads projects.
type ProjectReader interface {
	Project(ctx context.Context, id ci.ProjectID) (ci.Project, error)
	ProjectBySlug(ctx context.Context, slug string) (ci.Project, error)
	Projects(ctx context.Context) iter.Seq2[ci.Project, error]
}

// A PipelineReader reads pipelines and their plans.
type PipelineReader interface {
	Pipeline(ctx context.Context, id ci.PipelineID) (ci.Pipeline, error)
	Plan(ctx context.Context, id ci.PipelineID) (*ci.Plan, error)
	Pipelines(ctx context.Context, q ci.Query) iter.Seq2[ci.Pipeline, error]
}

// A WorkflowReader reads workflows and finds the one of a job.
type WorkflowReader interface {
	Workflow(ctx context.Context, id ci.WorkflowID) (ci.Workflow, error)
	Workflows(ctx context.Context, id ci.PipelineID) ([]ci.Workflow, error)
	JobWorkflow(ctx context.Context, id ci.JobID) (ci.WorkflowID, error)
	JobByNumber(ctx context.Context, p ci.ProjectID, number int64) (ci.WorkflowID, ci.JobID, error)
}

// A RecordReader reads what tasks left behind.
type RecordReader interface {
	Steps(ctx context.Context, t ci.TaskID, epoch int64) ([]ci.Step, error)
	Tests(ctx context.Context, j ci.JobID) ([]ci.Test, error)
}

// An EventReader reads events that have happened.
type EventReader interface {
	Events(ctx context.Context, after uint64) iter.Seq2[ci.Event, error]
	LastEvent(ctx context.Context) (uint64, error)
}

// Logs is the output of steps. Offsets count bytes from 0. Output that does
// not exist (yet) has size 0 or is ci.ErrNotFound.
type Logs interface {
	Size(ctx context.Context, key ci.LogKey) (int64, error)
	Read(ctx context.Context, key ci.LogKey, offset int64) (io.ReadCloser, error)
	// Follow yields what there is from offset on, waits for more, and ends
	// when the output is complete. It may begin before the output exists.
	Follow(ctx context.Context, key ci.LogKey, offset int64) iter.Seq2[[]byte, error]
}

// Artifacts is the files that tasks stored for people. FindFiles lists those
// of like's Kind, Task and Epoch by name.
type Artifacts interface {
	FindFiles(ctx context.Context, project ci.ProjectID, like ci.File) iter.Seq2[ci.File, error]
	OpenFile(ctx context.Context, project ci.ProjectID, f ci.File) (io.ReadCloser, error)
}
