package github

import (
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A status is what one commit status should say.
type status struct {
	context     string
	state       string // pending, success, failure or error
	description string
	// only says that it matters only where something was said before.
	only bool
}

// maxDescription is the length in characters of the longest description.
const maxDescription = 140

// tells reports whether events of the kind may lead to a status.
func tells(kind ci.EventKind) bool {
	switch kind {
	case ci.PipelineErrored, ci.JobQueued, ci.JobHeld, ci.JobStarted, ci.JobRequeued, ci.JobEnded:
		return true
	}
	return false
}

// statusOf returns what an event means for the commit. The workflow is that of
// the event, nil for an event about a pipeline. The contexts are those that
// branch protection rules made for CircleCI name.
func statusOf(prefix string, e ci.Event, w *ci.Workflow) (status, bool) {
	if e.Kind == ci.PipelineErrored {
		reason, _, _ := strings.Cut(strings.TrimSpace(e.Reason), "\n")
		if reason == "" {
			reason = "The configuration could not be compiled"
		}
		return status{context: prefix + ": Build Error", state: "failure", description: cut(reason, maxDescription)}, true
	}
	if w == nil {
		return status{}, false
	}
	s := status{context: prefix + ": " + e.Name}
	if j := w.Attempt(e.Job); j != nil && j.Type != ci.JobBuild || e.Kind == ci.JobHeld {
		s.context = prefix + ": " + w.Name + "/" + e.Name
	}
	switch e.Kind {
	case ci.JobQueued, ci.JobRequeued:
		s.state, s.description = "pending", "Your tests are queued behind your running builds"
	case ci.JobStarted:
		s.state, s.description = "pending", "CircleCI is running your tests"
	case ci.JobHeld:
		s.state, s.description = "pending", "Your job is on hold on CircleCI!"
	case ci.JobEnded:
		s.state, s.description, s.only = ended(e.Status)
	}
	return s, s.state != ""
}

// ended returns what a final status of a job is on the code host. A job that
// never began is told of only if it had been announced.
func ended(s ci.Status) (state, description string, only bool) {
	switch s {
	case ci.Success:
		return "success", "Your tests passed on CircleCI!", false
	case ci.Failed:
		return "failure", "Your tests failed on CircleCI", false
	case ci.TimedOut:
		return "failure", "Your tests timed out on CircleCI", false
	case ci.Unauthorized:
		return "failure", "Your job may not use one of its contexts on CircleCI", false
	case ci.InfraFailed:
		return "error", "CircleCI could not run your tests: the machinery failed, rerun the job", false
	case ci.Canceled:
		return "error", "Your tests were canceled on CircleCI", true
	case ci.NotRun:
		return "error", "Your job was not run: a job that it requires did not succeed", true
	}
	return "", "", false
}
