package scheduler

import "github.com/rondo-ci/rondo/ci"

// A hold is what tells one lease from another.
type hold struct {
	task   ci.TaskID
	epoch  int64
	worker string
}

func holdOf(l ci.Lease) hold { return hold{l.Task, l.Epoch, l.Worker} }

// recent remembers the leases that were finished last, because an agent that
// lost the answer to Finish asks again.
type recent struct {
	known map[hold]bool
	order []hold // a ring
	next  int
}

const recentSize = 2048

func (r *recent) add(h hold) {
	if r.known == nil {
		r.known = make(map[hold]bool)
	}
	if r.known[h] {
		return
	}
	if len(r.order) < recentSize {
		r.order = append(r.order, h)
	} else {
		delete(r.known, r.order[r.next])
		r.order[r.next] = h
		r.next = (r.next + 1) % recentSize
	}
	r.known[h] = true
}

func (r *recent) has(l ci.Lease) bool { return r.known[holdOf(l)] }
