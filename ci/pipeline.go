package ci

import (
	"fmt"
	"time"
)

// A Trigger asks for a pipeline.
type Trigger struct {
	Project ProjectID `json:"project"`
	// Key makes the trigger idempotent: a second trigger of the project with
	// the same key gets the first one's pipeline. "" is never a repetition.
	Key    string        `json:"key,omitempty"`
	Source TriggerSource `json:"source"`
	Actor  Actor         `json:"actor,omitzero"`
	// Branch or Tag is what was pushed; one of them is set.
	Branch string `json:"branch,omitempty"`
	Tag    string `json:"tag,omitempty"`
	// Revision is the full hash of the commit to build, Base that of the one
	// before the push where it is known.
	Revision string `json:"revision"`
	Base     string `json:"base,omitempty"`
	// Subject and Body are the commit message.
	Subject string `json:"subject,omitempty"`
	Body    string `json:"body,omitempty"`
	Author  string `json:"author,omitempty"`
	// PullRequests are the addresses of those whose head is the revision.
	PullRequests []string `json:"pull_requests,omitempty"`
	// Fork is the owner/name of the repository that a pull request comes from,
	// when it is not the project's own.
	Fork string `json:"fork,omitempty"`
	// Parameters are values for the configuration's pipeline parameters:
	// string, bool, or a number. With Text they come from something that knows
	// text only, and each is what the configuration declares it to be.
	Parameters map[string]any `json:"parameters,omitempty"`
	Text       bool           `json:"text,omitempty"`
	// Schedule is the name of the schedule that fired: the workflow of the
	// configuration that it starts, or with Scheduled set, the name of the
	// [ScheduledPipeline] whose ID that is. Planned is when it was due; a
	// pipeline made much later is a late one.
	Schedule  string    `json:"schedule,omitempty"`
	Scheduled string    `json:"scheduled,omitempty"`
	Planned   time.Time `json:"planned,omitzero"`
}

// A TriggerSource says where a trigger came from.
type TriggerSource string

// The sources of triggers, in the words of pipeline.trigger_source.
const (
	SourceWebhook  TriggerSource = "webhook"
	SourceAPI      TriggerSource = "api"
	SourceSchedule TriggerSource = "scheduled_pipeline"
)

// A Pipeline is one trigger and all that came of it.
type Pipeline struct {
	ID PipelineID `json:"id"`
	// Number counts the pipelines of the project from 1.
	Number  int64         `json:"number"`
	Trigger Trigger       `json:"trigger"`
	State   PipelineState `json:"state"`
	// Errors are why it could not be compiled, one problem each, with file,
	// line and column where there is a place.
	Errors   []string  `json:"errors,omitempty"`
	Warnings []string  `json:"warnings,omitempty"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
	// Plan is set by whoever compiled the pipeline, for the store to keep. It
	// is nil in what a store returns; ask for it by [PipelineStore] Plan.
	Plan *Plan `json:"-"`
}

// late is a warning when a schedule started the pipeline much later than it was
// due.
func (p Pipeline) late() []string {
	by := p.Created.Sub(p.Trigger.Planned)
	if p.Trigger.Planned.IsZero() || by <= time.Minute {
		return nil
	}
	return []string{fmt.Sprintf("late: it was due at %s and began %s later, because no server was running or the code host did not answer",
		p.Trigger.Planned.UTC().Format("15:04 on 2006-01-02 UTC"), by.Round(time.Second))}
}

// A PipelineState says how far a [Pipeline] has come.
type PipelineState string

// The states of pipelines, in the words of the API. The outcome of the work is
// that of the workflows, not of the pipeline.
const (
	PipelinePending PipelineState = "pending" // accepted, waits to be compiled
	PipelineSetup   PipelineState = "setup"   // its setup workflow exists; a second configuration may follow
	PipelineReady   PipelineState = "created" // its workflows exist
	PipelineError   PipelineState = "errored"
)

// A Query selects pipelines, newest first. Fields that are zero do not select.
type Query struct {
	Project ProjectID
	Branch  string
	State   PipelineState
	// Before is the last pipeline of the page before.
	Before PipelineID
	// Limit is the size of a page; 0 is 20.
	Limit int
}
