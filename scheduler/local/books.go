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
		c.tell(pl.Placement)
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
	c.tell(pl.Placement)
}

// all returns the placements in order of submission.
func (c *Cluster) all() []scheduler.Placement {
	var all []scheduler.Placement
	for _, k := range c.order {
		all = append(all, c.places[k].Placement)
	}
	return all
}

// A watcher is one who follows the changes.
type watcher struct {
	changes []scheduler.Placement
	wake    chan struct{}
}

// tell lets the watchers know of a change.
func (c *Cluster) tell(p scheduler.Placement) {
	for w := range c.watchers {
		w.changes = append(w.changes, p)
		signal(w.wake)
	}
}

// Watch yields all placements, and then what changes, at once.
func (c *Cluster) Watch(ctx context.Context) iter.Seq2[scheduler.Placement, error] {
	return func(yield func(scheduler.Placement, error) bool) {
		if err := c.load(); err != nil {
			yield(scheduler.Placement{}, err)
			return
		}
		w := &watcher{wake: make(chan struct{}, 1)}
		c.mu.Lock()
		w.changes = c.all()
		c.watchers[w] = true
		c.mu.Unlock()
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			delete(c.watchers, w)
		}()
		for {
			c.mu.Lock()
			changes := w.changes
			w.changes = nil
			c.mu.Unlock()
			for _, p := range changes {
				if !yield(p, nil) {
					return
				}
			}
			select {
			case <-ctx.Done():
				yield(scheduler.Placement{}, ctx.Err())
				return
			case <-w.wake:
			}
		}
	}
}

// signal puts an element into a channel of capacity 1, unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
