package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/agent/host"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/cmd/internal/engine"
	"github.com/rondo-ci/rondo/cmd/internal/worker"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/local"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// runWorkflows runs what the flags choose and returns the exit code.
func runWorkflows(ctx context.Context, f runFlags) (int, error) {
	signals := newInterrupts()
	defer signals.stop()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	signals.handle(stop) // until there is something to cancel in good order
	o, err := prepare(ctx, f)
	if err != nil {
		return codeOf(ctx, err)
	}
	if len(o.plan.Workflows) == 0 {
		note("no workflow runs on %s", cmp.Or(o.trigger.Branch, o.trigger.Tag))
		return exitSuccess, nil
	}
	vars, err := f.secrets()
	if err != nil {
		return codeOf(ctx, err)
	}
	remove, err := o.snapshot(ctx)
	if err != nil {
		return codeOf(ctx, err)
	}
	defer remove()
	x, err := newExecution(o, vars)
	if err != nil {
		return exitFailed, err
	}
	defer x.close()
	return x.run(ctx, signals)
}

// codeOf returns the exit code of an error before anything has run.
func codeOf(ctx context.Context, err error) (int, error) {
	var code codeError
	switch {
	case ctx.Err() != nil:
		return exitCanceled, errors.New("canceled")
	case errors.As(err, &code):
		return code.code, code.error
	}
	return exitFailed, err
}

// execution is a run under way.
type execution struct {
	*offline
	engine  *engine.Engine
	tap     *tap
	out     *sink
	view    view
	scratch string
	started time.Time

	artifacts string // the folder, once there is one

	mu       sync.Mutex
	canceled bool
}

func newExecution(o *offline, vars []ci.Var) (*execution, error) {
	x := &execution{offline: o, started: time.Now()}
	scratch, err := os.MkdirTemp("", "rondo-run-")
	if err != nil {
		return nil, fmt.Errorf("make scratch folder: %w", err)
	}
	x.scratch = scratch
	bucket, err := storage.OpenDir(filepath.Join(o.cache, "files"))
	if err != nil {
		return nil, fmt.Errorf("open cache folder: %w", err)
	}
	db := memdb.New()
	if err := db.PutProject(context.Background(), o.project); err != nil {
		return nil, err
	}
	key := make(door.Key, 32)
	_, _ = rand.Read(key)
	tool, _ := os.Executable()
	places, err := newPlaces(filepath.Join(scratch, "work"), tool, o.flags.jobs)
	if err != nil {
		x.close()
		return nil, err
	}
	plan := o.plan
	x.engine = engine.New(engine.Parts{
		DB: db, Backlog: db.Backlog(), Logs: storage.NewMemLogs(),
		Files: storage.NewFiles(bucket, storage.FilesConfig{}),
		Compiler: ci.CompilerFunc(func(context.Context, ci.Project, ci.Pipeline) (ci.Plan, error) {
			return plan, nil // compiled before, to show mistakes with their lines
		}),
		Cluster: local.New(x.agents(tool, places), local.Config{Dir: filepath.Join(scratch, "agents")}), Key: key,
	}, engine.Config{
		Server: ci.Config{Secrets: func(context.Context, ci.Need) ([]ci.Var, []ci.SSHKey, error) {
			return vars, nil, nil
		}},
	})
	x.out = &sink{out: os.Stdout}
	x.view = newView(x.out, o.flags.json, o.flags.verbose)
	x.tap = newTap(x.engine.Door, x.view, timings(filepath.Join(o.cache, "timings")))
	return x, nil
}

// newPlaces returns where jobs run. That containers of a run that was killed
// are left does not keep this one from running.
func newPlaces(dir, tool string, jobs worker.Docker) (*worker.Worker, error) {
	places, err := worker.New(host.New(host.Config{Dir: dir, Fill: agent.Fill(tool)}), jobs, dir, tool)
	if err == nil {
		err = places.Ready(context.Background())
	}
	if errors.Is(err, worker.ErrSweep) {
		note("%v", err)
		err = nil
	}
	return places, err
}

// agents are functions of this process, one agent for each task.
func (x *execution) agents(tool string, places *worker.Worker) local.Start {
	return local.Func(func(ctx context.Context, p scheduler.Placement) error {
		a := agent.New(x.tap, x.tap, agent.Config{Executor: places, Tool: tool})
		return a.Run(ctx, p.Task.ID, p.Epoch)
	})
}

func (x *execution) close() {
	_ = os.RemoveAll(x.scratch)
}

// run triggers the pipeline, follows it to its end and returns the exit code.
func (x *execution) run(ctx context.Context, signals *interrupts) (int, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() {
		if err := x.engine.Run(ctx); err != nil {
			failed <- err
			stop()
		}
	})
	defer running.Wait()
	defer func() {
		// An agent whose report is still on its way must not wait for a
		// scheduler that never comes back.
		x.tap.over.Store(true)
		stop()
	}()
	signals.handle(func() { x.interrupt(ctx, stop) })
	x.out.onError(func() { x.cancel(ctx) })
	p, err := x.engine.Server.Trigger(ctx, x.trigger)
	if err != nil {
		return exitFailed, err
	}
	err = x.follow(ctx, p.ID)
	select {
	case err = <-failed:
	default:
	}
	if err != nil && !x.wasCanceled() {
		x.tap.abandon()
		return exitFailed, err
	}
	s, err := x.summary(context.WithoutCancel(ctx), p.ID)
	if err != nil {
		return exitFailed, err
	}
	x.tap.flush()
	x.view.Close(s)
	x.tidy(context.WithoutCancel(ctx), p.ID)
	if err := x.out.Err(); err != nil {
		return exitFailed, fmt.Errorf("write output: %w", err)
	}
	return x.exitCode(s), nil
}

// interrupt cancels the workflows at the first signal and gives up at the
// second.
func (x *execution) interrupt(ctx context.Context, stop func()) {
	if x.wasCanceled() {
		x.tap.abandon()
		stop()
		return
	}
	note("canceling; Ctrl-C again gives up at once")
	x.cancel(ctx)
}

// cancel cancels the workflows: steps get their grace, and steps that run
// always run.
func (x *execution) cancel(ctx context.Context) {
	x.mu.Lock()
	x.canceled = true
	x.mu.Unlock()
	for id, err := range x.engine.DB.Open(ctx, x.project.ID) {
		if err == nil {
			_ = x.engine.Server.Cancel(ctx, id, x.trigger.Actor)
		}
	}
}

func (x *execution) wasCanceled() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.canceled
}

// follow shows the events until the workflows have ended or only wait for
// approvals that nobody gives, and the agents are done.
func (x *execution) follow(ctx context.Context, id ci.PipelineID) error {
	for e, err := range x.engine.Server.Follow(ctx, 0) {
		if err != nil {
			return err
		}
		x.view.Event(e)
		switch e.Kind {
		case ci.PipelineErrored:
			return errors.New(e.Reason)
		case ci.JobHeld:
			if x.flags.approves(e.Name) {
				if err := x.engine.Server.Approve(ctx, e.Workflow, e.Job, x.trigger.Actor); err != nil {
					return err
				}
			}
		case ci.WorkflowEnded, ci.WorkflowChanged, ci.PipelinePlanned:
			over, err := x.over(ctx, id)
			if err != nil {
				return err
			}
			if over {
				return x.engine.Idle(ctx)
			}
		}
	}
	return nil
}

// over reports whether nothing more happens by itself.
func (x *execution) over(ctx context.Context, id ci.PipelineID) (bool, error) {
	workflows, err := x.engine.DB.Workflows(ctx, id)
	if err != nil {
		return false, err
	}
	for _, w := range workflows {
		if !w.Status.Ended() && (w.Status != ci.OnHold || x.passes(&w)) {
			return false, nil
		}
	}
	return true, nil
}

// passes reports whether an approval job that holds the workflow is about to be
// approved: the event of it comes after this state.
func (x *execution) passes(w *ci.Workflow) bool {
	return slices.ContainsFunc(w.Jobs, func(j ci.Job) bool {
		return j.Type == ci.JobApproval && j.Status == ci.OnHold && x.flags.approves(j.Name)
	})
}

func (x *execution) exitCode(s summary) int {
	switch {
	case x.wasCanceled():
		return exitCanceled
	case s.Status == ci.Success:
		return exitSuccess
	case s.Status == ci.OnHold:
		return exitHolding
	}
	return exitFailed
}
