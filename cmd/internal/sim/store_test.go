package sim

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// What a broken machinery says.
var (
	errGone   = errors.New("this process is dead")
	errBroken = errors.New("disk I/O error")
	errLost   = errors.New("connection reset after the request")
)

// A gateway is the way from a life to what outlives it. Once the life is dead
// nothing passes.
type gateway struct {
	w    *world
	dead atomic.Bool
}

// pass does something outside: perhaps not, perhaps without telling that it was
// done, after a while. kind names the fault, what the thing.
func (g *gateway) pass(ctx context.Context, kind, what string, do func() error) error {
	time.Sleep(g.w.dice.between(50*time.Microsecond, 5*time.Millisecond, kind, what))
	if kind == "store" && g.w.dice.strikes("store: slow", what) {
		time.Sleep(g.w.dice.between(time.Second, 20*time.Second, kind, what, "slow"))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if g.dies("before", kind+" "+what) || g.dead.Load() {
		return errGone
	}
	fails, lost := kind+": fails", kind+": answer lost"
	if kind == "logs" {
		fails = "logs: fail"
	}
	if g.w.dice.strikes(fails, what) {
		g.w.trace.say("fault   %s: %s", fails, what)
		return errBroken
	}
	err := do()
	if g.dies("after", kind+" "+what) {
		return errGone
	}
	if err == nil && g.w.dice.strikes(lost, what) {
		g.w.trace.say("fault   %s: %s", lost, what)
		err = errLost
	}
	time.Sleep(g.w.dice.between(10*time.Microsecond, time.Millisecond, kind, what, "back"))
	if g.dead.Load() {
		return errGone
	}
	return err
}

// dies kills the process here, as kill -9 may.
func (g *gateway) dies(when, what string) bool {
	if !g.w.dice.strikes("server: dies", when, what) || g.dead.Swap(true) {
		return false
	}
	g.w.trace.say("fault   the server dies %s: %s", when, what)
	return true
}

// A store is the records, as one life sees them.
type store struct {
	*memdb.DB
	out *gateway
}

func (s store) Create(ctx context.Context, p ci.Pipeline, events ...ci.Event) (kept ci.Pipeline, created bool, err error) {
	err = s.out.pass(ctx, "store", "create", func() (err error) {
		kept, created, err = s.DB.Create(ctx, p, events...)
		return err
	})
	return kept, created, err
}

func (s store) Start(ctx context.Context, id ci.PipelineID, change func(*ci.Pipeline) ([]ci.Workflow, []ci.Event, error)) error {
	return s.out.pass(ctx, "store", "start", func() error { return s.DB.Start(ctx, id, change) })
}

func (s store) Update(ctx context.Context, id ci.WorkflowID, change func(*ci.Workflow) ([]ci.Event, error)) error {
	return s.out.pass(ctx, "store", "update", func() error {
		return s.DB.Update(ctx, id, func(w *ci.Workflow) ([]ci.Event, error) {
			events, err := change(w)
			if err == nil {
				s.out.w.border.reads(w)
			}
			return events, err
		})
	})
}

func (s store) Workflow(ctx context.Context, id ci.WorkflowID) (w ci.Workflow, err error) {
	err = s.out.pass(ctx, "store", "workflow", func() (err error) {
		w, err = s.DB.Workflow(ctx, id)
		return err
	})
	return w, err
}

func (s store) Pipeline(ctx context.Context, id ci.PipelineID) (p ci.Pipeline, err error) {
	err = s.out.pass(ctx, "store", "pipeline", func() (err error) {
		p, err = s.DB.Pipeline(ctx, id)
		return err
	})
	return p, err
}

func (s store) Plan(ctx context.Context, id ci.PipelineID) (p *ci.Plan, err error) {
	err = s.out.pass(ctx, "store", "plan", func() (err error) {
		p, err = s.DB.Plan(ctx, id)
		return err
	})
	return p, err
}

func (s store) PutStep(ctx context.Context, l ci.Lease, step ci.Step) error {
	return s.out.pass(ctx, "store", "put step", func() error { return s.DB.PutStep(ctx, l, step) })
}

func (s store) Steps(ctx context.Context, t ci.TaskID, epoch int64) (steps []ci.Step, err error) {
	err = s.out.pass(ctx, "store", "steps", func() (err error) {
		steps, err = s.DB.Steps(ctx, t, epoch)
		return err
	})
	return steps, err
}

// Events breaks off in the middle, as a connection does.
func (s store) Events(ctx context.Context, after uint64) iter.Seq2[ci.Event, error] {
	return func(yield func(ci.Event, error) bool) {
		for e, err := range s.DB.Events(ctx, after) {
			if err == nil && s.out.dead.Load() {
				err = errGone
			}
			if err == nil && s.out.w.dice.strikes("store: fails", "events") {
				err = errBroken
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// A backlog is the tickets, as one life sees them.
type backlog struct {
	*memdb.Backlog
	out *gateway
}

func (b backlog) Put(ctx context.Context, cursor uint64, tickets ...ci.Ticket) error {
	return b.out.pass(ctx, "store", "put tickets", func() error {
		err := b.Backlog.Put(ctx, cursor, tickets...)
		if err == nil {
			b.out.w.border.stores(tickets)
		}
		return err
	})
}

func (b backlog) Remove(ctx context.Context, tasks ...ci.TaskID) error {
	return b.out.pass(ctx, "store", "remove tickets", func() error { return b.Backlog.Remove(ctx, tasks...) })
}

func (b backlog) Cursor(ctx context.Context) (cursor uint64, err error) {
	err = b.out.pass(ctx, "store", "cursor", func() (err error) {
		cursor, err = b.Backlog.Cursor(ctx)
		return err
	})
	return cursor, err
}

// The logs, as one life sees them.
type logs struct {
	*storage.Logs
	out *gateway
}

func (l logs) Append(ctx context.Context, k ci.LogKey, offset int64, data []byte) (next int64, err error) {
	next = offset
	err = l.out.pass(ctx, "logs", "append", func() (err error) {
		next, err = l.Logs.Append(ctx, k, offset, data)
		return err
	})
	return next, err
}

func (l logs) Size(ctx context.Context, k ci.LogKey) (size int64, err error) {
	err = l.out.pass(ctx, "logs", "size", func() (err error) {
		size, err = l.Logs.Size(ctx, k)
		return err
	})
	return size, err
}

func (l logs) End(ctx context.Context, task ci.TaskID, epoch int64) error {
	return l.out.pass(ctx, "logs", "end", func() error { return l.Logs.End(ctx, task, epoch) })
}
