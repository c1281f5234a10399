package fsck

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

const restore = "restore a backup, or delete the pipeline"

// everyProject checks projects, with all that they have built.
func (x *exam) everyProject(ctx context.Context) error {
	var damaged list
	if err := x.readTickets(ctx, &damaged); err != nil {
		return err
	}
	x.tasks = map[ci.TaskID]task{}
	slugs := map[string]ci.ProjectID{}
	wrong := damaged
	for p, err := range x.Store.Projects(ctx) {
		if err != nil {
			return fmt.Errorf("projects: %w", err)
		}
		x.projects[p.ID] = true
		if other, ok := slugs[p.Slug]; ok || p.Slug == "" {
			wrong.add(ProjectSlug, "project "+string(p.ID), fmt.Sprintf("has the slug %q, as %q has", p.Slug, other), "give one of them another slug")
		}
		slugs[p.Slug] = p.ID
	}
	for _, f := range wrong {
		if !x.yield(f, nil) {
			return errEnough
		}
	}
	for id := range x.projects {
		numbers, jobs := map[int64]ci.PipelineID{}, map[int64]ci.JobID{}
		for p, err := range x.Store.Pipelines(ctx, ci.Query{Project: id}) {
			if err != nil {
				return fmt.Errorf("pipelines of %s: %w", id, err)
			}
			x.pipelines[p.ID] = true
			err := x.confirm(ctx, func(ctx context.Context, l *list) error { return x.pipeline(ctx, l, p.ID, numbers, jobs) })
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// readTickets reads the queue, before the jobs: a ticket that is gone meanwhile
// is of a job that has ended by then. What cannot be read goes to damaged, unless
// that is nil.
func (x *exam) readTickets(ctx context.Context, damaged *list) error {
	x.tickets, x.unread = map[ci.TaskID]ci.Ticket{}, map[ci.JobID]bool{}
	if x.Tickets == nil {
		return nil
	}
	var cursor uint64
	var err error
	if x.Cursor != nil {
		if cursor, err = x.Cursor(ctx); err != nil {
			return fmt.Errorf("queue: %w", err)
		}
	}
	for t, err := range x.Tickets(ctx) {
		switch {
		case err == nil:
			x.tickets[t.Task.ID] = t
		case !errors.Is(err, ci.ErrInvalid):
			return fmt.Errorf("queue: %w", err)
		case damaged != nil:
			damaged.add(SourceDamaged, "queue", err.Error(), "restore a backup")
		}
	}
	if x.Cursor == nil {
		return nil
	}
	for e, err := range x.Store.Events(ctx, cursor) {
		if err != nil {
			return fmt.Errorf("events after %d: %w", cursor, err)
		}
		if e.Kind == ci.JobQueued || e.Kind == ci.JobEnded {
			x.unread[e.Job] = true
		}
	}
	return nil
}

// pipeline checks one pipeline.
func (x *exam) pipeline(ctx context.Context, l *list, id ci.PipelineID, numbers map[int64]ci.PipelineID, jobs map[int64]ci.JobID) error {
	p, err := x.Store.Pipeline(ctx, id)
	if errors.Is(err, ci.ErrNotFound) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return fmt.Errorf("pipeline %s: %w", id, err)
	}
	object := "pipeline " + string(id)
	if !x.projects[p.Trigger.Project] {
		l.add(PipelineProject, object, fmt.Sprintf("is of project %q, which does not exist", p.Trigger.Project), restore)
	}
	if other, ok := numbers[p.Number]; p.Number < 1 || ok && other != id {
		l.add(PipelineNumber, object, fmt.Sprintf("has the number %d, as %q has", p.Number, other), restore)
	} else {
		numbers[p.Number] = id
	}
	all, err := x.Store.Workflows(ctx, id)
	if err != nil {
		return fmt.Errorf("workflows of %s: %w", object, err)
	}
	plan, err := x.Store.Plan(ctx, id)
	if err != nil && !errors.Is(err, ci.ErrNotFound) {
		l.add(SourceDamaged, object, "its plan cannot be read: "+err.Error(), restore)
	}
	switch p.State {
	case ci.PipelinePending:
		if x.cfg.Now().Sub(p.Created) > time.Hour {
			l.add(PipelineStuck, object, "was accepted "+p.Created.UTC().Format(time.RFC3339)+" and is not compiled", "see the log of the server: it tries again at its start")
		}
	case ci.PipelineReady, ci.PipelineSetup:
		switch {
		case plan == nil:
			l.add(PipelinePlan, object, "is compiled, and has no plan", restore)
		case len(all) == 0 && len(plan.Workflows) > 0:
			l.add(PipelineEmpty, object, fmt.Sprintf("has no workflow, and its plan has %d", len(plan.Workflows)), restore)
		}
	case ci.PipelineError:
		if len(p.Errors) == 0 {
			l.add(PipelineErrors, object, "could not be compiled, and does not say why", "trigger it again")
		}
	default:
		l.add(PipelineState, object, fmt.Sprintf("has the state %q", p.State), restore)
	}
	for i := range all {
		x.workflows[all[i].ID] = all[i].Pipeline
		if err := x.workflow(ctx, l, p, &all[i], jobs); err != nil {
			return err
		}
	}
	return nil
}
