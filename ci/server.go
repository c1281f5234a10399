package ci

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"
)

// A Compiler turns the configuration of a pipeline's commit into a plan. It is
// given the pipeline with its number and trigger. An error that is (or joins)
// [ErrInvalid] or [ErrNotFound] is final and becomes the pipeline's Errors,
// one for each joined error; any other error is a fault of the surroundings
// and tried again.
type Compiler interface {
	Compile(ctx context.Context, project Project, p Pipeline) (Plan, error)
}

// A CompilerFunc is a function that is a [Compiler].
type CompilerFunc func(ctx context.Context, project Project, p Pipeline) (Plan, error)

// Compile calls f.
func (f CompilerFunc) Compile(ctx context.Context, project Project, p Pipeline) (Plan, error) {
	return f(ctx, project, p)
}

// Config holds what a [Server] can do without.
type Config struct {
	// Log receives what operators should know; nil is silent.
	Log *slog.Logger
	// Secrets returns the variables and keys that a job may see, weakest
	// first. [ErrDenied] makes the job [Unauthorized], with the error's text as
	// the reason. nil gives none.
	Secrets func(ctx context.Context, n Need) ([]Var, []SSHKey, error)
	// Roots returns the certificates (PEM) that steps are to trust besides
	// those of their system; nil is none.
	Roots func() string
	// Allow answers as Secrets would, without the secrets. It is asked when a
	// workflow is made, for the jobs that ask for contexts and wait for no
	// approval; nil allows all, and Secrets is asked anyway when a job starts.
	Allow func(ctx context.Context, n Need) error
	// JobURL returns the address of a job's page; nil leaves it empty.
	JobURL func(project Project, number int64) string
	// Planners is how many pipelines are compiled at once; 0 is 4.
	Planners int
}

// A Server conducts: it turns triggers into pipelines, compiles them, applies
// reports, approvals, cancels and reruns to workflows, and lets others follow
// the events. It keeps nothing in memory that it could not read again from its
// [Store], so it may be killed at any instant. All methods are safe for
// concurrent use.
type Server struct {
	store    Store
	compiler Compiler
	cfg      Config
	log      *slog.Logger

	plans planCache

	mu     sync.Mutex
	queue  []PipelineID  // to be compiled
	queued chan struct{} // has one element while queue may not be empty
	// planning are those in queue or being compiled.
	planning map[PipelineID]bool
	faults   map[PipelineID]int // how often the compiler failed for no fault of the pipeline
}

// New returns a server over the store. It does nothing by itself until
// [Server.Run] is called.
func New(s Store, c Compiler, cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Planners <= 0 {
		cfg.Planners = 4
	}
	return &Server{store: s, compiler: c, cfg: cfg, log: cfg.Log, queued: make(chan struct{}, 1), planning: map[PipelineID]bool{}, faults: map[PipelineID]int{}}
}

// Trigger accepts a trigger: when it returns without error the pipeline is
// durable and will be compiled and run by [Server.Run], whatever happens next.
// A trigger whose key the project has seen returns the first one's pipeline.
// An unknown project is [ErrNotFound], a trigger that names no commit or no
// branch or tag is [ErrInvalid].
func (s *Server) Trigger(ctx context.Context, t Trigger) (Pipeline, error) {
	if err := t.check(); err != nil {
		return Pipeline{}, fmt.Errorf("trigger: %w", err)
	}
	project, err := s.store.Project(ctx, t.Project)
	if err != nil {
		return Pipeline{}, fmt.Errorf("trigger: %w", err)
	}
	now, id := time.Now().UTC(), PipelineID(NewID())
	p := Pipeline{
		ID: id, Trigger: t, State: PipelinePending, Created: now, Updated: now,
	}
	p, created, err := s.store.Create(ctx, p, Event{
		Time: now, Kind: PipelineCreated, Project: project.ID, Pipeline: p.ID,
		Name: t.ref(), Actor: t.Actor,
	})
	if err != nil {
		if doubtful(err) { // it may be there, and who tries again is told that it is
			s.enqueue(id)
		}
		return Pipeline{}, fmt.Errorf("trigger %s: %w", project.Slug, err)
	}
	if created {
		s.log.Info("pipeline accepted", "project", project.Slug, "pipeline", p.ID, "number", p.Number, "ref", t.ref())
		s.enqueue(p.ID)
	}
	return p, nil
}

// check reports what is wrong with the trigger.
func (t Trigger) check() error {
	switch {
	case t.Project == "":
		return fmt.Errorf("no project: %w", ErrInvalid)
	case t.Revision == "":
		return fmt.Errorf("no revision: %w", ErrInvalid)
	case (t.Branch == "") == (t.Tag == ""):
		return fmt.Errorf("one of branch and tag is needed: %w", ErrInvalid)
	}
	return nil
}

// ref returns the branch or tag.
func (t Trigger) ref() string {
	if t.Tag != "" {
		return t.Tag
	}
	return t.Branch
}

// Report applies what became of a task. It is idempotent, see
// [Workflow.Report]. A report without a workflow has it looked up.
func (s *Server) Report(ctx context.Context, r Report) error {
	if r.Workflow == "" {
		job, _, ok := r.Task.Split()
		if !ok {
			return fmt.Errorf("report of task %q: %w", r.Task, ErrInvalid)
		}
		id, err := s.store.JobWorkflow(ctx, job)
		if err != nil {
			return fmt.Errorf("report of task %s: %w", r.Task, err)
		}
		r.Workflow = id
	}
	return s.store.Update(ctx, r.Workflow, func(w *Workflow) ([]Event, error) {
		return w.Report(r, time.Now().UTC())
	})
}

// Approve lets an approval job pass, see [Workflow.Approve].
func (s *Server) Approve(ctx context.Context, id WorkflowID, job JobID, by Actor) error {
	return s.store.Update(ctx, id, func(w *Workflow) ([]Event, error) {
		return w.Approve(job, by, time.Now().UTC())
	})
}

// Cancel ends a workflow, see [Workflow.Cancel]. Its running tasks are stopped
// with grace by whoever runs them.
func (s *Server) Cancel(ctx context.Context, id WorkflowID, by Actor) error {
	return s.store.Update(ctx, id, func(w *Workflow) ([]Event, error) {
		return w.Cancel(by, "", time.Now().UTC())
	})
}

// CancelJob ends one job, see [Workflow.CancelJob].
func (s *Server) CancelJob(ctx context.Context, id WorkflowID, job JobID, by Actor) error {
	return s.store.Update(ctx, id, func(w *Workflow) ([]Event, error) {
		return w.CancelJob(job, by, time.Now().UTC())
	})
}

// Rerun runs a workflow or parts of it again and returns the workflow in which
// that happens: a new one, or the same one when it has not ended yet and only
// failed or named jobs are to get a new attempt.
func (s *Server) Rerun(ctx context.Context, id WorkflowID, r Rerun, by Actor) (WorkflowID, error) {
	w, err := s.store.Workflow(ctx, id)
	if err != nil {
		return "", fmt.Errorf("rerun: %w", err)
	}
	if !w.Status.Ended() && (r.FromFailed || len(r.Jobs) > 0) {
		err := s.store.Update(ctx, id, func(now *Workflow) ([]Event, error) {
			w = *now // it may have ended meanwhile
			return now.Retry(r, by, time.Now().UTC())
		})
		if err == nil || !w.Status.Ended() {
			return id, err
		}
		if w, err = s.store.Workflow(ctx, id); err != nil {
			return "", fmt.Errorf("rerun: %w", err)
		}
	}
	var again WorkflowID
	err = s.store.Start(ctx, w.Pipeline, func(*Pipeline) ([]Workflow, []Event, error) {
		n, events, err := w.Rerun(r, by, time.Now().UTC())
		again = n.ID
		return []Workflow{n}, events, err
	})
	if err != nil {
		return "", err
	}
	return again, nil
}

// Work returns all that the holder of a lease needs to run its task. It does
// not check the lease: whoever granted it does.
func (s *Server) Work(ctx context.Context, l Lease) (Work, error) {
	work, err := s.work(ctx, l)
	if err != nil {
		return Work{}, fmt.Errorf("work of task %s: %w", l.Task, err)
	}
	return work, nil
}

func (s *Server) work(ctx context.Context, l Lease) (Work, error) {
	id, index, ok := l.Task.Split()
	if !ok {
		return Work{}, ErrInvalid
	}
	wid, err := s.store.JobWorkflow(ctx, id)
	if err != nil {
		return Work{}, err
	}
	w, err := s.store.Workflow(ctx, wid)
	if err != nil {
		return Work{}, err
	}
	j := w.Job(id)
	if j == nil || j.Type != JobBuild || index >= len(j.Tasks) {
		return Work{}, fmt.Errorf("no such task any more: %w", ErrConflict)
	}
	p, err := s.store.Pipeline(ctx, w.Pipeline)
	if err != nil {
		return Work{}, err
	}
	plan, err := s.plans.get(ctx, s.store, w.Pipeline)
	if err == nil && plan.Setup && !w.Setup { // continued meanwhile
		s.plans.drop(w.Pipeline)
		plan, err = s.plans.get(ctx, s.store, w.Pipeline)
	}
	if err != nil {
		return Work{}, err
	}
	spec, ok := plan.of(&w).Job(w.Name, j.Name)
	if !ok {
		return Work{}, fmt.Errorf("job %s is not in the plan: %w", j.Name, ErrNotFound)
	}
	project, err := s.store.Project(ctx, w.Project)
	if err != nil {
		return Work{}, err
	}
	work := Work{
		Lease: l, Task: w.task(j).Slice(index), Job: spec, Workflow: w.Name,
		Pipeline: p, Project: project, Upstream: w.upstream(j.Name), Previous: max(j.Number-1, 0),
	}
	if s.cfg.Secrets != nil {
		work.Environment, work.SSHKeys, err = s.cfg.Secrets(ctx, Need{
			Project: project, Pipeline: p, Workflow: w.ID, Job: j.Name, Contexts: spec.Contexts, Actor: w.answerable(j.Name),
		})
		switch {
		case errors.Is(err, ErrDenied):
			work.Refused = reasonOf(err)
		case err != nil:
			return Work{}, fmt.Errorf("secrets: %w", err)
		}
	}
	if w.Setup {
		work.Environment = append(work.Environment, Var{Name: ContinuationKey, Value: plan.before().Key, Secret: true})
	}
	if s.cfg.Roots != nil {
		work.Roots = s.cfg.Roots()
	}
	if s.cfg.JobURL != nil {
		work.BuildURL = s.cfg.JobURL(project, j.Number)
	}
	return work, nil
}

// upstream returns the tasks whose workspace layers the named job inherits.
func (w *Workflow) upstream(name string) []Upstream {
	var out []Upstream
	graph := w.requirements()
	for _, n := range graph.upstream(name) {
		j := w.JobNamed(n)
		after := graph.upstream(n)
		for i, t := range j.Tasks {
			out = append(out, Upstream{Task: j.ID.Task(i), Epoch: t.Epoch, Job: n, After: after})
		}
	}
	return out
}

// Follow yields all events after the given number and then waits for more. It
// ends when ctx does, with its error.
func (s *Server) Follow(ctx context.Context, after uint64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			for e, err := range s.store.Events(ctx, after) {
				if err != nil {
					yield(Event{}, err)
					return
				}
				after = e.Seq
				if !yield(e, nil) {
					return
				}
			}
			if err := s.store.Wait(ctx, after); err != nil {
				yield(Event{}, err)
				return
			}
		}
	}
}

// planCache keeps the plans of the pipelines that were asked for last, since
// every task of a pipeline needs the same one.
type planCache struct {
	mu    sync.Mutex
	plans map[PipelineID]*Plan
}

const cachedPlans = 32

func (c *planCache) get(ctx context.Context, s Store, id PipelineID) (*Plan, error) {
	c.mu.Lock()
	plan := c.plans[id]
	c.mu.Unlock()
	if plan != nil {
		return plan, nil
	}
	plan, err := s.Plan(ctx, id)
	if err != nil {
		return nil, err
	}
	c.put(id, plan)
	return plan, nil
}

func (c *planCache) drop(id PipelineID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.plans, id)
}

func (c *planCache) put(id PipelineID, plan *Plan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.plans == nil {
		c.plans = make(map[PipelineID]*Plan)
	}
	for old := range c.plans {
		if len(c.plans) < cachedPlans {
			break
		}
		delete(c.plans, old)
	}
	c.plans[id] = plan
}
