package local

import (
	"context"
	"os"
	"time"

	"github.com/rondo-ci/rondo/scheduler"
)

const (
	// A new idle agent is started so long after one was taken: not while the
	// task that took it starts.
	warmDelay = 250 * time.Millisecond
	// After an idle agent ended by itself, no other is started for so long.
	warmPause = 10 * time.Second
	// Agents of an earlier server are looked at so often.
	adoptedPoll = 250 * time.Millisecond
)

// keep looks after idle and adopted agents until ctx ends.
func (c *Cluster) keep(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	due := time.Now() // zero is never
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
			if t := time.Now().Add(warmDelay); due.IsZero() || t.Before(due) {
				due = t
				timer.Reset(warmDelay)
			}
		case <-timer.C:
			c.visit()
			c.dismiss()
			due = time.Time{}
			if wait := c.warm(); wait > 0 {
				due = time.Now().Add(wait)
				timer.Reset(wait)
			}
		}
	}
}

// dismiss sends away agents that have been idle for too long.
func (c *Cluster) dismiss() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.idle) > c.cfg.Warm && time.Since(c.idle[0].since) >= c.cfg.Idle {
		_ = c.idle[0].in.Close()
		c.idle = c.idle[1:]
	}
}

// warm starts agents until enough are idle. It returns when to look again; 0 is
// when something happens.
func (c *Cluster) warm() time.Duration {
	for c.start.call == nil {
		c.mu.Lock()
		missing := c.cfg.Warm - len(c.idle)
		failing := !c.failed.IsZero() && time.Since(c.failed) < warmPause
		c.mu.Unlock()
		if missing <= 0 {
			break
		}
		if failing {
			return warmPause
		}
		a, err := c.spawn()
		c.mu.Lock()
		if err != nil {
			c.log.Warn("keep an agent ready", "err", err)
			c.failed = time.Now()
		} else if a.ended {
			c.failed = time.Now()
		} else {
			c.idle = append(c.idle, a)
		}
		c.mu.Unlock()
	}
	return c.next()
}

// next returns when something is due.
func (c *Cluster) next() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, pl := range c.places {
		if _, ok := pl.agent.(*adopted); ok && pl.State != scheduler.PlacementDead {
			return adoptedPoll
		}
	}
	if len(c.idle) > c.cfg.Warm {
		return max(c.cfg.Idle-time.Since(c.idle[0].since), time.Millisecond)
	}
	return 0
}

// shut sends idle agents away and ends the functions.
func (c *Cluster) shut() {
	c.mu.Lock()
	c.closing = true
	for _, a := range c.idle {
		_ = a.in.Close()
	}
	c.idle = nil
	for _, pl := range c.places {
		switch a := pl.agent.(type) {
		case *call:
			a.stop()
		case *process:
			_ = a.in.Close() // it may finish what it has
		}
	}
	temporary := c.cfg.Dir == "" && c.dir != ""
	c.mu.Unlock()
	c.calls.Wait()
	if temporary {
		_ = os.RemoveAll(c.dir)
	}
}
