// Package placetest holds executors to the words of package place.
package placetest

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/place"
	"github.com/stretchr/testify/require"
)

// Run checks the executor with the work, which every Open gets. A place needs a
// /bin/sh.
func Run(t *testing.T, e place.Executor, w ci.Work) {
	tests := map[string]func(*testing.T, place.Place){
		"Layout":               layout,
		"Codes":                codes,
		"FilesAreTheSame":      files,
		"StopReachesTheGroup":  stop,
		"AliveAfterItsLeader":  alive,
		"KillReachesDaemons":   kill,
		"NothingAfterClose":    closed,
		"OutputOutlivesLeader": outlives,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := e.Open(t.Context(), w, io.Discard)
			require.NoError(t, err)
			defer func() { require.NoError(t, p.Close()) }()
			test(t, p)
		})
	}
	t.Run("LateKill", func(t *testing.T) { late(t, e, w) })
}

// late kills a place that was closed: the next one loses nothing.
func late(t *testing.T, e place.Executor, w ci.Work) {
	over, err := e.Open(t.Context(), w, io.Discard)
	require.NoError(t, err)
	c, _ := start(t, over, "true")
	require.Zero(t, await(t, c))
	require.NoError(t, over.Close())
	p, err := e.Open(t.Context(), w, io.Discard)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	c, r := start(t, p, "echo up; sleep 300")
	require.Equal(t, "up", line(t, r))
	require.NoError(t, over.Kill())
	require.NoError(t, over.Close())
	require.True(t, c.Alive())
	c.Kill()
	require.Equal(t, 137, await(t, c))
}

// start starts a shell command in the place's home.
func start(t *testing.T, p place.Place, command string) (place.Process, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	l := p.Layout()
	c, err := p.Start(place.Command{Args: []string{"sh", "-c", command}, Env: l.Environ, Dir: l.Home, Output: w})
	_ = w.Close()
	require.NoError(t, err)
	return c, r
}

// await waits for a process.
func await(t *testing.T, c place.Process) int {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(30 * time.Second):
		require.FailNow(t, "the process does not end")
	}
	return c.Code()
}

// line reads until the end of a line.
func line(t *testing.T, r *os.File) string {
	t.Helper()
	var text strings.Builder
	b := make([]byte, 1)
	for {
		_, err := r.Read(b)
		require.NoError(t, err, "after %q", text.String())
		if b[0] == '\n' {
			return text.String()
		}
		text.WriteByte(b[0])
	}
}

func layout(t *testing.T, p place.Place) {
	l := p.Layout()
	require.Equal(t, l, p.Layout())
	require.True(t, filepath.IsAbs(l.Home) && filepath.IsAbs(l.Scratch) && filepath.IsAbs(l.Private))
	require.NotEmpty(t, l.Shell)
	require.NotEmpty(t, l.Notes)
	require.DirExists(t, l.Private)
	require.NoError(t, p.Within(func() {
		for _, dir := range []string{l.Home, l.Scratch} {
			if info, err := os.Stat(dir); err != nil || !info.IsDir() {
				t.Errorf("%s is no directory: %v", dir, err)
			}
		}
	}))
}

func codes(t *testing.T, p place.Place) {
	for command, code := range map[string]int{"true": 0, "exit 3": 3, "kill -9 $$": 137, "kill -15 $$": 143} {
		c, _ := start(t, p, command)
		require.Equal(t, code, await(t, c), command)
		require.Empty(t, c.Why(), command)
	}
	_, err := p.Start(place.Command{Args: []string{"no-such-program"}, Env: p.Layout().Environ, Dir: "/"})
	require.ErrorContains(t, err, "no-such-program")
	_, err = p.Start(place.Command{})
	require.Error(t, err)
}

// Steps and agent see the same files, with the same rights.
func files(t *testing.T, p place.Place) {
	l := p.Layout()
	file := filepath.Join(l.Scratch, "from-agent")
	require.NoError(t, p.Within(func() {
		if err := os.WriteFile(file, []byte("a\n"), 0o600); err != nil {
			t.Error(err)
		}
	}))
	c, r := start(t, p, "cat "+file+"; echo b >> "+file)
	require.Equal(t, "a", line(t, r))
	require.Zero(t, await(t, c))
	var f *os.File
	require.NoError(t, p.Within(func() { f, _ = os.Open(file) }))
	require.NotNil(t, f)
	defer f.Close()
	text, err := io.ReadAll(f) // outside
	require.NoError(t, err)
	require.Equal(t, "a\nb\n", string(text))
}

func stop(t *testing.T, p place.Place) {
	c, r := start(t, p, "sleep 600 & echo $!; wait")
	require.NotEmpty(t, line(t, r))
	require.True(t, c.Alive())
	c.Stop()
	require.Equal(t, 128+int(syscall.SIGTERM), await(t, c))
	require.Eventually(t, func() bool { return !c.Alive() }, 10*time.Second, time.Millisecond)
	c.Stop()
	c.Kill()
}

func alive(t *testing.T, p place.Place) {
	c, r := start(t, p, "sleep 600 >/dev/null 2>&1 & echo gone")
	require.Equal(t, "gone", line(t, r))
	require.Zero(t, await(t, c))
	require.True(t, c.Alive(), "its child still runs")
	c.Kill()
	require.Eventually(t, func() bool { return !c.Alive() }, 10*time.Second, time.Millisecond)
}

// kill ends what has left its group; the pipe says so, which it holds.
func kill(t *testing.T, p place.Place) {
	_, r := start(t, p, `setsid sh -c 'trap "" TERM HUP; echo up; while :; do sleep 600; done'`)
	require.Equal(t, "up", line(t, r))
	require.NoError(t, p.Kill())
	_, err := r.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, p.Kill())
	c, _ := start(t, p, "true")
	require.Zero(t, await(t, c), "more can be started")
}

func closed(t *testing.T, p place.Place) {
	l := p.Layout()
	c, _ := start(t, p, "sleep 600")
	require.NoError(t, p.Close())
	require.Equal(t, 137, await(t, c))
	_, err := p.Start(place.Command{Args: []string{"sh"}, Env: l.Environ, Dir: "/"})
	require.Error(t, err)
	require.NoDirExists(t, l.Private)
}

// outlives checks that a process is done when it has ended, whoever still
// holds its output.
func outlives(t *testing.T, p place.Place) {
	c, r := start(t, p, "(sleep 1; echo late) & echo now")
	require.Equal(t, "now", line(t, r))
	require.Zero(t, await(t, c))
	require.Equal(t, "late", line(t, r))
}
