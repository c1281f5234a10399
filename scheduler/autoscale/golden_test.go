package autoscale_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/autoscale"
	"github.com/stretchr/testify/require"
)

// one is a fleet of machines that each run one build, as in the golden figures.
func one(boot time.Duration, price float64) autoscale.Fleet {
	return autoscale.Fleet{
		Node: scheduler.Resources{CPU: 2, MemoryMB: 4096}, Price: price, Boot: boot, DeveloperHour: 200,
	}
}

// The formulas of Erlang, to ten digits.
func TestErlang_Golden(t *testing.T) {
	for _, g := range []struct {
		c       int
		load    float64
		b, wait float64
	}{
		{1, .5, .3333333333, .5}, {2, 1, .2, .3333333333}, {5, 4, .1990668740, .5541125541},
		{10, 8, .1216610643, .4091801508}, {12, 50.0 / 12, .0008866284, .0013575990},
		{100, 1000.0 / 12, .0086145272, .0495527929}, {100, 95, .0488042062, .5064568539},
	} {
		require.InDelta(t, g.b, autoscale.ErlangB(g.c, g.load), 1e-8, "B(%d, %g)", g.c, g.load)
		require.InDelta(t, g.wait, autoscale.ErlangC(g.c, g.load), 1e-8, "C(%d, %g)", g.c, g.load)
	}
}

// The exact chain of M/D/c: mean wait in seconds and cost of an hour, at 50
// builds an hour of 300 seconds.
func TestFixedWait_Golden(t *testing.T) {
	const load = 50.0 / 12
	for c, g := range map[int][2]float64{
		5: {115.5, 320.81}, 6: {29.20, 81.34}, 7: {9.834, 27.66}, 8: {3.508, 10.20}, 9: {1.237, 4.02}, 10: {.419, 1.86}, 11: {.134, 1.19}, 12: {.040, 1.05}, 13: {.011, 1.09},
	} {
		wait := autoscale.FixedWait(c, load) * 300
		require.InEpsilon(t, g[0], wait, 0.05, "%d machines", c)
		require.InDelta(t, g[1], 0.12*(float64(c)-load)+200*50*wait/3600, 0.12, "%d machines", c)
	}
	// M/D/1 has a formula of its own.
	for _, rho := range []float64{.1, .5, .8} {
		require.InEpsilon(t, rho/(2*(1-rho)), autoscale.FixedWait(1, rho), 1e-4)
	}
}

// The fleets at which cost is least, for two prices of a machine.
func TestCheapest_Golden(t *testing.T) {
	for _, g := range []struct{ run, perHour, fixed, erlang, dear int }{
		{300, 10, 5, 5, 3}, {300, 50, 12, 12, 9}, {300, 200, 31, 32, 25}, {60, 50, 5, 5, 3}, {120, 50, 7, 7, 5},
		{600, 50, 19, 19, 15}, {1200, 50, 31, 32, 25}, {2400, 1, 5, 5, 3}, {2400, 2, 6, 7, 4}, {2400, 5, 11, 11, 8},
		{2400, 10, 16, 17, 12}, {2400, 20, 27, 27, 21}, {300, 1000, 114, 115, 102},
	} {
		name := fmt.Sprintf("%d s, %d an hour", g.run, g.perHour)
		load := float64(g.run) * float64(g.perHour) / 3600
		c, _ := autoscale.Cheapest(load, 0.12, 200, autoscale.FixedWait)
		require.Equal(t, g.fixed, c, name)
		c, _ = autoscale.Cheapest(load, 0.12, 200, autoscale.MeanWait)
		require.InDelta(t, g.erlang, c, 1, name) // the rounding of the source
		c, _ = autoscale.Cheapest(load, 4.698, 200, autoscale.FixedWait)
		require.Equal(t, g.dear, c, name)
	}
}

// The simulation gives what theory says, and keeps the law of Little: as many
// wait as come in the time that each waits.
func TestSimulate_Theory(t *testing.T) {
	jobs, err := autoscale.Traffic{Span: 3000 * time.Hour, Peak: 50}.Jobs(1)
	require.NoError(t, err)
	for c := 5; c <= 9; c++ {
		r, err := autoscale.Simulate(jobs, one(5*time.Minute, 0.12), autoscale.Static(c), 1)
		require.NoError(t, err)
		require.InEpsilon(t, autoscale.FixedWait(c, 50.0/12)*300, r.All.Mean, 0.12, "%d machines", c)
		perHour := float64(len(jobs)) / r.Hours
		require.InEpsilon(t, perHour*r.All.Mean/3600, r.MeanWaiting, 0.01, "%d machines", c)
		require.InDelta(t, r.MachineCost+r.DeveloperCost, r.Cost, 1e-6)
		require.InDelta(t, float64(c)*r.Hours, r.NodeHours, 1e-6)
		require.InEpsilon(t, 50.0/12/float64(c), r.Utilisation, 0.02)
	}
}

// A million builds, of three classes, under a policy that always moves.
func BenchmarkSimulate_Million(b *testing.B) {
	jobs, err := autoscale.Traffic{Span: 8333 * time.Hour, Peak: 240, Shape: autoscale.Sine, Spread: 1}.Jobs(1)
	require.NoError(b, err)
	for i := range jobs {
		jobs[i].Class = []string{"small", "medium", "large"}[i%3]
	}
	b.ReportMetric(float64(len(jobs)), "builds")
	for b.Loop() {
		_, err := autoscale.Simulate(jobs, autoscale.DefaultFleet(), autoscale.Headroom{Spare: 2, Beta: 1}, 1)
		require.NoError(b, err)
	}
}
