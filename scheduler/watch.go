package scheduler

import (
	"context"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// orphanTime is how long a placement without a ticket may live: the agent of a
// task that has just ended needs a moment to go away.
const orphanTime = 30 * time.Second

// An orphan is a placement that is nobody's.
type orphan struct {
	task  ci.TaskID
	epoch int64
}

// watch follows the changes of the cluster until ctx ends.
func (s *Scheduler) watch(ctx context.Context) {
	var retry backoff
	for ctx.Err() == nil {
		for p, err := range s.cluster.Watch(ctx) {
			if err != nil {
				if ctx.Err() == nil {
					s.log.Warn("watch cluster, will try again", "err", err)
				}
				break
			}
			retry = backoff{}
			if p.Task.ID == "" {
				signal(s.look)
				continue
			}
			s.observe(p, time.Now())
		}
		retry.pause(ctx)
	}
}

// poll asks the cluster for its nodes and placements, regularly and when
// something says that the nodes have changed.
func (s *Scheduler) poll(ctx context.Context) {
	tick := time.NewTicker(s.cfg.Poll)
	defer tick.Stop()
	alive := time.NewTicker(aliveTime)
	defer alive.Stop()
	for ctx.Err() == nil {
		s.refresh(ctx)
		select {
		case <-ctx.Done():
		case <-s.look:
		case <-alive.C:
			s.sayAlive()
		case <-tick.C:
			s.reconcile(ctx)
		}
	}
}

// refresh learns the nodes.
func (s *Scheduler) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	nodes, err := s.cluster.Nodes(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if s.fleet.trouble == "" && ctx.Err() == nil {
			s.log.Warn("ask cluster for its nodes", "err", err)
		}
		s.fleet.trouble = err.Error()
		return
	}
	s.fleet.set(nodes)
	s.queue.sweep()
	for class, d := range s.queue.classes {
		if s.hopeless(d.need) {
			s.giveUp(class)
		}
	}
	s.kick()
}

// giveUp ends everything that waits of a class that no node can hold.
func (s *Scheduler) giveUp(class string) {
	for _, e := range s.tasks {
		if e.stage == stageWaiting && e.class == class {
			s.settle(e, ending{status: ci.InfraFailed, reason: s.tooBigText(class, e.need)})
		}
	}
}

// reconcile compares all placements with the tickets.
func (s *Scheduler) reconcile(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	began := time.Now()
	known := make(map[orphan]bool)
	for p, err := range s.cluster.Placements(ctx) {
		if err != nil {
			if ctx.Err() == nil {
				s.log.Warn("list placements", "err", err)
			}
			return
		}
		known[orphan{p.Task.ID, p.Epoch}] = true
		s.observe(p, began)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for o := range s.orphans {
		if !known[o] {
			delete(s.orphans, o)
		}
	}
	for e := range s.active {
		if e.stage == stageActive && e.submitted && e.sent.Before(began) && !known[orphan{e.id(), e.ticket.Epoch}] {
			s.missing(e, began)
		}
	}
}

// missing handles a placement that the cluster does not know any more. As long
// as its agent renews the lease, that is the cluster's error. Of a task that is
// canceled nothing more is awaited: often it has ended, and the server was
// killed before it could strike the ticket.
func (s *Scheduler) missing(e *entry, now time.Time) {
	if e.leased() && !e.ticket.Canceled && e.renewed.Add(3*s.cfg.Renew).After(now) {
		return
	}
	s.settle(e, ending{lost: true, stop: true, reason: "the cluster does not know its agent any more"})
}

// observe takes note of what the cluster says about a placement.
func (s *Scheduler) observe(p Placement, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.tasks[p.Task.ID]
	if e == nil || e.ticket.Epoch != p.Epoch || e.stage == stageWaiting {
		s.stray(p, now)
		return
	}
	if e.stage != stageActive {
		return
	}
	if p.Node != "" && p.Node != e.ticket.Node {
		s.fleet.release(e.ticket.Node, e.held)
		e.ticket.Node = p.Node
		s.fleet.hold(p.Node, e.held)
		s.mark(e)
	}
	switch p.State {
	case PlacementPending:
		e.trouble, e.silent = p.Reason, false
	case PlacementRunning:
		e.silent = false
		if !e.running && !e.leased() {
			e.trouble = ""
			e.claimBy = now.Add(s.cfg.TTL)
			s.wakeAt(e.claimBy)
		}
		if e.running = true; e.alive.IsZero() {
			e.alive = now
		}
	case PlacementLost:
		if !e.leased() {
			s.settle(e, ending{lost: true, stop: true, reason: says(p.Reason, "its node is out of sight")})
			return
		}
		e.silent, e.trouble = true, p.Reason
	case PlacementDead:
		s.settle(e, ending{lost: true, reason: says(p.Reason, "its agent ended without a word")})
	}
}

// stray handles a placement that no ticket wants: a dead one is forgotten, one
// that lives on is killed after a while.
func (s *Scheduler) stray(p Placement, now time.Time) {
	o := orphan{p.Task.ID, p.Epoch}
	since, seen := s.orphans[o]
	switch {
	case p.State == PlacementDead:
	case !seen:
		s.orphans[o] = now
		return
	case now.Sub(since) < orphanTime:
		return
	default:
		s.log.Warn("placement without a ticket, it is killed", "task", p.Task.ID, "epoch", p.Epoch, "node", p.Node)
	}
	delete(s.orphans, o)
	s.work.push(func(ctx context.Context) {
		if err := s.call(ctx, p.Node, func(ctx context.Context) error { return s.cluster.Stop(ctx, p, 0) }); err != nil && ctx.Err() == nil {
			s.log.Warn("clear placement", "task", p.Task.ID, "epoch", p.Epoch, "err", err)
		}
	})
}

// says returns the cluster's words, or ours.
func says(words, otherwise string) string {
	if words == "" {
		return otherwise
	}
	return words
}

// expire acts on leases, claims and cancels whose time is over.
func (s *Scheduler) expire(now time.Time) {
	if s.deadline.IsZero() || now.Before(s.deadline) {
		return
	}
	s.deadline = time.Time{}
	over := func(t time.Time) bool {
		if t.IsZero() || now.Before(t) {
			s.wakeAt(t)
			return false
		}
		return true
	}
	for e := range s.active {
		switch {
		case e.stage != stageActive:
		case over(e.killAt):
			s.log.Warn("canceled task did not end in time, its agent is killed", "task", e.id(), "epoch", e.ticket.Epoch)
			s.leave(e)
			s.drop(e)
		case e.leased() && over(e.expires):
			s.settle(e, ending{lost: true, stop: true, reason: fmt.Sprintf("its agent was not heard of for %s", s.cfg.TTL)})
		case !e.leased() && over(e.claimBy):
			s.settle(e, ending{lost: true, stop: true, reason: fmt.Sprintf("its agent ran for %s without asking for it", s.cfg.TTL)})
		}
	}
	waiting := s.bounced[:0]
	for _, e := range s.bounced {
		if e.stage == stageWaiting && !over(e.notBefore) {
			waiting = append(waiting, e)
		}
	}
	s.bounced = waiting
}
