package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A result is what became of a step.
type result struct {
	status ci.Status
	code   int
	reason string // follows the name of the step in a sentence
}

// failed returns the result of a step that could not do what it should.
func failed(format string, args ...any) result {
	return result{status: ci.Failed, code: 1, reason: "failed: " + fmt.Sprintf(format, args...)}
}

// A verdict is what the job has come to so far. Its zero value is good.
type verdict struct {
	status ci.Status // "" as long as nothing has failed
	reason string
}

// add takes the result of a step: the first that is not good decides.
func (v *verdict) add(r result) {
	if r.status != ci.Success && v.status == "" {
		v.status, v.reason = r.status, r.reason
	}
}

// bad reports whether something has failed.
func (v *verdict) bad() bool { return v.status != "" }

// notStarted returns the result of a run step that could not be started.
func notStarted(err error) result {
	return result{status: ci.Failed, code: 127, reason: "cannot be started: " + err.Error()}
}

// end settles the verdict when all steps have ended. What ended ctx, if
// anything did, outweighs the steps.
func (v *verdict) end(ctx context.Context, maxTime time.Duration) {
	cause := context.Cause(ctx)
	var fault errFault
	switch {
	case cause == nil:
		if v.status == "" {
			v.status = ci.Success
		}
	case errors.Is(cause, errMaxTime):
		v.status, v.reason = ci.TimedOut, fmt.Sprintf("the job ran longer than %v", maxTime)
	case errors.As(cause, &fault):
		v.status, v.reason = ci.InfraFailed, fault.Error()
	default:
		v.status, v.reason = ci.Canceled, cancelReason(cause)
	}
}

// cancelReason returns why a job was canceled, for people.
func cancelReason(cause error) string {
	switch {
	case errors.Is(cause, errCanceled):
		return "canceled"
	case errors.Is(cause, context.Canceled):
		return "canceled: the agent was asked to stop"
	}
	return "canceled: " + cause.Error()
}
