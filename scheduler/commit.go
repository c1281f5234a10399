package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

const (
	// A ticket that has ended may stay in the database for so long, so that
	// several can be removed at once. One that is found there after a crash is
	// reported again, which changes nothing.
	removeDelay = 25 * time.Millisecond
	// The cursor is stored with new tickets, and otherwise so often: events
	// without tickets may be read twice.
	cursorDelay = 5 * time.Second
	// One transaction takes so many tickets at most.
	putLimit = 1000
)

// A batch is what one commit makes durable. Whoever changes a ticket may wait
// for it.
type batch struct {
	done chan struct{}
	err  error // set before done is closed
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

// wait returns when the batch is durable, or why it is not. The change stays in
// memory and will be written, even when wait returns an error.
func (s *Scheduler) wait(ctx context.Context, b *batch) error {
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stopped:
		return errStopped
	}
}

// mark lets the ticket be written by the next commit, which is returned.
func (s *Scheduler) mark(e *entry) *batch {
	if !e.dirty {
		e.dirty = true
		s.dirty = append(s.dirty, e)
	}
	s.kick()
	return s.pending
}

// loop decides and commits, once for everything that gathered meanwhile.
func (s *Scheduler) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var retry backoff
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.woken:
		case <-timer.C:
		}
		err := s.commit(ctx)
		switch {
		case err == nil:
			retry = backoff{}
		case ctx.Err() != nil:
			return
		default:
			s.log.Error("write backlog, will try again", "err", err)
			if !retry.pause(ctx) {
				return
			}
			s.kick()
		}
		timer.Reset(s.next())
	}
}

// next returns how long the loop may sleep.
func (s *Scheduler) next() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := time.Hour
	now := time.Now()
	for _, t := range []time.Time{s.deadline, s.removeBy, s.cursorBy} {
		if !t.IsZero() {
			wait = min(wait, t.Sub(now))
		}
	}
	return max(wait, 0)
}

// A write is the content of a batch.
type write struct {
	entries []*entry
	tickets []ci.Ticket
	cursor  uint64
	dropped []ci.TaskID // removed before the tickets are written
	removed []ci.TaskID // removed after
}

// commit acts on what is due, places what fits, and makes everything durable;
// then what was placed is submitted.
func (s *Scheduler) commit(ctx context.Context) error {
	s.mu.Lock()
	now := time.Now()
	s.expire(now)
	s.place(now)
	b := s.pending
	s.pending = newBatch()
	w := s.gather(now)
	s.mu.Unlock()

	err := s.write(ctx, &w)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.lostWrites++
		s.undo(&w)
	} else {
		s.lostWrites = 0
		s.written(&w)
	}
	b.err = err
	close(b.done)
	return err
}

// gather takes what the next write consists of.
func (s *Scheduler) gather(now time.Time) write {
	var w write
	w.dropped, s.dropped = s.dropped, nil
	fresh := false
	for _, e := range s.dirty {
		e.dirty = false
		if e.stage == stageGone {
			continue
		}
		fresh = fresh || e.fresh
		w.entries = append(w.entries, e)
		w.tickets = append(w.tickets, e.ticket)
	}
	s.dirty = nil
	due := !s.cursorBy.IsZero() && !now.Before(s.cursorBy)
	if s.cursor > s.saved && (fresh || due) {
		w.cursor = s.cursor
	}
	if !s.removeBy.IsZero() && !now.Before(s.removeBy) {
		w.removed, s.removed, s.removeBy = s.removed, nil, time.Time{}
	}
	return w
}

// write makes it durable. What has been written is taken out of it, so that
// only the rest is tried again.
func (s *Scheduler) write(ctx context.Context, w *write) error {
	if len(w.dropped) > 0 {
		if err := s.backlog.Remove(ctx, w.dropped...); err != nil {
			return fmt.Errorf("remove tickets: %w", err)
		}
		w.dropped = nil
	}
	for first := 0; first < len(w.tickets) || first == 0; first += putLimit {
		tickets := w.tickets[min(first, len(w.tickets)):min(first+putLimit, len(w.tickets))]
		cursor := w.cursor
		if first+putLimit < len(w.tickets) {
			cursor = 0 // it covers all of them
		}
		if len(tickets) == 0 && cursor == 0 {
			break
		}
		err := s.backlog.Put(ctx, cursor, tickets...)
		if err != nil && ctx.Err() == nil && (final(err) || s.failing()) {
			err = s.sift(ctx, w, err)
			if err == nil {
				break // all of them are written, one by one
			}
		}
		if err != nil {
			return fmt.Errorf("put tickets: %w", err)
		}
	}
	if len(w.removed) > 0 {
		if err := s.backlog.Remove(ctx, w.removed...); err != nil {
			return fmt.Errorf("remove tickets: %w", err)
		}
		w.removed = nil
	}
	return nil
}

// failing reports whether commits have failed for so long that one bad ticket
// may be the cause.
func (s *Scheduler) failing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lostWrites >= 3
}

// sift writes the tickets one by one, so that one that the database refuses
// does not stop the others. It returns cause when none could be written.
func (s *Scheduler) sift(ctx context.Context, w *write, cause error) error {
	good := 0
	bad := make(map[*entry]error)
	for i, e := range w.entries {
		if err := s.backlog.Put(ctx, 0, w.tickets[i]); err != nil {
			bad[e] = err
		} else {
			good++
		}
	}
	var rest error
	for e, err := range bad {
		if !s.refused(e, err, good > 0) && rest == nil {
			rest = err
		}
	}
	if rest != nil {
		return rest
	}
	if len(w.entries) == 0 {
		return cause
	}
	if w.cursor == 0 {
		return nil
	}
	return s.backlog.Put(ctx, w.cursor)
}

// refused handles an entry whose ticket cannot be written: dead, if that is
// certain. It reports whether it is out of the way.
func (s *Scheduler) refused(e *entry, err error, others bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if others {
		e.faults++
	}
	if !final(err) && e.faults < 5 {
		return false
	}
	s.log.Error("ticket cannot be written, its task ends", "task", e.id(), "err", err)
	if errors.Is(err, ci.ErrConflict) {
		// Another scheduler has handed it out: it is not ours to report.
		s.leave(e)
		s.forget(e)
		return true
	}
	s.settle(e, ending{status: ci.InfraFailed, reason: "its place in the queue could not be written: " + err.Error(), stop: true})
	return true
}

// undo puts what was not written back.
func (s *Scheduler) undo(w *write) {
	for _, e := range w.entries {
		if e.stage != stageGone {
			s.mark(e)
		}
	}
	s.dropped = append(w.dropped, s.dropped...)
	if len(w.removed) > 0 {
		s.removed = append(w.removed, s.removed...)
		s.removeBy = time.Now()
	}
}

// written lets what is durable now take effect.
func (s *Scheduler) written(w *write) {
	if w.cursor > 0 {
		s.saved = max(s.saved, w.cursor)
		s.cursorBy = time.Time{}
		if s.cursor > s.saved {
			s.cursorBy = time.Now().Add(cursorDelay)
		}
	}
	for i, e := range w.entries {
		e.faults = 0
		if w.cursor > 0 {
			e.fresh = false
		}
		t := &w.tickets[i]
		if t.State == ci.TicketPlaced && e.stage == stageActive && e.ticket.State == ci.TicketPlaced &&
			e.ticket.Epoch == t.Epoch && !e.submitted {
			s.work.push(func(ctx context.Context) { s.submit(ctx, e, t.Epoch) })
		}
	}
}

// lastCommit writes what is left when Run ends.
func (s *Scheduler) lastCommit(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	s.mu.Lock()
	s.paused = "the scheduler has stopped"
	s.deadline = time.Time{}
	if now := time.Now(); len(s.removed) > 0 || s.cursor > s.saved {
		s.removeBy, s.cursorBy = now, now
	}
	s.mu.Unlock()
	if err := s.commit(ctx); err != nil {
		s.log.Warn("last write of the backlog", "err", err)
	}
}
