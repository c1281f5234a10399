package ci

import (
	"context"
	"time"
)

// A Step is what happened to one step of a task.
type Step struct {
	// Index counts from 0 in the order of start. Index 0 is the agent's own
	// [StepEnvironment] step.
	Index      int       `json:"index"`
	Kind       StepKind  `json:"kind"`
	Name       string    `json:"name"`
	Command    string    `json:"command,omitempty"` // of a run step, secrets masked
	Background bool      `json:"background,omitempty"`
	Status     Status    `json:"status"` // Running, then a final one
	ExitCode   int       `json:"exit_code"`
	Reason     string    `json:"reason,omitempty"`
	Started    time.Time `json:"started"`
	Stopped    time.Time `json:"stopped,omitzero"`
	// Bytes and SHA256 describe the step's whole output as the agent saw it
	// (masked); they are set when the step ends.
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256,omitempty"`
	// Lost counts output bytes that could not be kept; where they were, the
	// output itself says so.
	Lost int64 `json:"lost,omitempty"`
}

// A Test is one test case of a stored test result.
type Test struct {
	Name      string  `json:"name"`
	Classname string  `json:"classname"`
	File      string  `json:"file,omitempty"`
	Source    string  `json:"source,omitempty"`  // the suite or the top directory
	Result    string  `json:"result"`            // success, failure, skipped or error
	Message   string  `json:"message,omitempty"` // of a failure
	Seconds   float64 `json:"run_time"`
	Node      int     `json:"node"` // index of the task that ran it
}

// A LogKey names the output of one step of one hand-out of a task.
type LogKey struct {
	Task  TaskID
	Epoch int64
	Step  int
}

// Records is what tasks leave behind in the database. Writes carry the lease
// and are refused with [ErrConflict] unless it is the current one. All methods
// are safe for concurrent use.
type Records interface {
	RecordReader
	// PutStep writes a step, by its index, and the event that it started
	// ([StepStarted]) or ended ([StepEnded]), in one transaction. It is called
	// when the step is about to start, before anything of it runs, and again
	// when it has ended. Writing the same twice is allowed and makes no second
	// event. The event's fields are those of the ticket's task.
	PutStep(ctx context.Context, l Lease, s Step) error
	// PutTests replaces the test results of the lease's task.
	PutTests(ctx context.Context, l Lease, tests []Test) error
	// Timings returns the test results of the newest successful job of that
	// name in the project that has any: on the branch, else on any branch.
	// None is no error.
	Timings(ctx context.Context, p ProjectID, job, branch string) ([]Test, error)
}
