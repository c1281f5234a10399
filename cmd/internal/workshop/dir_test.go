package workshop

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestA141_WorkDirSurvivesCleaning has agents make their folders while others
// clean away those of dead agents: no living agent may lose its own.
func TestA141_WorkDirSurvivesCleaning(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "work")
	done := make(chan struct{})
	var cleaners sync.WaitGroup
	for range 2 {
		cleaners.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_ = CleanDirs(dir)
				}
			}
		})
	}
	for range 300 {
		w, err := newWorkDir(dir)
		require.NoError(t, err)
		require.NoError(t, unmoved(w.path, w.lock), "the folder of a living agent is gone")
		require.NoError(t, os.WriteFile(filepath.Join(w.path, "x"), nil, 0o600))
		w.close()
	}
	close(done)
	cleaners.Wait()
	require.NoError(t, CleanDirs(dir))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestA050_CleaningWaitsForNothing puts pipes and links beside the folders of
// agents, as a job can: cleaning neither hangs nor follows them.
func TestA050_CleaningWaitsForNothing(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "keep"), nil, 0o600))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "agent-pipe"), 0o600))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "agent-link")))
	dead := filepath.Join(dir, "agent-dead")
	require.NoError(t, os.MkdirAll(filepath.Join(dead, "a", "b"), 0o700))
	require.NoError(t, os.Symlink(outside, filepath.Join(dead, "a", "link")))
	require.NoError(t, os.Chmod(filepath.Join(dead, "a"), 0))
	alive, err := newWorkDir(dir)
	require.NoError(t, err)
	defer alive.close()

	require.NoError(t, CleanDirs(dir))

	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Equal(t, filepath.Base(alive.path), left[0].Name())
	require.FileExists(t, filepath.Join(outside, "keep"))
}
