// Package feed tells those who watch a cluster what changes in it. All drivers
// of scheduler.Cluster, and its fake, make their Watch of it.
package feed

import (
	"context"
	"iter"
	"sync"

	"github.com/rondo-ci/rondo/scheduler"
)

// A Feed is the watchers of one cluster. Its zero value has none. The lock of
// the cluster guards it: it is held in Tell, and given to Watch.
type Feed struct {
	watchers map[*watcher]bool
}

// A watcher is one who follows the changes.
type watcher struct {
	changes []scheduler.Placement
	wake    chan struct{}
}

// Tell lets all watchers know of a change, without waiting for any. The lock is
// held.
func (f *Feed) Tell(p scheduler.Placement) {
	for w := range f.watchers {
		w.changes = append(w.changes, p)
		Signal(w.wake)
	}
}

// Watch yields what all returns, which is called with the lock held, and then
// every change, until ctx ends; its error is the last that is yielded.
func (f *Feed) Watch(ctx context.Context, lock sync.Locker, all func() []scheduler.Placement) iter.Seq2[scheduler.Placement, error] {
	return func(yield func(scheduler.Placement, error) bool) {
		w := &watcher{wake: make(chan struct{}, 1)}
		lock.Lock()
		w.changes = all()
		if f.watchers == nil {
			f.watchers = make(map[*watcher]bool)
		}
		f.watchers[w] = true
		lock.Unlock()
		defer func() {
			lock.Lock()
			defer lock.Unlock()
			delete(f.watchers, w)
		}()
		for {
			lock.Lock()
			changes := w.changes
			w.changes = nil
			lock.Unlock()
			for _, p := range changes {
				if !yield(p, nil) {
					return
				}
			}
			select {
			case <-ctx.Done():
				yield(scheduler.Placement{}, ctx.Err())
				return
			case <-w.wake:
			}
		}
	}
}

// Signal puts an element into a channel of capacity 1, unless there is one.
func Signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
