package memdb

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/internal/plain"
)

// A Backlog keeps the tickets of the tasks that have not ended, and how far
// the scheduler has read the events. It is what a scheduler asks of a
// database. All methods are safe for concurrent use.
type Backlog struct{ db *DB }

// Backlog returns the backlog in the database.
func (db *DB) Backlog() *Backlog { return &Backlog{db} }

// Cursor returns the number of the last event that was worked in; 0 at first.
func (b *Backlog) Cursor(ctx context.Context) (cursor uint64, err error) {
	err = b.db.read(ctx, func() error {
		cursor = b.db.cursor
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("cursor: %w", err)
	}
	return cursor, nil
}

// Put writes the tickets, each in place of an older one of its task, and the
// cursor, unless that is 0: all or nothing. A ticket with a lower epoch than
// the one in the database is [ci.ErrConflict].
func (b *Backlog) Put(ctx context.Context, cursor uint64, tickets ...ci.Ticket) error {
	if cursor > math.MaxInt64 {
		return fmt.Errorf("put tickets: cursor %d: %w", cursor, ci.ErrInvalid)
	}
	err := b.db.update(ctx, func() (func(), error) {
		next := map[ci.TaskID]ci.Ticket{}
		for _, t := range tickets {
			t, err := clone(t)
			if err != nil {
				return nil, err
			}
			if t.Task.ID == "" {
				return nil, fmt.Errorf("task without ID: %w", ci.ErrInvalid)
			}
			known, ok := next[t.Task.ID]
			if !ok {
				known, ok = b.db.tickets[t.Task.ID]
			}
			if ok && t.Epoch < known.Epoch {
				return nil, fmt.Errorf("task %s: epoch %d is older than %d: %w", t.Task.ID, t.Epoch, known.Epoch, ci.ErrConflict)
			}
			next[t.Task.ID] = t
		}
		return func() {
			maps.Copy(b.db.tickets, next)
			if cursor > 0 {
				b.db.cursor = cursor
			}
		}, nil
	})
	if err != nil {
		return fmt.Errorf("put tickets: %w", err)
	}
	return nil
}

// Remove removes the tickets of the tasks. One that is not there is no error.
func (b *Backlog) Remove(ctx context.Context, tasks ...ci.TaskID) error {
	err := b.db.update(ctx, func() (func(), error) {
		return func() {
			for _, t := range tasks {
				delete(b.db.tickets, plain.Text(t))
			}
		}, nil
	})
	if err != nil {
		return fmt.Errorf("remove tickets: %w", err)
	}
	return nil
}

// Open yields all tickets, by task.
func (b *Backlog) Open(ctx context.Context) iter.Seq2[ci.Ticket, error] {
	return sequence(ctx, b.db, "tickets", func() ([]ci.Ticket, error) {
		var all []ci.Ticket
		for _, id := range slices.Sorted(maps.Keys(b.db.tickets)) {
			all = append(all, b.db.tickets[id])
		}
		return all, nil
	})
}
