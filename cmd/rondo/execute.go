package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/cmd/internal/engine"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/local"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// runWorkflows runs what the flags choose and returns the exit code.
func runWorkflows(ctx context.Context, f runFlags) (int, error) {
	o, err := prepare(ctx, f)
	if err != nil {
		var code codeError
		if errors.As(err, &code) {
			return code.code, code.error
		}
		return exitFailed, err
	}
	if len(o.plan.Workflows) == 0 {
		note("no workflow runs on %s", cmpOr(o.trigger.Branch, o.trigger.Tag))
		return exitSuccess, nil
	}
	vars, err := f.secrets()
	if err != nil {
		return exitUsage, err
	}
	remove, err := o.snapshot(ctx)
	if err != nil {
		return exitFailed, err
	}
	defer remove()
	x, err := newExecution(o, vars)
	if err != nil {
		return exitFailed, err
	}
	defer x.close()
	return x.run(ctx)
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// execution is a run under way.
type execution struct {
	*offline
	engine  *engine.Engine
	view    view
	scratch string
	started time.Time

	mu       sync.Mutex
	canceled bool
	holding  []string
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
	plan := o.plan
	x.engine = engine.New(engine.Parts{
		DB: db, Backlog: db.Backlog(), Logs: storage.NewMemLogs(),
		Files: storage.NewFiles(bucket, storage.FilesConfig{}),
		Compiler: ci.CompilerFunc(func(context.Context, ci.Project, ci.Pipeline) (ci.Plan, error) {
			return plan, nil // compiled before, to show mistakes with their lines
		}),
		Start: x.agents(), Key: key,
	}, engine.Config{
		Server: ci.Config{Secrets: func(context.Context, ci.Project, ci.Pipeline, []string) ([]ci.Var, []ci.SSHKey, error) {
			return vars, nil, nil
		}},
		Cluster: local.Config{Dir: filepath.Join(scratch, "agents")},
	})
	x.view = newView(os.Stdout, o.flags.json, o.flags.verbose)
	return x, nil
}

// agents are functions of this process, one agent for each task.
func (x *execution) agents() local.Start {
	tool, _ := os.Executable()
	var t *tap
	return local.Func(func(ctx context.Context, p scheduler.Placement) error {
		x.mu.Lock()
		if t == nil {
			t = &tap{Door: x.engine.Door, view: x.view}
		}
		x.mu.Unlock()
		a := agent.New(t, t, agent.Config{Dir: filepath.Join(x.scratch, "work"), Tool: tool})
		return a.Run(ctx, p.Task.ID, p.Epoch)
	})
}

func (x *execution) close() {
	_ = os.RemoveAll(x.scratch)
}

// run triggers the pipeline, follows it to its end and returns the exit code.
func (x *execution) run(ctx context.Context) (int, error) {
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
	defer stop()
	x.onInterrupt(ctx, stop)
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
		return exitFailed, err
	}
	s, err := x.summary(context.WithoutCancel(ctx), p.ID)
	if err != nil {
		return exitFailed, err
	}
	x.view.Close(s)
	return x.exitCode(s), nil
}

// onInterrupt cancels the workflows at the first Ctrl-C and gives up at the
// second.
func (x *execution) onInterrupt(ctx context.Context, stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt)
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
			}
			x.mu.Lock()
			again := x.canceled
			x.canceled = true
			x.mu.Unlock()
			if again {
				stop()
				return
			}
			note("canceling; Ctrl-C again gives up at once")
			for id, err := range x.engine.DB.Open(ctx, x.project.ID) {
				if err == nil {
					_ = x.engine.Server.Cancel(ctx, id, x.trigger.Actor)
				}
			}
		}
	}()
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
			} else {
				x.holding = append(x.holding, e.Name)
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
		if !w.Status.Ended() && w.Status != ci.OnHold {
			return false, nil
		}
	}
	return true, nil
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

// tap is a door that shows what passes through it.
type tap struct {
	*door.Door
	view  view
	tasks sync.Map // ci.TaskID -> *tapped
}

// tapped is what is known of a task that runs.
type tapped struct {
	task  ci.Task
	mu    sync.Mutex
	steps map[int]string
	shown map[int]int64
}

// Claim remembers the task.
func (t *tap) Claim(ctx context.Context, id ci.TaskID, epoch int64, worker string) (ci.Work, error) {
	w, err := t.Door.Claim(ctx, id, epoch, worker)
	if err == nil {
		t.tasks.Store(id, &tapped{task: w.Task, steps: map[int]string{}, shown: map[int]int64{}})
	}
	return w, err
}

// PutStep remembers the step's name.
func (t *tap) PutStep(ctx context.Context, l ci.Lease, s ci.Step) error {
	if v, ok := t.tasks.Load(l.Task); ok {
		k := v.(*tapped)
		k.mu.Lock()
		k.steps[s.Index] = s.Name
		k.mu.Unlock()
	}
	return t.Door.PutStep(ctx, l, s)
}

// Append shows what is stored for the first time.
func (t *tap) Append(ctx context.Context, l ci.Lease, step int, offset int64, data []byte) (int64, error) {
	next, err := t.Door.Append(ctx, l, step, offset, data)
	v, ok := t.tasks.Load(l.Task)
	if !ok || err != nil {
		return next, err
	}
	k := v.(*tapped)
	k.mu.Lock()
	from := max(k.shown[step]-offset, 0)
	k.shown[step] = max(next, k.shown[step])
	name := k.steps[step]
	k.mu.Unlock()
	if from < int64(len(data)) {
		t.view.Output(source{Job: k.task.Name, Node: k.task.Index, Nodes: k.task.Total, Step: name}, data[from:])
	}
	return next, nil
}
