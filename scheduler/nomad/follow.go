package nomad

import (
	"context"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/rondo-ci/rondo/scheduler/internal/feed"
)

// gap is the shortest time between two syncs: events tell of changes sooner,
// and without them it is what a change takes to be seen.
const (
	gap       = time.Second
	gapNoHint = 100 * time.Millisecond
	sweepTime = time.Hour
	blockTime = 30 * time.Second // of one blocking query
)

// poll syncs regularly, and when something says that there is news.
func (c *Cluster) poll(ctx context.Context) {
	tick := time.NewTicker(c.cfg.Poll)
	defer tick.Stop()
	var retry backoff
	var swept time.Time
	for ctx.Err() == nil {
		err := c.sync(ctx)
		if err == nil {
			_, err = c.lookAtNodes(ctx)
		}
		if err != nil {
			if ctx.Err() == nil {
				c.log.Warn("ask Nomad what there is, will try again", "err", err)
			}
			retry.pause(ctx)
			continue
		}
		retry = backoff{}
		if time.Since(swept) > sweepTime {
			swept = time.Now()
			if err := c.books.sweep(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("remove old ends of agents", "err", err)
			}
		}
		c.mu.Lock()
		pause := gapNoHint
		if c.streams {
			pause = gap
		}
		c.mu.Unlock()
		sleep(ctx, pause)
		select {
		case <-ctx.Done():
		case <-c.look:
		case <-tick.C:
		}
	}
}

// block waits with a blocking query for anything new about allocations: what
// events would tell, should they not come.
func (c *Cluster) block(ctx context.Context) {
	var index uint64
	var retry backoff
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, blockTime+syncTime)
		q := c.query(asking, nil)
		q.WaitIndex, q.WaitTime, q.PerPage = index, blockTime, 1
		_, meta, err := c.api.Allocations().List(q)
		cancel()
		if err != nil {
			retry.pause(ctx)
			continue
		}
		retry = backoff{}
		switch {
		case meta.LastIndex < index: // restored from a snapshot: all indexes are void
			c.log.Warn("Nomad's index went back; everything is asked for anew", "from", index, "to", meta.LastIndex)
			c.rewind()
			index = 0
		case meta.LastIndex != index:
			index = max(meta.LastIndex, 1) // 0 would not block
		default:
			continue // nothing new
		}
		feed.Signal(c.look)
		sleep(ctx, gapNoHint)
	}
}

// rewind forgets how new the news are.
func (c *Cluster) rewind() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.warm {
		w.alloc.changed = 0
	}
	for _, pl := range c.places {
		for id, a := range pl.allocs {
			a.changed = 0
			pl.allocs[id] = a
		}
	}
}

// follow reads events until ctx ends. Each begin is followed by a sync, so what
// happened between two streams is found.
func (c *Cluster) follow(ctx context.Context) {
	var retry backoff
	for ctx.Err() == nil {
		if c.stream(ctx) {
			retry = backoff{}
		}
		c.mu.Lock()
		c.streams = false
		c.mu.Unlock()
		feed.Signal(c.look)
		retry.pause(ctx)
	}
}

// stream reads one stream to its end, and reports whether it has begun.
func (c *Cluster) stream(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, err := c.api.EventStream().Stream(ctx, map[api.Topic][]string{
		api.TopicAllocation: {"*"}, api.TopicEvaluation: {"*"}, api.TopicNode: {"*"},
	}, 0, c.query(ctx, nil))
	if err != nil {
		c.log.Info("no events of Nomad, its lists are polled", "err", c.words(err))
		return false
	}
	c.mu.Lock()
	c.streams = true
	c.mu.Unlock()
	feed.Signal(c.look)
	for batch := range events {
		if batch.Err != nil {
			if ctx.Err() == nil {
				c.log.Info("events of Nomad broke off, they are followed anew", "err", batch.Err)
			}
			return true
		}
		for i := range batch.Events {
			c.hint(ctx, &batch.Events[i])
		}
	}
	return true
}

// hint takes over what one event says, if it is readable; if not, the next
// sync finds it.
func (c *Cluster) hint(ctx context.Context, e *api.Event) {
	switch e.Topic {
	case api.TopicAllocation:
		a, err := e.Allocation()
		if err != nil || a == nil {
			feed.Signal(c.look)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.observe(alloc{a.ID, a.JobID, a.NodeID, a.NodeName, a.ClientStatus, a.DesiredStatus, a.ClientDescription, a.ModifyIndex, a.TaskStates[taskName]})
	case api.TopicEvaluation:
		ev, err := e.Evaluation()
		if err != nil || ev == nil {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if pl := c.jobs[ev.JobID]; pl != nil && len(ev.FailedTGAllocs) > 0 && pl.alloc == "" {
			c.stuck(pl)
			pl.reasons = time.Now()
			c.because(pl, ev)
		}
	case api.TopicNode:
		if _, err := c.lookAtNodes(ctx); err != nil {
			feed.Signal(c.look)
		}
	}
}
