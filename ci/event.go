package ci

import "time"

// An Event is one thing that happened. Events are written in the transaction
// that made them true and numbered in the order of commit, without gaps being
// visible to a reader: whoever has read up to Seq has seen all up to Seq.
type Event struct {
	Seq      uint64     `json:"seq"`
	Time     time.Time  `json:"time"`
	Kind     EventKind  `json:"kind"`
	Project  ProjectID  `json:"project"`
	Pipeline PipelineID `json:"pipeline"`
	Workflow WorkflowID `json:"workflow,omitempty"`
	Job      JobID      `json:"job,omitempty"`
	// Name is that of the job, or of the workflow in events about a workflow.
	Name   string `json:"name,omitempty"`
	Number int64  `json:"number,omitempty"` // of the job or the pipeline
	Status Status `json:"status,omitempty"`
	Reason string `json:"reason,omitempty"`
	Actor  Actor  `json:"actor,omitzero"`
	// Task is set in JobQueued: slice 0 of the job that may start now. The job
	// has Task.Total slices.
	Task *Task `json:"task,omitempty"`
	// Step is set in StepStarted and StepEnded, and Node there and in
	// TaskChanged: the index of the task. Name and Number are those of the job.
	Step *Step `json:"step,omitempty"`
	Node int   `json:"node,omitempty"`
}

// An EventKind says what an [Event] is about.
type EventKind string

// The kinds of events.
const (
	PipelineCreated   EventKind = "pipeline.created"   // accepted, not yet compiled
	PipelinePlanned   EventKind = "pipeline.planned"   // compiled; its workflows exist
	PipelineContinued EventKind = "pipeline.continued" // got its second configuration, not yet compiled
	PipelineErrored   EventKind = "pipeline.errored"   // could not be compiled; Reason says why
	WorkflowStarted   EventKind = "workflow.started"   // exists now
	WorkflowChanged   EventKind = "workflow.changed"   // its status changed, not finally
	WorkflowEnded     EventKind = "workflow.ended"     // its status is final
	JobQueued         EventKind = "job.queued"         // its requirements are met
	JobHeld           EventKind = "job.held"           // an approval job waits for a person
	JobApproved       EventKind = "job.approved"       // a person let it pass
	JobStarted        EventKind = "job.started"        // its first task runs
	JobRequeued       EventKind = "job.requeued"       // its agent was lost before it began; it waits again
	JobEnded          EventKind = "job.ended"          // its status is final
	JobRetried        EventKind = "job.retried"        // a new attempt takes its place
	TaskChanged       EventKind = "task.changed"       // one task of the job moved, the job did not; Node says which
	StepStarted       EventKind = "step.started"       // written by Records.PutStep
	StepEnded         EventKind = "step.ended"         // likewise
)
