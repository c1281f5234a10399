package agent_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/agent/agenttest"
	"github.com/rondo-ci/rondo/ci/agent/host"
	"github.com/rondo-ci/rondo/ci/agent/place"
)

// survivors returns the processes of the task that still run.
func survivors(task ci.TaskID) int {
	n := 0
	dirs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, d := range dirs {
		if b, err := os.ReadFile(d); err == nil && strings.Contains(string(b), host.Marker+"="+string(task)+"/") {
			n++
		}
	}
	return n
}

// started runs the agent until the step with that index has printed the text.
func started(t *testing.T, s *agenttest.Server, w ci.Work, a *agent.Agent, ctx context.Context, step int, text string) <-chan error {
	t.Helper()
	s.Add(w)
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx, w.Lease.Task, w.Lease.Epoch) }()
	limit, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	require.NoError(t, s.Wait(limit, func() bool { return strings.Contains(s.Output(w.Lease.Task, step), text) }))
	return done
}

// stubborn starts processes in every way that may outlive a step.
const stubborn = `
trap '' TERM
(trap '' TERM HUP; sleep 300) &
setsid sh -c 'trap "" TERM HUP; (setsid sleep 301 &) ; sleep 302' &
setsid sleep 303 < /dev/null > /dev/null 2>&1 &
echo ready
sleep 304
`

func TestP27_CancelStopsEverything(t *testing.T) {
	ways := map[string]func(s *agenttest.Server, a *agent.Agent, stop context.CancelCauseFunc, id ci.TaskID) string{
		"by the server": func(s *agenttest.Server, _ *agent.Agent, _ context.CancelCauseFunc, id ci.TaskID) string {
			s.Cancel(id)
			return "canceled"
		},
		"by the agent": func(_ *agenttest.Server, a *agent.Agent, _ context.CancelCauseFunc, _ ci.TaskID) string {
			a.Cancel("the node is drained")
			return "canceled: the node is drained"
		},
		"by context": func(_ *agenttest.Server, _ *agent.Agent, stop context.CancelCauseFunc, _ ci.TaskID) string {
			stop(errors.New("the machine goes down"))
			return "canceled: the machine goes down"
		},
	}
	for name, cancel := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := new(agenttest.Server)
			w := agenttest.Work(
				ci.StepSpec{Kind: ci.StepRun, Background: true, Command: stubborn},
				agenttest.Run(stubborn),
				agenttest.Run("echo never"),
				ci.StepSpec{Kind: ci.StepRun, Command: "echo tidy", When: ci.Always},
				ci.StepSpec{Kind: ci.StepRun, Command: "echo failed", When: ci.OnFail},
				ci.StepSpec{Kind: ci.StepRun, Name: "slow", Command: "sleep 300", When: ci.Always},
				ci.StepSpec{Kind: ci.StepRun, Name: "late", Command: "true", When: ci.Always},
			)
			a := newAgent(t, s, agent.Config{Grace: 300 * time.Millisecond})
			ctx, stop := context.WithCancelCause(t.Context())
			done := started(t, s, w, a, ctx, 2, "ready")
			reason := cancel(s, a, stop, w.Lease.Task)
			require.NoError(t, <-done)
			require.Zero(t, survivors(w.Lease.Task))
			r, _ := s.Report(w.Lease.Task)
			require.Equal(t, ci.Canceled, r.Status)
			require.Equal(t, reason, r.Reason)
			steps := s.Steps(w.Lease.Task)
			require.Len(t, steps, 5)
			require.Equal(t, ci.Canceled, steps[2].Status)
			require.Equal(t, "echo tidy", steps[3].Command)
			require.Equal(t, ci.Success, steps[3].Status)
			require.Equal(t, ci.Canceled, steps[4].Status, "it took longer than the grace")
			require.Empty(t, s.Problems())
		})
	}
}

// A shell ends at once on TERM; the program in it must still get its time.
func TestCancelGivesTheWholeGroupItsGrace(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	out := filepath.Join(t.TempDir(), "unlocked")
	w := agenttest.Work(agenttest.Run(`bash -c 'trap "sleep 0.3; echo unlocked > ` + out + `; exit" TERM; echo ready; while :; do sleep 0.05; done'; echo not reached`))
	a := newAgent(t, s, agent.Config{Grace: 5 * time.Second})
	done := started(t, s, w, a, t.Context(), 1, "ready")
	a.Cancel("stop")
	require.NoError(t, <-done)
	require.FileExists(t, out)
}

func TestAfterTheJobNothingIsLeft(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	w := agenttest.Work(agenttest.Run(strings.ReplaceAll(stubborn, "sleep 304", "exit 0")))
	require.Equal(t, ci.Success, run(t, s, w).Status)
	require.Zero(t, survivors(w.Lease.Task))
}

// TestP4_LostLease proves that an agent whose lease is gone kills its steps
// and reports nothing.
func TestP4_LostLease(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	w := agenttest.Work(agenttest.Run(stubborn), ci.StepSpec{Kind: ci.StepRun, Command: "true", When: ci.Always})
	a := newAgent(t, s, agent.Config{Grace: time.Hour})
	done := started(t, s, w, a, t.Context(), 1, "ready")
	s.Revoke(w.Lease.Task)
	require.ErrorIs(t, <-done, ci.ErrConflict)
	require.Zero(t, survivors(w.Lease.Task))
	_, reported := s.Report(w.Lease.Task)
	require.False(t, reported)
	require.Len(t, s.Steps(w.Lease.Task), 2)
}

// Whoever kills the steps of a lost lease is done before the session is: the same
// process may have the next task by then, and its steps look the same.
func TestP4_LostLeaseKillsNothingLater(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	e := &watched{Executor: host.New(host.Config{Dir: t.TempDir()}), closed: make(chan struct{})}
	w := agenttest.Work(agenttest.Run(stubborn))
	done := started(t, s, w, newAgent(t, s, agent.Config{Executor: e, Grace: time.Hour}), t.Context(), 1, "ready")
	s.Revoke(w.Lease.Task)
	require.ErrorIs(t, <-done, ci.ErrConflict)
	require.NotZero(t, e.kills.Load())
	require.Zero(t, e.under.Load(), "it is killed after the session has ended")
	require.False(t, e.early.Load(), "the place was closed while it was being killed")
}

// A watched executor sees whether its place is closed while somebody kills, and
// gives that every chance: the first to kill takes its time.
type watched struct {
	place.Executor
	kills, under atomic.Int32
	early        atomic.Bool
	closed       chan struct{}
}

type watchedPlace struct {
	place.Place
	of *watched
}

func (e *watched) Open(ctx context.Context, w ci.Work, out io.Writer) (place.Place, error) {
	p, err := e.Executor.Open(ctx, w, out)
	if err != nil {
		return nil, err
	}
	return watchedPlace{p, e}, nil
}

func (p watchedPlace) Kill() error {
	p.of.under.Add(1)
	defer p.of.under.Add(-1)
	err := p.Place.Kill()
	if p.of.kills.Add(1) == 1 {
		select {
		case <-p.of.closed:
		case <-time.After(300 * time.Millisecond):
		}
	}
	return err
}

func (p watchedPlace) Close() error {
	if p.of.under.Load() > 0 {
		p.of.early.Store(true)
	}
	close(p.of.closed)
	return p.Place.Close()
}

// An agent that cannot reach the server stops at its own fence.
func TestP4_Fence(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	w := agenttest.Work(agenttest.Run(stubborn))
	w.Lease.TTL, w.Lease.Renew = 550*time.Millisecond, 50*time.Millisecond
	away := make(chan struct{})
	s.Fault = func(string) error {
		select {
		case <-away:
			return errors.New("no route")
		default:
			return nil
		}
	}
	done := started(t, s, w, newAgent(t, s, agent.Config{Grace: time.Hour}), t.Context(), 1, "ready")
	close(away)
	err := <-done
	require.ErrorIs(t, err, ci.ErrConflict)
	require.ErrorContains(t, err, "no answer to a renewal for 450ms")
	require.Zero(t, survivors(w.Lease.Task))
}

// TestP27_CancelAtAnyPoint cancels a job of short steps at many points: the
// outcome is one of two, and nothing survives.
func TestP27_CancelAtAnyPoint(t *testing.T) {
	t.Parallel()
	for i := range 8 {
		s := new(agenttest.Server)
		step := agenttest.Run("sleep 0.003; (trap '' TERM; setsid sleep 99) &")
		w := agenttest.Work(step, step, step)
		a := newAgent(t, s, agent.Config{Grace: 200 * time.Millisecond})
		time.AfterFunc(time.Duration(i)*8*time.Millisecond, func() { a.Cancel("enough") })
		s.Add(w)
		err := a.Run(t.Context(), w.Lease.Task, 1)
		require.Zero(t, survivors(w.Lease.Task))
		require.Empty(t, s.Problems())
		r, reported := s.Report(w.Lease.Task)
		switch {
		case err != nil: // canceled before it was claimed
			require.False(t, reported)
		case r.Status == ci.Success:
			require.Len(t, s.Steps(w.Lease.Task), 4)
		default:
			require.Equal(t, ci.Report{Workflow: w.Task.Workflow, Task: w.Task.ID, Epoch: 1, Status: ci.Canceled, Reason: "canceled: enough"}, r)
		}
	}
}

func TestCanceledBeforeItBegan(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	w := agenttest.Work(agenttest.Run("echo never"))
	w.Lease.Canceled = true
	r := run(t, s, w)
	require.Equal(t, ci.Canceled, r.Status)
	require.Len(t, s.Steps(w.Lease.Task), 1)
}

// Work that the server refuses runs nothing, not even the first step.
func TestRefusedWork(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	w := agenttest.Work(agenttest.Run("echo never"))
	w.Refused = "context deploy is not for mallory"
	r := run(t, s, w)
	require.Equal(t, ci.Unauthorized, r.Status)
	require.Equal(t, w.Refused, r.Reason)
	require.Empty(t, s.Steps(w.Lease.Task))
}

// TestHelperAgent is not a test: it is the agent process of the tests below.
func TestHelperAgent(t *testing.T) {
	if os.Getenv("HELPER_COMMAND") == "" {
		t.Skip("only started by other tests")
	}
	s := new(agenttest.Server)
	w := agenttest.Work(agenttest.Run(os.Getenv("HELPER_COMMAND")))
	w.Lease.Task = ci.TaskID(os.Getenv("HELPER_TASK"))
	s.Add(w)
	a := newAgent(t, s, agent.Config{Executor: host.New(host.Config{Dir: t.TempDir(), Adopt: true})})
	require.NoError(t, a.Run(t.Context(), w.Lease.Task, 1))
	require.Empty(t, s.Problems())
	r, _ := s.Report(w.Lease.Task)
	require.Equal(t, ci.Success, r.Status, r.Reason)
}

func helper(t *testing.T, task, command string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperAgent$", "-test.v")
	cmd.Env = append(os.Environ(), "HELPER_COMMAND="+command, "HELPER_TASK="+task,
		"TMPDIR="+t.TempDir()) // one that is killed leaves its folders, which go with the test
	return cmd
}

// A daemon that has shed its session, its parent and its environment is found
// all the same by an agent that adopts orphans.
func TestP27_DaemonsWithoutMarker(t *testing.T) {
	t.Parallel()
	pidFile := filepath.Join(t.TempDir(), "pid")
	out, err := helper(t, "naked.0", `env -i /bin/sh -c 'setsid /bin/sh -c "echo \$\$ > `+pidFile+`; exec sleep 400" &' ; while ! test -s `+pidFile+`; do sleep 0.01; done; for i in 1 2 3; do (true &); done`).CombinedOutput()
	require.NoError(t, err, string(out))
	b, err := os.ReadFile(pidFile)
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	require.NoError(t, err)
	require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
}

// TestP5_SweepAfterDeadAgent proves that what a killed agent leaves is found.
func TestP5_SweepAfterDeadAgent(t *testing.T) {
	t.Parallel()
	mark := filepath.Join(t.TempDir(), "ready")
	cmd := helper(t, "orphaned.0", strings.ReplaceAll(stubborn, "echo ready", "touch "+mark))
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { _, err := os.Stat(mark); return err == nil }, 20*time.Second, 5*time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.NotZero(t, survivors("orphaned.0"))
	require.NotZero(t, host.Sweep(func(m string) bool { return m == "orphaned.0/1" }))
	require.Zero(t, survivors("orphaned.0"))
}

// TestP4_PausedAgent proves that an agent which goes on after a pause shows
// nothing before it has asked for its lease.
func TestP4_PausedAgent(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	w := agenttest.Work(agenttest.Run("echo ready; while :; do echo tick; sleep 0.01; done"))
	w.Lease.TTL, w.Lease.Renew = time.Hour, 20*time.Millisecond
	var pause time.Time
	paused := make(chan struct{})
	s.Fault = func(method string) error {
		select {
		case <-paused: // the process was stopped: nothing gets through meanwhile
			if d := time.Until(pause); d > 0 {
				time.Sleep(d)
			}
		default:
		}
		return nil
	}
	done := started(t, s, w, newAgent(t, s, agent.Config{}), t.Context(), 1, "ready")
	pause = time.Now().Add(1300 * time.Millisecond)
	close(paused)
	time.Sleep(50 * time.Millisecond)
	s.Revoke(w.Lease.Task)
	before := len(s.Output(w.Lease.Task, 1))
	require.ErrorIs(t, <-done, ci.ErrConflict)
	require.Len(t, s.Output(w.Lease.Task, 1), before)
}
