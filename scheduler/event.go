package scheduler

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Events are read no further while so many tickets wait to be written.
const dirtyLimit = 5000

// follow applies the events as they come, until ctx ends.
func (s *Scheduler) follow(ctx context.Context, follow func(context.Context, uint64) iter.Seq2[ci.Event, error]) {
	var retry backoff
	for ctx.Err() == nil {
		s.mu.Lock()
		after := s.cursor
		s.mu.Unlock()
		for e, err := range follow(ctx, after) {
			if err != nil {
				if ctx.Err() == nil {
					s.log.Error("follow events, will try again", "after", after, "err", err)
				}
				break
			}
			retry = backoff{}
			if b := s.apply(e); b != nil {
				_ = s.wait(ctx, b) // the loop tries again by itself
			}
		}
		retry.pause(ctx)
	}
}

// apply brings the tickets in line with an event. It returns a batch to wait
// for when too much is unwritten.
func (s *Scheduler) apply(e ci.Event) *batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Seq <= s.cursor {
		return nil // seen
	}
	s.cursor = e.Seq
	if s.cursorBy.IsZero() {
		s.cursorBy = time.Now().Add(cursorDelay)
	}
	switch e.Kind {
	case ci.JobQueued:
		s.jobQueued(e)
	case ci.JobEnded:
		s.jobEnded(e)
	}
	if len(s.dirty) > dirtyLimit {
		return s.pending
	}
	return nil
}

// jobQueued makes the tickets of a job. An event that makes no sense is logged
// and left: it must not hold up those behind it.
func (s *Scheduler) jobQueued(e ci.Event) {
	if e.Task == nil || e.Task.Job == "" || e.Task.Project == "" {
		s.log.Error("event names no task, it is ignored", "seq", e.Seq, "job", e.Job)
		return
	}
	s.sayTaking(*e.Task)
	for i := range max(e.Task.Total, 1) {
		t := e.Task.Slice(i)
		if s.tasks[t.ID] != nil {
			continue
		}
		n := s.enter(ci.Ticket{Task: t, State: ci.TicketWaiting})
		n.fresh = true
		s.mark(n)
		s.line(n)
	}
}

// enter makes an entry known.
func (s *Scheduler) enter(t ci.Ticket) *entry {
	s.seq++
	e := &entry{ticket: t, seq: s.seq, settled: make(chan struct{}), order: newGate(), calls: newGate()}
	s.tasks[e.id()] = e
	s.jobs[t.Task.Job] = append(s.jobs[t.Task.Job], e)
	return e
}

// line puts an entry into the queue, or ends it when it could never leave it.
func (s *Scheduler) line(e *entry) {
	var err error
	e.class, e.need, err = s.cfg.class(e.ticket.Task)
	if err != nil {
		s.settle(e, ending{status: ci.Failed, reason: err.Error()})
		return
	}
	if s.hopeless(e.need) {
		s.settle(e, ending{status: ci.InfraFailed, reason: s.tooBigText(e.class, e.need)})
		return
	}
	e.lined, e.runnable = time.Now(), time.Time{}
	if e.ticket.Epoch == 0 && !e.ticket.Task.Queued.IsZero() {
		e.lined = e.ticket.Task.Queued
	}
	s.queue.add(e)
}

// hopeless reports whether a class will never fit.
func (s *Scheduler) hopeless(need Resources) bool {
	return !s.cfg.Elastic && s.fleet.known && s.fleet.tooBig(need)
}

// jobEnded takes the tickets of a job that has ended, by a cancel or otherwise,
// out of the queue and off the nodes.
func (s *Scheduler) jobEnded(ev ci.Event) {
	for _, e := range slices.Clone(s.jobs[ev.Job]) {
		s.cancel(e)
	}
}

// cancel ends an entry whose job has ended. Its agent gets time to stop by
// itself; one that has not begun does not.
func (s *Scheduler) cancel(e *entry) {
	switch {
	case e.stage == stageSettling:
		if !e.ticket.Canceled && e.returns {
			s.mark(e)
		}
		e.ticket.Canceled = true
	case e.stage == stageWaiting:
		s.queue.take(e)
		s.drop(e)
	case !e.leased():
		s.leave(e)
		s.drop(e)
	case !e.ticket.Canceled:
		e.ticket.Canceled = true
		e.killAt = time.Now().Add(s.cfg.CancelGrace)
		s.wakeAt(e.killAt)
		s.mark(e)
		s.stop(e, s.cfg.CancelGrace)
	}
}

// drop forgets an entry of which nobody expects a report any more. Its ticket
// is removed before the cursor moves past the event that ended it.
func (s *Scheduler) drop(e *entry) {
	s.dropped = append(s.dropped, e.id())
	if e.outcome == "" {
		e.outcome = string(ci.Canceled)
	}
	s.forget(e)
	s.kick()
}

// forget makes an entry unknown.
func (s *Scheduler) forget(e *entry) {
	if e.stage == stageWaiting && e.lane != nil {
		s.queue.take(e)
	}
	if e.stage != stageGone {
		s.history.add(s.trace(e, e.outcome, true))
	}
	e.stage = stageGone
	delete(s.tasks, e.id())
	job := e.ticket.Task.Job
	s.jobs[job] = slices.DeleteFunc(s.jobs[job], func(o *entry) bool { return o == e })
	if len(s.jobs[job]) == 0 {
		delete(s.jobs, job)
	}
	if s.reserved != nil && s.reserved.entry == e {
		s.reserved = nil
	}
}
