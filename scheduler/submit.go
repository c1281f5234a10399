package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

const (
	// One node is asked for so many things at once; others are not held up.
	callsPerNode = 8
	// A call of the cluster that takes longer is given up and made again.
	callTime = 30 * time.Second
	// After a cluster said "not now", an entry waits so long.
	bounceTime = time.Second
	// A placement whose agent is dropped gets so many attempts to kill it.
	killTries = 5
)

// call makes one call of the cluster about a placement.
func (s *Scheduler) call(ctx context.Context, node string, f func(context.Context) error) error {
	s.mu.Lock()
	lane := s.lanes[node]
	if lane == nil {
		lane = make(chan struct{}, callsPerNode)
		s.lanes[node] = lane
	}
	s.mu.Unlock()
	select {
	case lane <- struct{}{}:
		defer func() { <-lane }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return f(ctx)
}

// submit hands the placement to the cluster, again and again until the answer
// is known or the hand-out is over.
func (s *Scheduler) submit(ctx context.Context, e *entry, epoch int64) {
	for retry := (backoff{}); ; {
		again, err := s.submitOnce(ctx, e, epoch)
		if !again {
			return
		}
		s.log.Warn("submit task, will try again", "task", e.id(), "epoch", epoch, "err", err)
		if !retry.pause(ctx) {
			return
		}
	}
}

// submitOnce returns true when the placement is to be submitted again.
func (s *Scheduler) submitOnce(ctx context.Context, e *entry, epoch int64) (bool, error) {
	if !e.calls.enter(ctx) {
		return false, nil
	}
	defer e.calls.leave()
	s.mu.Lock()
	p := e.placement()
	wanted := e.stage == stageActive && p.Epoch == epoch && !e.submitted
	s.mu.Unlock()
	if !wanted {
		return false, nil
	}
	p.Token = s.cfg.Token(p.Task.ID, epoch)
	err := s.call(ctx, p.Node, func(ctx context.Context) error { return s.cluster.Submit(ctx, p) })
	if err != nil && ctx.Err() != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.stage != stageActive || e.ticket.Epoch != epoch {
		return false, nil
	}
	switch {
	case err == nil:
		e.submitted, e.sent, e.trouble = true, time.Now(), ""
		s.log.Debug("task submitted", "task", e.id(), "epoch", epoch, "node", p.Node)
	case errors.Is(err, ci.ErrConflict):
		s.log.Info("cluster refuses task for now", "task", e.id(), "epoch", epoch, "node", p.Node, "err", err)
		s.bounce(e)
		signal(s.look)
	case errors.Is(err, ci.ErrInvalid):
		s.settle(e, ending{status: ci.InfraFailed, reason: "the cluster refused it: " + err.Error()})
	default:
		e.trouble = "the cluster did not take it: " + err.Error()
		return true, err
	}
	return false, nil
}

// bounce takes back a hand-out that never reached the cluster.
func (s *Scheduler) bounce(e *entry) {
	s.leave(e)
	s.back(e)
	e.notBefore = time.Now().Add(bounceTime)
	s.bounced = append(s.bounced, e)
	s.wakeAt(e.notBefore)
}

// back puts an entry that has left the cluster back into the queue. The epoch
// stays; the next hand-out has a higher one.
func (s *Scheduler) back(e *entry) {
	t := &e.ticket
	t.State, t.Node, t.Worker, t.Expires = ci.TicketWaiting, "", "", time.Time{}
	e.interrupt, e.stage, e.settled = "", stageWaiting, make(chan struct{})
	s.line(e)
	s.mark(e)
}

// leave takes an active entry off the books. If the cluster may have it, it is
// killed there, and its node stays reserved until that is done.
func (s *Scheduler) leave(e *entry) {
	if e.stage != stageActive && e.stage != stageSettling || !s.active[e] {
		return
	}
	p := e.placement()
	s.release(e, true)
	s.work.push(func(ctx context.Context) {
		s.kill(ctx, e, p)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fleet.release(p.Node, p.Resources)
		s.kick()
	})
}

// kill stops a placement at once, after a submit of it that may be under way.
func (s *Scheduler) kill(ctx context.Context, e *entry, p Placement) {
	if !e.calls.enter(ctx) {
		return
	}
	defer e.calls.leave()
	var retry backoff
	for range killTries {
		err := s.call(ctx, p.Node, func(ctx context.Context) error { return s.cluster.Stop(ctx, p, 0) })
		if err == nil || final(err) || ctx.Err() != nil {
			return
		}
		s.log.Warn("kill placement, will try again", "task", p.Task.ID, "epoch", p.Epoch, "node", p.Node, "err", err)
		if !retry.pause(ctx) {
			return
		}
	}
}

// stop asks the agent of an entry to stop by itself.
func (s *Scheduler) stop(e *entry, grace time.Duration) {
	p := e.placement()
	s.work.push(func(ctx context.Context) {
		if !e.calls.enter(ctx) {
			return
		}
		defer e.calls.leave()
		err := s.call(ctx, p.Node, func(ctx context.Context) error { return s.cluster.Stop(ctx, p, grace) })
		if err != nil && ctx.Err() == nil {
			// The agent learns it with its next renewal, and is killed in the end.
			s.log.Warn("stop placement", "task", p.Task.ID, "epoch", p.Epoch, "err", fmt.Errorf("stop: %w", err))
		}
	})
}
