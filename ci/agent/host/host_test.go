package host_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/host"
	"github.com/rondo-ci/rondo/ci/agent/place"
)

func Example() {
	p, err := host.New(host.Config{}).Open(context.Background(), ci.Work{Lease: ci.Lease{Task: "job.0", Epoch: 1}}, io.Discard)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	r, w, _ := os.Pipe()
	l := p.Layout()
	proc, err := p.Start(place.Command{Args: append(l.Shell, "echo $RONDO_TASK; exit 3"), Env: l.Environ, Dir: l.Home, Output: w})
	w.Close()
	if err != nil {
		fmt.Println(err)
		return
	}
	out, _ := io.ReadAll(r)
	<-proc.Done()
	fmt.Print(string(out), proc.Code())
	// Output:
	// job.0/1
	// 3
}

func ExampleSweep() {
	n := host.Sweep(func(marker string) bool { return strings.HasPrefix(marker, "job-that-never-was.") })
	fmt.Println(n)
	// Output: 0
}

func open(t *testing.T, w ci.Work) place.Place {
	t.Helper()
	w.Lease.Task, w.Lease.Epoch = ci.TaskID(ci.NewID()+".0"), 1
	p, err := host.New(host.Config{Dir: t.TempDir()}).Open(t.Context(), w, io.Discard)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func start(t *testing.T, p place.Place, command string) (place.Process, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	l := p.Layout()
	proc, err := p.Start(place.Command{Args: append(l.Shell, command), Env: l.Environ, Dir: l.Home, Output: w})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return proc, r
}

func TestStopAndKill(t *testing.T) {
	p := open(t, ci.Work{})
	proc, r := start(t, p, "trap 'exit 9' TERM; echo up; sleep 100 & wait")
	line := make([]byte, 3)
	_, err := io.ReadFull(r, line)
	require.NoError(t, err)
	require.True(t, proc.Alive())
	proc.Stop()
	<-proc.Done()
	require.Equal(t, 9, proc.Code())
	proc.Stop() // of one that has ended: nothing
	proc, _ = start(t, p, "trap '' TERM; sleep 100; sleep 100")
	proc.Kill()
	<-proc.Done()
	require.Equal(t, 137, proc.Code())
	require.Eventually(t, func() bool { return !proc.Alive() }, time.Second, time.Millisecond)
}

func TestKillFindsWhatLeftItsGroup(t *testing.T) {
	p := open(t, ci.Work{})
	proc, r := start(t, p, "setsid sh -c 'trap \"\" TERM; echo up; sleep 100' & sleep 100 &")
	<-proc.Done()
	_, err := io.ReadFull(r, make([]byte, 3))
	require.NoError(t, err)
	require.NoError(t, p.Kill())
	_, err = r.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "the last holder of the pipe is gone")
	_, _ = start(t, p, "true") // the place is still good
}

func TestNotes(t *testing.T) {
	p := open(t, ci.Work{Job: ci.PlannedJob{JobSpec: ci.JobSpec{Executor: ci.Executor{Kind: ci.ExecutorDocker,
		Images: []ci.Image{{Image: "cimg/go:1.26"}, {Image: "postgres:9.6"}, {Image: "redis"}}}}}})
	notes := strings.Join(p.Layout().Notes, "\n")
	require.Contains(t, notes, "Image: cimg/go:1.26\nWarning: in host mode the image is not used")
	require.Contains(t, notes, "service containers are not started in host mode: postgres:9.6, redis")
	p = open(t, ci.Work{Job: ci.PlannedJob{JobSpec: ci.JobSpec{Executor: ci.Executor{Kind: ci.ExecutorMachine}}}})
	require.Contains(t, strings.Join(p.Layout().Notes, "\n"), "Machine image: default")
}

func TestErrors(t *testing.T) {
	_, err := host.New(host.Config{}).Open(t.Context(), ci.Work{Job: ci.PlannedJob{JobSpec: ci.JobSpec{Executor: ci.Executor{Kind: ci.ExecutorMacOS}}}}, io.Discard)
	require.ErrorIs(t, err, ci.ErrInvalid)
	p := open(t, ci.Work{})
	for _, args := range [][]string{nil, {"no-such-program"}, {"/no/such/program"}, {"/etc/passwd"}} {
		_, err := p.Start(place.Command{Args: args, Env: p.Layout().Environ, Dir: p.Layout().Home})
		require.Error(t, err)
	}
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	_, err = p.Start(place.Command{Args: []string{"/bin/true"}})
	require.ErrorContains(t, err, "closed")
	_, err = os.Stat(p.Layout().Scratch)
	require.True(t, errors.Is(err, os.ErrNotExist))
}

func TestPass(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	t.Setenv("SECRET", "x")
	p, err := host.New(host.Config{Dir: t.TempDir(), Pass: []string{"GOPROXY", "NOT_SET"}}).Open(t.Context(), ci.Work{}, io.Discard)
	require.NoError(t, err)
	defer p.Close()
	env := p.Layout().Environ
	require.Contains(t, env, "GOPROXY=off")
	require.NotContains(t, strings.Join(env, "\n"), "SECRET")
	require.NotContains(t, strings.Join(env, "\n"), "NOT_SET")
}

func BenchmarkStart(b *testing.B) {
	p, err := host.New(host.Config{Dir: b.TempDir()}).Open(b.Context(), ci.Work{}, io.Discard)
	require.NoError(b, err)
	defer p.Close()
	l := p.Layout()
	for b.Loop() {
		proc, err := p.Start(place.Command{Args: append(l.Shell, "true"), Env: l.Environ, Dir: l.Home})
		require.NoError(b, err)
		<-proc.Done()
	}
}
