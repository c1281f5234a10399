package schedulertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/scheduler"
)

// A NodeKiller is a cluster under test that can lose a node with all agents on
// it. The suite uses it where it is there.
type NodeKiller interface{ KillNode(name string) }

// hardTests are the parts of the suite about what goes wrong.
func hardTests() map[string]func(*testing.T, scheduler.Cluster) {
	return map[string]func(*testing.T, scheduler.Cluster){
		"ReenableInMidDrain": testReenable, "OldEpochsAreOthers": testOldEpoch, "SubmitAtOnceIsOnePlacement": testAtOnce,
		"CancelBeforeItRuns": testEarlyStop, "MoreThanFit": testMoreThanFit, "NodeDeath": testNodeDeath,
	}
}

// testReenable ends a drain while what it waits for still runs: that goes on,
// once.
func testReenable(t *testing.T, c scheduler.Cluster) {
	p := placement(t, c, TaskWaits)
	require.NoError(t, c.Submit(t.Context(), p))
	sees(t, c, p, scheduler.PlacementRunning)
	for range 3 {
		require.NoError(t, c.Drain(t.Context(), p.Node, scheduler.Drain{On: true}))
		require.NoError(t, c.Drain(t.Context(), p.Node, scheduler.Drain{On: true}), "twice")
		require.NoError(t, c.Drain(t.Context(), p.Node, scheduler.Drain{}))
		require.Equal(t, scheduler.NodeReady, state(t, c, p.Node))
	}
	require.Equal(t, 1, count(t, c, p))
	got, _ := lists(t, c, p)
	require.Equal(t, scheduler.PlacementRunning, got.State)
	next := placement(t, c, TaskEnds)
	require.NoError(t, c.Submit(t.Context(), next))
	sees(t, c, next, scheduler.PlacementDead)
	require.NoError(t, c.Stop(t.Context(), p, 0))
	sees(t, c, p, scheduler.PlacementDead)
}

// count returns how many placements of the task are listed.
func count(t *testing.T, c scheduler.Cluster, p scheduler.Placement) int {
	t.Helper()
	n := 0
	for got, err := range c.Placements(t.Context()) {
		require.NoError(t, err)
		if got.Task.ID == p.Task.ID {
			n++
		}
	}
	return n
}

// testOldEpoch stops a hand-out of a task that has another one since.
func testOldEpoch(t *testing.T, c scheduler.Cluster) {
	old := placement(t, c, TaskWaits)
	require.NoError(t, c.Submit(t.Context(), old))
	sees(t, c, old, scheduler.PlacementRunning)
	next := old
	next.Epoch = 7
	require.NoError(t, c.Submit(t.Context(), next))
	sees(t, c, next, scheduler.PlacementRunning)
	require.NoError(t, c.Stop(t.Context(), old, 0))
	sees(t, c, old, scheduler.PlacementDead)
	got, ok := lists(t, c, next)
	require.True(t, ok)
	require.Equal(t, scheduler.PlacementRunning, got.State, "the new one is another")
	require.NoError(t, c.Stop(t.Context(), next, 0))
	sees(t, c, next, scheduler.PlacementDead)
}

// testAtOnce submits the same placement many times at once.
func testAtOnce(t *testing.T, c scheduler.Cluster) {
	p := placement(t, c, TaskWaits)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := c.Submit(t.Context(), p); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	sees(t, c, p, scheduler.PlacementRunning)
	require.Equal(t, 1, count(t, c, p))
	require.NoError(t, c.Stop(t.Context(), p, 0))
	sees(t, c, p, scheduler.PlacementDead)
	require.NoError(t, c.Stop(t.Context(), p, 0))
	require.Zero(t, count(t, c, p))
}

// testEarlyStop stops placements right after they were taken, in order or not.
func testEarlyStop(t *testing.T, c scheduler.Cluster) {
	for _, grace := range []time.Duration{0, time.Minute} {
		p := placement(t, c, TaskWaits)
		require.NoError(t, c.Submit(t.Context(), p))
		require.NoError(t, c.Stop(t.Context(), p, grace))
		sees(t, c, p, scheduler.PlacementDead)
		require.NoError(t, c.Stop(t.Context(), p, 0))
	}
}

// testMoreThanFit submits more than there may be room for: each one runs or
// waits inside the cluster, and those that wait run when others end.
func testMoreThanFit(t *testing.T, c scheduler.Cluster) {
	var all []scheduler.Placement
	for range 12 {
		p := placement(t, c, TaskWaits)
		require.NoError(t, c.Submit(t.Context(), p))
		all = append(all, p)
	}
	for _, p := range all {
		ctx, cancel := context.WithTimeout(t.Context(), 4*suiteTime)
		for got, err := range c.Watch(ctx) {
			require.NoError(t, err)
			if got.Task.ID == p.Task.ID && got.State == scheduler.PlacementRunning {
				break
			}
			if got.Task.ID == p.Task.ID {
				require.NotEqual(t, scheduler.PlacementDead, got.State, got.Reason)
			}
		}
		cancel()
		require.NoError(t, c.Stop(t.Context(), p, time.Minute))
	}
	for _, p := range all {
		sees(t, c, p, scheduler.PlacementDead)
		require.NoError(t, c.Stop(t.Context(), p, 0))
	}
}

// testNodeDeath loses a node: what was there is not shown as running.
func testNodeDeath(t *testing.T, c scheduler.Cluster) {
	killer, ok := c.(NodeKiller)
	if !ok {
		t.Skip("nodes of this cluster cannot be killed by a test")
	}
	p := placement(t, c, TaskWaits)
	require.NoError(t, c.Submit(t.Context(), p))
	p = sees(t, c, p, scheduler.PlacementRunning)
	killer.KillNode(p.Node)
	ctx, cancel := context.WithTimeout(t.Context(), suiteTime)
	defer cancel()
	for got, err := range c.Watch(ctx) {
		require.NoError(t, err)
		if got.Task.ID == p.Task.ID && (got.State == scheduler.PlacementLost || got.State == scheduler.PlacementDead) {
			require.NotEmpty(t, got.Reason)
			break
		}
	}
	require.Equal(t, scheduler.NodeDown, state(t, c, p.Node))
	next := p
	next.Epoch, next.Token, next.State, next.Reason = 2, "another-token", "", ""
	require.Error(t, c.Submit(t.Context(), next), "nothing starts on a node that is down")
	require.NoError(t, c.Stop(t.Context(), p, 0))
}
