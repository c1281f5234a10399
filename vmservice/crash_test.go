package vmservice_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

// P10.a: the server is killed at each moment of the life of a machine with a
// volume at which it writes or asks the provider, one run for each; then it is
// started again. The job has one machine, and 15 minutes after its end there is
// none, and one volume that is free.
func TestP10_KilledAtEveryPoint(t *testing.T) {
	points := 0
	for at := 1; ; at++ {
		n := 0
		synctest.Test(t, func(t *testing.T) { n = killedAt(t, at) })
		if n < at {
			break // it was over before
		}
		points++
	}
	t.Logf("killed at %d points", points)
	require.Greater(t, points, 25)
}

// killedAt runs one job and kills the server at the n-th point; it returns how
// many there were.
func killedAt(t *testing.T, at int) int {
	w := newWorld(t, 1)
	w.quiet = true
	w.cfg.Floors, w.cfg.Boot.Fixed = nil, true
	w.at = at
	ctx, cancel := context.WithCancel(t.Context())
	var server sync.WaitGroup
	server.Go(func() { w.run(ctx) })
	time.Sleep(time.Second)
	task := ci.TaskID("t1")
	w.alive(task, 1)
	need := ci.MachineNeed{Kind: ci.MachineForDocker, LayerCaching: true}
	m, err := w.await(ctx, task, 1, "shop", "branch", need)
	require.NoError(t, err, "point %d", at)
	w.deliver(string(task), m.ID, "shop")
	time.Sleep(3 * time.Minute)
	again, err := w.await(ctx, task, 1, "shop", "branch", need)
	require.NoError(t, err, "point %d", at)
	require.Equal(t, m.ID, again.ID, "point %d", at)
	w.alive(task, 0)
	_ = w.now().Release(ctx, task, 1)
	time.Sleep(15 * time.Minute)

	where := fmt.Sprintf("killed at point %d %v", at, w.points)
	l := w.cloud.Ledger()
	require.Zero(t, l.Alive, where)
	require.Empty(t, w.now().Machines(0), where)
	require.Len(t, l.Machines, 1, where)
	volumes := w.now().Layers()
	require.Len(t, volumes, 1, where)
	require.Equal(t, vmservice.LayersFree, volumes[0].State, where)
	require.Len(t, l.Volumes, 1, where)
	require.Equal(t, vmservice.VolumeFree, l.Volumes[0].State, where)
	cancel()
	server.Wait()
	return w.passed
}
