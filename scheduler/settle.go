package scheduler

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// lossLimit is how many hand-outs of a task may be lost before a step began.
const lossLimit = 3

// An ending says how a hand-out is over.
type ending struct {
	status ci.Status // ci.Queued is back to the queue
	reason string
	node   string
	// lost lets it depend on whether a step had begun: status is not read.
	lost bool
	// finish says that the agent itself told it.
	finish bool
	// stop says that the placement may be alive and is to be killed first.
	stop bool
}

// settle ends a hand-out: from now on its lease is refused; the outcome is
// reported until that succeeds, and then the entry is forgotten or waits again.
// An entry that is being settled already is left alone.
func (s *Scheduler) settle(e *entry, how ending) {
	if e.stage == stageSettling || e.stage == stageGone {
		return
	}
	if e.stage == stageWaiting && e.lane != nil {
		s.queue.take(e)
	}
	leased := e.leased()
	e.stage, e.returns = stageSettling, how.lost || how.status == ci.Queued
	s.work.push(func(ctx context.Context) {
		if !e.order.enter(ctx) {
			return
		}
		defer e.order.leave()
		if how, err, ok := s.end(ctx, e, how, leased); ok {
			s.settled(e, how, err)
		}
	})
}

// end makes the outcome known to the workflow. It returns false when ctx ended
// before: the next process will find the ticket.
func (s *Scheduler) end(ctx context.Context, e *entry, how ending, leased bool) (ending, error, bool) {
	s.mu.Lock()
	p := e.placement()
	s.mu.Unlock()
	if how.stop {
		s.endAgent(ctx, e, p)
	}
	if how.lost {
		begun, ok := false, true
		if leased {
			begun, ok = s.begun(ctx, e)
		}
		if !ok {
			return how, nil, false
		}
		how = s.judge(e, how, begun)
	}
	s.mu.Lock()
	t, started := e.ticket, utc(e.claimed)
	s.mu.Unlock()
	if t.Canceled && !how.finish {
		return how, nil, true // the workflow knows
	}
	r := ci.Report{
		Workflow: t.Task.Workflow, Task: t.Task.ID, Epoch: t.Epoch, Status: how.status, Reason: how.reason, Node: how.node,
		Started: started,
	}
	if r.Node == "" {
		r.Node = t.Node
	}
	err := s.tell(ctx, r)
	if err != nil && ctx.Err() != nil {
		return how, err, false
	}
	return how, err, true
}

// endAgent kills an agent that may be alive, without waiting for long.
func (s *Scheduler) endAgent(ctx context.Context, e *entry, p Placement) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s.kill(ctx, e, p)
}

// begun finds out whether a step of a lost lease was ever about to start. First
// the lease is taken away in the database too, so that no step can begin after
// the question. It returns false when ctx ended before.
func (s *Scheduler) begun(ctx context.Context, e *entry) (begun, ok bool) {
	var retry backoff
	for {
		s.mu.Lock()
		task, epoch := e.id(), e.ticket.Epoch
		e.ticket.Worker = fenced
		b := s.mark(e)
		s.mu.Unlock()
		err := s.wait(ctx, b)
		if err == nil {
			if begun, err = s.cfg.Begun(ctx, task, epoch); err == nil {
				return begun, true
			}
			if final(err) {
				s.log.Error("nobody knows whether a lost task has begun, it is taken for begun", "task", task, "epoch", epoch, "err", err)
				return true, true
			}
		}
		if ctx.Err() != nil {
			return false, false
		}
		s.log.Warn("find out whether a lost task has begun, will try again", "task", task, "epoch", epoch, "err", err)
		if !retry.pause(ctx) {
			return false, false
		}
	}
}

// judge decides what becomes of a lost hand-out.
func (s *Scheduler) judge(e *entry, how ending, begun bool) ending {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case e.interrupt != "":
		how.status, how.reason = ci.Queued, againReason(e.interrupt)
	case begun:
		how.status = ci.InfraFailed
		how.reason += "; steps of it had begun, so it is not run again by itself"
	case e.losses+1 >= lossLimit:
		how.status = ci.InfraFailed
		how.reason = fmt.Sprintf("%d agents were lost before its first step, the last one: %s", e.losses+1, how.reason)
	default:
		e.losses++
		how.status = ci.Queued
		how.reason += "; no step of it had begun, so it waits again"
	}
	return how
}

// againReason tells that a task was stopped and will run again.
func againReason(why string) string {
	return "interrupted: " + why + "; its steps will run again from the first one"
}

// settled draws the consequences in the queue.
func (s *Scheduler) settled(e *entry, how ending, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if errors.Is(err, ci.ErrConflict) && how.status == ci.Queued {
		// The process before has reported it, or somebody canceled it.
		s.log.Info("task has ended and does not wait again", "task", e.id(), "epoch", e.ticket.Epoch)
		e.result = err
	} else if err != nil {
		s.log.Error("workflow refuses the report of a task, it is dropped", "task", e.id(), "epoch", e.ticket.Epoch, "status", how.status, "err", err)
		e.result = err
	} else if !e.ticket.Canceled || how.finish {
		s.log.Info("task reported", "task", e.id(), "epoch", e.ticket.Epoch, "status", how.status, "reason", how.reason)
	}
	if err == nil && how.status != ci.Queued {
		s.sayFinished(e.ticket.Task)
	}
	if how.finish && err == nil {
		s.recent.add(e.finisher)
		if how.status != ci.Queued && !e.claimed.IsZero() {
			s.forecast.learn(e, now.Sub(e.claimed))
		}
	}
	if s.active[e] {
		if how.finish {
			s.release(e, false) // its agent ends by itself
		} else {
			s.leave(e) // killed, and forgotten by the cluster
		}
	}
	close(e.settled)
	e.outcome = outcome(how)
	if err == nil && how.status == ci.Queued && !e.ticket.Canceled {
		s.history.add(s.trace(e, e.outcome, true))
		s.back(e)
		return
	}
	if e.ticket.Canceled && e.returns {
		s.drop(e)
		return
	}
	s.removed = append(s.removed, e.id())
	if s.removeBy.IsZero() {
		s.removeBy = now.Add(removeDelay)
	}
	s.forget(e)
	s.kick()
}

// tell reports to the workflow until it is told, or refuses. It returns other
// errors only when ctx ends.
func (s *Scheduler) tell(ctx context.Context, r ci.Report) error {
	for retry := (backoff{}); ; {
		select {
		case s.reports <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		err := s.report(ctx, r)
		<-s.reports
		if err == nil || final(err) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.log.Warn("report task, will try again", "task", r.Task, "epoch", r.Epoch, "status", r.Status, "err", err)
		if !retry.pause(ctx) {
			return errors.Join(ctx.Err(), err)
		}
	}
}

// tellRunning reports that an agent has the task, unless its end is faster.
// The returned channel is closed after the first try; when that has failed,
// more follow.
func (s *Scheduler) tellRunning(e *entry) <-chan struct{} {
	t := e.ticket
	l := ci.Lease{Task: t.Task.ID, Epoch: t.Epoch, Worker: t.Worker}
	r := ci.Report{
		Workflow: t.Task.Workflow, Task: t.Task.ID, Epoch: t.Epoch, Status: ci.Running, Node: t.Node,
		Started: utc(e.claimed),
	}
	tried := make(chan struct{})
	s.work.push(func(ctx context.Context) {
		once := sync.OnceFunc(func() { close(tried) })
		defer once()
		for retry := (backoff{}); ; {
			err := s.tellRunningOnce(ctx, e, l, r)
			once()
			if err == nil || final(err) || !retry.pause(ctx) {
				return
			}
			s.log.Warn("report running task, will try again", "task", r.Task, "epoch", r.Epoch, "err", err)
		}
	})
	return tried
}

// utc returns the time as it is written down; zero stays zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Round(0)
}

func (s *Scheduler) tellRunningOnce(ctx context.Context, e *entry, l ci.Lease, r ci.Report) error {
	if !e.order.enter(ctx) {
		return nil
	}
	defer e.order.leave()
	s.mu.Lock()
	current := e.is(l)
	s.mu.Unlock()
	if !current {
		return nil
	}
	return s.report(ctx, r)
}
