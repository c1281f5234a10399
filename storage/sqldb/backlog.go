package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"math"

	"github.com/rondo-ci/rondo/ci"
)

// A Backlog keeps the tickets of the tasks that have not ended, and how far
// the scheduler has read the events. It is what a scheduler asks of a
// database. All methods are safe for concurrent use, and writes are on the
// disk when they return.
type Backlog struct{ db *DB }

// Backlog returns the backlog in the database.
func (db *DB) Backlog() *Backlog { return &Backlog{db} }

// Cursor returns the number of the last event that was worked in; 0 at first.
func (b *Backlog) Cursor(ctx context.Context) (uint64, error) {
	n, err := b.db.counter(ctx, countCursor)
	if err != nil {
		return 0, fmt.Errorf("cursor: %w", err)
	}
	return n, nil
}

// Put writes the tickets, each in place of an older one of its task, and the
// cursor, unless that is 0: all or nothing. A ticket with a lower epoch than
// the one in the database is [ci.ErrConflict].
func (b *Backlog) Put(ctx context.Context, cursor uint64, tickets ...ci.Ticket) error {
	if cursor == 0 && len(tickets) == 0 {
		return nil
	}
	if cursor > math.MaxInt64 {
		return fmt.Errorf("put tickets: cursor %d: %w", cursor, ci.ErrInvalid)
	}
	err := b.db.update(ctx, func(tx *tx) error {
		for _, t := range tickets {
			if err := putTicket(tx, cleanTicket(t)); err != nil {
				return fmt.Errorf("task %s: %w", t.Task.ID, err)
			}
		}
		if cursor == 0 {
			return nil
		}
		_, err := tx.exec(`
			INSERT INTO counters (name, value) VALUES (?, ?)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, countCursor, int64(cursor))
		return err
	})
	if err != nil {
		return fmt.Errorf("put tickets: %w", err)
	}
	return nil
}

func putTicket(tx *tx, t ci.Ticket) error {
	if t.Task.ID == "" {
		return fmt.Errorf("an ID is needed: %w", ci.ErrInvalid)
	}
	body, err := encode(t)
	if err != nil {
		return err
	}
	n, err := tx.exec(`
		INSERT INTO tickets (task, state, epoch, worker, body) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (task) DO UPDATE SET state = excluded.state, epoch = excluded.epoch,
			worker = excluded.worker, body = excluded.body
		WHERE excluded.epoch >= tickets.epoch`,
		valid(t.Task.ID), valid(t.State), t.Epoch, valid(t.Worker), body)
	if err == nil && n == 0 {
		return fmt.Errorf("epoch %d is older than the known one: %w", t.Epoch, ci.ErrConflict)
	}
	return err
}

// Remove removes the tickets of the tasks. One that is not there is no error.
func (b *Backlog) Remove(ctx context.Context, tasks ...ci.TaskID) error {
	if len(tasks) == 0 {
		return nil
	}
	err := b.db.update(ctx, func(tx *tx) error {
		for _, t := range tasks {
			if _, err := tx.exec(`DELETE FROM tickets WHERE task = ?`, valid(t)); err != nil {
				return fmt.Errorf("task %s: %w", t, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove tickets: %w", err)
	}
	return nil
}

const ticketsAfter = `SELECT task, body FROM tickets WHERE task > ? ORDER BY task LIMIT ?`

// Open yields all tickets, by task. A row that cannot be read is an error that
// wraps [ci.ErrInvalid], after which the sequence goes on.
func (b *Backlog) Open(ctx context.Context) iter.Seq2[ci.Ticket, error] {
	type row struct {
		task string
		body []byte
	}
	return func(yield func(ci.Ticket, error) bool) {
		after := ""
		all := pages(func(page []row) ([]row, error) {
			err := b.db.reader.rows(ctx, ticketsAfter, []any{after, pageRows}, func(r *sql.Rows) error {
				var t row
				err := r.Scan(&t.task, &t.body)
				page, after = append(page, t), t.task
				return err
			})
			return page, err
		})
		for r, err := range all {
			if err != nil {
				yield(ci.Ticket{}, fmt.Errorf("tickets: %w", err))
				return
			}
			var t ci.Ticket
			if err = decode(r.body, &t); err != nil {
				err = fmt.Errorf("ticket of task %s: %w: %w", r.task, ci.ErrInvalid, err)
				t = ci.Ticket{}
			}
			if !yield(t, err) {
				return
			}
		}
	}
}
