package sim

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
)

// A handOut is one epoch of a task.
type handOut struct {
	task  ci.TaskID
	epoch int64
}

// A yard is the cluster itself, with what it says that is not true.
type yard struct {
	*schedulertest.Cluster

	mu     sync.Mutex
	killed map[handOut]bool
	lies   map[handOut]scheduler.PlacementState // what is said of agents that live
	hidden map[handOut]bool                     // placements that it has forgotten
}

func newYard() *yard {
	return &yard{killed: map[handOut]bool{}, lies: map[handOut]scheduler.PlacementState{}, hidden: map[handOut]bool{}}
}

// kill notes that an agent is gone for certain.
func (y *yard) kill(h handOut) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.killed[h] = true
}

// gone reports whether the agents of a placement are dead.
func (y *yard) gone(p scheduler.Placement) bool {
	h := handOut{p.Task.ID, p.Epoch}
	y.mu.Lock()
	killed, hidden := y.killed[h], y.hidden[h]
	y.mu.Unlock()
	return killed || !hidden && !y.Alive(p)
}

// forgot reports whether the cluster does not know a placement any more.
func (y *yard) forgot(p scheduler.Placement) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.hidden[handOut{p.Task.ID, p.Epoch}]
}

// liar is how the cluster says what is not true.
const liar = "the cluster takes it for "

// said returns a placement as the cluster tells it.
func (y *yard) said(p scheduler.Placement) scheduler.Placement {
	y.mu.Lock()
	defer y.mu.Unlock()
	if state := y.lies[handOut{p.Task.ID, p.Epoch}]; state != "" && p.State == scheduler.PlacementRunning {
		p.State, p.Reason = state, liar+string(state)
	}
	return p
}

// tellTruth ends all lies. Placements that are forgotten stay so.
func (y *yard) tellTruth() {
	y.mu.Lock()
	defer y.mu.Unlock()
	clear(y.lies)
}

// A cluster is the yard, as one life sees it.
type cluster struct {
	*yard
	out *gateway
}

func (c cluster) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (c cluster) Submit(ctx context.Context, p scheduler.Placement) error {
	return c.out.pass(ctx, "cluster", "submit "+c.out.w.taskName(p.Task), func() error {
		c.out.w.know(p.Task)
		c.out.w.border.submits(c.out.w, p)
		return c.yard.Submit(ctx, p)
	})
}

func (c cluster) Stop(ctx context.Context, p scheduler.Placement, grace time.Duration) error {
	return c.out.pass(ctx, "cluster", "stop "+c.out.w.taskName(p.Task), func() error {
		h := handOut{p.Task.ID, p.Epoch}
		c.mu.Lock()
		forgotten, dead := c.hidden[h], c.lies[h] == scheduler.PlacementDead
		c.mu.Unlock()
		if grace == 0 && !forgotten && !dead { // what it takes for dead it does not kill
			c.kill(h)
		}
		if dead && grace == 0 {
			c.forget(h)
			return nil
		}
		return c.yard.Stop(ctx, p, grace)
	})
}

// forget lets the cluster forget a placement whose agent lives on.
func (y *yard) forget(h handOut) {
	y.mu.Lock()
	y.hidden[h] = true
	y.mu.Unlock()
	y.Lose(h.task, h.epoch)
}

func (c cluster) Placements(ctx context.Context) iter.Seq2[scheduler.Placement, error] {
	return c.tell(ctx, "placements", c.yard.Placements)
}

func (c cluster) Watch(ctx context.Context) iter.Seq2[scheduler.Placement, error] {
	return c.tell(ctx, "watch", c.yard.Watch)
}

func (c cluster) tell(ctx context.Context, what string, all func(context.Context) iter.Seq2[scheduler.Placement, error]) iter.Seq2[scheduler.Placement, error] {
	return func(yield func(scheduler.Placement, error) bool) {
		for p, err := range all(ctx) {
			if err == nil && c.out.dead.Load() {
				err = errGone
			}
			if err == nil && c.out.w.dice.strikes("cluster: fails", what) {
				err = errBroken
			}
			if !yield(c.said(p), err) || err != nil {
				return
			}
		}
	}
}

func (c cluster) Nodes(ctx context.Context) (nodes []scheduler.Node, err error) {
	err = c.out.pass(ctx, "cluster", "nodes", func() (err error) {
		nodes, err = c.yard.Nodes(ctx)
		return err
	})
	return nodes, err
}
