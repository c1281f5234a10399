package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/rondo-ci/rondo/ci"
)

// Create adds a pipeline and its events, see [ci.PipelineStore]. A project
// that does not exist is [ci.ErrNotFound]; an ID that is taken is
// [ci.ErrConflict].
func (db *DB) Create(ctx context.Context, p ci.Pipeline, events ...ci.Event) (ci.Pipeline, bool, error) {
	if p.ID == "" {
		return ci.Pipeline{}, false, fmt.Errorf("create pipeline: an ID is needed: %w", ci.ErrInvalid)
	}
	var kept ci.Pipeline
	err := db.update(ctx, func(tx *tx) (err error) {
		kept, err = create(tx, cleanPipeline(p), cleanEvents(events))
		return err
	})
	var first *repetition
	if errors.As(err, &first) {
		return first.kept, false, nil
	}
	if err != nil {
		return ci.Pipeline{}, false, fmt.Errorf("create pipeline %s: %w", p.ID, err)
	}
	return kept, true, nil
}

// A repetition undoes a transaction that would have created a pipeline whose
// trigger has been seen.
type repetition struct{ kept ci.Pipeline }

func (*repetition) Error() string { return "trigger has been seen" }

func create(tx *tx, p ci.Pipeline, events []ci.Event) (ci.Pipeline, error) {
	if err := seen(tx, p.Trigger); err != nil {
		return p, err
	}
	project := p.Trigger.Project
	if err := tx.row(`SELECT 1 FROM projects WHERE id = ?`, []any{valid(project)}, new(int)); err != nil {
		return p, fmt.Errorf("project %s: %w", project, err)
	}
	number, err := tx.next(pipelinesOf(project), 1)
	if err != nil {
		return p, err
	}
	seq, err := tx.next(countPipelines, 1)
	if err != nil {
		return p, err
	}
	p.Number, p.Plan = number, nil
	for i := range events {
		events[i].Number = number
	}
	body, err := encode(p)
	if err != nil {
		return p, err
	}
	// The constraints decide; the look before was only the cheaper way.
	n, err := tx.exec(`
		INSERT INTO pipelines (seq, id, project, number, key, branch, state, created, body)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`,
		seq, valid(p.ID), valid(project), number,
		sql.NullString{String: valid(p.Trigger.Key), Valid: p.Trigger.Key != ""},
		valid(p.Trigger.Branch), valid(p.State), micros(p.Created), body)
	switch {
	case err != nil:
		return p, err
	case n == 0:
		if err := seen(tx, p.Trigger); err != nil {
			return p, err
		}
		return p, fmt.Errorf("that ID is taken: %w", ci.ErrConflict)
	}
	if err := addEvents(tx, events); err != nil {
		return p, err
	}
	return decodePipeline([]byte(body))
}

// seen returns a [repetition] if the project has a pipeline with the trigger's
// key.
func seen(tx *tx, t ci.Trigger) error {
	if t.Key == "" {
		return nil
	}
	var body []byte
	err := tx.row(`SELECT body FROM pipelines WHERE project = ? AND key = ?`,
		[]any{valid(t.Project), valid(t.Key)}, &body)
	switch {
	case errors.Is(err, ci.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	kept, err := decodePipeline(body)
	if err != nil {
		return err
	}
	return &repetition{kept}
}

// Start changes a pipeline and adds its workflows, see [ci.PipelineStore].
// The identity of the pipeline (ID, number, project and key) cannot be
// changed, and the workflows must be of it: otherwise [ci.ErrInvalid]. An
// error of change is returned as it is. change must not write to the database.
func (db *DB) Start(ctx context.Context, id ci.PipelineID, change func(*ci.Pipeline) ([]ci.Workflow, []ci.Event, error)) error {
	err := db.update(ctx, func(tx *tx) error {
		seq, p, err := loadPipeline(tx, id)
		if err != nil {
			return err
		}
		old := p
		workflows, events, err := change(&p)
		if err != nil {
			return &refusal{err}
		}
		return db.start(tx, seq, old, p, workflows, events)
	})
	return answer(err, "start pipeline", id)
}

// A refusal is the error of a change, on its way to the caller.
type refusal struct{ error }

// answer returns the error of a change as it is, any other with its object.
func answer[ID ~string](err error, operation string, id ID) error {
	if err == nil {
		return nil
	}
	if r, ok := err.(*refusal); ok { //nolint:errorlint // never wrapped
		return r.error
	}
	return fmt.Errorf("%s %s: %w", operation, id, err)
}

func (db *DB) start(tx *tx, seq int64, old, p ci.Pipeline, workflows []ci.Workflow, events []ci.Event) error {
	if p.ID != old.ID || p.Number != old.Number || p.Trigger.Project != old.Trigger.Project || p.Trigger.Key != old.Trigger.Key {
		return fmt.Errorf("its identity was changed: %w", ci.ErrInvalid)
	}
	body, err := encode(cleanPipeline(p))
	if err != nil {
		return err
	}
	_, err = tx.exec(`UPDATE pipelines SET branch = ?, state = ?, created = ?, body = ? WHERE seq = ?`,
		valid(p.Trigger.Branch), valid(p.State), micros(p.Created), body, seq)
	if err != nil {
		return err
	}
	if p.Plan != nil {
		packed, err := db.packer.pack(p.Plan)
		if err != nil {
			return fmt.Errorf("plan: %w", err)
		}
		_, err = tx.exec(`
			INSERT INTO plans (pipeline, body) VALUES (?, ?)
			ON CONFLICT (pipeline) DO UPDATE SET body = excluded.body`, seq, packed)
		if err != nil {
			return fmt.Errorf("plan: %w", err)
		}
	}
	events = cleanEvents(events)
	for _, w := range workflows {
		if w.Pipeline != p.ID || w.Project != p.Trigger.Project {
			return fmt.Errorf("workflow %s is not of this pipeline and project: %w", w.ID, ci.ErrInvalid)
		}
		w = cleanWorkflow(w)
		if err := giveNumbers(tx, &w, events); err != nil {
			return err
		}
		if err := addWorkflow(tx, seq, w); err != nil {
			return fmt.Errorf("workflow %s: %w", w.ID, err)
		}
	}
	return addEvents(tx, events)
}

const pipelineByID = `SELECT seq, body FROM pipelines WHERE id = ?`

func loadPipeline(tx *tx, id ci.PipelineID) (seq int64, p ci.Pipeline, err error) {
	var body []byte
	if err := tx.row(pipelineByID, []any{valid(id)}, &seq, &body); err != nil {
		return 0, p, err
	}
	p, err = decodePipeline(body)
	return seq, p, err
}

// Pipeline returns the pipeline, without its plan.
func (db *DB) Pipeline(ctx context.Context, id ci.PipelineID) (ci.Pipeline, error) {
	var p ci.Pipeline
	var body []byte
	err := db.reader.row(ctx, pipelineByID, []any{valid(id)}, new(int64), &body)
	if err == nil {
		p, err = decodePipeline(body)
	}
	if err != nil {
		return ci.Pipeline{}, fmt.Errorf("pipeline %s: %w", id, err)
	}
	return p, nil
}

// Plan returns the pipeline's plan.
func (db *DB) Plan(ctx context.Context, id ci.PipelineID) (*ci.Plan, error) {
	var plan ci.Plan
	var packed []byte
	err := db.reader.row(ctx, planByID, []any{valid(id)}, &packed)
	if err == nil {
		err = db.packer.unpack(packed, &plan)
	}
	if err != nil {
		return nil, fmt.Errorf("plan of pipeline %s: %w", id, err)
	}
	return &plan, nil
}

const planByID = `SELECT body FROM plans WHERE pipeline = (SELECT seq FROM pipelines WHERE id = ?)`

// Pipelines yields one page, newest first. A Before that does not exist is
// [ci.ErrNotFound], one of another project than q's [ci.ErrInvalid].
func (db *DB) Pipelines(ctx context.Context, q ci.Query) iter.Seq2[ci.Pipeline, error] {
	return func(yield func(ci.Pipeline, error) bool) {
		left := q.Limit
		if left <= 0 {
			left = 20
		}
		at := q // moves with the pages
		all := pages(func(page []ci.Pipeline) ([]ci.Pipeline, error) {
			if left == 0 {
				return page, nil
			}
			page, err := db.listPage(ctx, at, min(left, pageRows), page)
			if err != nil {
				return nil, fmt.Errorf("pipelines: %w", err)
			}
			if n := len(page); n > 0 {
				left, at.Before = left-n, page[n-1].ID
			}
			return page, nil
		})
		all(yield)
	}
}

func (db *DB) listPage(ctx context.Context, q ci.Query, limit int, page []ci.Pipeline) ([]ci.Pipeline, error) {
	query, args := listing(q)
	before := int64(math.MaxInt64)
	if q.Before != "" {
		var err error
		if before, err = db.place(ctx, q); err != nil {
			return nil, fmt.Errorf("before %s: %w", q.Before, err)
		}
	}
	err := db.reader.rows(ctx, query, append(args, before, limit), func(r *sql.Rows) error {
		var body []byte
		if err := r.Scan(&body); err != nil {
			return err
		}
		p, err := decodePipeline(body)
		page = append(page, p)
		return err
	})
	return page, err
}

// place returns where q.Before stands in the order of the listing.
func (db *DB) place(ctx context.Context, q ci.Query) (int64, error) {
	var seq, number int64
	var project string
	err := db.reader.row(ctx, placeByID, []any{valid(q.Before)}, &seq, &number, &project)
	switch {
	case err != nil:
		return 0, err
	case q.Project != "" && project != valid(q.Project):
		return 0, fmt.Errorf("it is of another project: %w", ci.ErrInvalid)
	case byNumber(q):
		return number, nil
	}
	return seq, nil
}

const placeByID = `SELECT seq, number, project FROM pipelines WHERE id = ?`

// byNumber reports whether the listing goes by number, which within a project
// is the same order as by seq and saves an index.
func byNumber(q ci.Query) bool { return q.Project != "" && q.Branch == "" && q.State == "" }

// listing returns the query for a page and its first arguments; after them
// come the place that the page stands before and the limit. For each choice
// of fields there is an index that ends in the order.
func listing(q ci.Query) (string, []any) {
	where := "seq < ? ORDER BY seq DESC LIMIT ?"
	if byNumber(q) {
		where = "number < ? ORDER BY number DESC LIMIT ?"
	}
	var args []any
	for _, f := range []struct{ value, term string }{
		{valid(q.State), "state = ?"},
		{valid(q.Branch), "branch = ? AND branch <> ''"}, // the rest lets the partial indexes be used
		{valid(q.Project), "project = ?"},
	} {
		if f.value != "" {
			where, args = f.term+" AND "+where, append([]any{f.value}, args...)
		}
	}
	return "SELECT body FROM pipelines WHERE " + where, args
}
