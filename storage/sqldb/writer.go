package sqldb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A writer lets one caller after the other write over one connection. While a
// transaction is being synced to the disk others arrive; they then share the
// next transaction. It is passed from hand to hand: each caller does its part
// on its own goroutine and hands on to who waits; whoever finds no one waiting
// commits for all.
type writer struct {
	session session
	// patience is how long a write is tried again while the database is away.
	patience time.Duration
	// report is told of the outcome of every commit, with the events in it.
	report func(events []ci.Event, err error)

	mu      sync.Mutex
	busy    bool            // someone has the turn
	waiting []chan struct{} // closed to give the turn
	closed  bool

	// The rest belongs to whoever has the turn.
	open    *batch // the transaction that is passed on; nil if none is open
	stopped error  // why nothing can be written any more
}

// A session is the writer's connection. Its methods belong to whoever has the
// turn, and are never interrupted.
type session interface {
	// begin begins a transaction that no other writer, of whatever process,
	// can come between. Where the connection was lost it makes a new one.
	begin() error
	// commit makes the transaction durable. An error that is errAway says
	// that nothing of it was kept and that it may be done again. newest is the
	// number of the newest event in it, 0 if there is none.
	commit(newest uint64) error
	// run runs a statement without arguments.
	run(statement string) error
	// prepared are the statements of the connection.
	prepared() *statements
	close() error
}

// A batch is one transaction with the callers that share it.
type batch struct {
	size   int
	events []ci.Event
	done   chan struct{} // closed when it is committed or lost
	err    error         // set before done is closed
}

// maxBatch bounds how long the first caller of a batch waits for the last.
const maxBatch = 64

var (
	// errClosed is returned by calls after Close.
	errClosed = errors.New("database is closed")
	// errAbandoned is why the part of a caller is undone who did not return.
	errAbandoned = errors.New("a change did not return")
)

// A tx is what a caller sees of the open transaction.
type tx struct {
	*statements
	events []ci.Event // that were written
}

func newWriter(s session, patience time.Duration, report func([]ci.Event, error)) *writer {
	return &writer{session: s, patience: patience, report: report}
}

// do runs fn in a transaction and returns when that is durable. While the
// database is away it tries again, so fn may be called more than once.
func (w *writer) do(ctx context.Context, fn func(*tx) error) error {
	return patiently(ctx, w.patience, func() error { return w.once(ctx, fn) })
}

// once is do, tried once. Waiting for the turn ends with ctx; what has begun
// is carried through. Even when fn returned an error the answer waits for the
// transaction, for fn may have seen what others in it wrote.
func (w *writer) once(ctx context.Context, fn func(*tx) error) (err error) {
	if err := w.enter(ctx); err != nil {
		return err
	}
	b, err := w.begin()
	if err != nil {
		w.pass()
		return err
	}
	returned := false
	defer func() {
		if !returned { // a panic or a runtime.Goexit; nobody waits for the answer
			w.undo(b, errAbandoned)
			w.leave(b)
		}
	}()
	t := &tx{statements: w.session.prepared()}
	err = fn(t)
	returned = true
	if err != nil {
		w.undo(b, err)
	} else {
		b.events = append(b.events, t.events...)
	}
	w.leave(b)
	<-b.done
	if b.err != nil {
		return b.err
	}
	return err
}

// enter waits for the turn.
func (w *writer) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	if !w.busy {
		w.busy = true
		w.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	w.waiting = append(w.waiting, turn)
	w.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	i := slices.Index(w.waiting, turn)
	if i >= 0 {
		w.waiting = slices.Delete(w.waiting, i, i+1)
	}
	w.mu.Unlock()
	if i < 0 { // given the turn in the same moment
		w.settle()
	}
	return ctx.Err()
}

// pass gives the turn to who waits longest.
func (w *writer) pass() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.give() {
		w.busy = false
	}
}

// give gives the turn to who waits longest, if anyone waits. w.mu is held.
func (w *writer) give() bool {
	if len(w.waiting) == 0 {
		return false
	}
	close(w.waiting[0])
	w.waiting = w.waiting[1:]
	return true
}

// begin joins the open transaction or begins one. The first caller of a
// transaction needs no savepoint: to undo its part is to undo all.
func (w *writer) begin() (*batch, error) {
	w.mu.Lock()
	closed := w.closed
	w.mu.Unlock()
	switch {
	case closed:
		return nil, errClosed
	case w.stopped != nil:
		return nil, w.stopped
	case w.open != nil:
		b := w.open
		if err := w.run(beginPart); err != nil {
			w.lose(b, err)
			w.finish(b, b.err)
			return nil, b.err
		}
		b.size++
		return b, nil
	}
	if err := w.session.begin(); err != nil {
		_ = w.run(undoAll) // in case an earlier one could not be ended
		if err = w.session.begin(); err != nil {
			return nil, fmt.Errorf("begin transaction: %w", explain(err))
		}
	}
	w.open = &batch{size: 1, done: make(chan struct{})}
	return w.open, nil
}

// undo takes back the part of the caller who has the turn. SQLite ends the
// whole transaction by itself after some errors (a full disk is one); then
// everyone's part is lost.
func (w *writer) undo(b *batch, cause error) {
	if b.size == 1 {
		_ = w.run(undoAll) // fails only if it is undone already
		w.finish(b, nil)
		return
	}
	if err := w.run(undoPart); err != nil {
		w.lose(b, errors.Join(cause, err))
	}
}

// lose marks the batch as lost.
func (w *writer) lose(b *batch, cause error) {
	_ = w.run(undoAll)
	b.err = fmt.Errorf("shared transaction was undone: %w", explain(cause))
}

// leave ends the caller's part of the batch and gives up the turn.
func (w *writer) leave(b *batch) {
	if b == w.open && b.err == nil && b.size > 1 {
		if err := w.run(endPart); err != nil {
			w.lose(b, err)
		}
	}
	w.settle()
}

// settle gives up the turn. An open transaction goes to the next who waits;
// without one, or when it has grown long, it is committed first.
func (w *writer) settle() {
	if b := w.open; b != nil {
		if b.err == nil && b.size < maxBatch {
			w.mu.Lock()
			given := w.give()
			w.mu.Unlock()
			if given {
				return
			}
		}
		w.end()
	}
	w.pass()
}

// end ends the open transaction, if there is one.
func (w *writer) end() {
	b := w.open
	if b == nil {
		return
	}
	if b.err == nil {
		b.err = w.commit(b.events)
	}
	w.finish(b, b.err)
}

// commit makes the open transaction durable.
func (w *writer) commit(events []ci.Event) error {
	newest := uint64(0)
	if n := len(events); n > 0 {
		newest = events[n-1].Seq
	}
	err := w.session.commit(newest)
	if err != nil {
		_ = w.run(undoAll)
		err = fmt.Errorf("commit: %w", explain(err))
		if isSyncFailure(err) {
			err = fmt.Errorf("%w (whether it was kept is unknown)", err)
			w.stopped = err
		}
	}
	w.report(events, err)
	return err
}

// finish tells all callers of the batch how it ended.
func (w *writer) finish(b *batch, err error) {
	w.open = nil
	b.err = err
	close(b.done)
}

// run runs a statement without arguments. It is never interrupted.
func (w *writer) run(statement string) error { return w.session.run(statement) }

// close lets writes under way end and forbids others. It reports whether it
// was the first to close.
func (w *writer) close() bool {
	_ = w.enter(context.Background())
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	w.mu.Unlock()
	w.settle()
	return first
}
