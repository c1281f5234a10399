package memdb

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/internal/plain"
)

// A workflow is one with the pipeline that it belongs to. The value is
// replaced, never changed, so that readers may keep it.
type workflow struct {
	ci.Workflow
	pipeline *pipeline
}

// giveNumbers gives each build job that has none the project's next number,
// and writes it into the events of the job.
func giveNumbers(n *counts, w *ci.Workflow, events []ci.Event) {
	given := map[ci.JobID]int64{}
	for _, jobs := range [][]ci.Job{w.Past, w.Jobs} {
		for i := range jobs {
			if j := &jobs[i]; j.Type == ci.JobBuild && j.Number == 0 {
				n.jobs++
				j.Number = n.jobs
				given[j.ID] = j.Number
			}
		}
	}
	for i := range events {
		e := &events[i]
		number, ok := given[e.Job]
		if !ok {
			continue
		}
		e.Number = number
		if e.Task != nil {
			e.Task.Number = number
		}
	}
}

// An index is a change to the index of jobs: where each was made, and its
// number.
type index struct {
	db      *DB
	dropped []ci.Job
	made    map[ci.JobID]*workflow
	numbers map[jobNumber]ci.JobID
}

func (db *DB) newIndex() *index {
	return &index{db: db, made: map[ci.JobID]*workflow{}, numbers: map[jobNumber]ci.JobID{}}
}

// drop takes the workflow's own jobs out.
func (x *index) drop(w *workflow) {
	for _, j := range slices.Concat(w.Past, w.Jobs) {
		if !j.Kept {
			x.dropped = append(x.dropped, j)
		}
	}
}

// add puts the workflow's own jobs in. An identity or a number that is taken
// is [ci.ErrConflict].
func (x *index) add(w *workflow) error {
	here := map[ci.JobID]bool{}
	for _, j := range slices.Concat(w.Past, w.Jobs) {
		taken := here[j.ID]
		here[j.ID] = true
		if !j.Kept {
			number := jobNumber{w.Project, j.Number}
			taken = taken || x.taken(j.ID, number)
			x.made[j.ID] = w
			if j.Number > 0 {
				x.numbers[number] = j.ID
			}
		}
		if taken {
			return fmt.Errorf("job %s: that ID or number is taken: %w", j.ID, ci.ErrConflict)
		}
	}
	return nil
}

func (x *index) taken(id ci.JobID, number jobNumber) bool {
	if x.made[id] != nil {
		return true
	}
	if _, taken := x.numbers[number]; taken && number.number > 0 {
		return true
	}
	dropped := func(id ci.JobID) bool {
		return slices.ContainsFunc(x.dropped, func(j ci.Job) bool { return j.ID == id })
	}
	if x.db.jobs[id] != nil && !dropped(id) {
		return true
	}
	holder, taken := x.db.numbers[number]
	return taken && number.number > 0 && !dropped(holder)
}

func (x *index) apply() {
	for _, j := range x.dropped {
		w := x.db.jobs[j.ID]
		delete(x.db.numbers, jobNumber{w.Project, j.Number})
		delete(x.db.jobs, j.ID)
	}
	for id, w := range x.made {
		x.db.jobs[id] = w
	}
	for n, id := range x.numbers {
		x.db.numbers[n] = id
	}
}

// Workflow returns the workflow with all its jobs.
func (db *DB) Workflow(ctx context.Context, id ci.WorkflowID) (w ci.Workflow, err error) {
	err = db.read(ctx, func() error {
		kept := db.byWID[plain.Text(id)]
		if kept == nil {
			return ci.ErrNotFound
		}
		w = mustClone(kept.Workflow)
		return nil
	})
	if err != nil {
		return ci.Workflow{}, fmt.Errorf("workflow %s: %w", id, err)
	}
	return w, nil
}

// Workflows lists those of a pipeline in order of making.
func (db *DB) Workflows(ctx context.Context, id ci.PipelineID) (all []ci.Workflow, err error) {
	err = db.read(ctx, func() error {
		p := db.byID[plain.Text(id)]
		if p == nil {
			return ci.ErrNotFound
		}
		for _, w := range p.workflows {
			all = append(all, mustClone(w.Workflow))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("workflows of pipeline %s: %w", id, err)
	}
	return all, nil
}

// Open yields the workflows that have not ended, those of a project in order
// of making.
func (db *DB) Open(ctx context.Context, id ci.ProjectID) iter.Seq2[ci.WorkflowID, error] {
	return sequence(ctx, db, "open workflows", func() ([]ci.WorkflowID, error) {
		var open []ci.WorkflowID
		for _, w := range db.workflows {
			if !w.Status.Ended() && (id == "" || w.Project == plain.Text(id)) {
				open = append(open, w.ID)
			}
		}
		return open, nil
	})
}

// Update changes a workflow, see [ci.WorkflowStore]. Its identity (ID,
// pipeline and project) cannot be changed: [ci.ErrInvalid]. An error of change
// is returned as it is. change must not write to the database.
func (db *DB) Update(ctx context.Context, id ci.WorkflowID, change func(*ci.Workflow) ([]ci.Event, error)) error {
	err := db.update(ctx, func() (func(), error) {
		old := db.byWID[plain.Text(id)]
		if old == nil {
			return nil, ci.ErrNotFound
		}
		w := mustClone(old.Workflow)
		events, err := change(&w)
		if err != nil {
			return nil, &refusal{err}
		}
		if len(events) == 0 {
			return nil, nil
		}
		return db.save(old, w, events)
	})
	return answer(err, "update workflow", id)
}

func (db *DB) save(old *workflow, w ci.Workflow, events []ci.Event) (func(), error) {
	if w.ID != old.ID || w.Pipeline != old.Pipeline || w.Project != old.Project {
		return nil, fmt.Errorf("its identity was changed: %w", ci.ErrInvalid)
	}
	w, err := clone(w)
	if err != nil {
		return nil, err
	}
	if events, err = clone(events); err != nil {
		return nil, err
	}
	n := db.counts[w.Project]
	giveNumbers(&n, &w, events)
	index := db.newIndex()
	index.drop(old)
	if err := index.add(&workflow{w, old.pipeline}); err != nil {
		return nil, err
	}
	for id := range index.made { // the workflow keeps its place
		index.made[id] = old
	}
	return func() {
		old.Workflow = w
		db.counts[w.Project] = n
		index.apply()
		db.addEvents(events)
	}, nil
}

// JobWorkflow returns the workflow that a job was made in.
func (db *DB) JobWorkflow(ctx context.Context, id ci.JobID) (w ci.WorkflowID, err error) {
	err = db.read(ctx, func() error {
		home := db.jobs[plain.Text(id)]
		if home == nil {
			return ci.ErrNotFound
		}
		w = home.ID
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("workflow of job %s: %w", id, err)
	}
	return w, nil
}

// JobByNumber returns the job with that number, and the workflow that it was
// made in.
func (db *DB) JobByNumber(ctx context.Context, p ci.ProjectID, number int64) (w ci.WorkflowID, j ci.JobID, err error) {
	err = db.read(ctx, func() error {
		var ok bool
		if j, ok = db.numbers[jobNumber{plain.Text(p), number}]; !ok {
			return ci.ErrNotFound
		}
		w = db.jobs[j].ID
		return nil
	})
	if err != nil {
		return "", "", fmt.Errorf("job %d of project %s: %w", number, p, err)
	}
	return w, j, nil
}
