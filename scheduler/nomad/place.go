package nomad

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
)

// A place is a placement and what Nomad made of it. Cluster.mu guards it.
type place struct {
	scheduler.Placement
	job     string // Nomad's ID
	warm    string // the name of its warm agent, if it has one
	signed  bool   // its agent has an identity
	alloc   string // the allocation that counts, of
	allocs  map[string]alloc
	sent    time.Time // when Nomad took it
	blocked time.Time // since when Nomad finds no room for it
	reasons time.Time // when Nomad was last asked why
	killAt  time.Time
	killer  *time.Timer
	killed  bool // its job was ended
	axed    bool // its agent is to be killed without delay
	dying   bool // its end is being written down
}

// add takes a place into the books and tells watchers.
func (c *Cluster) add(pl *place) {
	k := keyOf(pl.Placement)
	c.places[k], c.jobs[pl.job] = pl, pl
	c.order = append(c.order, k)
	c.feed.Tell(pl.Placement)
}

// drop takes it out again.
func (c *Cluster) drop(pl *place) {
	k := keyOf(pl.Placement)
	if c.places[k] != pl {
		return
	}
	if pl.killer != nil {
		pl.killer.Stop()
	}
	delete(c.places, k)
	delete(c.jobs, pl.job)
	delete(c.tried, k)
	if pl.warm != "" {
		delete(c.warm, pl.warm)
	}
	c.order = slices.DeleteFunc(c.order, func(o key) bool { return o == k })
}

// show sets what is told of a place. Dead is final.
func (c *Cluster) show(pl *place, state scheduler.PlacementState, node, reason string) {
	if pl.State == scheduler.PlacementDead {
		return
	}
	if node == "" {
		node = pl.Node
	}
	if pl.State == state && pl.Node == node && pl.Reason == reason {
		return
	}
	pl.State, pl.Node, pl.Reason = state, node, reason
	c.feed.Tell(pl.Placement)
}

// all returns the placements in order of submission.
func (c *Cluster) all() []scheduler.Placement {
	all := make([]scheduler.Placement, 0, len(c.order))
	for _, k := range c.order {
		all = append(all, c.places[k].Placement)
	}
	return all
}

// Placements asks Nomad and yields all placements.
func (c *Cluster) Placements(ctx context.Context) iter.Seq2[scheduler.Placement, error] {
	return func(yield func(scheduler.Placement, error) bool) {
		if err := c.sync(ctx); err != nil {
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

// Watch yields all placements and then what changes.
func (c *Cluster) Watch(ctx context.Context) iter.Seq2[scheduler.Placement, error] {
	return func(yield func(scheduler.Placement, error) bool) {
		if err := c.known(ctx); err != nil {
			yield(scheduler.Placement{}, fmt.Errorf("watch placements: %w", err))
			return
		}
		c.feed.Watch(ctx, &c.mu, c.all)(yield)
	}
}

// valid says whether a placement can be submitted at all.
func valid(p scheduler.Placement) error {
	if p.Task.ID == "" || p.Epoch < 1 {
		return fmt.Errorf("no task: %w", ci.ErrInvalid)
	}
	return nil
}
