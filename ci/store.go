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
	EventReader
	// Wait returns nil as soon as there is an event after the given number, at
	// once if there is one already, or the error of ctx. It may return early;
	// the caller asks Events anyway. Waiting costs nothing while nothing is
	// written, and the reader is awake within a millisecond of a commit by
	// this process, within a second of one by another.
	Wait(ctx context.Context, after uint64) error
}

// A ProjectStore keeps projects.
type ProjectStore interface {
	ProjectReader
	// PutProject writes the project, by its ID. A slug that another project
	// has is [ErrConflict].
	PutProject(ctx context.Context, p Project) error
}

// A PipelineStore keeps pipelines and their plans.
type PipelineStore interface {
	PipelineReader
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
}

// A WorkflowStore keeps workflows and their jobs.
type WorkflowStore interface {
	WorkflowReader
	// Open yields the identities of the workflows that have not ended; of one
	// project, or of all when id is "".
	Open(ctx context.Context, id ProjectID) iter.Seq2[WorkflowID, error]
	// Update loads the workflow, lets change alter it, and writes it with the
	// events; numbers are given as by Start. When change returns no events,
	// nothing is written. An error of change is returned as it is and nothing
	// is written. change may be called more than once.
	Update(ctx context.Context, id WorkflowID, change func(*Workflow) ([]Event, error)) error
}
