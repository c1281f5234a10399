package memdb

import (
	"context"
	"fmt"
	"iter"

	"github.com/rondo-ci/rondo/ci"
)

// addEvents numbers the events, which belong to the database now, and wakes
// who waits for them. db.mu is held.
func (db *DB) addEvents(events []ci.Event) {
	if len(events) == 0 {
		return
	}
	for _, e := range events {
		e.Seq = uint64(len(db.events) + 1)
		db.events = append(db.events, e)
	}
	close(db.changed)
	db.changed = make(chan struct{})
}

// Events yields the events after the given number, up to the newest when the
// iteration began.
func (db *DB) Events(ctx context.Context, after uint64) iter.Seq2[ci.Event, error] {
	return sequence(ctx, db, "events", func() ([]ci.Event, error) {
		return db.events[min(after, uint64(len(db.events))):], nil // only ever appended to
	})
}

// LastEvent returns the number of the newest event, 0 if there is none.
func (db *DB) LastEvent(ctx context.Context) (n uint64, err error) {
	err = db.read(ctx, func() error {
		n = uint64(len(db.events))
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("last event: %w", err)
	}
	return n, nil
}

// Wait returns when there is an event after the given number, see [ci.Store].
func (db *DB) Wait(ctx context.Context, after uint64) error {
	for {
		db.mu.RLock()
		there, changed := uint64(len(db.events)) > after, db.changed
		db.mu.RUnlock()
		if err := ctx.Err(); err != nil || there {
			return err
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}
