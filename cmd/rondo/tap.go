package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/host"
	"github.com/rondo-ci/rondo/ci/api/door"
)

// tap is a door that shows what passes through it. The output of a step is
// shown after that of the steps before it, although an agent sends the last of
// one step and the first of the next at the same time.
type tap struct {
	*door.Door
	view    view
	timings timings
	over    atomic.Bool

	mu    sync.Mutex
	tasks map[ci.TaskID]*tapped
}

func newTap(d *door.Door, v view, t timings) *tap {
	return &tap{Door: d, view: v, timings: t, tasks: map[ci.TaskID]*tapped{}}
}

// tapped is what is known of a task that runs.
type tapped struct {
	task  ci.Task
	epoch int64

	mu    sync.Mutex
	steps map[int]*tappedStep
	next  int // the first step whose end is awaited
}

// tappedStep is what is known of a step.
type tappedStep struct {
	name  string
	shown int64  // bytes that have been stored
	held  []byte // output that waits for the steps before
	free  bool   // runs in the background: nobody waits for its end
	ended bool
	bad   bool // ended, and not well
}

// errOver is what agents get after a run was given up. It is a conflict, so
// that they kill their steps and do not try again.
var errOver = fmt.Errorf("the run was given up: %w", ci.ErrConflict)

// abandon kills all that runs for this run's tasks, and lets no agent go on.
func (t *tap) abandon() {
	t.over.Store(true)
	marks := map[string]bool{}
	t.mu.Lock()
	for id, k := range t.tasks {
		marks[host.Mark(id, k.epoch)] = true
	}
	t.mu.Unlock()
	host.Sweep(func(mark string) bool { return marks[mark] })
}

// Claim remembers the task.
func (t *tap) Claim(ctx context.Context, id ci.TaskID, epoch int64, worker string) (ci.Work, error) {
	if t.over.Load() {
		return ci.Work{}, errOver
	}
	w, err := t.Door.Claim(ctx, id, epoch, worker)
	if err == nil {
		t.mu.Lock()
		t.tasks[id] = &tapped{task: w.Task, epoch: epoch, steps: map[int]*tappedStep{}}
		t.mu.Unlock()
	}
	return w, err
}

// Renew extends the lease.
func (t *tap) Renew(ctx context.Context, l ci.Lease) (ci.Lease, error) {
	if t.over.Load() {
		return l, errOver
	}
	return t.Door.Renew(ctx, l)
}

// PutStep notes the step's name, and that it has ended.
func (t *tap) PutStep(ctx context.Context, l ci.Lease, s ci.Step) error {
	if t.over.Load() {
		return errOver
	}
	err := t.Door.PutStep(ctx, l, s)
	if err != nil {
		return err
	}
	if k := t.find(l.Task); k != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		st := k.step(s.Index)
		st.name, st.free, st.ended, st.bad = s.Name, s.Background, s.Status.Ended(), s.Status.Bad()
		t.show(k, false)
	}
	return nil
}

// Append shows what is stored for the first time.
func (t *tap) Append(ctx context.Context, l ci.Lease, step int, offset int64, data []byte) (int64, error) {
	if t.over.Load() {
		return 0, errOver
	}
	next, err := t.Door.Append(ctx, l, step, offset, data)
	k := t.find(l.Task)
	if k == nil || err != nil {
		return next, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	st := k.step(step)
	if from := max(st.shown-offset, 0); from < int64(len(data)) {
		st.held = append(st.held, data[from:]...)
	}
	st.shown = max(next, st.shown)
	t.show(k, false)
	return next, nil
}

// Finish shows what is left.
func (t *tap) Finish(ctx context.Context, l ci.Lease, r ci.Report) error {
	if t.over.Load() {
		return errOver
	}
	if k := t.find(l.Task); k != nil {
		k.mu.Lock()
		t.show(k, true)
		k.mu.Unlock()
	}
	return t.Door.Finish(ctx, l, r)
}

// flush shows what is left of all tasks.
func (t *tap) flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.tasks {
		k.mu.Lock()
		t.show(k, true)
		k.mu.Unlock()
	}
}

func (t *tap) find(id ci.TaskID) *tapped {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tasks[id]
}

func (k *tapped) step(index int) *tappedStep {
	st := k.steps[index]
	if st == nil {
		st = &tappedStep{}
		k.steps[index] = st
	}
	return st
}

// show shows the output whose turn has come, or all of it. The lock of k is
// held.
func (t *tap) show(k *tapped, all bool) {
	for _, i := range slices.Sorted(maps.Keys(k.steps)) {
		if i > k.next && !all {
			return
		}
		st := k.steps[i]
		from := source{
			Task: k.task.ID, JobID: k.task.Job, Index: i,
			Job: k.task.Name, Node: k.task.Index, Nodes: k.task.Total, Step: st.name,
		}
		if len(st.held) > 0 {
			t.view.Output(from, st.held)
			st.held = nil
		}
		if st.ended || all {
			t.view.StepDone(from, st.bad)
		}
		if i == k.next && (st.ended || st.free) {
			k.next++
		}
		if st.ended && i < k.next {
			delete(k.steps, i)
		}
	}
}
