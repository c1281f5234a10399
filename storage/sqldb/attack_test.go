package sqldb_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// TestA093_DatabaseIsPrivate looks at the modes of a new database's files, in
// a folder that others may read.
func TestA093_DatabaseIsPrivate(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	db := openFile(t, filepath.Join(dir, "rondo.db"), sqldb.Config{})
	require.NoError(t, db.PutProject(t.Context(), ci.Project{ID: "p", Slug: "s"}))
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 2, "database and log")
	for _, f := range files {
		info, err := f.Info()
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, "%s: %v", f.Name(), info.Mode())
	}
}
