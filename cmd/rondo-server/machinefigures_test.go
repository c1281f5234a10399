package main

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/vmservicetest"
)

// The figures of machines and volumes follow what a provider has: machines that
// boot, serve and are taken, one that is older than it may be, a layer cache.
func TestMET15_MachinesAndVolumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := vmservicetest.NewCloud(vmservicetest.CloudConfig{Install: "rondo", Boot: time.Minute, End: 10 * time.Second, Keep: time.Hour, Lag: 20 * time.Second})
		pool := vmservice.New(memdb.New(), cloud, &vmservicetest.Guest{}, vmservice.Config{
			Keeper: vmservicetest.PlainKeeper{}, Boot: vmservice.BootConfig{Fixed: true, DryReaper: true}, Layers: vmservice.LayerConfig{GB: 40},
			Floors: []vmservice.Floor{{Model: vmservice.Model{Kind: ci.MachineForJob}, Machines: 2}},
			Live:   func(context.Context, ci.TaskID, int64) (bool, error) { return true, nil },
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = pool.Run(ctx) })
		defer func() { cancel(); running.Wait() }()
		f := newMachineFigures(pool, 6*time.Hour)
		now := func() map[string]float64 {
			t.Helper()
			samples, err := f.Gather(ctx)
			require.NoError(t, err)
			got := map[string]float64{}
			for _, s := range samples {
				name := s.Name
				for _, tag := range s.Tags {
					name += " " + tag.Value
				}
				if got[name] = s.Value; s.Sketch != nil {
					got[name] = s.Sketch.Count
				}
			}
			return got
		}
		time.Sleep(10 * time.Second)
		got := now()
		require.Equal(t, 2.0, got["machines.count machine booting"], got)
		require.Equal(t, 0.0, got["machines.count machine ready"])
		require.Contains(t, got, "machines.count remote_docker claimed", "what nobody has is 0")
		time.Sleep(3 * time.Minute)
		got = now()
		require.Equal(t, 2.0, got["machines.count machine ready"], got)
		require.Equal(t, 2.0, got["machines.boot machine"])
		require.NotContains(t, now(), "machines.boot machine", "told once")
		for m := (ci.Machine{}); !m.Ready; time.Sleep(time.Second) {
			var err error
			m, err = pool.Claim(ctx, "t1", 1, "p", "branch", ci.MachineNeed{Kind: ci.MachineForDocker, LayerCaching: true})
			require.NoError(t, err)
		}
		got = now()
		require.Equal(t, 1.0, got["machines.count remote_docker claimed"], got)
		require.Equal(t, 1.0, got["volumes.count used"])
		require.Equal(t, 40.0*(1<<30), got["volumes.bytes"])
		require.Equal(t, 1.0, got["volumes.hits_total fresh"])
		require.Equal(t, 0.0, got["machines.stale"])
		time.Sleep(7 * time.Hour)
		got = now()
		require.GreaterOrEqual(t, got["machines.stale"], 1.0, got)
		require.Greater(t, got["machines.oldest"], 7*3600.0)
		require.NoError(t, pool.Release(ctx, "t1", 1))
		time.Sleep(5 * time.Minute)
		got = now()
		require.Equal(t, 0.0, got["machines.count remote_docker claimed"], got)
		require.Equal(t, 1.0, got["volumes.count free"])
	})
}
