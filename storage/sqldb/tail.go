package sqldb

import (
	"sync"

	"github.com/rondo-ci/rondo/ci"
)

// tailLength is about how many events are kept in memory.
const tailLength = 512

// A tail is the newest events that this process has committed, without a gap.
// Everything that follows the events asks for just these, again and again, so
// they are not read back from the file each time.
type tail struct {
	mu     sync.Mutex
	events []ci.Event
}

// add appends events that have been committed. Where another process has
// written in between, the tail begins anew.
func (t *tail) add(events []ci.Event) {
	if len(events) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.events); n > 0 && t.events[n-1].Seq+1 != events[0].Seq {
		t.events = nil
	}
	t.events = append(t.events, events...)
	if n := len(t.events); n > 2*tailLength {
		t.events = append([]ci.Event(nil), t.events[n-tailLength:]...)
	}
}

// after returns copies of the events after the given number, none if the tail
// does not have the first of them.
func (t *tail) after(seq uint64) []ci.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.events)
	if n == 0 || seq+1 < t.events[0].Seq || seq >= t.events[n-1].Seq {
		return nil
	}
	fresh := append([]ci.Event(nil), t.events[seq+1-t.events[0].Seq:]...)
	for i := range fresh {
		e := &fresh[i]
		if e.Task != nil {
			e.Task = new(*e.Task)
		}
		if e.Step != nil {
			e.Step = new(*e.Step)
		}
	}
	return fresh
}
