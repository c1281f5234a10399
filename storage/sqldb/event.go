package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// addEvents numbers the events and writes them. The counter is advanced under
// the writer's lock, so numbers are dense and in the order of commit: a reader
// who sees an event sees all before it.
func addEvents(tx *tx, events []ci.Event) error {
	if len(events) == 0 {
		return nil
	}
	last, err := tx.next(countEvents, len(events))
	if err != nil {
		return err
	}
	seq := last - int64(len(events))
	for _, e := range events {
		seq++
		e.Seq = uint64(seq)
		body, err := encode(e)
		if err != nil {
			return fmt.Errorf("event %s: %w", e.Kind, err)
		}
		if _, err := tx.exec(`INSERT INTO events (seq, body) VALUES (?, ?)`, seq, body); err != nil {
			return fmt.Errorf("event %s: %w", e.Kind, err)
		}
		var kept ci.Event // as a reader would get it
		if err := decode([]byte(body), &kept); err != nil {
			return fmt.Errorf("event %s: %w", e.Kind, err)
		}
		tx.events = append(tx.events, kept)
	}
	return nil
}

const eventsBetween = `SELECT body FROM events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`

// Events yields the events after the given number, up to the newest when the
// iteration began.
func (db *DB) Events(ctx context.Context, after uint64) iter.Seq2[ci.Event, error] {
	return func(yield func(ci.Event, error) bool) {
		if fresh := db.tail.after(after); len(fresh) > 0 && ctx.Err() == nil {
			for _, e := range fresh {
				if !yield(e, nil) {
					return
				}
			}
			return
		}
		at, last := after, uint64(0)
		all := pages(func(page []ci.Event) ([]ci.Event, error) {
			page, err := db.eventsPage(ctx, at, last, page)
			if err == nil && len(page) == pageRows {
				at = page[len(page)-1].Seq
				if last == 0 { // one page is read in one instant, more need an end
					last, err = db.LastEvent(ctx)
				}
			}
			if err != nil {
				return nil, fmt.Errorf("events after %d: %w", at, err)
			}
			return page, nil
		})
		all(yield)
	}
}

// eventsPage reads one page of events after at, up to last; 0 is no end.
func (db *DB) eventsPage(ctx context.Context, at, last uint64, page []ci.Event) ([]ci.Event, error) {
	if last == 0 {
		last = math.MaxInt64
	}
	args := []any{int64(min(at, math.MaxInt64)), int64(last), pageRows}
	err := db.reader.rows(ctx, eventsBetween, args, func(r *sql.Rows) error {
		var e ci.Event
		var body sql.RawBytes
		if err := r.Scan(&body); err != nil {
			return err
		}
		err := decode(body, &e)
		page = append(page, e)
		return err
	})
	return page, err
}

// LastEvent returns the number of the newest event, 0 if there is none.
func (db *DB) LastEvent(ctx context.Context) (uint64, error) {
	n, err := db.counter(ctx, countEvents)
	if err != nil {
		return 0, fmt.Errorf("last event: %w", err)
	}
	return n, nil
}

const counterByName = `SELECT value FROM counters WHERE name = ?`

func (db *DB) counter(ctx context.Context, name string) (uint64, error) {
	var n int64
	err := db.reader.row(ctx, counterByName, []any{name}, &n)
	if errors.Is(err, ci.ErrNotFound) {
		return 0, nil
	}
	return uint64(n), err
}

// A signal tells waiting readers that there are new events.
type signal struct {
	mu      sync.Mutex
	newest  uint64        // event that is known to be there
	changed chan struct{} // closed and replaced when newest grows; nil if no one waits
	polled  time.Time     // when the database was last asked
}

// raise wakes those who wait for an event up to newest.
func (s *signal) raise(newest uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if newest <= s.newest {
		return
	}
	s.newest = newest
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// watch returns nil if there is an event after the given number, else a
// channel that is closed when there is.
func (s *signal) watch(after uint64) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.newest > after {
		return nil
	}
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// due reports whether it is time to ask the database again, on behalf of all
// who wait.
func (s *signal) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Sub(s.polled) < pollInterval/2 {
		return false
	}
	s.polled = now
	return true
}

// pollInterval is how often the database is asked for events of other
// processes while someone waits: one small read, however many wait.
const pollInterval = 500 * time.Millisecond

// Wait returns when there is an event after the given number, see [ci.Store].
func (db *DB) Wait(ctx context.Context, after uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	changed := db.signal.watch(after)
	if changed == nil {
		return nil
	}
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			return nil
		case <-poll.C:
			if !db.signal.due() {
				continue
			}
			newest, err := db.LastEvent(ctx)
			if err != nil {
				return fmt.Errorf("wait for events: %w", err)
			}
			db.signal.raise(newest)
		}
	}
}
