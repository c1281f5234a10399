package scheduler

import (
	"context"
	"iter"

	"github.com/rondo-ci/rondo/ci"
)

// A Backlog keeps the tickets of all tasks that have not ended, and how far the
// scheduler has read the events. One scheduler at a time writes to it; methods
// are safe for concurrent use. Suite schedulertest says what it must do.
type Backlog interface {
	// Cursor returns the number of the last event whose tickets are stored; 0
	// when there is none.
	Cursor(ctx context.Context) (uint64, error)
	// Put writes the tickets, by the identity of their task, and the cursor in
	// one durable transaction. Cursor 0 leaves it as it is. A ticket whose
	// epoch is lower than the stored one is [ci.ErrConflict]: nothing is
	// written.
	Put(ctx context.Context, cursor uint64, tickets ...ci.Ticket) error
	// Remove deletes the tickets of the tasks in one durable transaction. One
	// that is missing is no error.
	Remove(ctx context.Context, tasks ...ci.TaskID) error
	// Open yields all tickets. A row that cannot be read is an error that
	// wraps [ci.ErrInvalid], after which the sequence goes on.
	Open(ctx context.Context) iter.Seq2[ci.Ticket, error]
}
