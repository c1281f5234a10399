package local

import (
	"context"
	"fmt"

	"github.com/rondo-ci/rondo/scheduler"
)

// A call is an agent that is a function.
type call struct {
	cancel context.CancelFunc
	end    func(reason string)
}

func (a *call) stop() { a.cancel() }

// kill cannot kill a function: it is told to stop, and counts as dead.
func (a *call) kill() {
	a.cancel()
	a.end("the agent was killed")
}

// call lets the function have the placement.
func (c *Cluster) call(pl *place, p scheduler.Placement) error {
	ctx, cancel := context.WithCancel(context.Background())
	c.mu.Lock()
	defer c.mu.Unlock()
	pl.agent = &call{cancel: cancel, end: func(reason string) { c.dead(pl, reason) }}
	c.runs(pl)
	c.calls.Go(func() {
		defer cancel()
		reason := "the agent ended its task"
		if err := c.safely(ctx, p); err != nil {
			reason = "the agent ended: " + err.Error()
			c.cfg.Sweep(p.Task.ID, p.Epoch)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.dead(pl, reason)
	})
	return nil
}

// safely calls the function and makes an error of a panic.
func (c *Cluster) safely(ctx context.Context, p scheduler.Placement) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return c.start.call(ctx, p)
}
