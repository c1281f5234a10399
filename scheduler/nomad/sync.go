package nomad

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
)

// An alloc is what lists and events say of an allocation.
type alloc struct {
	id, job, node, nodeName      string
	status, desired, description string
	changed                      uint64
	task                         *api.TaskState
}

func ofStub(a *api.AllocationListStub) alloc {
	return alloc{a.ID, a.JobID, a.NodeID, a.NodeName, a.ClientStatus, a.DesiredStatus, cmp.Or(a.ClientDescription, a.DesiredDescription), a.ModifyIndex, a.TaskStates[taskName]}
}

// live selects the allocations that may have an agent.
const live = `ClientStatus == "pending" or ClientStatus == "running" or ClientStatus == "unknown"`

// syncTime is how long Nomad may take over all its answers. A connection that
// hangs is given up then.
const syncTime = 30 * time.Second

// sync compares the books with all that Nomad lists: the truth. One at a time.
func (c *Cluster) sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncTime)
	defer cancel()
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	c.mu.Lock()
	blind := len(c.nodes) == 0
	c.mu.Unlock()
	if blind {
		if _, err := c.lookAtNodes(ctx); err != nil {
			return fmt.Errorf("list nodes of Nomad: %w", err)
		}
	}
	began := time.Now()
	given, err := c.books.given(ctx)
	if err != nil {
		return err
	}
	q := c.query(ctx, nil)
	q.Filter = fmt.Sprintf(`Meta[%q] == %q and (Status != "dead" or Stop == false)`, metaOwner, c.cfg.Name)
	jobs, _, err := c.api.Jobs().ListOptions(&api.JobListOptions{Fields: &api.JobListFields{Meta: true}}, q)
	if err != nil {
		return fmt.Errorf("list jobs of Nomad: %w", c.words(err))
	}
	q = c.query(ctx, nil)
	q.Filter = live
	stubs, _, err := c.api.Allocations().List(q)
	if err != nil {
		return fmt.Errorf("list allocations of Nomad: %w", c.words(err))
	}
	allocs := make(map[string][]alloc)
	for _, s := range stubs {
		allocs[s.JobID] = append(allocs[s.JobID], ofStub(s))
	}
	unsure := c.compare(jobs, allocs, given, began)
	for _, job := range unsure {
		if err := c.inquire(ctx, job, began); err != nil {
			return err
		}
	}
	return c.explain(ctx)
}

// compare takes over what the lists say, and returns the jobs of which more
// must be asked.
func (c *Cluster) compare(jobs []*api.JobListStub, allocs map[string][]alloc, given map[string]scheduler.Placement, began time.Time) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.loaded {
		c.loaded, c.born = true, time.Now()
	}
	slices.SortFunc(jobs, func(a, b *api.JobListStub) int { return cmp.Compare(a.SubmitTime, b.SubmitTime) })
	listed := make(map[string]bool)
	var unsure []string
	for _, j := range jobs {
		if j.ParameterizedJob || j.Meta[metaOwner] != c.cfg.Name {
			continue
		}
		listed[j.ID] = true
		if c.buried[j.ID] {
			continue // stopped, which Nomad shows a little later
		}
		c.adopt(j, given)
		a, alive := allocs[j.ID]
		switch {
		case alive:
			for _, one := range a {
				c.observe(one)
			}
		case c.jobs[j.ID] == nil && c.warmJob(j.ID) == nil:
		case j.Status == "pending":
			if pl := c.jobs[j.ID]; pl != nil && pl.alloc == "" {
				c.stuck(pl)
			}
		default:
			unsure = append(unsure, j.ID)
		}
	}
	maps.DeleteFunc(c.buried, func(job string, _ bool) bool { return !listed[job] })
	for _, k := range c.order {
		if pl := c.places[k]; !listed[pl.job] && pl.sent.Before(began) && pl.State != scheduler.PlacementDead && !pl.dying {
			if a, alive := allocs[pl.job]; alive {
				for _, one := range a {
					c.observe(one)
				}
			} else {
				unsure = append(unsure, pl.job)
			}
		}
	}
	for _, w := range c.warm {
		if !listed[w.job] && !w.sent.IsZero() && w.sent.Before(began) && w.state != warmGiven {
			c.loseWarm(w, "Nomad does not list it any more")
		}
	}
	return unsure
}

// adopt makes a place of a job that an earlier server has registered, or one
// whose registration was not answered.
func (c *Cluster) adopt(j *api.JobListStub, given map[string]scheduler.Placement) {
	if c.jobs[j.ID] != nil {
		return
	}
	if name := j.Meta[metaWarm]; name != "" {
		c.adoptWarm(j, name, given)
		return
	}
	p, ok := c.ofMeta(j.Meta)
	if !ok || j.Stop && j.Status == "dead" || c.places[keyOf(p)] != nil {
		return
	}
	p.State, p.Reason = scheduler.PlacementPending, "Nomad is placing it"
	c.add(&place{Placement: p, job: j.ID, signed: j.Meta[metaSigned] != "", sent: time.Unix(0, j.SubmitTime)})
}

// earlySize is how many allocations of jobs that nobody knows are remembered.
const earlySize = 1024

// observe takes note of what is said of an allocation. Older news than what is
// known change nothing.
func (c *Cluster) observe(a alloc) {
	pl := c.jobs[a.job]
	if pl == nil {
		if !c.observeWarm(a) { // perhaps an event is faster than the answer to Submit
			if len(c.early) >= earlySize {
				clear(c.early)
			}
			c.early[a.job] = a
		}
		return
	}
	if pl.dying || a.changed < pl.allocs[a.id].changed {
		return
	}
	if pl.allocs == nil {
		pl.allocs = make(map[string]alloc)
	}
	if len(pl.allocs) == 1 && pl.allocs[a.id].id == "" {
		// At the deadline of a drain Nomad starts an agent anew. The door lets
		// in the one that is first.
		c.log.Warn("Nomad has started a second agent for a task, the door decides", "task", pl.Task.ID, "lease", pl.Epoch, "allocation", a.id)
	}
	pl.allocs[a.id], pl.blocked = a, time.Time{}
	for _, other := range pl.allocs {
		if d := cmp.Compare(other.rank(), a.rank()); d > 0 || d == 0 && other.changed > a.changed {
			a = other
		}
	}
	pl.alloc = a.id
	c.reflect(pl, a)
}

// rank says how much an allocation counts among several of a job: while one has
// an agent, the task is not over.
func (a alloc) rank() int {
	switch {
	case a.over():
		return 0
	case a.status == api.AllocClientStatusUnknown, a.status == api.AllocClientStatusLost:
		return 1
	case a.status == api.AllocClientStatusRunning:
		return 3
	}
	return 2
}

// over reports whether the agent has ended for certain.
func (a alloc) over() bool {
	return a.status == api.AllocClientStatusComplete || a.status == api.AllocClientStatusFailed || a.task != nil && a.task.State == "dead"
}

// reflect shows what the allocation that counts says.
func (c *Cluster) reflect(pl *place, a alloc) {
	name := cmp.Or(a.nodeName, a.node)
	if n := c.nodes[a.node]; n != nil {
		name = n.Name
	}
	switch a.rank() {
	case 0:
		pl.Node = name
		c.die(pl, a)
	case 1:
		if pl.killed {
			c.die(pl, a)
			return
		}
		c.show(pl, scheduler.PlacementLost, name, "Nomad has not heard of client "+name+" for a while")
	case 3:
		if a.task == nil || a.task.State == "running" {
			if pl.axed && pl.State == scheduler.PlacementPending {
				c.calls.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
					defer cancel()
					c.axe(ctx, pl, a.id)
				})
			}
			c.show(pl, scheduler.PlacementRunning, name, "")
			return
		}
		fallthrough
	default:
		c.show(pl, scheduler.PlacementPending, name, "client "+name+" prepares it"+lastWords(a.task))
	}
}

// inquire asks for the allocations of one job whose end was not seen.
func (c *Cluster) inquire(ctx context.Context, job string, began time.Time) error {
	stubs, _, err := c.api.Jobs().Allocations(job, true, c.query(ctx, nil))
	if err = c.words(err); err != nil && !errors.Is(err, ci.ErrNotFound) {
		return fmt.Errorf("list allocations of job %s: %w", job, err)
	}
	var status string
	if len(stubs) == 0 {
		info, _, err := c.api.Jobs().Info(job, c.query(ctx, nil))
		switch err = c.words(err); {
		case errors.Is(err, ci.ErrNotFound):
			status = "gone"
		case err != nil:
			return fmt.Errorf("look at job %s: %w", job, err)
		case info.Status != nil:
			status = *info.Status
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	pl, w := c.jobs[job], c.warmJob(job)
	switch {
	case len(stubs) > 0:
		for _, s := range stubs {
			c.observe(ofStub(s))
		}
	case pl != nil && status == "dead":
		c.die(pl, alloc{job: job, description: "its job was stopped before Nomad had placed it"})
	case pl != nil && status == "gone" && pl.sent.Before(began) && !pl.dying:
		c.drop(pl) // collected, or purged: the queue will miss it
	case w != nil && (status == "dead" || status == "gone"):
		c.loseWarm(w, "its job has ended")
	}
	return nil
}

// endJob stops a job, and leaves it at that: the next sync comes back to it.
func (c *Cluster) endJob(job string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.deregister(ctx, job); err != nil {
		c.log.Warn("stop job", "job", job, "err", err)
	}
}

// lastWords is what Nomad last said about a task that has not begun.
func lastWords(t *api.TaskState) string {
	if t == nil || len(t.Events) == 0 {
		return ""
	}
	return ": " + eventText(t.Events[len(t.Events)-1])
}

func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
