package sqldb_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// One of many gets the term; a later one ends what the earlier may write, in
// whatever state that is.
func TestDAT03_OneConducts(t *testing.T) {
	dsn, ctx := newDatabase(t), t.Context()
	var dbs []*sqldb.DB
	for range 4 {
		dbs = append(dbs, openFile(t, dsn, sqldb.Config{}))
	}
	now, err := dbs[0].Term(ctx)
	require.NoError(t, err)
	require.Zero(t, now)
	var conductor atomic.Pointer[sqldb.DB]
	var all sync.WaitGroup
	for i, db := range dbs {
		all.Go(func() {
			if _, err := db.Conduct(context.Background(), fmt.Sprint("a", i), "http://a", 300*time.Millisecond); err == nil {
				if conductor.Swap(db) != nil {
					t.Error("two conduct")
				}
			} else {
				require.ErrorIs(t, err, ci.ErrConflict)
			}
		})
	}
	all.Wait()
	old := conductor.Load()
	require.NoError(t, old.PutProject(ctx, ci.Project{ID: "p", Slug: "s"}))
	now, err = dbs[3].Term(ctx)
	require.NoError(t, err)
	require.Equal(t, int64(1), now.Number)
	require.Equal(t, "http://a", now.Address)
	next := dbs[0]
	if next == old {
		next = dbs[1]
	}
	_, err = next.Conduct(ctx, "b", "http://b", time.Minute)
	require.ErrorIs(t, err, ci.ErrConflict)
	again, err := old.Conduct(ctx, "a", "http://a", 300*time.Millisecond) // prolongs
	require.NoError(t, err)
	require.Equal(t, int64(1), again.Number)
	require.Eventually(t, func() bool {
		second, err := next.Conduct(ctx, "b", "http://b", time.Minute)
		return err == nil && second.Number == 2
	}, 10*time.Second, 10*time.Millisecond)
	// The old one does not know yet, and can do nothing.
	_, err = trigger(ctx, old, "p")
	require.ErrorIs(t, err, ci.ErrConflict)
	require.ErrorIs(t, old.Backlog().Put(ctx, 7), ci.ErrConflict)
	_, err = old.WriteDocs(ctx, ci.DocChange{Doc: ci.Doc{Kind: "k", ID: "1"}})
	require.ErrorIs(t, err, ci.ErrConflict)
	_, err = old.Conduct(ctx, "a", "http://a", time.Minute)
	require.ErrorIs(t, err, ci.ErrConflict)
	require.ErrorIs(t, old.Resign(ctx), ci.ErrConflict)
	_, err = trigger(ctx, next, "p")
	require.NoError(t, err)
	// Who resigns need not be waited for.
	require.NoError(t, next.Resign(ctx))
	third := dbs[2]
	if third == old {
		third = dbs[3]
	}
	got, err := third.Conduct(ctx, "c", "http://c", time.Minute)
	require.NoError(t, err)
	require.Equal(t, int64(3), got.Number)
	_, err = trigger(ctx, next, "p")
	require.ErrorIs(t, err, ci.ErrConflict)
	// A server that is started again need not wait for itself.
	again, err = openFile(t, dsn, sqldb.Config{}).Conduct(ctx, "c", "http://c", time.Minute)
	require.NoError(t, err)
	require.Equal(t, int64(4), again.Number)
	_, err = trigger(ctx, third, "p")
	require.ErrorIs(t, err, ci.ErrConflict)
}

func TestSQLiteHasNoTerms(t *testing.T) {
	db := open(t, sqldb.Config{})
	_, err := db.Term(t.Context())
	require.ErrorIs(t, err, ci.ErrInvalid)
	_, err = db.Conduct(t.Context(), "a", "", time.Second)
	require.ErrorIs(t, err, ci.ErrInvalid)
}
