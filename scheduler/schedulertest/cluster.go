package schedulertest

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/internal/feed"
)

// A Cluster is a [scheduler.Cluster] of virtual nodes. Agents are calls of a
// function in this process. It is safe for concurrent use.
type Cluster struct {
	// Deaf clusters tell nothing by Watch: all must be found by asking.
	Deaf bool

	agent   func(context.Context, scheduler.Placement) error
	agents  sync.WaitGroup
	mu      sync.Mutex
	broken  func(op string, p scheduler.Placement) error
	nodes   []scheduler.Node
	places  map[id]*place
	order   []id
	submits map[id]int
	running map[*place]bool // agents, also of placements that were lost
	feed    feed.Feed
}

// id is what tells placements apart.
type id struct {
	task  ci.TaskID
	epoch int64
}

// A place is a placement with the agent that it has.
type place struct {
	scheduler.Placement
	cancel context.CancelFunc
	killer *time.Timer
	output *strings.Builder
}

// NewCluster returns a cluster with these nodes. agent is called in a goroutine
// of its own for each placement; its context ends when the agent is asked to
// stop. A killed agent counts as gone although its function may still run: it
// should ask [Cluster.Alive] before it does anything that matters. nil are agents
// that live until they are killed.
func NewCluster(agent func(context.Context, scheduler.Placement) error, nodes ...scheduler.Node) *Cluster {
	return &Cluster{
		agent: agent, nodes: nodes, places: make(map[id]*place), submits: make(map[id]int),
		running: make(map[*place]bool),
	}
}

// Node returns a ready node.
func Node(name string, cpu float64, memoryMB int) scheduler.Node {
	return scheduler.Node{
		Name: name, State: scheduler.NodeReady,
		Capacity: scheduler.Resources{CPU: cpu, MemoryMB: memoryMB},
	}
}

// Submit starts an agent.
func (c *Cluster) Submit(ctx context.Context, p scheduler.Placement) error {
	if err := c.fault(ctx, "submit", p); err != nil {
		return err
	}
	if p.Task.ID == "" || p.Epoch < 1 {
		return fmt.Errorf("submit: no task: %w", ci.ErrInvalid)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k := id{p.Task.ID, p.Epoch}
	c.submits[k]++
	if c.places[k] != nil {
		return nil
	}
	i := slices.IndexFunc(c.nodes, func(n scheduler.Node) bool { return n.Name == p.Node })
	if i < 0 || c.nodes[i].State != scheduler.NodeReady {
		return fmt.Errorf("submit %s: node %q does not take it: %w", p.Task.ID, p.Node, ci.ErrConflict)
	}
	agentCtx, cancel := context.WithCancel(context.Background())
	shown := p
	shown.Token, shown.State = "", scheduler.PlacementRunning
	pl := &place{Placement: shown, cancel: cancel, output: new(strings.Builder)}
	fmt.Fprintf(pl.output, "agent of %s epoch %d\n", p.Task.ID, p.Epoch)
	c.places[k] = pl
	c.order = append(c.order, k)
	c.feed.Tell(shown)
	if c.agent == nil {
		cancel()
		return nil
	}
	c.running[pl] = true
	c.agents.Go(func() {
		reason := "the agent ended"
		if err := c.agent(agentCtx, p); err != nil {
			reason = "the agent ended: " + err.Error()
		}
		cancel()
		c.end(k, reason)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.running, pl)
	})
	return nil
}

// Stop ends an agent.
func (c *Cluster) Stop(ctx context.Context, p scheduler.Placement, grace time.Duration) error {
	if err := c.fault(ctx, "stop", p); err != nil {
		return err
	}
	k := id{p.Task.ID, p.Epoch}
	c.mu.Lock()
	defer c.mu.Unlock()
	pl := c.places[k]
	switch {
	case pl == nil:
	case pl.State == scheduler.PlacementDead:
		if grace <= 0 {
			c.forget(k)
		}
	case grace > 0:
		pl.cancel()
		if pl.killer == nil {
			pl.killer = time.AfterFunc(grace, func() { c.end(k, "the agent was killed after its grace") })
		} else {
			pl.killer.Reset(grace)
		}
	default:
		pl.cancel()
		c.endLocked(k, "the agent was killed")
	}
	return nil
}

// Placements yields the placements in order of submission.
func (c *Cluster) Placements(ctx context.Context) iter.Seq2[scheduler.Placement, error] {
	return func(yield func(scheduler.Placement, error) bool) {
		if err := c.fault(ctx, "placements", scheduler.Placement{}); err != nil {
			yield(scheduler.Placement{}, err)
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

// Watch yields all placements and then what changes.
func (c *Cluster) Watch(ctx context.Context) iter.Seq2[scheduler.Placement, error] {
	return func(yield func(scheduler.Placement, error) bool) {
		for p, err := range c.feed.Watch(ctx, &c.mu, c.all) {
			if (err != nil || !c.Deaf) && !yield(p, err) {
				return
			}
		}
	}
}

// Nodes lists the nodes.
func (c *Cluster) Nodes(ctx context.Context) ([]scheduler.Node, error) {
	if err := c.fault(ctx, "nodes", scheduler.Placement{}); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.nodes), nil
}

// Drain drains a node. The deadline is not kept.
func (c *Cluster) Drain(_ context.Context, node string, d scheduler.Drain) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.nodes {
		if n := &c.nodes[i]; n.Name == node {
			n.State = scheduler.NodeReady
			if d.On {
				n.State = scheduler.NodeDraining
			}
			c.feed.Tell(scheduler.Placement{})
			return nil
		}
	}
	return fmt.Errorf("drain node %q: %w", node, ci.ErrNotFound)
}

// Output opens the one line that the fake writes for an agent.
func (c *Cluster) Output(_ context.Context, p scheduler.Placement, _ bool) (io.ReadCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pl := c.places[id{p.Task.ID, p.Epoch}]
	if pl == nil {
		return nil, fmt.Errorf("output of %s epoch %d: %w", p.Task.ID, p.Epoch, ci.ErrNotFound)
	}
	return io.NopCloser(strings.NewReader(pl.output.String())), nil
}

// SetFault lets f be asked before each call ("submit", "stop", "nodes",
// "placements"): it returns why the call fails, and nil lets it pass.
func (c *Cluster) SetFault(f func(op string, p scheduler.Placement) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = f
}

// SetNodes replaces the nodes. Agents on nodes that go away live on.
func (c *Cluster) SetNodes(nodes ...scheduler.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes = slices.Clone(nodes)
	c.feed.Tell(scheduler.Placement{})
}

// KillNode lets a node go down with its agents: they are out of sight.
func (c *Cluster) KillNode(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.nodes {
		if c.nodes[i].Name == name {
			c.nodes[i].State, c.nodes[i].Reason = scheduler.NodeDown, "it was killed"
		}
	}
	for _, pl := range c.places {
		if pl.Node == name && pl.State != scheduler.PlacementDead {
			pl.cancel()
			pl.State, pl.Reason = scheduler.PlacementLost, "its node is down"
			c.feed.Tell(pl.Placement)
		}
	}
	c.feed.Tell(scheduler.Placement{})
}

// Die kills the agent of a placement, as an accident would. It reports whether
// there was one.
func (c *Cluster) Die(task ci.TaskID, epoch int64, reason string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	pl := c.places[id{task, epoch}]
	if pl == nil || pl.State == scheduler.PlacementDead {
		return false
	}
	c.endLocked(id{task, epoch}, reason)
	pl.cancel()
	return true
}

// Show lets the cluster say something about a living placement, true or not.
func (c *Cluster) Show(task ci.TaskID, epoch int64, state scheduler.PlacementState, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pl := c.places[id{task, epoch}]; pl != nil && pl.State != scheduler.PlacementDead {
		pl.State, pl.Reason = state, reason
		c.feed.Tell(pl.Placement)
	}
}

// Lose lets the cluster forget a placement whose agent may live on.
func (c *Cluster) Lose(task ci.TaskID, epoch int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(id{task, epoch})
}

// Alive reports whether the agent of the placement has not ended.
func (c *Cluster) Alive(p scheduler.Placement) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	pl := c.places[id{p.Task.ID, p.Epoch}]
	return pl != nil && pl.State != scheduler.PlacementDead
}

// Living returns the placements whose agents have not ended, in order of
// submission.
func (c *Cluster) Living() []scheduler.Placement {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(c.all(), func(p scheduler.Placement) bool { return p.State == scheduler.PlacementDead })
}

// Submits returns how often a hand-out was submitted.
func (c *Cluster) Submits(task ci.TaskID, epoch int64) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.submits[id{task, epoch}]
}

// Close kills all agents and waits until their functions have returned.
func (c *Cluster) Close() {
	c.mu.Lock()
	for k := range c.places {
		c.endLocked(k, "the cluster was closed")
	}
	for pl := range c.running {
		pl.cancel()
	}
	c.mu.Unlock()
	c.agents.Wait()
}

// all returns the placements in order of submission. The lock is held.
func (c *Cluster) all() []scheduler.Placement {
	var all []scheduler.Placement
	for _, k := range c.order {
		all = append(all, c.places[k].Placement)
	}
	return all
}

func (c *Cluster) end(k id, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(k, reason)
}

func (c *Cluster) endLocked(k id, reason string) {
	pl := c.places[k]
	if pl == nil || pl.State == scheduler.PlacementDead {
		return
	}
	if pl.killer != nil {
		pl.killer.Stop()
	}
	pl.State, pl.Reason = scheduler.PlacementDead, reason
	c.feed.Tell(pl.Placement)
}

func (c *Cluster) forget(k id) {
	if c.places[k] != nil {
		delete(c.places, k)
		c.order = slices.DeleteFunc(c.order, func(o id) bool { return o == k })
	}
}

func (c *Cluster) fault(ctx context.Context, op string, p scheduler.Placement) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	broken := c.broken
	c.mu.Unlock()
	if broken == nil {
		return nil
	}
	return broken(op, p)
}
