package schedulertest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
)

// The names of tasks that [Agent] knows: what it does with them.
const (
	TaskEnds  = "ends"  // ends at once
	TaskWaits = "waits" // waits until it is asked to stop, and ends
	TaskDeaf  = "deaf"  // does not listen when it is asked to stop
	TaskDies  = "dies"  // dies, with last words
)

// Agent is what the agents of a cluster under test do: what the name of the
// task says. Its context ends when the agent is asked to stop. Agents that are
// processes call [AgentMain].
func Agent(ctx context.Context, p scheduler.Placement) error {
	switch p.Task.Name {
	case TaskEnds:
		return nil
	case TaskWaits:
		<-ctx.Done()
		return nil
	case TaskDeaf:
		time.Sleep(20 * time.Second)
		return nil
	}
	return errors.New("these are my last words")
}

// AgentMain is the main function of an agent process for a cluster under test.
// It reads placements as lines of JSON from standard input, and returns the
// status to exit with.
func AgentMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var p scheduler.Placement
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			fmt.Fprintln(os.Stderr, "not a placement:", err)
			return 2
		}
		fmt.Fprintf(os.Stderr, "agent has %s epoch %d token %s\n", p.Task.ID, p.Epoch, p.Token)
		if err := Agent(ctx, p); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 3
		}
		fmt.Println("done")
		if ctx.Err() != nil {
			return 0
		}
	}
	return 0
}

// suiteTime is how long the suite waits for what must happen.
const suiteTime = 15 * time.Second

// TestCluster is what every [scheduler.Cluster] must do. open returns a running
// cluster with at least one ready node with room for four tasks of one CPU and
// 256 MiB, whose agents do what [Agent] does.
func TestCluster(t *testing.T, open func(t *testing.T) scheduler.Cluster) {
	tests := map[string]func(*testing.T, scheduler.Cluster){
		"EndIsSeen": testEnd, "DeathIsSeenWithItsReason": testDeath, "SubmitTwiceIsOnePlacement": testTwice,
		"StopWithGrace": testStop, "KillOfADeafOne": testKill, "GraceEndsInKill": testGrace,
		"StopOfUnknown": testUnknown, "WatchBeginsWithWhatThereIs": testWatch, "Drain": testDrain,
		"Output": testOutput, "RefusesNonsense": testNonsense,
	}
	maps.Copy(tests, hardTests())
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// placement returns a placement on a ready node.
func placement(t *testing.T, c scheduler.Cluster, name string) scheduler.Placement {
	t.Helper()
	nodes, err := c.Nodes(t.Context())
	require.NoError(t, err)
	p := scheduler.Placement{
		Task:  ci.Task{Job: ci.JobID(ci.NewID()), Name: name, Total: 1}.Slice(0),
		Epoch: 1, Resources: scheduler.Resources{CPU: 1, MemoryMB: 256}, Token: "s3cret-token",
	}
	for _, n := range nodes {
		if n.State == scheduler.NodeReady {
			p.Node = n.Name
		}
	}
	require.NotEmpty(t, p.Node, "no node is ready")
	return p
}

// sees waits until Watch shows the placement in that state.
func sees(t *testing.T, c scheduler.Cluster, p scheduler.Placement, state scheduler.PlacementState) scheduler.Placement {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), suiteTime)
	defer cancel()
	for got, err := range c.Watch(ctx) {
		require.NoError(t, err, "%s epoch %d was not seen %s", p.Task.ID, p.Epoch, state)
		require.Empty(t, got.Token, "a listing holds a token")
		if got.Task.ID == p.Task.ID && got.Epoch == p.Epoch && got.State == state {
			return got
		}
	}
	t.Fatalf("watch ended")
	return p
}

// lists returns the placement as Placements shows it.
func lists(t *testing.T, c scheduler.Cluster, p scheduler.Placement) (scheduler.Placement, bool) {
	t.Helper()
	for got, err := range c.Placements(t.Context()) {
		require.NoError(t, err)
		if got.Task.ID == p.Task.ID && got.Epoch == p.Epoch {
			return got, true
		}
	}
	return p, false
}

func testEnd(t *testing.T, c scheduler.Cluster) {
	for range 3 {
		p := placement(t, c, TaskEnds)
		require.NoError(t, c.Submit(t.Context(), p))
		got := sees(t, c, p, scheduler.PlacementDead)
		require.NotEmpty(t, got.Reason)
		require.Equal(t, p.Task.Name, got.Task.Name)
		require.NoError(t, c.Stop(t.Context(), p, 0))
		_, ok := lists(t, c, p)
		require.False(t, ok, "a dead one that was stopped is forgotten")
	}
}

func testDeath(t *testing.T, c scheduler.Cluster) {
	p := placement(t, c, TaskDies)
	require.NoError(t, c.Submit(t.Context(), p))
	got := sees(t, c, p, scheduler.PlacementDead)
	require.Contains(t, got.Reason, "these are my last words")
	require.NotContains(t, got.Reason, p.Token)
}

func testTwice(t *testing.T, c scheduler.Cluster) {
	p := placement(t, c, TaskWaits)
	require.NoError(t, c.Submit(t.Context(), p))
	require.NoError(t, c.Submit(t.Context(), p))
	sees(t, c, p, scheduler.PlacementRunning)
	n := 0
	for got, err := range c.Placements(t.Context()) {
		require.NoError(t, err)
		if got.Task.ID == p.Task.ID {
			n++
		}
	}
	require.Equal(t, 1, n)
	next := p
	next.Epoch++
	require.NoError(t, c.Submit(t.Context(), next), "another epoch is another placement")
	sees(t, c, next, scheduler.PlacementRunning)
	require.NoError(t, c.Stop(t.Context(), p, 0))
	require.NoError(t, c.Stop(t.Context(), next, 0))

	p = placement(t, c, TaskDies)
	require.NoError(t, c.Submit(t.Context(), p))
	sees(t, c, p, scheduler.PlacementDead)
	require.NoError(t, c.Submit(t.Context(), p), "also when it has died")
	got, ok := lists(t, c, p)
	require.True(t, ok)
	require.Equal(t, scheduler.PlacementDead, got.State)
}

func testStop(t *testing.T, c scheduler.Cluster) {
	p := placement(t, c, TaskWaits)
	require.NoError(t, c.Submit(t.Context(), p))
	sees(t, c, p, scheduler.PlacementRunning)
	require.NoError(t, c.Stop(t.Context(), p, time.Hour))
	require.NoError(t, c.Stop(t.Context(), p, time.Hour))
	sees(t, c, p, scheduler.PlacementDead)
	require.NoError(t, c.Stop(t.Context(), p, time.Hour))
	_, ok := lists(t, c, p)
	require.True(t, ok, "only grace 0 lets it be forgotten")
}

func testKill(t *testing.T, c scheduler.Cluster) {
	p := placement(t, c, TaskDeaf)
	require.NoError(t, c.Submit(t.Context(), p))
	sees(t, c, p, scheduler.PlacementRunning)
	require.NoError(t, c.Stop(t.Context(), p, time.Hour))
	require.NoError(t, c.Stop(t.Context(), p, 0))
	sees(t, c, p, scheduler.PlacementDead)
	require.NoError(t, c.Stop(t.Context(), p, 0))
}

func testGrace(t *testing.T, c scheduler.Cluster) {
	p := placement(t, c, TaskDeaf)
	require.NoError(t, c.Submit(t.Context(), p))
	require.NoError(t, c.Stop(t.Context(), p, time.Hour))
	require.NoError(t, c.Stop(t.Context(), p, 50*time.Millisecond), "the earlier end counts")
	sees(t, c, p, scheduler.PlacementDead)
}

func testUnknown(t *testing.T, c scheduler.Cluster) {
	p := placement(t, c, TaskEnds)
	require.NoError(t, c.Stop(t.Context(), p, time.Second))
	require.NoError(t, c.Stop(t.Context(), p, 0))
	_, err := c.Output(t.Context(), p, true)
	require.ErrorIs(t, err, ci.ErrNotFound)
}

func testWatch(t *testing.T, c scheduler.Cluster) {
	p := placement(t, c, TaskWaits)
	require.NoError(t, c.Submit(t.Context(), p))
	sees(t, c, p, scheduler.PlacementRunning)
	sees(t, c, p, scheduler.PlacementRunning) // a second watch, later
	require.NoError(t, c.Stop(t.Context(), p, 0))
	sees(t, c, p, scheduler.PlacementDead)
	sees(t, c, p, scheduler.PlacementDead)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for _, err := range c.Watch(ctx) {
		last = err
	}
	require.ErrorIs(t, last, context.Canceled)
}

func testDrain(t *testing.T, c scheduler.Cluster) {
	p := placement(t, c, TaskWaits)
	require.NoError(t, c.Submit(t.Context(), p))
	sees(t, c, p, scheduler.PlacementRunning)
	require.ErrorIs(t, c.Drain(t.Context(), "no such node", scheduler.Drain{On: true}), ci.ErrNotFound)

	changed, begun := make(chan error, 1), make(chan struct{})
	watches := sync.OnceFunc(func() { close(begun) })
	ctx, cancel := context.WithTimeout(t.Context(), suiteTime)
	defer cancel()
	go func() {
		defer watches()
		for got, err := range c.Watch(ctx) {
			if err != nil || got.Task.ID == "" {
				changed <- err
				return
			}
			watches()
		}
	}()
	next := placement(t, c, TaskEnds)
	<-begun
	require.NoError(t, c.Drain(t.Context(), p.Node, scheduler.Drain{On: true}))
	require.NoError(t, <-changed, "watch does not tell that nodes changed")
	require.Equal(t, scheduler.NodeDraining, state(t, c, p.Node))
	require.ErrorIs(t, c.Submit(t.Context(), next), ci.ErrConflict, "nothing new")
	_, ok := lists(t, c, next)
	require.False(t, ok)
	got, ok := lists(t, c, p)
	require.True(t, ok)
	require.Equal(t, scheduler.PlacementRunning, got.State, "what runs goes on")

	require.NoError(t, c.Drain(t.Context(), p.Node, scheduler.Drain{}))
	require.Equal(t, scheduler.NodeReady, state(t, c, p.Node))
	require.NoError(t, c.Submit(t.Context(), next))
	sees(t, c, next, scheduler.PlacementDead)
	require.NoError(t, c.Stop(t.Context(), p, 0))
}

func state(t *testing.T, c scheduler.Cluster, node string) scheduler.NodeState {
	t.Helper()
	nodes, err := c.Nodes(t.Context())
	require.NoError(t, err)
	for _, n := range nodes {
		if n.Name == node {
			return n.State
		}
	}
	t.Fatalf("no node %s", node)
	return ""
}

func testOutput(t *testing.T, c scheduler.Cluster) {
	p := placement(t, c, TaskDies)
	require.NoError(t, c.Submit(t.Context(), p))
	sees(t, c, p, scheduler.PlacementDead)
	r, err := c.Output(t.Context(), p, true)
	if errors.Is(err, ci.ErrNotFound) {
		t.Skip("agents of this cluster have no output")
	}
	require.NoError(t, err)
	defer r.Close()
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Contains(t, string(text), string(p.Task.ID))
}

func testNonsense(t *testing.T, c scheduler.Cluster) {
	p := placement(t, c, TaskEnds)
	p.Task.ID = ""
	require.ErrorIs(t, c.Submit(t.Context(), p), ci.ErrInvalid)
	p = placement(t, c, TaskEnds)
	p.Epoch = 0
	require.ErrorIs(t, c.Submit(t.Context(), p), ci.ErrInvalid)
}
