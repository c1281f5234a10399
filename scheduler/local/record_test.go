package local

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Records are read from a directory that anything may have happened to.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"pid":123,"birth":"b/1","log":"agent-1.log","from":0,"placement":{"task":{"id":"j.0"},"epoch":1}}`))
	f.Add([]byte(`{"pid":1,"birth":"b","log":"x","placement":{"task":{"id":"j.0"}}}`))
	f.Add([]byte(`{"pid":-5,"birth":"b","log":"../../x","placement":{"task":{"id":"j.0"}}}`))
	f.Add([]byte(`{`))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "a@1.json"), data, 0o600))
		c := New(Start{}, Config{Dir: dir})
		require.NoError(t, c.load())
		for _, pl := range c.places {
			a := pl.agent.(*adopted)
			require.Greater(t, a.pid, 1)
			require.Equal(t, dir, filepath.Dir(pl.log))
			require.NotEmpty(t, pl.Task.ID)
		}
	})
}

func TestLastWords(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(file, []byte("before\none\n\n\x1b[31mtwo\tTOKEN\xff\nthree\nfour"), 0o600))
	require.Equal(t, "[31mtwo *** | three | four", lastWords(file, 7, "TOKEN"))
	require.Equal(t, "four", lastWords(file, 34, ""))
	require.Empty(t, lastWords(file, 1000, ""))
	require.Empty(t, lastWords(filepath.Join(t.TempDir(), "none"), 0, ""))
}

func TestBirth(t *testing.T) {
	require.NotEmpty(t, birth(os.Getpid()))
	require.Equal(t, birth(os.Getpid()), birth(os.Getpid()))
	require.NotEqual(t, birth(os.Getpid()), birth(os.Getppid()))
	require.Empty(t, birth(1<<30))
}
