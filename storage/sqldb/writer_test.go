package sqldb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// crowd opens a database and lets n writers queue behind one that holds the
// turn; when release is called they go. Each writes a counter of its own.
type crowd struct {
	db      *DB
	commits int
	errs    []error
	all     sync.WaitGroup
	release func()
}

func newCrowd(t *testing.T, n int, first func() error, each func(i int, tx *tx) error) *crowd {
	t.Helper()
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "rondo.db"), Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	c := &crowd{db: db, errs: make([]error, n+1)}
	report := db.writer.report
	db.writer.report = func(events []ci.Event, err error) {
		c.commits++
		report(events, err)
	}
	inside, release := make(chan struct{}), make(chan struct{})
	c.release = sync.OnceFunc(func() { close(release) })
	c.all.Go(func() {
		c.errs[n] = db.update(context.Background(), func(tx *tx) error {
			_, err := tx.next("first", 1)
			close(inside)
			<-release
			return errors.Join(err, first())
		})
	})
	<-inside
	for i := range n {
		c.all.Go(func() {
			c.errs[i] = db.update(context.Background(), func(tx *tx) error { return each(i, tx) })
		})
	}
	for {
		db.writer.mu.Lock()
		waiting := len(db.writer.waiting)
		db.writer.mu.Unlock()
		if waiting == n {
			return c
		}
		runtime.Gosched()
	}
}

func (c *crowd) counter(t *testing.T, name string) uint64 {
	t.Helper()
	v, err := c.db.counter(t.Context(), name)
	require.NoError(t, err)
	return v
}

func count(i int, tx *tx) error {
	_, err := tx.next(fmt.Sprint("c", i), 1)
	return err
}

// Writers that arrive together share transactions, a bounded number in each.
func TestWritersShareTransactions(t *testing.T) {
	for n, commits := range map[int]int{0: 1, 1: 1, 63: 1, 64: 2, 130: 3} {
		c := newCrowd(t, n, func() error { return nil }, count)
		c.release()
		c.all.Wait()
		require.NoError(t, errors.Join(c.errs...))
		require.Equal(t, commits, c.commits, "%d writers", n)
		for i := range n {
			require.Equal(t, uint64(1), c.counter(t, fmt.Sprint("c", i)))
		}
	}
}

// In a shared transaction each part is undone alone, the first one too.
func TestPartsAreUndoneAlone(t *testing.T) {
	bad := errors.New("bad")
	for _, firstFails := range []bool{false, true} {
		c := newCrowd(t, 20, func() error {
			if firstFails {
				return bad
			}
			return nil
		}, func(i int, tx *tx) error {
			if err := count(i, tx); err != nil || i%2 == 0 {
				return err
			}
			return bad
		})
		c.release()
		c.all.Wait()
		for i := range 20 {
			if i%2 == 0 {
				require.NoError(t, c.errs[i])
				require.Equal(t, uint64(1), c.counter(t, fmt.Sprint("c", i)))
			} else {
				require.Equal(t, bad, c.errs[i])
				require.Zero(t, c.counter(t, fmt.Sprint("c", i)))
			}
		}
		if firstFails {
			require.Zero(t, c.counter(t, "first"))
		} else {
			require.Equal(t, uint64(1), c.counter(t, "first"))
		}
	}
}

// When the database undoes a whole transaction, as it does on a full disk,
// everyone in it is told, nothing of it is there, and the next one works.
func TestP16_SharedTransactionIsLost(t *testing.T) {
	large := strings.Repeat("x", 1<<20)
	c := newCrowd(t, 10, func() error { return nil }, func(i int, tx *tx) error {
		if i == 0 {
			_, err := tx.exec(`INSERT INTO events (seq, body) VALUES (?, ?)`, 1, large)
			return err
		}
		return count(i, tx)
	})
	limit(t, c.db, 60) // pages; the writer who holds the turn is asleep
	c.release()
	c.all.Wait()
	failed := 0
	for i, err := range c.errs {
		name := fmt.Sprint("c", i)
		if i == len(c.errs)-1 {
			name = "first"
		}
		if err == nil {
			require.Equal(t, uint64(1), c.counter(t, name), "acknowledged, so there")
			continue
		}
		failed++
		require.Zero(t, c.counter(t, name))
	}
	require.ErrorContains(t, c.errs[0], "disk is full")
	require.GreaterOrEqual(t, failed, 1)
	limit(t, c.db, 1<<30)
	require.NoError(t, c.db.update(t.Context(), func(tx *tx) error { return count(0, tx) }))
	require.Equal(t, uint64(1), c.counter(t, "c0"))
}

// limit makes the database full at so many pages.
func limit(t *testing.T, db *DB, pages int) {
	t.Helper()
	var n int
	require.NoError(t, db.writer.session.prepared().row(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages), nil, &n))
}

// Those who give up while they wait hold up no one, also when they were just
// given an open transaction.
func TestWaitersGiveUp(t *testing.T) {
	for range 30 {
		c := newCrowd(t, 3, func() error { return nil }, count)
		var waiters sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*20*time.Microsecond)
			defer cancel()
			waiters.Go(func() {
				errs[i] = c.db.update(ctx, func(tx *tx) error { return count(100+i, tx) })
			})
		}
		c.release()
		c.all.Wait()
		waiters.Wait()
		require.NoError(t, errors.Join(c.errs...))
		for i, err := range errs {
			if err != nil {
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Zero(t, c.counter(t, fmt.Sprint("c", 100+i)))
			} else {
				require.Equal(t, uint64(1), c.counter(t, fmt.Sprint("c", 100+i)))
			}
		}
	}
}

// The log is folded into the file in the background and stays small, be there
// one busy writer or several.
func TestCheckpoints(t *testing.T) {
	for _, n := range []int{1, 3} {
		file := filepath.Join(t.TempDir(), "rondo.db")
		db, err := Open(t.Context(), file, Config{Volatile: true})
		require.NoError(t, err)
		b, large := db.Backlog(), ci.Ticket{Task: ci.Task{Job: "j", Name: strings.Repeat("x", 40_000)}.Slice(0)}
		var writers sync.WaitGroup
		for range n {
			writers.Go(func() {
				for range 2400 / n {
					if err := b.Put(context.Background(), 0, large); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writers.Wait()
		db.keeper.wait()
		info, err := os.Stat(file + "-wal")
		require.NoError(t, err)
		require.Less(t, info.Size(), int64(40<<20), "without checkpoints there would be 100 MB")
		require.NoError(t, db.Close())
		require.ErrorIs(t, b.Put(t.Context(), 0, large), errClosed)
	}
}
