package scheduler

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// runnable returns how many of the waiting tasks stand in the run queue, when
// that many places are free in the limit (negative: any number).
func (o *org) runnable(free int) int {
	if free < 0 {
		return o.waiting
	}
	return min(o.waiting, max(free, 0)+o.promoted)
}

// rank returns the place of a waiting entry, from 1, if no more came and every
// project got its turns: within an organisation, or in the run queue of all
// when that is nil.
func (q *queue) rank(e *entry, within *org) int {
	p := e.project
	before := 0 // of its own project
	for _, lane := range p.lanes {
		for at := lane.Front(); at != nil && at.Value.(*entry).seq < e.seq; at = at.Next() {
			before++
		}
	}
	rank := before + 1
	for _, o := range q.orgs {
		if within != nil && o != within {
			continue
		}
		others := 0
		for other := range o.projects {
			if other == p || other.waiting == 0 {
				continue
			}
			turns := int(float64(before) * other.weight / p.weight)
			if other.before(p, q.vnow) {
				turns++
			}
			others += min(other.waiting, turns)
		}
		if o != p.org {
			others = min(others, o.runnable(q.free(o)))
		}
		rank += others
	}
	return rank
}

// A QueueName names one of the two queues.
type QueueName string

// The queues.
const (
	UsageQueue QueueName = "usage" // waits for the limit of its organisation
	RunQueue   QueueName = "run"   // waits for room
)

// Queue returns the first and the last tickets of a queue in the order in which
// they will leave it, at most n of each, and how many there are in all. The two
// parts do not overlap. It is meant for people and looks at the whole queue.
func (s *Scheduler) Queue(name QueueName, n int) (first, last []ci.Ticket, total int) {
	type place struct {
		e     *entry
		round float64
		turn  int
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	turn := make(map[*project]int)
	free := make(map[*org]int)
	for i, p := range slices.SortedFunc(maps.Values(s.queue.projects), func(a, b *project) int {
		switch {
		case a == b:
			return 0
		case a.before(b, s.queue.vnow):
			return -1
		}
		return 1
	}) {
		turn[p] = i
		free[p.org] = s.queue.free(p.org)
	}
	var places []place
	for p := range turn {
		var entries []*entry
		for _, lane := range p.lanes {
			for at := lane.Front(); at != nil; at = at.Next() {
				entries = append(entries, at.Value.(*entry))
			}
		}
		slices.SortFunc(entries, func(a, b *entry) int { return cmp.Compare(a.seq, b.seq) })
		for i, e := range entries {
			places = append(places, place{e, float64(i) / p.weight, turn[p]})
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.round, b.round), cmp.Compare(a.turn, b.turn), cmp.Compare(a.e.seq, b.e.seq))
	})
	var tickets []ci.Ticket
	for _, at := range places {
		in := RunQueue
		switch left := free[at.e.project.org]; {
		case left < 0 || at.e.promoted:
		case left == 0:
			in = UsageQueue
		default:
			free[at.e.project.org]--
		}
		if in == name {
			tickets = append(tickets, at.e.ticket)
		}
	}
	n = max(n, 0)
	first = tickets[:min(n, len(tickets))]
	last = tickets[max(len(first), len(tickets)-n):]
	return slices.Clone(first), slices.Clone(last), len(tickets)
}

// Promote moves tasks of an organisation from its usage queue to the run queue,
// past its limit, in the order of the queue: at most n. It returns how many.
// Each leaves the usage queue once. The exemption lasts until the task ends or
// the server does.
func (s *Scheduler) Promote(org string, n int) int {
	s.mu.Lock()
	total := s.queue.waiting
	s.mu.Unlock()
	first, _, _ := s.Queue(UsageQueue, total)
	s.mu.Lock()
	defer s.mu.Unlock()
	moved := 0
	for _, t := range first {
		e := s.tasks[t.Task.ID]
		if moved >= n || t.Task.Org != org || e == nil || e.stage != stageWaiting || e.promoted {
			continue
		}
		e.promoted, e.runnable = true, time.Now()
		e.project.org.promoted++
		moved++
	}
	s.kick()
	return moved
}
