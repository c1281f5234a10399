package agent_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/agent/agenttest"
)

// A yard is machines and agents on them, in this process.
type yard struct {
	server *agenttest.Server
	busy   int // how often there is none yet
	err    error
	enter  error
	run    func(ctx context.Context, r agent.Rest) error // nil is a real agent

	mu     sync.Mutex
	needs  []ci.MachineNeed
	closed int
}

// Machine implements [agent.Machines].
func (y *yard) Machine(_ context.Context, _ ci.Lease, need ci.MachineNeed) (ci.Machine, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.needs = append(y.needs, need)
	if y.busy > 0 || y.err != nil {
		y.busy--
		return ci.Machine{Reason: "it boots"}, y.err
	}
	return ci.Machine{Ready: true, ID: "m1", Address: "10.0.0.1:22", Notes: []string{"Docker layer cache: hit"}}, nil
}

// Enter implements [agent.Remote].
func (y *yard) Enter(_ context.Context, m ci.Machine, out io.Writer) (agent.There, error) {
	fmt.Fprintln(out, "entering", m.ID)
	return y, y.enter
}

// Run implements [agent.There].
func (y *yard) Run(ctx context.Context, r agent.Rest) error {
	if y.run != nil {
		return y.run(ctx, r)
	}
	return agent.New(y.server, y.server, agent.Config{MaxTime: r.MaxTime, Worker: "on the machine"}).Resume(ctx, r)
}

// Close implements [agent.There].
func (y *yard) Close() error {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.closed++
	return nil
}

// away runs a task whose steps are to run on a machine.
func away(t *testing.T, ctx context.Context, y *yard, steps ...ci.StepSpec) (ci.Report, string, error) {
	t.Helper()
	y.server = new(agenttest.Server)
	w := agenttest.Work(steps...)
	w.Machine = &ci.MachineNeed{Kind: ci.MachineForJob, Class: "large"}
	y.server.Add(w)
	err := agent.New(y.server, y.server, agent.Config{Dir: t.TempDir(), Machines: y, Remote: y, Grace: time.Second}).Run(ctx, w.Lease.Task, 1)
	require.Empty(t, y.server.Problems())
	r, _ := y.server.Report(w.Lease.Task)
	out := ""
	for i := range y.server.Steps(w.Lease.Task) {
		out += y.server.Output(w.Lease.Task, i)
	}
	return r, out, err
}

func TestVMS06_TaskRunsOnItsMachine(t *testing.T) {
	y := &yard{busy: 2}
	r, out, err := away(t, t.Context(), y, agenttest.Run("echo on it"), agenttest.Run("exit 4"))
	require.NoError(t, err)
	require.Equal(t, ci.Failed, r.Status)
	require.Contains(t, r.Reason, "exited with code 4")
	require.Contains(t, out, "Waiting for a machine: it boots\n")
	require.Contains(t, out, "Docker layer cache: hit\nentering m1\n")
	require.Contains(t, out, "agent on the machine")
	require.Contains(t, out, "on it\n")
	require.Equal(t, ci.MachineNeed{Kind: ci.MachineForJob, Class: "large"}, y.needs[0])
	require.Equal(t, 1, y.closed)
}

// Whatever goes wrong with the machine, the task ends, and says why.
func TestVMS06_MachinesThatFail(t *testing.T) {
	lost := func(context.Context, agent.Rest) error { return errors.New("machine m1: no answer for 45 s") }
	for name, c := range map[string]struct {
		y      *yard
		status ci.Status
		reason string
	}{
		"no such class": {&yard{err: fmt.Errorf("no class huge: %w", ci.ErrInvalid)}, ci.Failed, "cannot get a machine: no class huge"},
		"ended":         {&yard{err: fmt.Errorf("the machine has ended: %w", ci.ErrNotFound)}, ci.InfraFailed, "cannot get a machine: the machine has ended"},
		"not let in":    {&yard{enter: fmt.Errorf("another host key: %w", ci.ErrDenied)}, ci.InfraFailed, "cannot enter the machine: another host key"},
		"lost":          {&yard{run: lost}, ci.InfraFailed, "lost the agent on its machine: machine m1: no answer for 45 s"},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, err := away(t, t.Context(), c.y, agenttest.Run("true"))
			require.NoError(t, err)
			require.Equal(t, c.status, r.Status)
			require.Equal(t, c.reason, r.Reason)
		})
	}
}

// A cancel passes to the machine, with its reason; nothing is reported twice.
func TestVMS06_CancelReachesTheMachine(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	y := &yard{}
	y.run = func(ctx context.Context, r agent.Rest) error {
		cancel(errors.New("its node drains"))
		return agent.New(y.server, y.server, agent.Config{MaxTime: r.MaxTime}).Resume(ctx, r)
	}
	r, _, err := away(t, ctx, y, agenttest.Run("sleep 600"))
	require.NoError(t, err)
	require.Equal(t, ci.Canceled, r.Status)
	require.Equal(t, "canceled: its node drains", r.Reason)
}

// One that was superseded reports nothing.
func TestVMS06_Superseded(t *testing.T) {
	y := &yard{run: func(context.Context, agent.Rest) error { return fmt.Errorf("another has it: %w", ci.ErrConflict) }}
	_, _, err := away(t, t.Context(), y, agenttest.Run("true"))
	require.ErrorIs(t, err, ci.ErrConflict)
}

// A lost connection ends the agent on the machine at once: its steps get no
// grace, and nothing more is written.
func TestVMS06_ConnectionLostEndsAtOnce(t *testing.T) {
	server := new(agenttest.Server)
	w := agenttest.Work(agenttest.Run("trap '' TERM; echo runs; sleep 600"))
	server.Add(w)
	claimed, err := server.Claim(t.Context(), w.Lease.Task, 1, "a")
	require.NoError(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- agent.New(server, server, agent.Config{Dir: t.TempDir(), Grace: time.Hour}).Resume(ctx, agent.Rest{Work: claimed, Steps: 1})
	}()
	require.NoError(t, server.Wait(t.Context(), func() bool { return len(server.Output(w.Lease.Task, 2)) > 0 }))
	cancel(fmt.Errorf("the connection was lost: %w", ci.ErrConflict))
	require.ErrorIs(t, <-ended, ci.ErrConflict)
	_, reported := server.Report(w.Lease.Task)
	require.False(t, reported)
}
