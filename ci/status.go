package ci

import (
	"fmt"
	"slices"
)

// A Status is the state of a workflow, a job, a task or a step. The words are
// those of the CircleCI API.
type Status string

// The statuses. Those from [Success] on are final.
const (
	Blocked Status = "blocked" // waits for the jobs it requires
	OnHold  Status = "on_hold" // waits for a person's approval
	Queued  Status = "queued"  // may start; waits for a place
	Running Status = "running"
	Failing Status = "failing" // workflows only: something failed, the rest still runs

	Success      Status = "success"
	Failed       Status = "failed"
	Canceled     Status = "canceled"
	TimedOut     Status = "timedout"
	InfraFailed  Status = "infrastructure_fail" // the machinery failed, not the job
	NotRun       Status = "not_run"             // its requirements can no longer be met
	Unauthorized Status = "unauthorized"        // it asks for a context that it may not use
)

// transitions is the whole state machine of a job and of a task: from each
// status, the statuses that may follow. A status that is not a key is final.
//
// Queued follows Running when an agent is lost before it began a step, and
// every status can be canceled. A short task may be reported ended before the
// report that it started arrives, hence the direct ways from Queued.
var transitions = map[Status][]Status{
	Blocked: {OnHold, Queued, Success, Canceled, NotRun, Unauthorized},
	OnHold:  {Success, Canceled, NotRun},
	Queued:  {Running, Success, Failed, Canceled, TimedOut, InfraFailed, Unauthorized},
	Running: {Queued, Success, Failed, Canceled, TimedOut, InfraFailed, Unauthorized},
}

// Ended reports whether the status is final.
func (s Status) Ended() bool {
	switch s {
	case Blocked, OnHold, Queued, Running, Failing, "":
		return false
	}
	return true
}

// Bad reports whether the status is final and means that something went wrong:
// failed, timed out, broken machinery or not authorized.
func (s Status) Bad() bool {
	return s == Failed || s == TimedOut || s == InfraFailed || s == Unauthorized
}

// May reports whether a job or task in status s may go to status next.
func (s Status) May(next Status) bool { return slices.Contains(transitions[s], next) }

// satisfies reports whether a required job that ended as s fulfils the
// requirement. A job that timed out or lost its machinery counts as failed.
func (s Status) satisfies(r Requirement) bool {
	if len(r.Statuses) == 0 {
		return s == Success
	}
	if s == TimedOut || s == InfraFailed {
		s = Failed
	}
	return slices.Contains(r.Statuses, s)
}

// checkTransition returns an ErrConflict that names both statuses when the
// table has no way from one to the other.
func checkTransition(what string, from, to Status) error {
	if from.May(to) {
		return nil
	}
	return fmt.Errorf("%s: from %s to %s: %w", what, from, to, ErrConflict)
}
