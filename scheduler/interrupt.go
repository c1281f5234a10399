package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Interrupt stops everything in an orderly way, for a server that is about to
// end and take its agents with it: nothing is handed out any more; agents are
// asked to stop with grace; their tasks are reported as queued, with the
// reason, and wait for the next start, where their steps run again from the
// first one. A task that ends by itself meanwhile has ended. The grace is that
// of the configuration, or two thirds of the time that ctx leaves if that is
// less; then agents are killed. It returns when all is durable. It needs Run,
// and there is no way back but a new process. Twice is allowed.
func (s *Scheduler) Interrupt(ctx context.Context, reason string) error {
	if err := s.await(ctx); err != nil {
		return fmt.Errorf("interrupt: %w", err)
	}
	grace := s.cfg.CancelGrace
	if end, ok := ctx.Deadline(); ok {
		grace = min(grace, time.Until(end)*2/3)
	}
	s.mu.Lock()
	if s.paused == "" {
		s.paused = says(reason, "the server stops")
	}
	s.log.Info("interrupt", "reason", reason, "active", len(s.active))
	for e := range s.active {
		s.interrupt(e, grace)
	}
	s.mu.Unlock()

	inTime, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	err := s.idle(inTime)
	if errors.Is(err, context.DeadlineExceeded) {
		s.mu.Lock()
		for e := range s.active {
			s.settle(e, ending{status: ci.Queued, reason: againReason(s.paused), stop: true})
		}
		s.mu.Unlock()
		err = s.idle(ctx)
	}
	if err != nil {
		return fmt.Errorf("interrupt: %w", err)
	}
	return nil
}

// interrupt stops one hand-out. The mark is not stored: after a crash the task
// is a lost one like any other, not a canceled one.
func (s *Scheduler) interrupt(e *entry, grace time.Duration) {
	switch {
	case e.stage != stageActive:
	case e.ticket.Canceled:
	case e.leased() && grace > 0:
		e.interrupt = s.paused
		s.stop(e, grace)
	case e.leased():
		s.settle(e, ending{status: ci.Queued, reason: againReason(s.paused), stop: true})
	default:
		// Nothing of it can have run, and nothing is to be said.
		s.leave(e)
		s.back(e)
	}
}

// idle waits until nothing is with the cluster and all is durable.
func (s *Scheduler) idle(ctx context.Context) error {
	for {
		s.mu.Lock()
		active, moved, pending := len(s.active), s.moved, s.pending
		s.mu.Unlock()
		if active == 0 {
			s.kick()
			return s.wait(ctx, pending)
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.stopped:
			return errStopped
		}
	}
}
