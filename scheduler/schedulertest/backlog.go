package schedulertest

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/rondo-ci/rondo/ci"
)

// A Backlog is a [scheduler.Backlog] in memory. The zero Backlog is empty and
// works. It is safe for concurrent use.
type Backlog struct {
	mu      sync.Mutex
	cursor  uint64
	tickets map[ci.TaskID]ci.Ticket
	writes  int
	broken  func(op string, tickets []ci.Ticket) error
}

// Cursor returns the stored cursor.
func (b *Backlog) Cursor(context.Context) (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cursor, nil
}

// Put writes the tickets and the cursor.
func (b *Backlog) Put(ctx context.Context, cursor uint64, tickets ...ci.Ticket) error {
	if err := b.fault(ctx, "put", tickets); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range tickets {
		if old, ok := b.tickets[t.Task.ID]; ok && t.Epoch < old.Epoch {
			return fmt.Errorf("put ticket %s: epoch %d is older than %d: %w", t.Task.ID, t.Epoch, old.Epoch, ci.ErrConflict)
		}
	}
	if b.tickets == nil {
		b.tickets = make(map[ci.TaskID]ci.Ticket)
	}
	for _, t := range tickets {
		b.tickets[t.Task.ID] = t
	}
	if cursor > 0 {
		b.cursor = cursor
	}
	b.writes++
	return nil
}

// Remove deletes tickets.
func (b *Backlog) Remove(ctx context.Context, tasks ...ci.TaskID) error {
	if err := b.fault(ctx, "remove", nil); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range tasks {
		delete(b.tickets, t)
	}
	b.writes++
	return nil
}

// Open yields the tickets by task.
func (b *Backlog) Open(context.Context) iter.Seq2[ci.Ticket, error] {
	b.mu.Lock()
	tickets := maps.Clone(b.tickets)
	b.mu.Unlock()
	return func(yield func(ci.Ticket, error) bool) {
		for _, id := range slices.Sorted(maps.Keys(tickets)) {
			if !yield(tickets[id], nil) {
				return
			}
		}
	}
}

// SetFault lets f be asked before each write ("put" with its tickets, "remove"):
// it returns why the write fails, and nil lets it pass.
func (b *Backlog) SetFault(f func(op string, tickets []ci.Ticket) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = f
}

// Ticket returns the stored ticket of a task.
func (b *Backlog) Ticket(id ci.TaskID) (ci.Ticket, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.tickets[id]
	return t, ok
}

// View calls f with the stored ticket of a task while nothing else is written,
// as a transaction of the same database would see it.
func (b *Backlog) View(id ci.TaskID, f func(t ci.Ticket, ok bool)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.tickets[id]
	f(t, ok)
}

// Len returns the number of stored tickets.
func (b *Backlog) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.tickets)
}

// Writes returns how many transactions have been written.
func (b *Backlog) Writes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.writes
}

func (b *Backlog) fault(ctx context.Context, op string, tickets []ci.Ticket) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	broken := b.broken
	b.mu.Unlock()
	if broken == nil {
		return nil
	}
	return broken(op, tickets)
}
