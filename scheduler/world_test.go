package scheduler_test

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
)

// A world is what stands around a scheduler: the events, the state of the jobs,
// the steps that began. Its rules are those of ci.Workflow.
type world struct {
	// fault, if set, says why a report fails.
	fault func(ci.Report) error

	mu      sync.Mutex
	events  []ci.Event
	changed chan struct{}
	tasks   map[ci.TaskID]*taskState
	jobs    map[ci.JobID][]ci.TaskID
	reports []ci.Report
	begun   map[string]bool
}

type taskState struct {
	status ci.Status
	epoch  int64
	reason string
}

func newWorld() *world {
	return &world{
		changed: make(chan struct{}), tasks: make(map[ci.TaskID]*taskState),
		jobs: make(map[ci.JobID][]ci.TaskID), begun: make(map[string]bool),
	}
}

func (w *world) setFault(f func(ci.Report) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
}

func (w *world) emit(e ci.Event) {
	e.Seq, e.Time = uint64(len(w.events)+1), time.Now()
	w.events = append(w.events, e)
	close(w.changed)
	w.changed = make(chan struct{})
}

// queue makes a job ready; it returns the first of its tasks.
func (w *world) queue(t ci.Task) ci.TaskID {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.Job == "" {
		t.Job = ci.JobID(fmt.Sprintf("job-%04d", len(w.jobs)+1))
	}
	if t.Project == "" {
		t.Project = "p1"
	}
	if t.Org == "" {
		t.Org = "acme"
	}
	if t.Name == "" {
		t.Name = "build"
	}
	t.Total = max(t.Total, 1)
	t.Workflow, t.Executor = "w1", ci.ExecutorDocker
	t.Queued = time.Now()
	t = t.Slice(0)
	for i := range t.Total {
		id := t.Job.Task(i)
		w.tasks[id] = &taskState{status: ci.Queued}
		w.jobs[t.Job] = append(w.jobs[t.Job], id)
	}
	w.emit(ci.Event{Kind: ci.JobQueued, Job: t.Job, Name: t.Name, Project: t.Project, Workflow: t.Workflow, Status: ci.Queued, Task: &t})
	return t.ID
}

// cancel ends a job as a person would.
func (w *world) cancel(task ci.TaskID) {
	job, _, _ := task.Split()
	w.mu.Lock()
	defer w.mu.Unlock()
	changed := false
	for _, id := range w.jobs[job] {
		if t := w.tasks[id]; !t.status.Ended() {
			t.status, changed = ci.Canceled, true
		}
	}
	if changed {
		w.emit(ci.Event{Kind: ci.JobEnded, Job: job, Status: ci.Canceled})
	}
}

func (w *world) report(ctx context.Context, r ci.Report) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault != nil {
		if err := w.fault(r); err != nil {
			return err
		}
	}
	w.reports = append(w.reports, r)
	t := w.tasks[r.Task]
	switch {
	case t == nil:
		return ci.ErrNotFound
	case t.status.Ended() && r.Status == ci.Queued:
		return fmt.Errorf("it has ended: %w", ci.ErrConflict)
	case t.status.Ended():
		return nil
	case r.Epoch < t.epoch:
		return fmt.Errorf("epoch %d is older than %d: %w", r.Epoch, t.epoch, ci.ErrConflict)
	case t.status == r.Status && t.epoch == r.Epoch:
		return nil
	case t.status != r.Status && !t.status.May(r.Status):
		return fmt.Errorf("from %s to %s: %w", t.status, r.Status, ci.ErrConflict)
	}
	t.status, t.epoch, t.reason = r.Status, r.Epoch, r.Reason
	job, _, _ := r.Task.Split()
	for _, id := range w.jobs[job] {
		if !w.tasks[id].status.Ended() {
			return nil
		}
	}
	w.emit(ci.Event{Kind: ci.JobEnded, Job: job, Status: r.Status})
	return nil
}

func (w *world) follow(ctx context.Context, after uint64) iter.Seq2[ci.Event, error] {
	return func(yield func(ci.Event, error) bool) {
		for {
			w.mu.Lock()
			changed := w.changed
			more := slices.Clone(w.events[min(int(after), len(w.events)):])
			w.mu.Unlock()
			for _, e := range more {
				after = e.Seq
				if !yield(e, nil) {
					return
				}
			}
			select {
			case <-ctx.Done():
				yield(ci.Event{}, ctx.Err())
				return
			case <-changed:
			}
		}
	}
}

func (w *world) step(task ci.TaskID, epoch int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun[fmt.Sprint(task, " ", epoch)] = true
}

func (w *world) hasBegun(_ context.Context, task ci.TaskID, epoch int64) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begun[fmt.Sprint(task, " ", epoch)], nil
}

func (w *world) state(task ci.TaskID) taskState {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.tasks[task]; t != nil {
		return *t
	}
	return taskState{}
}

// all returns how many tasks are in each status.
func (w *world) all() map[ci.Status]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := make(map[ci.Status]int)
	for t := range maps.Values(w.tasks) {
		n[t.status]++
	}
	return n
}

// A stage is a scheduler in its world, in a bubble of synctest.
type stage struct {
	*scheduler.Scheduler
	t       *testing.T
	world   *world
	cluster *schedulertest.Cluster
	backlog *schedulertest.Backlog
	cfg     scheduler.Config
	cancel  context.CancelFunc
	done    chan error
}

// play runs f in a bubble with a started scheduler over the nodes; agents do
// nothing by themselves.
func play(t *testing.T, cfg scheduler.Config, f func(t *testing.T, s *stage), nodes ...scheduler.Node) {
	t.Helper()
	playAgents(t, cfg, nil, f, nodes...)
}

func playAgents(t *testing.T, cfg scheduler.Config, agent func(*stage, context.Context, scheduler.Placement) error, f func(t *testing.T, s *stage), nodes ...scheduler.Node) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, world: newWorld(), backlog: new(schedulertest.Backlog), cfg: cfg}
		var call func(context.Context, scheduler.Placement) error
		if agent != nil {
			call = func(ctx context.Context, p scheduler.Placement) error { return agent(s, ctx, p) }
		}
		s.cluster = schedulertest.NewCluster(call, nodes...)
		if s.cfg.Begun == nil {
			s.cfg.Begun = s.world.hasBegun
		}
		s.start()
		synctest.Wait()
		defer s.cluster.Close()
		defer func() { s.stop() }()
		f(t, s)
	})
}

func (s *stage) start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.done = cancel, make(chan error, 1)
	s.Scheduler = scheduler.New(s.backlog, s.cluster, s.world.report, s.cfg)
	run := s.Scheduler
	done := s.done
	go func() { done <- run.Run(ctx, s.world.follow) }()
}

func (s *stage) stop() {
	s.cancel()
	require.NoError(s.t, <-s.done)
}

// restart ends the process and starts the next one.
func (s *stage) restart() {
	s.stop()
	s.start()
	synctest.Wait()
}

// after lets time pass.
func (s *stage) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (s *stage) queue(t ci.Task) ci.TaskID {
	id := s.world.queue(t)
	synctest.Wait()
	return id
}

// claim lets a worker take a task, and requires that it may.
func (s *stage) claim(task ci.TaskID, epoch int64) ci.Lease {
	s.t.Helper()
	l, err := s.Claim(s.t.Context(), task, epoch, "w")
	require.NoError(s.t, err)
	synctest.Wait()
	return l
}

func (s *stage) finish(l ci.Lease, status ci.Status) {
	s.t.Helper()
	require.NoError(s.t, s.Finish(s.t.Context(), l, ci.Report{Status: status}))
	s.cluster.Die(l.Task, l.Epoch, "the agent ended")
	synctest.Wait()
}

func (s *stage) code(task ci.TaskID) string {
	s.t.Helper()
	r, err := s.Explain(s.t.Context(), task)
	require.NoError(s.t, err)
	require.NotEmpty(s.t, r.Text)
	return r.Code
}
