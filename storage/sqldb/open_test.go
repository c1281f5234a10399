package sqldb_test

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// raw runs SQL on a file behind the package's back.
func raw(t *testing.T, file string, queries ...string) {
	t.Helper()
	pool, err := sql.Open("sqlite", file)
	require.NoError(t, err)
	defer pool.Close()
	for _, q := range queries {
		_, err := pool.ExecContext(t.Context(), q)
		require.NoError(t, err, q)
	}
}

// What cannot be opened is refused with a reason, and left as it is.
func TestOpenRefuses(t *testing.T) {
	filled := func(t *testing.T, file string) {
		db := openFile(t, file, sqldb.Config{})
		require.NoError(t, db.PutProject(t.Context(), ci.Project{ID: "p", Slug: "s"}))
		for range 50 {
			newPipeline(t, db, "p")
		}
		require.NoError(t, db.Close())
	}
	for name, c := range map[string]struct {
		make func(t *testing.T, file string)
		says string
	}{
		"newer edition": {func(t *testing.T, file string) {
			filled(t, file)
			raw(t, file, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
		}, "edition 9999"},
		"another program's": {func(t *testing.T, file string) {
			raw(t, file, "CREATE TABLE songs (name TEXT)")
		}, "another program"},
		"no database": {func(t *testing.T, file string) {
			require.NoError(t, os.WriteFile(file, bytes.Repeat([]byte("no database "), 1000), 0o600))
		}, "not a database"},
		"cut short": {func(t *testing.T, file string) {
			filled(t, file)
			require.NoError(t, os.Truncate(file, 8192))
		}, "damaged"},
		"overwritten": {func(t *testing.T, file string) {
			filled(t, file)
			f, err := os.OpenFile(file, os.O_RDWR, 0)
			require.NoError(t, err)
			_, err = f.WriteAt(bytes.Repeat([]byte{0xa5}, 4096-100), 100)
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}, "damaged"},
		"a folder": {func(t *testing.T, file string) {
			require.NoError(t, os.Mkdir(file, 0o755))
		}, "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "rondo.db")
			c.make(t, file)
			before, _ := os.ReadFile(file)
			for range 2 {
				db, err := sqldb.Open(t.Context(), file, sqldb.Config{})
				require.Nil(t, db)
				require.ErrorContains(t, err, c.says)
				require.ErrorContains(t, err, file)
			}
			after, _ := os.ReadFile(file)
			if name != "another program's" { // its journal mode is noted in it
				require.True(t, bytes.Equal(before, after), "the file was touched")
			}
		})
	}
	for dsn, says := range map[string]string{
		"":                         "no file",
		":memory:":                 "memdb",
		"file:x.db":                "path",
		"mysql://localhost/x":      "path",
		"/no/such/folder/rondo.db": "no such file",
	} {
		_, err := sqldb.Open(t.Context(), dsn, sqldb.Config{})
		require.ErrorContains(t, err, says, dsn)
	}
}

// A path may have any characters in it, and be relative.
func TestOpenOddPaths(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, file := range []string{"a b.db", "q?mode=memory.db", "h#x.db", "100%41.db", "ä&_pragma=x;.db"} {
		db := openFile(t, file, sqldb.Config{})
		require.NoError(t, db.PutProject(t.Context(), ci.Project{ID: "p", Slug: "s"}))
		require.FileExists(t, file)
		require.NoError(t, db.Close())
		require.NoError(t, db.Close(), "twice is allowed")
		_, err := db.Project(t.Context(), "p")
		require.Error(t, err)
		db = openFile(t, file, sqldb.Config{})
		_, err = db.Project(t.Context(), "p")
		require.NoError(t, err)
	}
}

// Two processes on one file see each other's writes and never give a number
// twice.
func TestP2b_TwoServersOnOneFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rondo.db")
	dbs := make([]*sqldb.DB, 2)
	var opening sync.WaitGroup
	for i := range dbs { // also the first time
		opening.Go(func() {
			var err error
			dbs[i], err = sqldb.Open(context.Background(), file, sqldb.Config{})
			if err != nil {
				t.Error(err)
			}
		})
	}
	opening.Wait()
	require.False(t, t.Failed())
	for _, db := range dbs {
		t.Cleanup(func() { require.NoError(t, db.Close()) })
	}
	require.NoError(t, dbs[0].PutProject(t.Context(), ci.Project{ID: "p", Slug: "s"}))
	const each = 30
	var writers sync.WaitGroup
	for _, db := range dbs {
		for range 2 {
			writers.Go(func() {
				for range each {
					if _, err := trigger(context.Background(), db, "p"); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	seen := uint64(0)
	for seen < 4*each {
		for e, err := range dbs[1].Events(t.Context(), seen) {
			require.NoError(t, err)
			require.Equal(t, seen+1, e.Seq)
			require.Equal(t, int64(e.Seq), e.Number, "one event per pipeline")
			seen = e.Seq
		}
		if seen < 4*each {
			require.NoError(t, dbs[1].Wait(t.Context(), seen))
		}
	}
	writers.Wait()
	_, err := trigger(t.Context(), dbs[0], "p")
	require.NoError(t, err)
	require.NoError(t, dbs[1].Wait(t.Context(), seen), "told of the other's write")
}

// A row that cannot be read spoils nothing but itself.
func TestUnreadableTicket(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rondo.db")
	db := openFile(t, file, sqldb.Config{})
	ctx, b := t.Context(), db.Backlog()
	for _, j := range []ci.JobID{"a", "b", "c"} {
		require.NoError(t, b.Put(ctx, 0, ci.Ticket{Task: ci.Task{Job: j}.Slice(0)}))
	}
	raw(t, file, "UPDATE tickets SET body = '{' WHERE task = 'b.0'")
	var good, bad int
	for _, err := range b.Open(ctx) {
		if err != nil {
			require.ErrorIs(t, err, ci.ErrInvalid)
			require.ErrorContains(t, err, "b.0")
			bad++
		} else {
			good++
		}
	}
	require.Equal(t, []int{2, 1}, []int{good, bad})
}
