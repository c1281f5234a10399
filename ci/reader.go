package ci

import (
	"context"
	"io"
	"iter"
)

// A Reader is the reading half of a database that is a [Store] and a [Records]:
// what pages and API show comes from it. What does not exist is [ErrNotFound].
type Reader interface {
	ProjectReader
	PipelineReader
	WorkflowReader
	EventReader
	RecordReader
}

// A ProjectReader reads projects.
type ProjectReader interface {
	Project(ctx context.Context, id ProjectID) (Project, error)
	ProjectBySlug(ctx context.Context, slug string) (Project, error)
	// Projects yields all projects by slug.
	Projects(ctx context.Context) iter.Seq2[Project, error]
}

// A PipelineReader reads pipelines and their plans.
type PipelineReader interface {
	Pipeline(ctx context.Context, id PipelineID) (Pipeline, error)
	// Plan returns the pipeline's plan; [ErrNotFound] before it is compiled.
	Plan(ctx context.Context, id PipelineID) (*Plan, error)
	// Pipelines yields one page. Its cost does not grow with what is not on
	// the page.
	Pipelines(ctx context.Context, q Query) iter.Seq2[Pipeline, error]
}

// A WorkflowReader reads workflows and finds the one of a job.
type WorkflowReader interface {
	Workflow(ctx context.Context, id WorkflowID) (Workflow, error)
	// Workflows lists those of a pipeline in order of making.
	Workflows(ctx context.Context, id PipelineID) ([]Workflow, error)
	// JobWorkflow returns the workflow that a job was made in, whether the job
	// is current there or past.
	JobWorkflow(ctx context.Context, id JobID) (WorkflowID, error)
	// JobByNumber returns the job with that number in the project, and the
	// workflow that it was made in.
	JobByNumber(ctx context.Context, p ProjectID, number int64) (WorkflowID, JobID, error)
}

// An EventReader reads what has happened.
type EventReader interface {
	// Events yields the events after the given number in order, up to the
	// newest at the time of the call, and then ends.
	Events(ctx context.Context, after uint64) iter.Seq2[Event, error]
	// LastEvent returns the number of the newest event, 0 if there is none.
	LastEvent(ctx context.Context) (uint64, error)
}

// A RecordReader reads what tasks have left behind in the database.
type RecordReader interface {
	// Steps lists the steps of one hand-out of a task by index. Epoch 0 means
	// the newest. A task without steps yields none and no error.
	Steps(ctx context.Context, t TaskID, epoch int64) ([]Step, error)
	// Tests lists the test results of a job over all its tasks, failures
	// first, then in order of storing.
	Tests(ctx context.Context, j JobID) ([]Test, error)
}

// A LogReader reads the output of steps. Offsets count bytes from 0. Output that
// does not exist reads as empty; an offset beyond the end is [ErrInvalid].
type LogReader interface {
	Size(ctx context.Context, k LogKey) (int64, error)
	Read(ctx context.Context, k LogKey, offset int64) (io.ReadCloser, error)
	// Follow yields what there is from the offset on, waits for more, and ends
	// when the output is complete. It may begin before the output exists.
	Follow(ctx context.Context, k LogKey, offset int64) iter.Seq2[[]byte, error]
}

// A FileReader reads the files that tasks have stored. FindFiles lists those of
// like's Kind, Task and Epoch by name; a Name that is set selects one.
type FileReader interface {
	FindFiles(ctx context.Context, p ProjectID, like File) iter.Seq2[File, error]
	OpenFile(ctx context.Context, p ProjectID, f File) (io.ReadCloser, error)
}
