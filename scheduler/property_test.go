package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
)

// A chaos is a scheduler among faults: everything may fail, die, be late or
// come twice, and the process is started again and again.
type chaos struct {
	world   *world
	cluster *schedulertest.Cluster
	backlog *schedulertest.Backlog
	cfg     scheduler.Config
	history *history // nil records nothing

	mu      sync.Mutex
	rand    *rand.Rand
	faulty  bool
	current *scheduler.Scheduler
	stop    func()
	claims  map[string]string   // who has an epoch
	began   map[ci.TaskID]int64 // the epoch whose steps ran
	broken  []string
}

// chance is true so often, as long as there are faults.
func (c *chaos) chance(percent int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.faulty && c.rand.IntN(100) < percent
}

func (c *chaos) between(a, b time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return a + time.Duration(c.rand.Int64N(int64(b-a)))
}

func (c *chaos) sched() *scheduler.Scheduler {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

func (c *chaos) fail(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = append(c.broken, fmt.Sprintf(format, args...))
}

func (c *chaos) start() {
	ctx, cancel := context.WithCancel(context.Background())
	s := scheduler.New(c.backlog, c.cluster, c.world.report, c.cfg)
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, c.world.follow) }()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = s
	c.stop = func() { cancel(); <-done }
}

// agent is what an agent does, with the faults that agents have.
func (c *chaos) agent(ctx context.Context, p scheduler.Placement) error {
	if c.chance(10) {
		return errors.New("died before it asked")
	}
	var twin sync.WaitGroup
	if c.chance(20) { // the cluster starts it twice
		twin.Go(func() { c.attempt(ctx, p, "twin") })
	}
	c.attempt(ctx, p, "first")
	twin.Wait()
	return nil
}

func (c *chaos) attempt(ctx context.Context, p scheduler.Placement, worker string) {
	var l ci.Lease
	err := c.retry(p, func(s *scheduler.Scheduler) (err error) {
		who := ci.Lease{Task: p.Task.ID, Epoch: p.Epoch, Worker: worker}
		return c.history.ask(call{kind: "claim", who: who}, func() error {
			l, err = s.Claim(context.Background(), p.Task.ID, p.Epoch, worker)
			return err
		})
	})
	if err != nil {
		return
	}
	k := fmt.Sprint(p.Task.ID, " ", p.Epoch)
	c.mu.Lock()
	if other, ok := c.claims[k]; ok && other != worker {
		c.broken = append(c.broken, k+" was claimed by two workers")
	}
	c.claims[k] = worker
	c.mu.Unlock()
	if c.chance(10) {
		return // dies before its first step
	}
	if c.chance(10) {
		time.Sleep(c.between(time.Minute, 8*time.Minute)) // is paused
	}
	if c.retry(p, func(s *scheduler.Scheduler) error { return c.step(s, l, p) }) != nil {
		return
	}
	canceled := c.steps(ctx, p, l)
	if !c.cluster.Alive(p) || c.chance(10) {
		return // dies after its steps
	}
	status := ci.Success
	if canceled {
		status = ci.Canceled
	}
	finish := func(s *scheduler.Scheduler) error {
		return c.history.ask(call{"finish", l, !canceled}, func() error {
			return s.Finish(context.Background(), l, ci.Report{Status: status})
		})
	}
	if c.retry(p, finish) == nil && c.chance(30) {
		if err := finish(c.sched()); errors.Is(err, ci.ErrInvalid) {
			c.fail("%s: finish twice: %v", k, err)
		}
	}
}

// step begins the first step as the door would: the lease is checked in memory
// and, in the transaction that writes the step, in the database.
func (c *chaos) step(s *scheduler.Scheduler, l ci.Lease, p scheduler.Placement) error {
	if err := s.Check(l); err != nil {
		return err
	}
	err := ci.ErrConflict
	c.backlog.View(l.Task, func(t ci.Ticket, ok bool) {
		if ok && t.State == ci.TicketLeased && t.Epoch == l.Epoch && t.Worker == l.Worker {
			c.world.step(l.Task, l.Epoch)
			err = nil
		}
	})
	if err != nil || !c.cluster.Alive(p) {
		return ci.ErrConflict
	}
	said := c.said(l.Task)
	c.mu.Lock()
	defer c.mu.Unlock()
	if before, ok := c.began[l.Task]; ok && before != l.Epoch && !said {
		c.broken = append(c.broken, fmt.Sprintf("steps of %s ran at epoch %d and again at %d, in silence", l.Task, before, l.Epoch))
	}
	c.began[l.Task] = l.Epoch
	return nil
}

// steps works for a while, and says whether it was told to stop.
func (c *chaos) steps(ctx context.Context, p scheduler.Placement, l ci.Lease) bool {
	deaf := c.chance(10)
	for end := time.Now().Add(c.between(time.Second, 3*time.Minute)); time.Now().Before(end); {
		select {
		case <-time.After(10 * time.Second):
		case <-ctx.Done():
			if !deaf {
				return true
			}
			time.Sleep(10 * time.Second)
		}
		if !c.cluster.Alive(p) {
			return false
		}
		if c.chance(2) {
			time.Sleep(c.between(time.Minute, 8*time.Minute)) // a partition
		}
		if c.chance(2) { // comes twice, the second one late
			go func() {
				time.Sleep(c.between(time.Minute, 8*time.Minute))
				_ = c.history.ask(call{kind: "renew", who: l}, func() error {
					_, err := c.sched().Renew(context.Background(), l)
					return err
				})
			}()
		}
		var got ci.Lease
		err := c.history.ask(call{kind: "renew", who: l}, func() (err error) {
			got, err = c.sched().Renew(context.Background(), l)
			return err
		})
		if errors.Is(err, ci.ErrConflict) {
			return false
		}
		if err == nil && got.Canceled && !deaf {
			return true
		}
	}
	return false
}

// retry calls until the answer is known, or the agent is dead.
func (c *chaos) retry(p scheduler.Placement, f func(*scheduler.Scheduler) error) error {
	for {
		if !c.cluster.Alive(p) {
			return errors.New("dead")
		}
		err := f(c.sched())
		if err == nil || errors.Is(err, ci.ErrConflict) || errors.Is(err, ci.ErrNotFound) {
			return err
		}
		time.Sleep(time.Second)
	}
}

// act does one thing to the scheduler.
func (c *chaos) act(n int) {
	c.mu.Lock()
	kind, org := c.rand.IntN(100), c.rand.IntN(3)
	class := []string{"small", "medium", "large", "medium", "xlarge", "unknown"}[c.rand.IntN(6)]
	total := 1 + c.rand.IntN(3)
	c.mu.Unlock()
	switch {
	case kind < 55:
		c.world.queue(ci.Task{
			Job: ci.JobID(fmt.Sprint("job-", n)), Class: class, Total: total,
			Org: fmt.Sprint("org-", org), Project: ci.ProjectID(fmt.Sprint("p-", org, n%2)),
		})
	case kind < 70:
		c.world.cancel(ci.JobID(fmt.Sprint("job-", n/2)).Task(0))
	case kind < 80:
		for _, p := range c.cluster.Living() {
			c.cluster.Die(p.Task.ID, p.Epoch, "killed by an accident")
			break
		}
	case kind < 85:
		for _, p := range c.cluster.Living() {
			c.cluster.Show(p.Task.ID, p.Epoch, scheduler.PlacementLost, "its node is out of sight")
			break
		}
	case kind < 93:
		c.stop()
		c.start()
	case kind < 96:
		_ = c.cluster.Drain(context.Background(), "n1", scheduler.Drain{On: true})
	case kind < 98:
		_ = c.cluster.Drain(context.Background(), "n1", scheduler.Drain{})
	default:
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		_ = c.sched().Interrupt(ctx, "an upgrade")
		cancel()
		c.stop()
		c.start()
	}
	c.check()
}

// said reports whether it was said that the steps of a task run again, as an
// interrupt does.
func (c *chaos) said(task ci.TaskID) bool {
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	return slices.ContainsFunc(c.world.reports, func(r ci.Report) bool {
		return r.Task == task && r.Status == ci.Queued && strings.Contains(r.Reason, "its steps will run again")
	})
}

// check verifies that no limit is exceeded.
func (c *chaos) check() {
	snap := c.sched().Snapshot()
	for name, org := range snap.Orgs {
		if org.Active > c.cfg.OrgLimit {
			c.fail("%s has %d tasks with the cluster, of %d", name, org.Active, c.cfg.OrgLimit)
		}
	}
	for _, n := range snap.Nodes {
		if n.Used.CPU > n.Capacity.CPU+1e-6 || n.Used.MemoryMB > n.Capacity.MemoryMB {
			c.fail("node %s holds %s of %s", n.Name, n.Used, n.Capacity)
		}
	}
}

func runChaos(t *testing.T, seed uint64, actions int) []string {
	return recordChaos(t, seed, actions, nil)
}

// recordChaos records what agents ask, too, if there is a history.
func recordChaos(t *testing.T, seed uint64, actions int, h *history) []string {
	var broken []string
	synctest.Test(t, func(t *testing.T) {
		c := &chaos{
			world: newWorld(), backlog: new(schedulertest.Backlog), faulty: true, history: h,
			rand:   rand.New(rand.NewPCG(seed, 1)),
			claims: make(map[string]string), began: make(map[ci.TaskID]int64),
		}
		c.cfg = scheduler.Config{OrgLimit: 3, Begun: c.world.hasBegun}
		c.cluster = schedulertest.NewCluster(c.agent, schedulertest.Node("n1", 8, 16384), schedulertest.Node("n2", 4, 8192))
		c.backlog.SetFault(func(string, []ci.Ticket) error {
			if c.chance(3) {
				return errors.New("disk I/O error")
			}
			return nil
		})
		c.world.fault = func(ci.Report) error {
			if c.chance(5) {
				return errors.New("database is locked")
			}
			return nil
		}
		c.cluster.SetFault(func(string, scheduler.Placement) error {
			if c.chance(5) {
				return errors.New("connection reset")
			}
			return nil
		})
		c.start()
		for n := range actions {
			c.act(n)
			time.Sleep(c.between(time.Millisecond, 30*time.Second))
		}
		c.mu.Lock()
		c.faulty = false
		c.mu.Unlock()
		_ = c.cluster.Drain(context.Background(), "n1", scheduler.Drain{})
		time.Sleep(6 * time.Hour)
		synctest.Wait()
		for status, n := range c.world.all() {
			if !status.Ended() {
				c.fail("%d tasks are %s for ever: %+v", n, status, c.sched().Snapshot())
			}
		}
		if n := c.backlog.Len(); n > 0 {
			c.fail("%d tickets are left", n)
		}
		for _, n := range c.sched().Snapshot().Nodes {
			if n.Placements > 0 || n.Used != (scheduler.Resources{}) {
				c.fail("node %s still holds %d placements, %s", n.Name, n.Placements, n.Used)
			}
		}
		c.check()
		c.stop()
		c.cluster.Close()
		broken = c.broken
	})
	return broken
}

func TestP4_P5_P6_Chaos(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		actions := rapid.IntRange(5, 120).Draw(rt, "actions")
		if broken := runChaos(t, seed, actions); len(broken) > 0 {
			rt.Fatalf("%d problems, the first: %s", len(broken), broken[0])
		}
	})
}
