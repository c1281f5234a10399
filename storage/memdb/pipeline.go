package memdb

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/internal/plain"
)

// A pipeline is one with what belongs to it. The values are replaced, never
// changed, so that readers may keep them.
type pipeline struct {
	ci.Pipeline
	seq       int // place in DB.pipelines
	plan      *ci.Plan
	workflows []*workflow
}

// Create adds a pipeline and its events, see [ci.PipelineStore]. A project
// that does not exist is [ci.ErrNotFound]; an ID that is taken is
// [ci.ErrConflict].
func (db *DB) Create(ctx context.Context, p ci.Pipeline, events ...ci.Event) (ci.Pipeline, bool, error) {
	id, created := p.ID, false
	if id == "" {
		return ci.Pipeline{}, false, fmt.Errorf("create pipeline: an ID is needed: %w", ci.ErrInvalid)
	}
	p.Plan = nil
	err := db.update(ctx, func() (func(), error) {
		var err error
		if p, err = clone(p); err != nil {
			return nil, err
		}
		if events, err = clone(events); err != nil {
			return nil, err
		}
		key := triggerKey{p.Trigger.Project, p.Trigger.Key}
		if first := db.keys[key]; first != nil && key.key != "" {
			p = first.Pipeline
			return nil, nil
		}
		if _, known := db.projects[key.project]; !known {
			return nil, fmt.Errorf("project %s: %w", key.project, ci.ErrNotFound)
		}
		if db.byID[p.ID] != nil {
			return nil, fmt.Errorf("that ID is taken: %w", ci.ErrConflict)
		}
		n := db.counts[key.project]
		n.pipelines++
		p.Number = n.pipelines
		for i := range events {
			events[i].Number = p.Number
		}
		created = true
		return func() {
			kept := &pipeline{Pipeline: p, seq: len(db.pipelines)}
			db.pipelines = append(db.pipelines, kept)
			db.byID[p.ID], db.keys[key], db.counts[key.project] = kept, kept, n
			db.addEvents(events)
		}, nil
	})
	if err != nil {
		return ci.Pipeline{}, false, fmt.Errorf("create pipeline %s: %w", id, err)
	}
	return mustClone(p), created, nil
}

// Start changes a pipeline and adds its workflows, see [ci.PipelineStore].
// The identity of the pipeline (ID, number, project and key) cannot be
// changed, and the workflows must be of it: otherwise [ci.ErrInvalid]. An
// error of change is returned as it is. change must not write to the database.
func (db *DB) Start(ctx context.Context, id ci.PipelineID, change func(*ci.Pipeline) ([]ci.Workflow, []ci.Event, error)) error {
	err := db.update(ctx, func() (func(), error) {
		old := db.byID[plain.Text(id)]
		if old == nil {
			return nil, ci.ErrNotFound
		}
		p := mustClone(old.Pipeline)
		workflows, events, err := change(&p)
		if err != nil {
			return nil, &refusal{err}
		}
		return db.start(old, p, workflows, events)
	})
	return answer(err, "start pipeline", id)
}

func (db *DB) start(old *pipeline, p ci.Pipeline, workflows []ci.Workflow, events []ci.Event) (func(), error) {
	if p.ID != old.ID || p.Number != old.Number ||
		p.Trigger.Project != old.Trigger.Project || p.Trigger.Key != old.Trigger.Key {
		return nil, fmt.Errorf("its identity was changed: %w", ci.ErrInvalid)
	}
	plan, err := clone(p.Plan)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	p.Plan = nil
	if p, err = clone(p); err != nil {
		return nil, err
	}
	if events, err = clone(events); err != nil {
		return nil, err
	}
	n := db.counts[p.Trigger.Project]
	index := db.newIndex()
	var added []*workflow
	for _, w := range workflows {
		if w.Pipeline != p.ID || w.Project != p.Trigger.Project {
			return nil, fmt.Errorf("workflow %s is not of this pipeline and project: %w", w.ID, ci.ErrInvalid)
		}
		if w, err = clone(w); err != nil {
			return nil, fmt.Errorf("workflow %s: %w", w.ID, err)
		}
		giveNumbers(&n, &w, events)
		kept := &workflow{Workflow: w, pipeline: old}
		if db.byWID[w.ID] != nil || slices.ContainsFunc(added, func(o *workflow) bool { return o.ID == w.ID }) {
			return nil, fmt.Errorf("workflow %s: that ID is taken: %w", w.ID, ci.ErrConflict)
		}
		if err := index.add(kept); err != nil {
			return nil, fmt.Errorf("workflow %s: %w", w.ID, err)
		}
		added = append(added, kept)
	}
	return func() {
		old.Pipeline = p
		if plan != nil {
			old.plan = plan
		}
		old.workflows = append(old.workflows, added...)
		db.workflows = append(db.workflows, added...)
		for _, w := range added {
			db.byWID[w.ID] = w
		}
		db.counts[p.Trigger.Project] = n
		index.apply()
		db.addEvents(events)
	}, nil
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

// Pipeline returns the pipeline, without its plan.
func (db *DB) Pipeline(ctx context.Context, id ci.PipelineID) (p ci.Pipeline, err error) {
	err = db.read(ctx, func() error {
		kept := db.byID[plain.Text(id)]
		if kept == nil {
			return ci.ErrNotFound
		}
		p = mustClone(kept.Pipeline)
		return nil
	})
	if err != nil {
		return ci.Pipeline{}, fmt.Errorf("pipeline %s: %w", id, err)
	}
	return p, nil
}

// Plan returns the pipeline's plan.
func (db *DB) Plan(ctx context.Context, id ci.PipelineID) (plan *ci.Plan, err error) {
	err = db.read(ctx, func() error {
		kept := db.byID[plain.Text(id)]
		if kept == nil || kept.plan == nil {
			return ci.ErrNotFound
		}
		plan = mustClone(kept.plan)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("plan of pipeline %s: %w", id, err)
	}
	return plan, nil
}

// Pipelines yields one page, newest first. A Before that does not exist is
// [ci.ErrNotFound], one of another project than q's [ci.ErrInvalid].
func (db *DB) Pipelines(ctx context.Context, q ci.Query) iter.Seq2[ci.Pipeline, error] {
	return sequence(ctx, db, "pipelines", func() ([]ci.Pipeline, error) {
		older := db.pipelines
		if q.Before != "" {
			before := db.byID[plain.Text(q.Before)]
			switch {
			case before == nil:
				return nil, fmt.Errorf("before %s: %w", q.Before, ci.ErrNotFound)
			case q.Project != "" && before.Trigger.Project != plain.Text(q.Project):
				return nil, fmt.Errorf("before %s: it is of another project: %w", q.Before, ci.ErrInvalid)
			}
			older = older[:before.seq]
		}
		limit := q.Limit
		if limit <= 0 {
			limit = 20
		}
		var page []ci.Pipeline
		for _, p := range slices.Backward(older) {
			if len(page) == limit {
				break
			}
			if selects(q, p.Pipeline) {
				page = append(page, p.Pipeline)
			}
		}
		return page, nil
	})
}

// selects reports whether the query selects the pipeline.
func selects(q ci.Query, p ci.Pipeline) bool {
	return (q.Project == "" || plain.Text(q.Project) == p.Trigger.Project) &&
		(q.Branch == "" || plain.Text(q.Branch) == p.Trigger.Branch) &&
		(q.State == "" || plain.Text(q.State) == p.State)
}
