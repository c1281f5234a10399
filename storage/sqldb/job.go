package sqldb

import (
	"cmp"
	"context"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
)

// A jobRow is a job as it was read.
type jobRow struct {
	past  bool
	place int
	body  string
	job   ci.Job // body, decoded
}

// compare orders current jobs before past ones, each by place.
func (r jobRow) compare(o jobRow) int {
	if r.past != o.past {
		if o.past {
			return -1
		}
		return 1
	}
	return cmp.Compare(r.place, o.place)
}

// giveNumbers gives each build job that has none the project's next number,
// and writes it into the events of the job.
func giveNumbers(tx *tx, w *ci.Workflow, events []ci.Event) error {
	var fresh []*ci.Job
	var highest int64
	for _, jobs := range [][]ci.Job{w.Past, w.Jobs} {
		for i := range jobs {
			j := &jobs[i]
			if j.Type == ci.JobBuild && j.Number == 0 {
				fresh = append(fresh, j)
			}
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	highest, err := tx.next(jobsOf(w.Project), len(fresh))
	if err != nil {
		return err
	}
	numbers := make(map[ci.JobID]int64, len(fresh))
	for i, j := range fresh {
		j.Number = highest - int64(len(fresh)-1-i)
		numbers[j.ID] = j.Number
	}
	for i := range events {
		e := &events[i]
		n, ok := numbers[e.Job]
		if !ok {
			continue
		}
		e.Number = n
		if e.Task != nil {
			e.Task.Number = n // a copy of ours, see cleanEvents
		}
	}
	return nil
}

// saveJobs writes the jobs of a workflow that differ from the row's.
func saveJobs(tx *tx, row *workflowRow, w ci.Workflow) error {
	old := make(map[ci.JobID]*jobRow, len(row.jobs))
	for i := range row.jobs {
		old[row.jobs[i].job.ID] = &row.jobs[i]
	}
	for _, part := range []struct {
		past bool
		jobs []ci.Job
	}{{true, w.Past}, {false, w.Jobs}} {
		for place, j := range part.jobs {
			next := jobRow{past: part.past, place: place, job: j}
			if err := saveJob(tx, row, w, old[j.ID], next); err != nil {
				return fmt.Errorf("job %s: %w", j.ID, err)
			}
			delete(old, j.ID)
		}
	}
	for id := range old { // no longer in the workflow
		if _, err := tx.exec(`DELETE FROM jobs WHERE workflow = ? AND id = ?`, row.seq, valid(id)); err != nil {
			return fmt.Errorf("job %s: %w", id, err)
		}
	}
	return nil
}

// saveJob writes a job if it is new or differs from what is in the database.
func saveJob(tx *tx, row *workflowRow, w ci.Workflow, old *jobRow, next jobRow) error {
	j := next.job
	body, err := encode(j)
	switch {
	case err != nil:
		return err
	case old == nil:
		return addJob(tx, row, w, next, body)
	case old.past == next.past && old.place == next.place && old.body == body:
		return nil
	}
	// What is in an index is left alone unless it differs: it seldom does.
	if o := old.job; o.Kept != j.Kept || o.Number != j.Number || o.Name != j.Name {
		_, err := tx.exec(`UPDATE jobs SET kept = ?, number = ?, name = ? WHERE workflow = ? AND id = ?`,
			j.Kept, j.Number, valid(j.Name), row.seq, valid(j.ID))
		if err != nil {
			return err
		}
	}
	_, err = tx.exec(`UPDATE jobs SET past = ?, place = ?, status = ?, body = ? WHERE workflow = ? AND id = ?`,
		next.past, next.place, valid(j.Status), body, row.seq, valid(j.ID))
	return err
}

func addJob(tx *tx, row *workflowRow, w ci.Workflow, next jobRow, body string) error {
	j := next.job
	n, err := tx.exec(`
		INSERT INTO jobs (workflow, id, past, place, kept, project, number, name, branch, status, body)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, (SELECT branch FROM pipelines WHERE seq = ?), ?, ?)
		ON CONFLICT DO NOTHING`,
		row.seq, valid(j.ID), next.past, next.place, j.Kept, valid(w.Project), j.Number, valid(j.Name),
		row.pipeline, valid(j.Status), body)
	if err == nil && n == 0 {
		return fmt.Errorf("that ID or number is taken: %w", ci.ErrConflict)
	}
	return err
}

const jobWorkflow = `
	SELECT w.id FROM jobs j JOIN workflows w ON w.seq = j.workflow
	WHERE j.id = ? AND j.kept = 0`

// JobWorkflow returns the workflow that a job was made in.
func (db *DB) JobWorkflow(ctx context.Context, id ci.JobID) (ci.WorkflowID, error) {
	var w ci.WorkflowID
	if err := db.reader.row(ctx, jobWorkflow, []any{valid(id)}, &w); err != nil {
		return "", fmt.Errorf("workflow of job %s: %w", id, err)
	}
	return w, nil
}

const jobByNumber = `
	SELECT w.id, j.id FROM jobs j JOIN workflows w ON w.seq = j.workflow
	WHERE j.project = ? AND j.number = ? AND j.number > 0 AND j.kept = 0`

// JobByNumber returns the job with that number, and the workflow that it was
// made in.
func (db *DB) JobByNumber(ctx context.Context, p ci.ProjectID, number int64) (ci.WorkflowID, ci.JobID, error) {
	var w ci.WorkflowID
	var j ci.JobID
	if err := db.reader.row(ctx, jobByNumber, []any{valid(p), number}, &w, &j); err != nil {
		return "", "", fmt.Errorf("job %d of project %s: %w", number, p, err)
	}
	return w, j, nil
}
