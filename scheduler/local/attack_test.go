package local_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/local"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
)

// TestA059_TokenStaysInMemory looks for an agent's token where it could rest:
// on the disk, in the agent's command line, and in what the cluster tells.
func TestA059_TokenStaysInMemory(t *testing.T) {
	const canary = "canary-token-7c1f5e0b9a8d4c3e2f1a"
	dir := t.TempDir()
	c := run(t, self(t), local.Config{Dir: dir})
	p := task(schedulertest.TaskWaits)
	p.Token = canary
	require.NoError(t, c.Submit(t.Context(), p))
	require.Empty(t, sees(t, c, p, scheduler.PlacementRunning).Token)
	number := pid(t, dir, p)
	files, err := filepath.Glob(dir + "/*")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	if line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(number), "cmdline")); err == nil {
		require.NotContains(t, string(line), canary)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		require.NoError(t, err)
		if filepath.Ext(f) == ".json" { // the log is what the agent itself prints
			require.NotContains(t, string(data), canary, f)
		}
		info, err := os.Stat(f)
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, f)
	}
}
