package sqldb_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/citest"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

var _ scheduler.Backlog = (*sqldb.Backlog)(nil)

// open opens a database in a new folder that is closed when the test ends.
func open(t testing.TB, cfg sqldb.Config) *sqldb.DB {
	t.Helper()
	return openFile(t, filepath.Join(t.TempDir(), "rondo.db"), cfg)
}

func openFile(t testing.TB, file string, cfg sqldb.Config) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), file, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestStore(t *testing.T) {
	citest.TestStore(t, func(t *testing.T) ci.Store { return open(t, sqldb.Config{}) })
}

func TestDocs(t *testing.T) {
	citest.TestDocs(t, func(t *testing.T) ci.Docs { return open(t, sqldb.Config{}) })
}

func TestRecords(t *testing.T) {
	citest.TestRecords(t, func(t *testing.T) (ci.Store, ci.Records, citest.Backlog) {
		db := open(t, sqldb.Config{})
		return db, db, db.Backlog()
	})
}

func TestBacklog(t *testing.T) {
	citest.TestBacklog(t, func(t *testing.T) citest.Backlog { return open(t, sqldb.Config{}).Backlog() })
}
