package agent

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// TestA072_TestResultsFit has names that grow when they are written as JSON:
// what is kept must stay below what a server takes.
func TestA072_TestResultsFit(t *testing.T) {
	long := strings.Repeat("<", 256<<10)
	tests := make([]ci.Test, 100)
	for i := range tests {
		tests[i].Name = long
	}
	n := fitting(tests)
	require.Less(t, n, len(tests))
	b, err := json.Marshal(tests[:n])
	require.NoError(t, err)
	require.LessOrEqual(t, len(b), maxResults)
	require.Greater(t, len(b), maxResults*9/10)
	require.Equal(t, 1, fitting(tests[:1]))
	require.Zero(t, fitting(nil))
}

// TestA050_PipeInsteadOfRef puts pipes and an endless file where the agent
// looks for a branch: it must neither wait nor read on for ever.
func TestA050_PipeInsteadOfRef(t *testing.T) {
	dir := t.TempDir()
	heads := filepath.Join(dir, ".git", "refs", "heads")
	require.NoError(t, os.MkdirAll(heads, 0o700))
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".git", "objects"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".git", "HEAD"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(heads, "good"), []byte("abc\n"), 0o600))
	require.NoError(t, syscall.Mkfifo(filepath.Join(heads, "pipe"), 0o600))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, ".git", "packed-refs"), 0o600))
	require.NoError(t, os.Symlink("/dev/zero", filepath.Join(heads, "endless")))
	require.Equal(t, "abc", headOf(dir, "good"))
	for _, branch := range []string{"pipe", "endless", "none"} {
		require.Empty(t, headOf(dir, branch), branch)
	}
}
