package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/rondo-ci/rondo/ci"
)

// leased is the ticket of a task under a lease; its parameters are those of
// holder.
const leased = `SELECT body FROM tickets WHERE task = ? AND state = 'leased' AND epoch = ? AND worker = ?`

func holder(l ci.Lease) []any { return []any{valid(l.Task), l.Epoch, valid(l.Worker)} }

// holding returns the ticket of the lease, which must be the current one.
func holding(tx *tx, l ci.Lease) (ci.Ticket, error) {
	var t ci.Ticket
	var body []byte
	err := tx.row(leased, holder(l), &body)
	switch {
	case errors.Is(err, ci.ErrNotFound):
		return t, fmt.Errorf("epoch %d of worker %q is not the current lease: %w", l.Epoch, l.Worker, ci.ErrConflict)
	case err != nil:
		return t, err
	}
	return t, decode(body, &t)
}

// PutStep writes a step of the lease's hand-out, by its index, and the event
// that it started or ended, if that is new. That a step runs, told again after
// it has ended, is late and changes nothing. A negative index is
// [ci.ErrInvalid].
func (db *DB) PutStep(ctx context.Context, l ci.Lease, s ci.Step) error {
	if err := db.putStep(ctx, l, cleanStep(s)); err != nil {
		return fmt.Errorf("put step %d of task %s: %w", s.Index, l.Task, err)
	}
	return nil
}

func (db *DB) putStep(ctx context.Context, l ci.Lease, s ci.Step) error {
	if s.Index < 0 {
		return fmt.Errorf("negative index: %w", ci.ErrInvalid)
	}
	body, err := encode(s)
	if err != nil {
		return err
	}
	return db.update(ctx, func(tx *tx) error {
		ticket, err := holding(tx, l)
		if err != nil {
			return err
		}
		var old ci.Step
		var before []byte
		err = tx.row(`SELECT body FROM steps WHERE task = ? AND epoch = ? AND step = ?`,
			[]any{valid(l.Task), l.Epoch, s.Index}, &before)
		known := err == nil
		switch {
		case known:
			err = decode(before, &old)
		case errors.Is(err, ci.ErrNotFound):
			err = nil
		}
		late := known && old.Status.Ended() && !s.Status.Ended() && old.Started.Equal(s.Started)
		if err != nil || late || string(before) == body {
			return err
		}
		_, err = tx.exec(`
			INSERT INTO steps (task, epoch, step, body) VALUES (?, ?, ?, ?)
			ON CONFLICT (task, epoch, step) DO UPDATE SET body = excluded.body`,
			valid(l.Task), l.Epoch, s.Index, body)
		if err != nil || known && old.Status.Ended() == s.Status.Ended() {
			return err
		}
		return addEvents(tx, []ci.Event{stepEvent(ticket.Task, s)})
	})
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

const (
	stepsOfEpoch  = `SELECT body FROM steps WHERE task = ? AND epoch = ? ORDER BY step`
	stepsOfNewest = `
		SELECT body FROM steps WHERE task = ? AND epoch = (SELECT max(epoch) FROM steps WHERE task = ?)
		ORDER BY step`
)

// Steps lists the steps of one hand-out of a task by index; epoch 0 is the
// newest that has any.
func (db *DB) Steps(ctx context.Context, t ci.TaskID, epoch int64) ([]ci.Step, error) {
	query, args := stepsOfEpoch, []any{valid(t), epoch}
	if epoch == 0 {
		query, args = stepsOfNewest, []any{valid(t), valid(t)}
	}
	var steps []ci.Step
	err := db.reader.rows(ctx, query, args, func(r *sql.Rows) error {
		var s ci.Step
		var body []byte
		if err := r.Scan(&body); err != nil {
			return err
		}
		err := decode(body, &s)
		steps = append(steps, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("steps of task %s: %w", t, err)
	}
	return steps, nil
}

// PutTests replaces the test results of the lease's task. Their Node becomes
// the task's index, and a run time that is no number becomes 0.
func (db *DB) PutTests(ctx context.Context, l ci.Lease, tests []ci.Test) error {
	if err := db.putTests(ctx, l, tests); err != nil {
		return fmt.Errorf("put tests of task %s: %w", l.Task, err)
	}
	return nil
}

func (db *DB) putTests(ctx context.Context, l ci.Lease, tests []ci.Test) error {
	job, index, ok := l.Task.Split()
	if !ok {
		return fmt.Errorf("no such task: %w", ci.ErrInvalid)
	}
	tests = slices.Clone(tests)
	for i := range tests {
		tests[i].Node = index
		if s := tests[i].Seconds; math.IsNaN(s) || math.IsInf(s, 0) {
			tests[i].Seconds = 0
		}
	}
	packed, err := db.packer.pack(tests) // before the turn: it may take a while
	if err != nil {
		return err
	}
	return db.update(ctx, func(tx *tx) error {
		if _, err := holding(tx, l); err != nil {
			return err
		}
		return replaceTests(tx, job, index, len(tests), packed)
	})
}

func replaceTests(tx *tx, job ci.JobID, index, n int, packed []byte) error {
	if _, err := tx.exec(`DELETE FROM tests WHERE job = ? AND task = ?`, valid(job), index); err != nil {
		return err
	}
	if n > 0 {
		seq, err := tx.next(countTests, 1)
		if err != nil {
			return err
		}
		_, err = tx.exec(`INSERT INTO tests (seq, job, task, body) VALUES (?, ?, ?, ?)`, seq, valid(job), index, packed)
		if err != nil {
			return err
		}
	}
	_, err := tx.exec(`
		UPDATE jobs SET tests = CASE WHEN EXISTS (SELECT 1 FROM tests WHERE job = ?) THEN 1 ELSE 0 END
		WHERE id = ? AND kept = 0`, valid(job), valid(job))
	return err
}

const testsOfJob = `SELECT seq, body FROM tests WHERE job = ?`

// Tests lists the test results of a job over all its tasks: failures and
// errors first, then in order of storing.
func (db *DB) Tests(ctx context.Context, j ci.JobID) ([]ci.Test, error) {
	type stored struct {
		seq    int64
		packed []byte
	}
	var parts []stored
	err := db.reader.rows(ctx, testsOfJob, []any{valid(j)}, func(r *sql.Rows) error {
		var s stored
		err := r.Scan(&s.seq, &s.packed)
		parts = append(parts, s)
		return err
	})
	slices.SortFunc(parts, func(a, b stored) int { return int(a.seq - b.seq) })
	var tests []ci.Test
	for _, p := range parts {
		var some []ci.Test
		if err == nil {
			err = db.packer.unpack(p.packed, &some)
		}
		tests = append(tests, some...)
	}
	if err != nil {
		return nil, fmt.Errorf("tests of job %s: %w", j, err)
	}
	slices.SortStableFunc(tests, func(a, b ci.Test) int { return rank(a) - rank(b) })
	return tests, nil
}

// rank puts failures before the rest.
func rank(t ci.Test) int {
	if t.Result == "failure" || t.Result == "error" {
		return 0
	}
	return 1
}

const (
	testedOnBranch = `
		SELECT id FROM jobs WHERE project = ? AND name = ? AND branch = ?
		AND number > 0
		AND kept = 0 AND tests = 1 AND status = 'success' ORDER BY number DESC LIMIT 1`
	testedAnywhere = `
		SELECT id FROM jobs WHERE project = ? AND name = ?
		AND number > 0
		AND kept = 0 AND tests = 1 AND status = 'success' ORDER BY number DESC LIMIT 1`
)

// Timings returns the test results of the newest successful job of that name
// that has any, newest by number: on the branch, else on any.
func (db *DB) Timings(ctx context.Context, p ci.ProjectID, job, branch string) ([]ci.Test, error) {
	var id ci.JobID
	err := ci.ErrNotFound
	if branch != "" {
		err = db.reader.row(ctx, testedOnBranch, []any{valid(p), valid(job), valid(branch)}, &id)
	}
	if errors.Is(err, ci.ErrNotFound) {
		err = db.reader.row(ctx, testedAnywhere, []any{valid(p), valid(job)}, &id)
	}
	if errors.Is(err, ci.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("timings of job %s: %w", job, err)
	}
	return db.Tests(ctx, id)
}
