package nomad

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/internal/feed"
	"github.com/rondo-ci/rondo/scheduler/nomad/pointer"
)

// A warmAgent is an agent that was placed before there was a task for it.
// Cluster.mu guards it.
type warmAgent struct {
	name    string
	job     string
	need    scheduler.Resources
	state   warmState
	node    string // ID
	alloc   alloc
	signed  bool             // it has an identity
	sent    time.Time        // when Nomad took it
	proof   string           // of who asked first
	waiting int              // polls that are open
	told    *pointer.Pointer // what it was told, or is to be told
	wake    chan struct{}    // closed when that is set, or it is retired
	woken   bool
}

// rouse lets its polls be answered.
func (w *warmAgent) rouse() {
	if !w.woken {
		w.woken = true
		close(w.wake)
	}
}

type warmState int

const (
	warmStarting warmState = iota // placed, or about to be; not heard of
	warmIdle                      // has asked for a task
	warmGiven                     // has one
	warmRetired                   // is to end
)

const (
	// placeTime is how long Nomad may take to place a warm agent. Then there
	// is no room for it.
	placeTime = 5 * time.Second
	// noRoomTime is for how long then none is placed.
	noRoomTime = 15 * time.Second
	// yieldTime is how long a task may find no room before warm agents make
	// some.
	yieldTime = 300 * time.Millisecond
	// bornTime is for how long after the start of the server a registration of
	// the server before it may still arrive.
	bornTime = time.Minute
	keepTime = 250 * time.Millisecond
)

// keeping is what the keeper of warm agents remembers.
type keeping struct {
	until time.Time // nothing is placed before
	fails backoff   // agents that died while they waited
}

// warmJob returns the warm agent without a task that a job is.
func (c *Cluster) warmJob(job string) *warmAgent {
	for _, w := range c.warm {
		if w.job == job && w.state != warmGiven {
			return w
		}
	}
	return nil
}

// giveWarm gives the placement to an agent that waits. It reports whether it
// has. First it is written down who gets it, then it is told.
func (c *Cluster) giveWarm(ctx context.Context, p scheduler.Placement) (bool, error) {
	if len(c.cfg.Warm) == 0 {
		return false, nil
	}
	if given, err := c.mayBeCold(ctx, p); given || err != nil {
		return false, err
	}
	c.mu.Lock()
	w := c.pickWarm(p)
	if w == nil {
		c.mu.Unlock()
		return false, nil
	}
	w.state = warmGiven
	c.mu.Unlock()
	if err := c.books.give(ctx, w.name, p); err != nil {
		// Perhaps it is written. The agent is not told, and ends; the next try
		// finds what the books say.
		c.mu.Lock()
		w.state = warmIdle
		c.retire(w, "the books could not be written")
		c.loaded = false
		c.mu.Unlock()
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.placeWarm(w, p)
	c.tellWarm(w, p)
	return true, nil
}

// mayBeCold reports whether a job of its own may have been registered for the
// placement: by us without an answer, or by a server before us.
func (c *Cluster) mayBeCold(ctx context.Context, p scheduler.Placement) (bool, error) {
	c.mu.Lock()
	tried, young := c.tried[keyOf(p)], time.Since(c.born) < bornTime
	c.mu.Unlock()
	if tried || !young || c.cfg.Dispatch {
		return tried, nil
	}
	_, _, err := c.api.Jobs().Info(scheduler.JobIDOf(p.Task, p.Epoch).String(), c.query(ctx, nil))
	if err = c.words(err); errors.Is(err, ci.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// pickWarm returns an agent of that size that is asking right now, if possible
// on the node that the queue has in mind.
func (c *Cluster) pickWarm(p scheduler.Placement) *warmAgent {
	var best *warmAgent
	for _, w := range c.warm {
		n := c.nodes[w.node]
		if w.state != warmIdle || w.waiting == 0 || w.need != p.Resources || n == nil || n.State != scheduler.NodeReady {
			continue
		}
		if n.Name == p.Node {
			return w
		}
		if best == nil || w.sent.Before(best.sent) {
			best = w
		}
	}
	return best
}

// placeWarm makes a place of a warm agent.
func (c *Cluster) placeWarm(w *warmAgent, p scheduler.Placement) {
	w.state = warmGiven
	pl := &place{Placement: p, job: w.job, warm: w.name, signed: w.signed, sent: w.sent}
	pl.Token, pl.State, pl.Reason = "", scheduler.PlacementPending, "it was given to a warm agent"
	c.add(pl)
	if w.alloc.id != "" {
		c.observe(w.alloc)
	}
}

// tellWarm wakes the agent with what it is to do.
func (c *Cluster) tellWarm(w *warmAgent, p scheduler.Placement) {
	if w.told != nil {
		return
	}
	w.told = &pointer.Pointer{Door: c.agent.Door, Task: p.Task.ID, Epoch: p.Epoch, Token: p.Token}
	w.rouse()
	feed.Signal(c.look) // another one takes its place
}

// adoptWarm takes over a warm agent that an earlier server has placed.
func (c *Cluster) adoptWarm(j *api.JobListStub, name string, given map[string]scheduler.Placement) {
	w := c.warm[name]
	p, ok := given[name]
	if w == nil {
		if j.Stop && !ok {
			return // it was sent away
		}
		w = &warmAgent{name: name, job: j.ID, signed: j.Meta[metaSigned] != "", sent: time.Unix(0, j.SubmitTime), wake: make(chan struct{})}
		_ = json.Unmarshal([]byte(j.Meta[metaNeed]), &w.need)
		c.warm[name] = w
	}
	switch {
	case ok && c.places[keyOf(p)] == nil && w.state != warmGiven:
		c.placeWarm(w, p)
	case !ok && c.wanted(w.need) == 0:
		c.retire(w, "none of its size are wanted any more")
	}
}

// wanted returns how many agents of a size are to wait.
func (c *Cluster) wanted(need scheduler.Resources) int {
	n := 0
	for _, want := range c.cfg.Warm {
		if want.Resources == need {
			n += want.Count
		}
	}
	return n
}

// observeWarm takes note of what is said of an agent that waits, and reports
// whether it is one.
func (c *Cluster) observeWarm(a alloc) bool {
	w := c.warmJob(a.job)
	if w == nil || a.changed < w.alloc.changed {
		return w != nil
	}
	w.alloc, w.node = a, a.node
	switch a.status {
	case api.AllocClientStatusComplete, api.AllocClientStatusFailed:
		c.loseWarm(w, epitaph(a, nil))
	case api.AllocClientStatusLost, api.AllocClientStatusUnknown:
		c.retire(w, "its client is out of sight")
	}
	return true
}

// loseWarm strikes an agent that has ended while it waited.
func (c *Cluster) loseWarm(w *warmAgent, reason string) {
	if w.state == warmGiven {
		return
	}
	if w.state != warmRetired {
		c.log.Warn("a warm agent has ended", "agent", w.name, "reason", reason)
		c.keeping.fails.next = min(max(2*c.keeping.fails.next, time.Second), time.Minute)
		c.keeping.until = time.Now().Add(c.keeping.fails.next)
	}
	w.state = warmRetired
	w.rouse()
	delete(c.warm, w.name)
	c.calls.Go(func() { c.endJob(w.job) })
}

// retire sends an agent away that has no task.
func (c *Cluster) retire(w *warmAgent, reason string) {
	if w.state != warmStarting && w.state != warmIdle {
		return
	}
	c.log.Debug("warm agent is sent away", "agent", w.name, "reason", reason)
	w.state = warmRetired
	w.rouse()
	c.calls.Go(func() { c.endJob(w.job) })
}

// retireUnready sends away those that wait on nodes that take nothing new, so
// that a drain is not held up.
func (c *Cluster) retireUnready() {
	for _, w := range c.warm {
		if n := c.nodes[w.node]; w.node != "" && (n == nil || n.State != scheduler.NodeReady) {
			c.retire(w, "its node takes nothing new")
		}
	}
}

// keep keeps as many agents waiting as was asked for, until ctx ends.
func (c *Cluster) keep(ctx context.Context) {
	tick := time.NewTicker(keepTime)
	defer tick.Stop()
	for ctx.Err() == nil {
		if c.known(ctx) == nil {
			for _, need := range c.lacking(time.Now()) {
				if err := c.warmUp(ctx, need); err != nil && ctx.Err() == nil {
					c.log.Warn("place a warm agent", "needs", need.String(), "err", err)
					sleep(ctx, time.Second)
					break
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// lacking returns the sizes of the agents to place. When a task finds no room,
// those that wait make some.
func (c *Cluster) lacking(now time.Time) []scheduler.Resources {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, pl := range c.places {
		if pl.warm == "" && !pl.blocked.IsZero() && now.Sub(pl.blocked) > yieldTime && pl.State == scheduler.PlacementPending {
			c.keeping.until = now.Add(noRoomTime)
			for _, w := range c.warm {
				c.retire(w, "a task needs the room")
			}
			return nil
		}
	}
	have := make(map[scheduler.Resources]int)
	for _, w := range c.warm {
		if w.state == warmStarting && w.node == "" && !w.sent.IsZero() && now.Sub(w.sent) > placeTime {
			c.keeping.until = now.Add(noRoomTime)
			c.retire(w, "Nomad has no room for it")
		}
		if w.state == warmStarting || w.state == warmIdle {
			if have[w.need]++; have[w.need] > c.wanted(w.need) {
				c.retire(w, "fewer are wanted")
			}
		}
	}
	if now.Before(c.keeping.until) {
		return nil
	}
	var lacking []scheduler.Resources
	for _, want := range c.cfg.Warm {
		for range want.Count {
			if have[want.Resources]--; have[want.Resources] < 0 {
				lacking = append(lacking, want.Resources)
			}
		}
	}
	return lacking
}

// warmUp places one agent.
func (c *Cluster) warmUp(ctx context.Context, need scheduler.Resources) error {
	var random [12]byte
	_, _ = rand.Read(random[:])
	name := hex.EncodeToString(random[:])
	signed, err := c.signs(ctx)
	if err != nil {
		return err
	}
	w := &warmAgent{name: name, job: c.cfg.Name + "-warm-" + name, need: need, signed: signed, wake: make(chan struct{})}
	needs, err := json.Marshal(need)
	if err != nil {
		return err
	}
	text, err := json.Marshal(pointer.Pointer{Door: c.agent.Door, Warm: name, Token: c.warmToken(name)})
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.warm[name] = w
	c.mu.Unlock()
	meta := map[string]string{metaOwner: c.cfg.Name, metaWarm: name, metaNeed: string(needs), metaSigned: signature(signed)}
	_, _, err = c.api.Jobs().EnforceRegister(c.job(w.job, meta, need, "", text, signed), 0, c.write(ctx))
	err = c.words(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	w.sent = time.Now()
	if w.state == warmRetired { // meanwhile; its job may have come after its end
		c.calls.Go(func() { c.endJob(w.job) })
	} else if err != nil {
		c.retire(w, "Nomad did not take it")
	} else if a, ok := c.early[w.job]; ok {
		delete(c.early, w.job)
		c.observeWarm(a)
	}
	return err
}
