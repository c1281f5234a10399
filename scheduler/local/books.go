package local

import (
	"context"
	"iter"
	"os"
	"slices"

	"github.com/rondo-ci/rondo/scheduler"
)

// add makes a place known. The lock is held, as in all functions of this file
// but Watch.
func (c *Cluster) add(pl *place) {
	k := key{pl.Task.ID, pl.Epoch}
	c.places[k] = pl
	c.order = append(c.order, k)
}

// forget makes a place unknown, with its files.
func (c *Cluster) forget(pl *place) {
	k := key{pl.Task.ID, pl.Epoch}
	if c.places[k] != pl {
		return
	}
	delete(c.places, k)
	c.order = slices.DeleteFunc(c.order, func(o key) bool { return o == k })
	if pl.record != "" {
		pl.strike()
	}
	if p, ok := pl.agent.(*process); pl.log != "" && (!ok || p.ended) {
		_ = os.Remove(pl.log)
	}
}

// runs marks a place as handed over.
func (c *Cluster) runs(pl *place) {
	if pl.State == scheduler.PlacementPending {
		pl.State = scheduler.PlacementRunning
		c.feed.Tell(pl.Placement)
	}
}

// dead marks a place as over.
func (c *Cluster) dead(pl *place, reason string) {
	if pl.State == scheduler.PlacementDead {
		return
	}
	if pl.killer != nil {
		pl.killer.Stop()
	}
	pl.State, pl.Reason = scheduler.PlacementDead, reason
	close(pl.gone)
	c.feed.Tell(pl.Placement)
}

// all returns the placements in order of submission.
func (c *Cluster) all() []scheduler.Placement {
	var all []scheduler.Placement
	for _, k := range c.order {
		all = append(all, c.places[k].Placement)
	}
	return all
}

// Watch yields all placements, and then what changes, at once.
func (c *Cluster) Watch(ctx context.Context) iter.Seq2[scheduler.Placement, error] {
	return func(yield func(scheduler.Placement, error) bool) {
		if err := c.load(); err != nil {
			yield(scheduler.Placement{}, err)
			return
		}
		c.feed.Watch(ctx, &c.mu, c.all)(yield)
	}
}
