package memdb

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/internal/plain"
)

// A testSet is the test results of one task.
type testSet struct {
	stored int // counts up
	tests  []ci.Test
}

// holding returns the ticket of the lease, which must be the current one.
func (db *DB) holding(l ci.Lease) (ci.Ticket, error) {
	t, ok := db.tickets[plain.Text(l.Task)]
	if !ok || t.State != ci.TicketLeased || t.Epoch != l.Epoch || t.Worker != plain.Text(l.Worker) {
		return t, fmt.Errorf("epoch %d of worker %q is not the current lease: %w", l.Epoch, l.Worker, ci.ErrConflict)
	}
	return t, nil
}

// PutStep writes a step of the lease's hand-out, by its index, and the event
// that it started or ended, if that is new. That a step runs, told again after
// it has ended, is late and changes nothing. A negative index is
// [ci.ErrInvalid].
func (db *DB) PutStep(ctx context.Context, l ci.Lease, s ci.Step) error {
	err := db.update(ctx, func() (func(), error) {
		if s.Index < 0 {
			return nil, fmt.Errorf("negative index: %w", ci.ErrInvalid)
		}
		s, err := clone(s)
		if err != nil {
			return nil, err
		}
		ticket, err := db.holding(l)
		if err != nil {
			return nil, err
		}
		key := handOut{plain.Text(l.Task), l.Epoch}
		old, known := db.steps[key][s.Index]
		if known && old.Status.Ended() && !s.Status.Ended() && old.Started.Equal(s.Started) {
			return nil, nil // late
		}
		var events []ci.Event
		if !known || old.Status.Ended() != s.Status.Ended() {
			events = append(events, stepEvent(ticket.Task, s))
		}
		return func() {
			if db.steps[key] == nil {
				db.steps[key] = map[int]ci.Step{}
			}
			db.steps[key][s.Index] = s
			db.addEvents(events)
		}, nil
	})
	if err != nil {
		return fmt.Errorf("put step %d of task %s: %w", s.Index, l.Task, err)
	}
	return nil
}

// stepEvent tells that the step started or ended.
func stepEvent(t ci.Task, s ci.Step) ci.Event {
	e := ci.Event{
		Kind: ci.StepStarted, Time: s.Started, Project: t.Project, Pipeline: t.Pipeline, Workflow: t.Workflow,
		Job: t.Job, Name: t.Name, Number: t.Number, Status: s.Status, Reason: s.Reason, Node: t.Index, Step: &s,
	}
	if s.Status.Ended() {
		e.Kind, e.Time = ci.StepEnded, s.Stopped
	}
	return e
}

// Steps lists the steps of one hand-out of a task by index; epoch 0 is the
// newest that has any.
func (db *DB) Steps(ctx context.Context, t ci.TaskID, epoch int64) (steps []ci.Step, err error) {
	err = db.read(ctx, func() error {
		if epoch == 0 {
			for key := range db.steps {
				if key.task == plain.Text(t) {
					epoch = max(epoch, key.epoch)
				}
			}
		}
		some := db.steps[handOut{plain.Text(t), epoch}]
		for _, i := range slices.Sorted(maps.Keys(some)) {
			steps = append(steps, some[i])
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("steps of task %s: %w", t, err)
	}
	return steps, nil
}

// PutTests replaces the test results of the lease's task. Their Node becomes
// the task's index, and a run time that is no number becomes 0.
func (db *DB) PutTests(ctx context.Context, l ci.Lease, tests []ci.Test) error {
	err := db.update(ctx, func() (func(), error) {
		job, index, ok := plain.Text(l.Task).Split()
		if !ok {
			return nil, fmt.Errorf("no such task: %w", ci.ErrInvalid)
		}
		tests := slices.Clone(tests)
		for i := range tests {
			tests[i].Node = index
			if s := tests[i].Seconds; math.IsNaN(s) || math.IsInf(s, 0) {
				tests[i].Seconds = 0
			}
		}
		tests, err := clone(tests)
		if err != nil {
			return nil, err
		}
		if _, err := db.holding(l); err != nil {
			return nil, err
		}
		return func() {
			if db.tests[job] == nil {
				db.tests[job] = map[int]testSet{}
			}
			delete(db.tests[job], index)
			if len(tests) > 0 {
				db.stored++
				db.tests[job][index] = testSet{db.stored, tests}
			}
		}, nil
	})
	if err != nil {
		return fmt.Errorf("put tests of task %s: %w", l.Task, err)
	}
	return nil
}

// Tests lists the test results of a job over all its tasks: failures and
// errors first, then in order of storing.
func (db *DB) Tests(ctx context.Context, j ci.JobID) (tests []ci.Test, err error) {
	err = db.read(ctx, func() error {
		tests = db.testsOf(plain.Text(j))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("tests of job %s: %w", j, err)
	}
	return tests, nil
}

func (db *DB) testsOf(j ci.JobID) []ci.Test {
	sets := slices.Collect(maps.Values(db.tests[j]))
	slices.SortFunc(sets, func(a, b testSet) int { return a.stored - b.stored })
	var good, bad []ci.Test
	for _, set := range sets {
		for _, t := range set.tests {
			if t.Result == "failure" || t.Result == "error" {
				bad = append(bad, t)
			} else {
				good = append(good, t)
			}
		}
	}
	return append(bad, good...)
}

// Timings returns the test results of the newest successful job of that name
// that has any, newest by number: on the branch, else on any.
func (db *DB) Timings(ctx context.Context, p ci.ProjectID, job, branch string) (tests []ci.Test, err error) {
	err = db.read(ctx, func() error {
		var there, anywhere ci.Job
		for id, set := range db.tests {
			w := db.jobs[id]
			if w == nil || len(set) == 0 || w.Project != plain.Text(p) {
				continue
			}
			j := w.Attempt(id)
			if j.Name != plain.Text(job) || j.Status != ci.Success {
				continue
			}
			if j.Number > anywhere.Number {
				anywhere = *j
			}
			if w.pipeline.Trigger.Branch == plain.Text(branch) && branch != "" && j.Number > there.Number {
				there = *j
			}
		}
		if there.ID == "" {
			there = anywhere
		}
		tests = db.testsOf(there.ID)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("timings of job %s: %w", job, err)
	}
	return tests, nil
}
