package local

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPrint changes each of the places where references live. The git of this
// machine may not know the newest of them.
func TestPrint(t *testing.T) {
	dir := t.TempDir()
	r := &Repo{gitDir: filepath.Join(dir, "worktrees", "a"), common: dir}
	old := time.Now().Add(-time.Hour)
	put := func(name string) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path+".lock", []byte(name), 0o644))
		require.NoError(t, os.Rename(path+".lock", path))
	}
	age := func() {
		require.NoError(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, _ error) error { return os.Chtimes(path, old, old) }))
	}
	age()
	last := takePrint(r, nil)
	for _, name := range []string{
		"refs/heads/main", "refs/heads/main", "refs/heads/a/b/c", "refs/heads/a/b/c", "refs/tags/v1", "packed-refs", "packed-refs",
		"reftable/tables.list", "reftable/tables.list", "worktrees/a/HEAD",
	} {
		require.True(t, takePrint(r, last).same(last))
		require.False(t, last.racy(time.Now()))
		put(name)
		next := takePrint(r, last)
		require.False(t, next.same(last), name)
		require.True(t, next.racy(time.Now()), "it may change again at once")
		age()
		last = takePrint(r, next)
	}
}
