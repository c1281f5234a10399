package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"slices"

	"github.com/rondo-ci/rondo/ci"
)

// A workflowRow is a workflow as it was read, with what is needed to write
// only what has changed.
type workflowRow struct {
	seq      int64
	pipeline int64 // seq
	body     string
	jobs     []jobRow
}

// The parts of workflows are read in one statement, so that they belong
// together: first the workflows, then their jobs.
const (
	workflowByID = `
		SELECT seq, pipeline, 0 AS past, -1 AS place, body FROM workflows WHERE id = ?
		UNION ALL
		SELECT workflow, 0, past, place, body FROM jobs
		WHERE workflow = (SELECT seq FROM workflows WHERE id = ?)`
	workflowsOfPipeline = `
		SELECT w.seq, w.pipeline, 0 AS past, -1 AS place, w.body FROM workflows w
		WHERE w.pipeline = (SELECT seq FROM pipelines WHERE id = ?)
		UNION ALL
		SELECT j.workflow, 0, j.past, j.place, j.body FROM workflows w
		JOIN jobs j ON j.workflow = w.seq
		WHERE w.pipeline = (SELECT seq FROM pipelines WHERE id = ?)`
)

// A collector puts workflows together from their parts.
type collector struct{ found []*workflowRow }

func (c *collector) scan(r *sql.Rows) error {
	var part workflowRow
	var j jobRow
	if err := r.Scan(&part.seq, &part.pipeline, &j.past, &j.place, &j.body); err != nil {
		return err
	}
	if j.place < 0 {
		part.body = j.body
		c.found = append(c.found, &part)
		return nil
	}
	for _, w := range c.found {
		if w.seq == part.seq {
			w.jobs = append(w.jobs, j)
			return nil
		}
	}
	return fmt.Errorf("row of a job without a workflow %d", part.seq)
}

// workflow decodes what was read.
func (row *workflowRow) workflow() (ci.Workflow, error) {
	var w ci.Workflow
	if err := decode([]byte(row.body), &w); err != nil {
		return w, err
	}
	slices.SortFunc(row.jobs, jobRow.compare)
	for i := range row.jobs {
		j := &row.jobs[i]
		if err := decode([]byte(j.body), &j.job); err != nil {
			return w, err
		}
		// The row keeps one copy, the workflow that is changed gets another.
		job := j.job
		job.Tasks = slices.Clone(job.Tasks)
		if j.past {
			w.Past = append(w.Past, job)
		} else {
			w.Jobs = append(w.Jobs, job)
		}
	}
	return w, nil
}

// Workflow returns the workflow with all its jobs.
func (db *DB) Workflow(ctx context.Context, id ci.WorkflowID) (ci.Workflow, error) {
	var c collector
	err := db.reader.rows(ctx, workflowByID, []any{valid(id), valid(id)}, c.scan)
	if err == nil && len(c.found) == 0 {
		err = ci.ErrNotFound
	}
	var w ci.Workflow
	if err == nil {
		w, err = c.found[0].workflow()
	}
	if err != nil {
		return ci.Workflow{}, fmt.Errorf("workflow %s: %w", id, err)
	}
	return w, nil
}

// Workflows lists those of a pipeline in order of making.
func (db *DB) Workflows(ctx context.Context, id ci.PipelineID) ([]ci.Workflow, error) {
	var c collector
	err := db.reader.rows(ctx, workflowsOfPipeline, []any{valid(id), valid(id)}, c.scan)
	if err == nil && len(c.found) == 0 { // none, or no such pipeline?
		err = db.reader.row(ctx, `SELECT 1 FROM pipelines WHERE id = ?`, []any{valid(id)}, new(int))
	}
	if err != nil {
		return nil, fmt.Errorf("workflows of pipeline %s: %w", id, err)
	}
	slices.SortFunc(c.found, func(a, b *workflowRow) int { return int(a.seq - b.seq) })
	var all []ci.Workflow
	for _, row := range c.found {
		w, err := row.workflow()
		if err != nil {
			return nil, fmt.Errorf("workflows of pipeline %s: %w", id, err)
		}
		all = append(all, w)
	}
	return all, nil
}

// Both read the index that holds the open workflows and nothing else.
const (
	openOfAll = `
		SELECT project, seq, id FROM workflows
		WHERE ended = 0 AND (project, seq) > (?, ?) ORDER BY project, seq LIMIT ?`
	openOfProject = `
		SELECT project, seq, id FROM workflows
		WHERE ended = 0 AND project = ? AND seq > ? ORDER BY seq LIMIT ?`
)

// Open yields the workflows that have not ended, those of a project in order
// of making.
func (db *DB) Open(ctx context.Context, id ci.ProjectID) iter.Seq2[ci.WorkflowID, error] {
	return func(yield func(ci.WorkflowID, error) bool) {
		query, project, seq := openOfAll, "", int64(0)
		if id != "" {
			query, project = openOfProject, valid(id)
		}
		all := pages(func(page []ci.WorkflowID) ([]ci.WorkflowID, error) {
			err := db.reader.rows(ctx, query, []any{project, seq, pageRows}, func(r *sql.Rows) error {
				var w ci.WorkflowID
				err := r.Scan(&project, &seq, &w)
				page = append(page, w)
				return err
			})
			if err != nil {
				return nil, fmt.Errorf("open workflows: %w", err)
			}
			return page, nil
		})
		all(yield)
	}
}

// Update changes a workflow, see [ci.WorkflowStore]. Its identity (ID,
// pipeline and project) cannot be changed: [ci.ErrInvalid]. An error of change
// is returned as it is. change must not write to the database.
func (db *DB) Update(ctx context.Context, id ci.WorkflowID, change func(*ci.Workflow) ([]ci.Event, error)) error {
	err := db.update(ctx, func(tx *tx) error {
		var c collector
		if err := tx.rows(workflowByID, []any{valid(id), valid(id)}, c.scan); err != nil {
			return err
		}
		if len(c.found) == 0 {
			return ci.ErrNotFound
		}
		row := c.found[0]
		w, err := row.workflow()
		if err != nil {
			return err
		}
		old := w
		events, err := change(&w)
		if err != nil {
			return &refusal{err}
		}
		if len(events) == 0 {
			return nil
		}
		if w.ID != old.ID || w.Pipeline != old.Pipeline || w.Project != old.Project {
			return fmt.Errorf("its identity was changed: %w", ci.ErrInvalid)
		}
		return saveWorkflow(tx, row, cleanWorkflow(w), cleanEvents(events))
	})
	return answer(err, "update workflow", id)
}

// saveWorkflow writes what differs from the row.
func saveWorkflow(tx *tx, row *workflowRow, w ci.Workflow, events []ci.Event) error {
	if err := giveNumbers(tx, &w, events); err != nil {
		return err
	}
	body, err := encodeWorkflow(w)
	if err != nil {
		return err
	}
	if body != row.body {
		_, err := tx.exec(`UPDATE workflows SET ended = ?, created = ?, body = ? WHERE seq = ?`,
			w.Status.Ended(), micros(w.Created), body, row.seq)
		if err != nil {
			return err
		}
	}
	if err := saveJobs(tx, row, w); err != nil {
		return err
	}
	return addEvents(tx, events)
}

// addWorkflow writes a new workflow of the pipeline with that seq.
func addWorkflow(tx *tx, pipeline int64, w ci.Workflow) error {
	body, err := encodeWorkflow(w)
	if err != nil {
		return err
	}
	seq, err := tx.next(countWorkflows, 1)
	if err != nil {
		return err
	}
	n, err := tx.exec(`
		INSERT INTO workflows (seq, id, pipeline, project, ended, created, body)
		VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`,
		seq, valid(w.ID), pipeline, valid(w.Project), w.Status.Ended(), micros(w.Created), body)
	switch {
	case err != nil:
		return err
	case n == 0:
		return fmt.Errorf("that ID is taken: %w", ci.ErrConflict)
	}
	return saveJobs(tx, &workflowRow{seq: seq, pipeline: pipeline}, w)
}

// encodeWorkflow writes the workflow without its jobs, which have rows.
func encodeWorkflow(w ci.Workflow) (string, error) {
	w.Jobs, w.Past = nil, nil
	return encode(w)
}
