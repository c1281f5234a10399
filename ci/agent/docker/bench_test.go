//go:build linux

package docker_test

import (
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/rondo-ci/rondo/ci/agent/place"
	"github.com/stretchr/testify/require"
)

// BenchmarkStart is how long it takes from a known task to the first line of
// the user's command, beside what `docker run` takes for the same image. The
// agent may take 150 ms more.
func BenchmarkStart(b *testing.B) {
	e := executor(b, nil)
	host := engine(b).Host
	b.Run("docker-run", func(b *testing.B) {
		for b.Loop() {
			cmd := exec.Command("docker", "-H", host, "run", "rondo-box:1", "echo", "hello")
			out, err := cmd.StdoutPipe()
			require.NoError(b, err)
			require.NoError(b, cmd.Start())
			first(b, out)
			b.StopTimer()
			require.NoError(b, cmd.Wait())
			b.StartTimer()
		}
	})
	b.Run("agent", func(b *testing.B) {
		for b.Loop() {
			p, err := e.Open(b.Context(), work(box), io.Discard)
			require.NoError(b, err)
			step(b, p)
			b.StopTimer()
			require.NoError(b, p.Close())
			b.StartTimer()
		}
	})
	b.Run("agent-next-step", func(b *testing.B) {
		p, err := e.Open(b.Context(), work(box), io.Discard)
		require.NoError(b, err)
		defer p.Close()
		for b.Loop() {
			step(b, p)
		}
	})
}

// step runs a command and waits for its first line.
func step(b *testing.B, p place.Place) {
	r, w, err := os.Pipe()
	require.NoError(b, err)
	defer r.Close()
	_, err = p.Start(place.Command{Args: []string{"/bin/echo", "hello"}, Env: p.Layout().Environ, Dir: "/", Output: w})
	_ = w.Close()
	require.NoError(b, err)
	first(b, r)
}

// first waits for the first byte.
func first(b *testing.B, r io.Reader) {
	_, err := r.Read(make([]byte, 1))
	require.NoError(b, err)
}
