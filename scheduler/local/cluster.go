package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/internal/feed"
)

// A Cluster is this machine as a [scheduler.Cluster]. All methods are safe for
// concurrent use. [Cluster.Run] keeps agents warm and watches those of an
// earlier server; the other methods work without it.
type Cluster struct {
	start Start
	cfg   Config
	log   *slog.Logger
	load  func() error // once: the directory and the records in it

	wake  chan struct{}  // has an element when Run has something to do
	calls sync.WaitGroup // of functions

	mu       sync.Mutex
	dir      string
	draining bool
	closing  bool
	failed   time.Time // when an idle agent last ended by itself
	places   map[key]*place
	order    []key
	idle     []*process // oldest first
	feed     feed.Feed
}

// A key tells placements apart.
type key struct {
	task  ci.TaskID
	epoch int64
}

// A place is a placement and the agent that has it.
type place struct {
	scheduler.Placement
	token  string
	agent  agent         // nil until the placement is handed over
	ready  chan struct{} // closed when agent is set, or there will be none
	gone   chan struct{} // closed when it is dead
	killer *time.Timer
	killAt time.Time
	log    string // file with what the agent says
	from   int64  // where in it this task begins
	record string // file
}

// An agent is somebody who has a placement.
type agent interface {
	stop() // with grace
	kill() // the place is told dead by whoever watches the agent
}

// New returns a cluster of this machine. It does nothing until it is used.
func New(start Start, cfg Config) *Cluster {
	c := &Cluster{
		start: start, cfg: cfg.withDefaults(), wake: make(chan struct{}, 1),
		places: make(map[key]*place),
	}
	c.log = c.cfg.Log
	c.load = sync.OnceValue(c.open)
	return c
}

// Run keeps agents ready and watches those that an earlier server has left,
// until ctx ends. Then idle agents are sent away, functions are stopped and
// waited for, and processes that have a task are left alone: they end by
// themselves, or a new server finds them.
func (c *Cluster) Run(ctx context.Context) error {
	if err := c.load(); err != nil {
		return fmt.Errorf("run local cluster: %w", err)
	}
	c.keep(ctx)
	c.shut()
	return nil
}

// Submit hands the placement to an idle agent, or to a new one.
func (c *Cluster) Submit(ctx context.Context, p scheduler.Placement) error {
	if err := c.submit(ctx, p); err != nil {
		return fmt.Errorf("submit task %s epoch %d: %w", p.Task.ID, p.Epoch, err)
	}
	return nil
}

func (c *Cluster) submit(ctx context.Context, p scheduler.Placement) error {
	if err := c.load(); err != nil {
		return err
	}
	if p.Task.ID == "" || p.Epoch < 1 {
		return fmt.Errorf("no task: %w", ci.ErrInvalid)
	}
	c.mu.Lock()
	k := key{p.Task.ID, p.Epoch}
	if pl := c.places[k]; pl != nil {
		c.mu.Unlock()
		select {
		case <-pl.ready:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if c.draining || c.closing {
		c.mu.Unlock()
		return fmt.Errorf("node %s takes nothing new: %w", c.cfg.Node, ci.ErrConflict)
	}
	pl := &place{Placement: p, token: p.Token, ready: make(chan struct{}), gone: make(chan struct{})}
	pl.Token, pl.Node, pl.State = "", c.cfg.Node, scheduler.PlacementPending
	c.add(pl)
	c.mu.Unlock()
	defer close(pl.ready)
	give := c.give
	if c.start.call != nil {
		give = c.call
	}
	if err := give(pl, p); err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.forget(pl)
		return err
	}
	return nil
}

// Stop ends the agent of a placement.
func (c *Cluster) Stop(ctx context.Context, p scheduler.Placement, grace time.Duration) error {
	if err := c.load(); err != nil {
		return fmt.Errorf("stop task %s epoch %d: %w", p.Task.ID, p.Epoch, err)
	}
	c.mu.Lock()
	pl := c.places[key{p.Task.ID, p.Epoch}]
	c.mu.Unlock()
	if pl == nil {
		return nil
	}
	select {
	case <-pl.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.stopPlace(pl, grace) || grace > 0 {
		return nil
	}
	select {
	case <-pl.gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop task %s epoch %d: its agent does not die: %w", p.Task.ID, p.Epoch, ctx.Err())
	}
}

// stopPlace asks the agent to end, or kills it, and forgets a dead one. It
// returns true when there is nothing to wait for.
func (c *Cluster) stopPlace(pl *place, grace time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pl.agent == nil || pl.State == scheduler.PlacementDead {
		if grace <= 0 {
			c.forget(pl)
		}
		return true
	}
	if grace <= 0 {
		pl.agent.kill()
		return false
	}
	end := time.Now().Add(grace)
	if pl.killer != nil && pl.killAt.Before(end) {
		return false
	}
	if pl.killer == nil {
		pl.agent.stop()
	} else {
		pl.killer.Stop()
	}
	pl.killAt = end
	pl.killer = time.AfterFunc(grace, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if pl.State != scheduler.PlacementDead {
			pl.agent.kill()
		}
	})
	return false
}

// Placements yields all placements, in order of submission.
func (c *Cluster) Placements(ctx context.Context) iter.Seq2[scheduler.Placement, error] {
	return func(yield func(scheduler.Placement, error) bool) {
		err := errors.Join(c.load(), ctx.Err())
		if err != nil {
			yield(scheduler.Placement{}, fmt.Errorf("list placements: %w", err))
			return
		}
		c.mu.Lock()
		all := c.all()
		c.mu.Unlock()
		for _, p := range all {
			if !yield(p, nil) {
				return
			}
		}
	}
}

// Nodes returns the one node.
func (c *Cluster) Nodes(context.Context) ([]scheduler.Node, error) {
	n := c.cfg.node()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		n.State = scheduler.NodeDraining
	}
	return []scheduler.Node{n}, nil
}

// Drain lets the node take nothing new. With a deadline what still runs is
// stopped when that is over, unless the drain was ended before.
func (c *Cluster) Drain(_ context.Context, node string, d scheduler.Drain) error {
	if node != c.cfg.Node {
		return fmt.Errorf("drain node %q: %w", node, ci.ErrNotFound)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = d.On
	c.feed.Tell(scheduler.Placement{})
	if d.On && d.Deadline > 0 {
		over := slices.Clone(c.order)
		time.AfterFunc(d.Deadline, func() { c.drained(over) })
	}
	return nil
}

// drained stops what was there when a drain began.
func (c *Cluster) drained(over []key) {
	c.mu.Lock()
	var places []*place
	for _, k := range over {
		if pl := c.places[k]; pl != nil && c.draining && pl.State == scheduler.PlacementRunning {
			places = append(places, pl)
		}
	}
	c.mu.Unlock()
	for _, pl := range places {
		c.stopPlace(pl, 30*time.Second)
	}
}

// Output opens the end of what the agent has written to standard error while it
// had the task. There is no standard output: that is the protocol.
func (c *Cluster) Output(_ context.Context, p scheduler.Placement, stderr bool) (io.ReadCloser, error) {
	r, err := c.output(p, stderr)
	if err != nil {
		return nil, fmt.Errorf("output of task %s epoch %d: %w", p.Task.ID, p.Epoch, err)
	}
	return r, nil
}

func (c *Cluster) output(p scheduler.Placement, stderr bool) (io.ReadCloser, error) {
	if err := c.load(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	pl := c.places[key{p.Task.ID, p.Epoch}]
	if pl == nil {
		return nil, ci.ErrNotFound
	}
	if !stderr || pl.log == "" {
		return nil, fmt.Errorf("agents of this machine write to standard error only: %w", ci.ErrNotFound)
	}
	return openTail(pl.log, pl.from, outputTail)
}
