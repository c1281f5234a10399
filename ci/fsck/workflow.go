package fsck

import (
	"context"
	"fmt"
	"slices"

	"github.com/rondo-ci/rondo/ci"
)

// legal are the statuses that exist.
func legal(s ci.Status, workflow bool) bool {
	switch s {
	case ci.Running, ci.Success, ci.Failed, ci.Canceled, ci.Unauthorized, ci.OnHold:
		return true
	case ci.Failing:
		return workflow
	case ci.Blocked, ci.Queued, ci.TimedOut, ci.InfraFailed, ci.NotRun:
		return !workflow || s == ci.NotRun
	}
	return false
}

// workflow checks one workflow, its graph and its jobs.
func (x *exam) workflow(ctx context.Context, l *list, p ci.Pipeline, w *ci.Workflow, numbers map[int64]ci.JobID) error {
	object := "workflow " + string(w.ID)
	if w.Pipeline != p.ID {
		l.add(WorkflowParent, object, fmt.Sprintf("says that it is of pipeline %s, and was found at %s", w.Pipeline, p.ID), restore)
	}
	if !legal(w.Status, true) {
		l.add(WorkflowStatus, object, fmt.Sprintf("has the status %q", w.Status), restore)
	}
	if len(w.Jobs) == 0 {
		l.add(WorkflowEmpty, object, "has no jobs", restore)
		return nil
	}
	open, bad := 0, 0
	for _, j := range w.Jobs {
		if !j.Status.Ended() {
			open++
		}
		if j.Status.Bad() {
			bad++
		}
	}
	ended := w.Status.Ended()
	switch {
	case ended && open > 0:
		l.add(WorkflowClosed, object, fmt.Sprintf("is %s, and %d of its jobs have not ended", w.Status, open), "cancel it, and run it again")
	case !ended && open == 0:
		l.add(WorkflowOpen, object, fmt.Sprintf("is %s, and all its jobs have ended", w.Status), "cancel it")
	case w.Status == ci.Failed && bad == 0 && !slices.ContainsFunc(w.Jobs, func(j ci.Job) bool { return j.Status == ci.NotRun || j.Status == ci.Canceled }):
		l.add(WorkflowOutcome, object, "has failed, and none of its jobs has", "run it again")
	case w.Status == ci.Success && bad > 0 && !handled(w):
		l.add(WorkflowOutcome, object, fmt.Sprintf("is a success, and %d of its jobs are not", bad), "run it again")
	}
	if ended == w.Stopped.IsZero() {
		l.add(WorkflowStopped, object, fmt.Sprintf("is %s, and its end is %v", w.Status, w.Stopped), restore)
	}
	if !w.Stopped.IsZero() && w.Stopped.Before(w.Created) {
		l.add(WorkflowTimes, object, "ended before it began", "check the clock of the server")
	}
	x.graph(l, w)
	seen := map[ci.JobID]bool{}
	for _, j := range slices.Concat(w.Past, w.Jobs) {
		if seen[j.ID] {
			l.add(JobTwice, "job "+string(j.ID), "is there twice in "+object, restore)
		}
		seen[j.ID] = true
		if err := x.job(ctx, l, w, j, numbers); err != nil {
			return err
		}
	}
	return nil
}

// handled reports whether each job that went wrong is one whose failure another
// job waits for: then the workflow may well be a success.
func handled(w *ci.Workflow) bool {
	for _, j := range w.Jobs {
		if !j.Status.Bad() {
			continue
		}
		if !slices.ContainsFunc(w.Jobs, func(other ci.Job) bool {
			return slices.ContainsFunc(other.Requires, func(r ci.Requirement) bool { return r.Job == j.Name && len(r.Statuses) > 0 })
		}) {
			return false
		}
	}
	return true
}

// graph checks that jobs wait and begin by their requirements.
func (x *exam) graph(l *list, w *ci.Workflow) {
	byName := map[string]ci.Job{}
	for _, j := range w.Jobs {
		if _, ok := byName[j.Name]; ok {
			l.add(JobTwice, "job "+string(j.ID), fmt.Sprintf("is called %q, as another one of workflow %s", j.Name, w.ID), restore)
		}
		byName[j.Name] = j
	}
	for _, j := range w.Jobs {
		object := fmt.Sprintf("job %s (%s)", j.ID, j.Name)
		waiting, unmet := 0, 0
		for _, r := range j.Requires {
			q, ok := byName[r.Job]
			switch {
			case !ok:
				l.add(JobRequires, object, fmt.Sprintf("requires %q, which workflow %s has not", r.Job, w.ID), restore)
			case !q.Status.Ended():
				waiting++
			case !met(q.Status, r):
				unmet++
			}
		}
		if reaches(byName, j.Name, j.Name, map[string]bool{}) {
			l.add(JobCycle, object, "requires itself, over others", restore)
			continue
		}
		began := j.Status != ci.Blocked && j.Status != ci.NotRun && j.Status != ci.Canceled
		switch {
		case began && !j.Kept && waiting > 0:
			l.add(JobEarly, object, fmt.Sprintf("is %s, and %d of what it requires has not ended", j.Status, waiting), "cancel the workflow, and run it again")
		case j.Status == ci.Blocked && waiting == 0 && !w.Status.Ended():
			l.add(JobLate, object, fmt.Sprintf("waits, and nothing that it requires does (%d are not as it wants)", unmet), "cancel the workflow, and run it again")
		}
	}
}

// met reports whether a job that ended is as a requirement wants it.
func met(s ci.Status, r ci.Requirement) bool {
	if len(r.Statuses) == 0 {
		return s == ci.Success
	}
	return slices.Contains(r.Statuses, s)
}

// reaches reports whether the job named from requires the one named to.
func reaches(jobs map[string]ci.Job, from, to string, seen map[string]bool) bool {
	for _, r := range jobs[from].Requires {
		if r.Job == to {
			return true
		}
		if !seen[r.Job] {
			seen[r.Job] = true
			if reaches(jobs, r.Job, to, seen) {
				return true
			}
		}
	}
	return false
}
