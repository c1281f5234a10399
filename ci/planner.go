package ci

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Run compiles the pipelines that have been accepted, those from before the
// start first, until ctx ends; then it returns nil. One Run at a time.
func (s *Server) Run(ctx context.Context) error {
	if err := s.recover(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("find pending pipelines: %w", err)
	}
	var workers sync.WaitGroup
	for range s.cfg.Planners {
		workers.Go(func() {
			for {
				id, ok := s.next(ctx)
				if !ok {
					return
				}
				s.plan(ctx, id)
			}
		})
	}
	workers.Wait()
	return nil
}

// recover queues what was accepted and not compiled before this process, the
// oldest first.
func (s *Server) recover(ctx context.Context) error {
	var pending []PipelineID
	q := Query{State: PipelinePending, Limit: 500}
	for {
		n := 0
		for p, err := range s.store.Pipelines(ctx, q) {
			if err != nil {
				return err
			}
			pending = append(pending, p.ID)
			q.Before = p.ID
			n++
		}
		if n < q.Limit {
			break
		}
	}
	for i := len(pending) - 1; i >= 0; i-- {
		s.enqueue(pending[i])
	}
	return nil
}

// enqueue adds a pipeline to those to be compiled.
func (s *Server) enqueue(id PipelineID) {
	s.mu.Lock()
	if s.planning[id] { // accepted just before recover found it
		s.mu.Unlock()
		return
	}
	s.planning[id] = true
	s.queue = append(s.queue, id)
	s.mu.Unlock()
	select {
	case s.queued <- struct{}{}:
	default:
	}
}

// next waits for a pipeline to compile; false is the end of ctx.
func (s *Server) next(ctx context.Context) (PipelineID, bool) {
	for ctx.Err() == nil {
		s.mu.Lock()
		if len(s.queue) > 0 {
			id := s.queue[0]
			s.queue = s.queue[1:]
			more := len(s.queue) > 0
			s.mu.Unlock()
			if more { // wake one more worker
				select {
				case s.queued <- struct{}{}:
				default:
				}
			}
			return id, true
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-s.queued:
		}
	}
	return "", false
}

// compileError is an error of the compiler, as opposed to one of the store.
type compileError struct{ error }

func (e compileError) Unwrap() error { return e.error }

// How often a compiler's fault is tried again, and the first and the longest
// wait between two tries. A store's fault is tried again until it is gone: the
// pipeline has been accepted.
const (
	compileTries = 5
	firstWait    = 100 * time.Millisecond
	longestWait  = 30 * time.Second
)

// plan compiles one pipeline and starts its workflows, or marks it as errored.
// When the surroundings fail it comes back to the queue after a while, so that
// one unreachable host does not hold the others.
func (s *Server) plan(ctx context.Context, id PipelineID) {
	err := s.planOnce(ctx, id)
	s.mu.Lock()
	delete(s.planning, id)
	s.mu.Unlock()
	var c compileError
	compiling := errors.As(err, &c)
	wait := s.fault(id, compiling)
	switch {
	case compiling && (final(c) || wait == 0):
		err, wait = s.refuse(ctx, id, problems(c.error)), longestWait
	case errors.Is(err, ErrNotFound): // the project has gone
		err = s.refuse(ctx, id, problems(err))
	}
	if err == nil || ctx.Err() != nil || errors.Is(err, ErrNotFound) {
		if err != nil && ctx.Err() == nil {
			s.log.Error("compile pipeline", "pipeline", id, "err", err)
		}
		s.mu.Lock()
		delete(s.faults, id)
		s.mu.Unlock()
		return
	}
	s.log.Warn("compile pipeline, will try again", "pipeline", id, "wait", wait, "err", err)
	time.AfterFunc(wait, func() { s.enqueue(id) })
}

// fault counts a fault of the compiler and returns how long to wait before the
// next try, 0 when there have been enough. Faults of the store do not count.
func (s *Server) fault(id PipelineID, compiling bool) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !compiling {
		return time.Second
	}
	n := s.faults[id]
	s.faults[id]++
	if n+1 >= compileTries {
		return 0
	}
	return min(firstWait<<(2*n), longestWait)
}

// final reports whether a compiler's error will not go away by itself.
func final(err error) bool {
	return errors.Is(err, ErrInvalid) || errors.Is(err, ErrNotFound)
}

// refuse marks a pipeline as errored.
func (s *Server) refuse(ctx context.Context, id PipelineID, problems []string) error {
	err := s.store.Start(ctx, id, func(p *Pipeline) ([]Workflow, []Event, error) {
		if p.State != PipelinePending {
			return nil, nil, ErrConflict
		}
		p.State, p.Errors, p.Updated = PipelineError, problems, time.Now().UTC()
		return nil, []Event{{
			Time: p.Updated, Kind: PipelineErrored, Project: p.Trigger.Project, Pipeline: p.ID,
			Name: p.Trigger.ref(), Number: p.Number, Status: Failed, Reason: problems[0],
		}}, nil
	})
	if err != nil && !errors.Is(err, ErrConflict) {
		return err
	}
	s.log.Info("pipeline errored", "pipeline", id, "reason", problems[0])
	return nil
}

// doubtful reports whether an error of the store leaves open what was written:
// the answer of a commit can be lost.
func doubtful(err error) bool {
	return !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrDenied)
}

// planOnce compiles the pipeline and starts its workflows.
func (s *Server) planOnce(ctx context.Context, id PipelineID) error {
	p, err := s.store.Pipeline(ctx, id)
	if err != nil || p.State == PipelineError {
		return err
	}
	project, err := s.store.Project(ctx, p.Trigger.Project)
	if err != nil {
		return err
	}
	if p.State != PipelinePending { // it was started, and then something failed
		return s.overtaken(ctx, project, p)
	}
	plan, err := s.compile(ctx, project, p)
	if err != nil {
		return err
	}
	if err := s.autoCancel(ctx, project, p); err != nil {
		return fmt.Errorf("auto-cancel: %w", err)
	}
	err = s.store.Start(ctx, id, func(p *Pipeline) ([]Workflow, []Event, error) {
		if p.State != PipelinePending {
			return nil, nil, ErrConflict // another process was faster
		}
		now := time.Now().UTC()
		p.State, p.Warnings, p.Updated, p.Plan = PipelineReady, append(p.late(), plan.Warnings...), now, &plan
		if plan.Key != "" {
			p.State = PipelineSetup
		}
		events := []Event{{
			Time: now, Kind: PipelinePlanned, Project: project.ID, Pipeline: p.ID,
			Name: p.Trigger.ref(), Number: p.Number, Actor: p.Trigger.Actor,
		}}
		var workflows []Workflow
		for _, planned := range plan.Workflows {
			w, e := NewWorkflow(*p, project.Org, planned, p.Trigger.Actor, now)
			w.of(project.Repo, e)
			w.Setup = plan.Key != ""
			workflows = append(workflows, w)
			events = append(events, e...)
		}
		return workflows, events, nil
	})
	if errors.Is(err, ErrConflict) {
		return nil
	}
	if err != nil {
		return err
	}
	s.plans.put(id, &plan)
	s.log.Info("pipeline planned", "project", project.Slug, "pipeline", id, "workflows", len(plan.Workflows))
	return s.overtaken(ctx, project, p)
}

// compile compiles the pipeline's configuration, the second one if it has been
// continued, and marks the jobs that may not run.
func (s *Server) compile(ctx context.Context, project Project, p Pipeline) (Plan, error) {
	setup, err := s.store.Plan(ctx, p.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		setup = nil
	case err != nil:
		return Plan{}, err
	case setup.Continuation != nil:
		p = p.continued(setup)
	}
	plan, err := s.compiler.Compile(ctx, project, p)
	if err == nil && plan.Setup && (project.NoSetup || setup != nil) {
		err = fmt.Errorf("setup workflows are turned off in this project: remove setup: true, or turn them on in the project's settings: %w", ErrInvalid)
		if setup != nil {
			err = fmt.Errorf("a configuration that continues a pipeline cannot be a setup configuration itself: remove setup: true: %w", ErrInvalid)
		}
	}
	if err != nil {
		return Plan{}, compileError{err}
	}
	plan.Before = setup
	if plan.Setup {
		plan.Key = newContinuationKey(p.ID)
	}
	return plan, s.refuseJobs(ctx, project, p, &plan)
}

// cancels reports whether the pipeline replaces older ones on its branch.
func (p Pipeline) cancels(project Project) bool {
	t := p.Trigger
	return project.AutoCancel && t.Branch != "" && t.Branch != project.DefaultBranch && t.Source != SourceSchedule
}

// autoCancel cancels the workflows of older pipelines on the same branch, but
// not reruns or scheduled ones, which somebody asked for. It runs before the
// new workflows exist, so that it happens again if the process ends in between.
func (s *Server) autoCancel(ctx context.Context, project Project, p Pipeline) error {
	if !p.cancels(project) {
		return nil
	}
	var open []WorkflowID
	for id, err := range s.store.Open(ctx, project.ID) {
		if err != nil {
			return err
		}
		open = append(open, id)
	}
	for _, id := range open {
		w, err := s.store.Workflow(ctx, id)
		if errors.Is(err, ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return err
		}
		old, err := s.store.Pipeline(ctx, w.Pipeline)
		if err != nil {
			return err
		}
		if w.RerunOf != "" || old.Trigger.Source == SourceSchedule ||
			old.Trigger.Branch != p.Trigger.Branch || old.Number >= p.Number {
			continue
		}
		err = s.store.Update(ctx, id, func(w *Workflow) ([]Event, error) {
			return w.Cancel(Actor{}, fmt.Sprintf("pipeline %d on %s is newer", p.Number, p.Trigger.Branch), time.Now().UTC())
		})
		if err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// overtaken cancels the workflows just started if a newer pipeline of the
// branch was compiled first.
func (s *Server) overtaken(ctx context.Context, project Project, p Pipeline) error {
	if !p.cancels(project) {
		return nil
	}
	q := Query{Project: project.ID, Branch: p.Trigger.Branch, Limit: 100}
	for newer, err := range s.store.Pipelines(ctx, q) {
		switch {
		case err != nil:
			return err
		case newer.Number <= p.Number:
			return nil
		case newer.cancels(project):
			return s.autoCancel(ctx, project, newer)
		}
	}
	return nil
}

// problems returns the texts of the errors that err joins, or its own, for
// people: the word of the sentinel at the end is for programs.
func problems(err error) []string {
	texts := unjoin(err)
	for i := range texts {
		texts[i] = strings.TrimSuffix(texts[i], ": "+ErrInvalid.Error())
	}
	return texts
}

func unjoin(err error) []string {
	var texts []string
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, e := range joined.Unwrap() {
			texts = append(texts, unjoin(e)...)
		}
	}
	// An error with several causes in one sentence is one problem.
	if len(texts) == 0 || strings.Join(texts, "\n") != err.Error() {
		return []string{err.Error()}
	}
	return texts
}
