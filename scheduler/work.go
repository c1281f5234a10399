package scheduler

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// work takes calls that may block (reports, submits, stops) off the hands of
// whoever holds the lock. Run owns the goroutines in which they happen; their
// number is bounded by what the cluster can hold.
type work struct {
	mu    *sync.Mutex
	todo  *[]func(context.Context)
	wake  chan struct{}
	group *sync.WaitGroup
}

func newWork() work {
	return work{mu: new(sync.Mutex), todo: new([]func(context.Context)), wake: make(chan struct{}, 1), group: new(sync.WaitGroup)}
}

// push lets f be called in a goroutine of its own.
func (w work) push(f func(context.Context)) {
	w.mu.Lock()
	*w.todo = append(*w.todo, f)
	w.mu.Unlock()
	signal(w.wake)
}

// run calls what was pushed until ctx ends, and waits for what it has begun.
func (w work) run(ctx context.Context) {
	defer w.group.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		w.mu.Lock()
		todo := *w.todo
		*w.todo = nil
		w.mu.Unlock()
		for _, f := range todo {
			w.group.Go(func() { f(ctx) })
		}
	}
}

// A gate lets one through at a time. Unlike a mutex it may be waited for until a
// context ends.
type gate chan struct{}

func newGate() gate { return make(gate, 1) }

// enter returns false when ctx ended first.
func (g gate) enter(ctx context.Context) bool {
	select {
	case g <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (g gate) leave() { <-g }

// backoff is the pause before the next try: it doubles up to a limit.
type backoff struct{ next time.Duration }

const (
	firstPause   = 50 * time.Millisecond
	longestPause = 15 * time.Second
)

// pause waits; false is the end of ctx.
func (b *backoff) pause(ctx context.Context) bool {
	b.next = min(max(2*b.next, firstPause), longestPause)
	return sleep(ctx, b.next)
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// final reports whether an error will not go away by trying again.
func final(err error) bool {
	return errors.Is(err, ci.ErrConflict) || errors.Is(err, ci.ErrInvalid) ||
		errors.Is(err, ci.ErrNotFound) || errors.Is(err, ci.ErrDenied)
}
