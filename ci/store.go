package ci

import (
	"context"
	"iter"
)

// A Store is the database of a [Server]. Suite citest says what it must do and
// the package storage/memdb is the reference. All methods are safe for
// concurrent use, write in one transaction each, and return when the change
// would survive a loss of power. Events passed to a method are numbered by the
// store. What does not exist is [ErrNotFound].
type Store interface {
	ProjectStore
	PipelineStore
	WorkflowStore
	// Events yields the events after the given number in order, up to the
	// newest at the time of the call, and then ends.
	Events(ctx context.Context, after uint64) iter.Seq2[Event, error]
	// LastEvent returns the number of the newest event, 0 if there is none.
	LastEvent(ctx context.Context) (uint64, error)
	// Wait returns nil as soon as there is an event after the given number, at
	// once if there is one already, or the error of ctx. It may return early;
	// the caller asks Events anyway. Waiting costs nothing while nothing is
	// written, and the reader is awake within a millisecond of a commit by
	// this process, within a second of one by another.
	Wait(ctx context.Context, after uint64) error
}

// A ProjectStore keeps projects.
type ProjectStore interface {
	// PutProject writes the project, by its ID. A slug that another project
	// has is [ErrConflict].
	PutProject(ctx context.Context, p Project) error
	Project(ctx context.Context, id ProjectID) (Project, error)
	ProjectBySlug(ctx context.Context, slug string) (Project, error)
	// Projects yields all projects by slug.
	Projects(ctx context.Context) iter.Seq2[Project, error]
}

// A PipelineStore keeps pipelines and their plans.
type PipelineStore interface {
	// Create adds the pipeline and the events, gives the pipeline its number
	// (and writes it into the events), and returns the pipeline as kept. When
	// the project has a pipeline whose trigger has the same non-empty key,
	// nothing is written: that pipeline is returned, and created is false.
	Create(ctx context.Context, p Pipeline, events ...Event) (kept Pipeline, created bool, err error)
	// Start loads the pipeline, lets change alter it, and writes it with its
	// plan (if change set one), the new workflows and the events. A job of
	// type build whose number is 0 gets the project's next one, which is also
	// written into the events of that job. An error of change is returned as
	// it is and nothing is written. change may be called more than once.
	Start(ctx context.Context, id PipelineID, change func(*Pipeline) ([]Workflow, []Event, error)) error
	Pipeline(ctx context.Context, id PipelineID) (Pipeline, error)
	// Plan returns the pipeline's plan; [ErrNotFound] before it is compiled.
	Plan(ctx context.Context, id PipelineID) (*Plan, error)
	// Pipelines yields one page. Its cost does not grow with what is not on
	// the page.
	Pipelines(ctx context.Context, q Query) iter.Seq2[Pipeline, error]
}

// A WorkflowStore keeps workflows and their jobs.
type WorkflowStore interface {
	Workflow(ctx context.Context, id WorkflowID) (Workflow, error)
	// Workflows lists those of a pipeline in order of making.
	Workflows(ctx context.Context, id PipelineID) ([]Workflow, error)
	// Open yields the identities of the workflows that have not ended; of one
	// project, or of all when id is "".
	Open(ctx context.Context, id ProjectID) iter.Seq2[WorkflowID, error]
	// Update loads the workflow, lets change alter it, and writes it with the
	// events; numbers are given as by Start. When change returns no events,
	// nothing is written. An error of change is returned as it is and nothing
	// is written. change may be called more than once.
	Update(ctx context.Context, id WorkflowID, change func(*Workflow) ([]Event, error)) error
	// JobWorkflow returns the workflow that a job was made in, whether the job
	// is current there or past.
	JobWorkflow(ctx context.Context, id JobID) (WorkflowID, error)
	// JobByNumber returns the job with that number in the project, and the
	// workflow that it was made in.
	JobByNumber(ctx context.Context, p ProjectID, number int64) (WorkflowID, JobID, error)
}
