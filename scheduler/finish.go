package scheduler

import (
	"context"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
)

// Finish reports how a task ended and gives the lease back. It returns when the
// outcome is durable. Again, with the same lease, is no error; a lease that was
// taken away before is [ci.ErrConflict]. When Finish fails otherwise, the
// outcome is kept and reported as soon as possible; calling again tells whether
// it was.
func (s *Scheduler) Finish(ctx context.Context, l ci.Lease, r ci.Report) error {
	if err := s.finish(ctx, l, r); err != nil {
		return fmt.Errorf("finish task %s epoch %d: %w", l.Task, l.Epoch, err)
	}
	return nil
}

func (s *Scheduler) finish(ctx context.Context, l ci.Lease, r ci.Report) error {
	switch r.Status {
	case ci.Success, ci.Failed, ci.Canceled, ci.TimedOut, ci.InfraFailed, ci.Unauthorized:
	default:
		return fmt.Errorf("a task cannot end as %q: %w", r.Status, ci.ErrInvalid)
	}
	if r.Task != "" && r.Task != l.Task || r.Epoch != 0 && r.Epoch != l.Epoch {
		return fmt.Errorf("the report is about task %s epoch %d: %w", r.Task, r.Epoch, ci.ErrInvalid)
	}
	if err := s.await(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	e := s.tasks[l.Task]
	switch {
	case s.recent.has(l):
		s.mu.Unlock()
		return nil
	case e == nil:
		s.mu.Unlock()
		return ci.ErrConflict
	case e.is(l):
		s.finishing(e, r)
	case e.stage == stageSettling && e.finisher == holdOf(l):
		// The same again: wait for it.
	default:
		s.mu.Unlock()
		return ci.ErrConflict
	}
	settled := e.settled
	s.mu.Unlock()
	select {
	case <-settled:
		s.mu.Lock()
		defer s.mu.Unlock()
		return e.result
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stopped:
		return errStopped
	}
}

// finishing begins the end of an entry as its agent tells it.
func (s *Scheduler) finishing(e *entry, r ci.Report) {
	e.finisher = hold{e.id(), e.ticket.Epoch, e.ticket.Worker}
	how := ending{status: r.Status, reason: r.Reason, node: r.Node, finish: true}
	if e.interrupt != "" && r.Status == ci.Canceled {
		how.status, how.reason = ci.Queued, againReason(e.interrupt)
	}
	s.settle(e, how)
}
