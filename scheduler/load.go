package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// How often a backlog that cannot be read is tried again before Run gives up.
const loadTries = 5

// fenced is the worker of a lease that was taken away while it is decided what
// becomes of its task. No agent can have it, so no write of one passes.
const fenced = "(lost)"

// load reads the tickets that an earlier process has left.
func (s *Scheduler) load(ctx context.Context) error {
	var retry backoff
	for try := 1; ; try++ {
		cursor, tickets, err := s.stored(ctx)
		if err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.cursor, s.saved = cursor, cursor
			for _, t := range tickets {
				s.resume(t)
			}
			return nil
		}
		if try == loadTries {
			return err
		}
		s.log.Warn("load backlog, will try again", "err", err)
		if !retry.pause(ctx) {
			return ctx.Err()
		}
	}
}

// stored returns the cursor and the tickets, in order of arrival. Rows that
// cannot be read are logged and left where they are.
func (s *Scheduler) stored(ctx context.Context) (uint64, []ci.Ticket, error) {
	cursor, err := s.backlog.Cursor(ctx)
	if err != nil {
		return 0, nil, fmt.Errorf("read cursor: %w", err)
	}
	var tickets []ci.Ticket
	for t, err := range s.backlog.Open(ctx) {
		switch {
		case err == nil:
			tickets = append(tickets, t)
		case errors.Is(err, ci.ErrInvalid):
			s.log.Error("a ticket cannot be read, it is left aside", "err", err)
		default:
			return 0, nil, fmt.Errorf("read tickets: %w", err)
		}
	}
	slices.SortStableFunc(tickets, func(a, b ci.Ticket) int {
		if c := a.Task.Queued.Compare(b.Task.Queued); c != 0 || a.Task.Job != b.Task.Job {
			return c
		}
		return a.Task.Index - b.Task.Index
	})
	return cursor, tickets, nil
}

// resume goes on with a stored ticket where the earlier process stood.
func (s *Scheduler) resume(t ci.Ticket) {
	job, _, ok := t.Task.ID.Split()
	if !ok || job != t.Task.Job || t.Epoch < 0 {
		s.log.Error("a stored ticket makes no sense, it is removed", "task", t.Task.ID, "state", t.State)
		s.dropped = append(s.dropped, t.Task.ID)
		s.kick()
		return
	}
	e := s.enter(t)
	e.class, e.need, _ = s.cfg.class(t.Task)
	switch t.State {
	case ci.TicketPlaced, ci.TicketLeased:
		if t.Canceled && t.State == ci.TicketPlaced {
			s.drop(e)
			return
		}
		s.resumeActive(e)
	case ci.TicketWaiting:
		if t.Canceled {
			s.drop(e)
			return
		}
		s.line(e)
	default:
		s.settle(e, ending{status: ci.InfraFailed, reason: fmt.Sprintf("its place in the queue was damaged: state %q", t.State)})
	}
}

// resumeActive goes on with a hand-out. A placed one is submitted again, which
// is no second one. A lease gets its full time again: its agent may have been
// unable to renew it only because this server was down.
func (s *Scheduler) resumeActive(e *entry) {
	now := time.Now()
	e.handedOver(now)
	e.held = e.need
	s.activate(e)
	s.queue.resumed(e)
	if e.ticket.State == ci.TicketPlaced {
		epoch := e.ticket.Epoch
		s.work.push(func(ctx context.Context) { s.submit(ctx, e, epoch) })
		return
	}
	e.submitted, e.claimed, e.renewed = true, now, now
	if e.ticket.Worker == fenced {
		s.settle(e, ending{lost: true, reason: "its agent was lost, and the server was started again before that was settled"})
		return
	}
	e.expires = now.Add(s.cfg.TTL)
	s.wakeAt(e.expires)
	if e.ticket.Canceled {
		e.killAt = now.Add(s.cfg.CancelGrace)
		s.wakeAt(e.killAt)
		s.stop(e, s.cfg.CancelGrace)
	}
	s.tellRunning(e)
}
