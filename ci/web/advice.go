package web

import (
	"context"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// An advice is what somebody can do about a job that did not succeed.
type advice struct {
	Text string
	// Link leads to where it can be done or seen; "" is nowhere.
	Link, LinkText string
}

// advise says what to do about a job that ended otherwise than well; nil says
// nothing.
func (s *site) advise(ctx context.Context, at jobPlace) (*advice, error) {
	switch at.job.Status {
	case ci.Failed, ci.TimedOut:
		step, err := s.failedStep(ctx, at)
		if err != nil {
			return nil, err
		}
		return stepAdvice(at, step), nil
	case ci.InfraFailed:
		return &advice{Text: "This is no fault of the job: the machinery around it failed. Rerun it; if that fails the same way, tell whoever runs this installation the words above."}, nil
	case ci.Unauthorized:
		a := &advice{Text: "It asks for a context that it may not use. Ask somebody of the organisation to open the context to it, or leave the context out of the job; then rerun."}
		if s.cfg.Chapters.Contexts != nil {
			a.Link, a.LinkText = OrgPath(at.project.OrgSlug()), "Contexts"
		}
		return a, nil
	case ci.NotRun:
		return &advice{
			Text: "It was not run, since a job before it did not end as this one requires. Mend that one and rerun from failed.",
			Link: WorkflowPath(at.workflow.ID), LinkText: "Workflow",
		}, nil
	}
	return nil, nil
}

// failedStep returns the step of the chosen task that went wrong; nil is none.
func (s *site) failedStep(ctx context.Context, at jobPlace) (*ci.Step, error) {
	if at.epoch == 0 {
		return nil, nil
	}
	steps, err := s.read.Steps(ctx, at.task(), at.epoch)
	if err != nil {
		return nil, err
	}
	for i, step := range steps {
		if step.Status.Bad() {
			return &steps[i], nil
		}
	}
	return nil, nil
}

func stepAdvice(at jobPlace, step *ci.Step) *advice {
	if step == nil {
		if at.job.Status == ci.TimedOut {
			return &advice{Text: "It ran longer than it may. Split it with parallelism, or cache what it makes anew each time."}
		}
		return nil
	}
	a := &advice{Link: fmt.Sprintf("%s?node=%d#step-%d", JobPath(at.project, at.job.Number), at.node, step.Index), LinkText: "To the output"}
	name := show(step.Name)
	switch {
	case step.Status == ci.TimedOut:
		a.Text = fmt.Sprintf("The step “%s” printed nothing for too long, or ran longer than it may. If that is how it should be, give it a longer no_output_timeout.", name)
	case step.ExitCode == 137:
		a.Text = fmt.Sprintf("The step “%s” was killed (exit code 137), most often for lack of memory. Choose a larger resource_class, or start fewer workers.", name)
	case step.ExitCode == 127:
		a.Text = fmt.Sprintf("A command of the step “%s” is not there (exit code 127). Install it in a step before, or choose an image that has it.", name)
	case step.ExitCode == 126:
		a.Text = fmt.Sprintf("A command of the step “%s” may not be run (exit code 126). Make the file executable in the repository.", name)
	case step.Kind == ci.StepCheckout:
		a.Text = "The code could not be checked out. See that the project has a key that may read the repository, and that the commit still exists."
	case step.ExitCode != 0:
		a.Text = fmt.Sprintf("The step “%s” ended with exit code %d. Its output says why. “rondo run” does the same on your own machine.", name, step.ExitCode)
	default:
		a.Text = fmt.Sprintf("The step “%s” failed. Its output says why.", name)
	}
	return a
}

// waitingSince returns since when a job waits as it does; zero is that it does
// not wait.
func waitingSince(wf *ci.Workflow, j ci.Job) time.Time {
	switch j.Status {
	case ci.Queued:
		return j.Queued
	case ci.Blocked:
		return wf.Created
	case ci.OnHold: // since the last of those before it ended
		since := wf.Created
		for _, r := range j.Requires {
			if up := wf.JobNamed(r.Job); up != nil && up.Stopped.After(since) {
				since = up.Stopped
			}
		}
		return since
	}
	return time.Time{}
}
