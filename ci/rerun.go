package ci

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// A Rerun says what of a workflow is to run again. The zero Rerun is all of it.
type Rerun struct {
	// FromFailed runs what did not succeed; what did is kept.
	FromFailed bool `json:"from_failed,omitempty"`
	// Jobs runs these jobs, and those behind them that did not succeed. The
	// others are kept.
	Jobs []JobID `json:"jobs,omitempty"`
	// Downstream, with Jobs, runs all jobs behind them too.
	Downstream bool `json:"downstream,omitempty"`
}

// Rerun returns a new workflow that repeats this one, which must have ended.
// Jobs that are kept stand in it with their identity, number and outcome, so
// their output, artifacts and workspace layers are those of the old run; the
// old workflow is left as it is.
func (w *Workflow) Rerun(r Rerun, by Actor, now time.Time) (Workflow, []Event, error) {
	if !w.Status.Ended() {
		return Workflow{}, nil, fmt.Errorf("rerun workflow %s: it is %s and has not ended: %w", w.Name, w.Status, ErrConflict)
	}
	again, err := w.chosen(r)
	if err != nil {
		return Workflow{}, nil, fmt.Errorf("rerun workflow %s: %w", w.Name, err)
	}
	n := Workflow{
		ID: WorkflowID(NewID()), Pipeline: w.Pipeline, Project: w.Project, Org: w.Org, Repo: w.Repo,
		Name: w.Name, Setup: w.Setup, Status: Running, RerunOf: w.ID, By: by, Created: now,
	}
	for _, j := range w.Jobs {
		if again[j.Name] {
			j = j.again()
		} else {
			j.Kept = true
		}
		n.Jobs = append(n.Jobs, j)
	}
	return n, append([]Event{n.event(WorkflowStarted, now)}, n.advance(now)...), nil
}

// Retry gives jobs of a workflow that still runs a new attempt, in place. What
// is chosen by r must have ended; with FromFailed it is whatever ended badly
// so far. Jobs behind them that could not run wait again.
func (w *Workflow) Retry(r Rerun, by Actor, now time.Time) ([]Event, error) {
	if w.Status.Ended() {
		return nil, fmt.Errorf("retry in workflow %s: it has ended: %w", w.Name, ErrConflict)
	}
	again, err := w.chosen(r)
	if err != nil {
		return nil, fmt.Errorf("retry in workflow %s: %w", w.Name, err)
	}
	if err := w.retriable(r, again); err != nil {
		return nil, fmt.Errorf("retry in workflow %s: %w", w.Name, err)
	}
	var events []Event
	for i := range w.Jobs {
		j := &w.Jobs[i]
		if !again[j.Name] || !j.Status.Ended() {
			continue
		}
		if j.Status == NotRun { // it never ran: the same attempt waits again
			j.Status, j.Reason, j.Stopped = Blocked, "", time.Time{}
			e := w.jobEvent(JobRetried, j, now)
			e.Actor, e.Reason = by, "it waits again"
			events = append(events, e)
			continue
		}
		w.Past = append(w.Past, *j)
		*j = j.again()
		e := w.jobEvent(JobRetried, j, now)
		e.Actor, e.Reason = by, "in place of "+string(w.Past[len(w.Past)-1].ID)
		events = append(events, e)
	}
	return append(events, w.advance(now)...), nil
}

// retriable reports why the chosen jobs cannot run again in place: one of them
// still runs, nothing has ended yet, or a job that stays goes on behind one
// that would have to succeed first.
func (w *Workflow) retriable(r Rerun, again map[string]bool) error {
	some, graph := false, w.requirements()
	for i := range w.Jobs {
		j := &w.Jobs[i]
		ran := j.Status.Ended() && j.Status != NotRun
		some = some || again[j.Name] && ran
		if slices.Contains(r.Jobs, j.ID) && !j.Status.Ended() {
			return fmt.Errorf("job %s is %s and has not ended: %w", j.Name, j.Status, ErrConflict)
		}
		if j.Status != Queued && j.Status != Running && j.Status != OnHold {
			continue
		}
		for _, up := range graph.upstream(j.Name) {
			if again[up] && w.JobNamed(up).Status == Success {
				return fmt.Errorf("job %s, behind %s, is %s: %w", j.Name, up, j.Status, ErrConflict)
			}
		}
	}
	if !some {
		return fmt.Errorf("nothing has failed yet: %w", ErrConflict)
	}
	return nil
}

// chosen returns the names of the jobs that r runs again.
func (w *Workflow) chosen(r Rerun) (map[string]bool, error) {
	again := make(map[string]bool, len(w.Jobs))
	named := make(map[string]bool)
	for _, id := range r.Jobs {
		j := w.Job(id)
		if j == nil {
			return nil, fmt.Errorf("job %s: %w", id, ErrNotFound)
		}
		named[j.Name] = true
	}
	if r.FromFailed && len(named) > 0 {
		return nil, fmt.Errorf("choose either from_failed or jobs, not both: %w", ErrInvalid)
	}
	behind := w.requirements().behind(named)
	for i := range w.Jobs {
		j := &w.Jobs[i]
		switch {
		case r.FromFailed:
			again[j.Name] = j.Status != Success
		case len(named) == 0, named[j.Name]:
			again[j.Name] = true
		case r.Downstream || j.Status != Success:
			again[j.Name] = behind[j.Name]
		}
	}
	if r.FromFailed && !slices.Contains(slices.Collect(maps.Values(again)), true) {
		return nil, fmt.Errorf("every job succeeded, nothing to rerun: %w", ErrInvalid)
	}
	return again, nil
}
