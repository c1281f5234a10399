package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Claim gives the task of a placement to the worker: the agent that was started
// for that epoch. It is durable when it returns. An epoch is claimed once; the
// same worker again gets the same lease, in case it lost the answer. Anybody
// else, an older epoch, and a task that was canceled or has ended get
// [ci.ErrConflict], and must not run anything.
func (s *Scheduler) Claim(ctx context.Context, task ci.TaskID, epoch int64, worker string) (ci.Lease, error) {
	l, err := s.claim(ctx, task, epoch, worker)
	if err != nil {
		return ci.Lease{}, fmt.Errorf("claim task %s epoch %d: %w", task, epoch, err)
	}
	return l, nil
}

func (s *Scheduler) claim(ctx context.Context, task ci.TaskID, epoch int64, worker string) (ci.Lease, error) {
	if worker == "" || worker == fenced {
		return ci.Lease{}, fmt.Errorf("a worker needs a name: %w", ci.ErrInvalid)
	}
	if err := s.await(ctx); err != nil {
		return ci.Lease{}, err
	}
	s.mu.Lock()
	e := s.tasks[task]
	l := ci.Lease{Task: task, Epoch: epoch, Worker: worker}
	first := false
	switch {
	case e == nil:
		s.mu.Unlock()
		return l, fmt.Errorf("it has ended or was never queued: %w", ci.ErrConflict)
	case e.stage != stageActive || e.ticket.Epoch != epoch:
		s.mu.Unlock()
		return l, fmt.Errorf("this hand-out is superseded: %w", ci.ErrConflict)
	case e.is(l):
	case e.ticket.State == ci.TicketLeased:
		s.mu.Unlock()
		return l, fmt.Errorf("another worker has it: %w", ci.ErrConflict)
	case e.interrupt != "":
		s.mu.Unlock()
		return l, fmt.Errorf("it is being stopped (%s): %w", e.interrupt, ci.ErrConflict)
	default:
		first = true
	}
	var told <-chan struct{}
	if first {
		s.lease(e, worker)
		// Beside the ticket, so that both may share a transaction; and before
		// the agent can write anything, so that the job starts before its steps.
		told = s.tellRunning(e)
	}
	b := s.mark(e)
	l = s.current(e)
	s.mu.Unlock()
	if err := s.wait(ctx, b); err != nil {
		return l, err
	}
	if first {
		s.log.Info("task claimed", "task", task, "epoch", epoch, "worker", worker)
		select {
		case <-told:
		case <-ctx.Done():
		case <-s.stopped: // it is durable; the next process tells
		}
	}
	return l, nil
}

// lease gives a placed entry to a worker.
func (s *Scheduler) lease(e *entry, worker string) {
	now := time.Now()
	e.submitted, e.trouble, e.claimBy = true, "", time.Time{}
	e.claimed, e.renewed, e.expires = now, now, now.Add(s.cfg.TTL)
	t := &e.ticket
	t.State, t.Worker, t.Expires = ci.TicketLeased, worker, e.expires.UTC().Round(0)
	s.wakeAt(e.expires)
}

// current returns the lease on the entry.
func (s *Scheduler) current(e *entry) ci.Lease {
	return ci.Lease{
		Task: e.id(), Epoch: e.ticket.Epoch, Worker: e.ticket.Worker, TTL: s.cfg.TTL, Renew: s.cfg.Renew,
		Canceled: e.ticket.Canceled || e.interrupt != "",
	}
}

// Renew extends a lease by its full time, and says whether the task is to be
// stopped. A lease that is no longer the current one is [ci.ErrConflict]: its
// agent must stop at once. Twice is allowed.
func (s *Scheduler) Renew(ctx context.Context, l ci.Lease) (ci.Lease, error) {
	if err := s.await(ctx); err != nil {
		return l, fmt.Errorf("renew lease of task %s: %w", l.Task, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.tasks[l.Task]
	if e == nil || !e.is(l) {
		return l, fmt.Errorf("renew lease of task %s epoch %d: %w", l.Task, l.Epoch, ci.ErrConflict)
	}
	now := time.Now()
	e.renewed, e.expires, e.silent = now, now.Add(s.cfg.TTL), false
	// What is stored only says that there is a lease: after a restart it gets
	// its full time again. So it may lag behind.
	if e.ticket.Expires.Before(now.Add(s.cfg.TTL / 2)) {
		e.ticket.Expires = e.expires.UTC().Round(0)
		s.mark(e)
	}
	return s.current(e), nil
}

// Holds reports whether the task is handed out under that epoch. An error is
// that this is not known, see [Scheduler.Check].
func (s *Scheduler) Holds(task ci.TaskID, epoch int64) (bool, error) {
	err := s.Check(ci.Lease{Task: task, Epoch: epoch})
	if err == nil || !errors.Is(err, ci.ErrConflict) {
		return err == nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.tasks[task]
	return e != nil && e.ticket.Epoch == epoch && e.ticket.State != ci.TicketWaiting, nil
}

// Check reports whether the lease is the current one: nil, [ci.ErrConflict], or
// another error as long as that is not known (before the tickets are loaded,
// and after Run has ended). It looks into memory only.
func (s *Scheduler) Check(l ci.Lease) error {
	select {
	case <-s.stopped:
		return fmt.Errorf("check lease of task %s: %w", l.Task, errStopped)
	default:
	}
	select {
	case <-s.ready:
	default:
		return fmt.Errorf("check lease of task %s: %w", l.Task, errLoading)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.tasks[l.Task]; e == nil || !e.is(l) {
		return fmt.Errorf("check lease of task %s epoch %d: %w", l.Task, l.Epoch, ci.ErrConflict)
	}
	return nil
}
