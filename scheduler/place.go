package scheduler

import (
	"container/heap"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// patience is how long a reservation gives way to entries whose turn is before
// its own. After that it gives way to nobody.
const patience = time.Minute

// A reservation keeps room on a node for an entry that was next and did not
// fit. Spare is what the node has beyond that; whatever starts there meanwhile
// must fit into it, so it cannot delay the entry.
type reservation struct {
	entry *entry
	node  string
	spare Resources
}

// place hands waiting entries to nodes, in fair order, as long as they fit.
// They become durable and are submitted by the commit that follows.
func (s *Scheduler) place(now time.Time) {
	if s.paused != "" || s.queue.waiting == 0 {
		return
	}
	before := s.reserved
	if s.patient(now) {
		s.reserved = nil // its turn is decided anew
	} else if s.placeReserved(now); s.reserved == nil {
		before = nil
	}
	for turns := s.queue.fair(); turns.Len() > 0 && s.room(); {
		p := turns.projects[0]
		e, node := s.pick(p, before, now)
		if e == nil {
			heap.Pop(turns)
			continue
		}
		s.hand(e, node, now)
		turns.vnow = s.queue.vnow
		if p.waiting == 0 {
			heap.Pop(turns)
		} else {
			heap.Fix(turns, 0)
		}
	}
	if s.reserved == nil && before != nil && before.entry.stage == stageWaiting {
		s.reserved = before // nothing fits anyway
	}
}

// room reports whether anything that waits fits anywhere; it keeps the pass
// cheap while the cluster is full.
func (s *Scheduler) room() bool {
	for _, d := range s.queue.classes {
		if s.fleet.best(d.need, s.spares) != nil {
			return true
		}
	}
	return false
}

// patient reports whether the reservation still gives way to others.
func (s *Scheduler) patient(now time.Time) bool {
	return s.reserved != nil && now.Sub(s.reserved.entry.reserved) < patience
}

// placeReserved starts the entry that has a reservation, if it fits now, and
// drops a reservation that has lost its sense.
func (s *Scheduler) placeReserved(now time.Time) {
	r := s.reserved
	if r == nil {
		return
	}
	n := s.fleet.node(r.node)
	if r.entry.stage != stageWaiting || n == nil || n.State != NodeReady || !n.holds(r.entry.need) || !s.allowed(r.entry) {
		s.reserved = nil
		return
	}
	if n := s.fleet.best(r.entry.need, func(*Node, Resources) bool { return true }); n != nil {
		s.hand(r.entry, n, now)
	}
}

// spares reports whether something of that size may start on the node beside
// the reservation.
func (s *Scheduler) spares(n *Node, got Resources) bool {
	return s.reserved == nil || s.reserved.node != n.Name || s.reserved.spare.fits(got)
}

// allowed reports whether the limit of its organisation lets the entry start.
func (s *Scheduler) allowed(e *entry) bool {
	return e.promoted || s.queue.free(e.project.org) != 0
}

// pick returns what the project starts next, and where; nil is nothing. The
// first entry that does not fit gets the reservation, if there is none: the one
// that it had before, so that what was started beside it since still counts.
func (s *Scheduler) pick(p *project, before *reservation, now time.Time) (*entry, *Node) {
	for _, e := range p.heads(now) {
		if !s.allowed(e) {
			continue
		}
		if n := s.fleet.best(e.need, s.spares); n != nil {
			return e, n
		}
		if s.reserved != nil {
			continue
		}
		if before != nil && before.entry == e {
			if n := s.fleet.node(before.node); n != nil && n.State == NodeReady && n.holds(e.need) {
				s.reserved = before
				continue
			}
		}
		if n := s.fleet.soonest(e.need); n != nil {
			s.reserved = &reservation{entry: e, node: n.Name, spare: n.Capacity.minus(n.wants(e.need))}
			if e.reserved.IsZero() {
				e.reserved = now
			}
		}
	}
	return nil, nil
}

// hand gives the entry to the node: the intent, with a new epoch.
func (s *Scheduler) hand(e *entry, n *Node, now time.Time) {
	e.runnable = e.left()
	s.queue.take(e)
	e.handedOver(now)
	e.held = n.wants(e.need)
	t := &e.ticket
	t.State, t.Node, t.Worker, t.Expires = ci.TicketPlaced, n.Name, "", time.Time{}
	t.Epoch++
	s.activate(e)
	s.queue.started(e)
	s.sayForwarded(t.Task)
	switch r := s.reserved; {
	case r == nil:
	case r.entry == e:
		s.reserved = nil
	case r.node == n.Name:
		r.spare = r.spare.minus(e.held)
	}
	s.mark(e)
}

// activate books what the entry holds.
func (s *Scheduler) activate(e *entry) {
	s.active[e] = true
	s.fleet.hold(e.ticket.Node, e.held)
}

// release gives back what the entry holds: in the books of its organisation and
// project at once, on the node too unless its placement may still be alive.
func (s *Scheduler) release(e *entry, alive bool) {
	delete(s.active, e)
	s.queue.stopped(e)
	if !alive {
		s.fleet.release(e.ticket.Node, e.held)
	}
	close(s.moved)
	s.moved = make(chan struct{})
	s.kick()
}
