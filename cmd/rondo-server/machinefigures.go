package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/metrics"
	"github.com/rondo-ci/rondo/vmservice"
)

// machinesSeen is what figures of machines are made from: a pool, or a fleet.
type machinesSeen interface {
	Machines(older time.Duration) []vmservice.Record
	Layers() []vmservice.VolumeRecord
	Status() vmservice.Status
}

// machineFigures tell of machines and their volumes. What nobody has is told as
// 0, so that alarms end; where there is no machine service, nothing is told.
type machineFigures struct {
	pool machinesSeen
	// leak is the age at which a machine is one too many.
	leak time.Duration

	before vmservice.Counts
	booted map[string]bool // keys of machines whose boot was told
}

// defaultLeak is leak_hours where the settings do not say it.
const defaultLeak = 6 * time.Hour

func newMachineFigures(p machinesSeen, leak time.Duration) *machineFigures {
	return &machineFigures{pool: p, leak: cmp.Or(leak, defaultLeak), booted: map[string]bool{}}
}

// Gather implements metrics.Input.
func (f *machineFigures) Gather(context.Context) ([]metrics.Sample, error) {
	at, status := time.Now(), f.pool.Status()
	machines, layers := f.pool.Machines(0), f.pool.Layers()
	if len(status.Lines)+len(machines)+len(layers) == 0 {
		return nil, nil
	}
	var all []metrics.Sample
	add := func(name string, kind metrics.Kind, v float64, tags ...string) {
		all = append(all, metrics.Sample{Name: name, Kind: kind, Value: v, Tags: metrics.Tags(tags...), Time: at})
	}
	type which struct{ kind, state string }
	count := map[which]int{}
	for _, kind := range []ci.MachineKind{ci.MachineForJob, ci.MachineForDocker} {
		for _, s := range []vmservice.State{vmservice.Asked, vmservice.Booting, vmservice.Ready, vmservice.Claimed, vmservice.Ending} {
			count[which{string(kind), string(s)}] = 0
		}
	}
	oldest, boots, here := 0.0, map[string]*metrics.Sketch{}, map[string]bool{}
	for _, m := range machines {
		kind := string(m.Model.Kind)
		count[which{kind, string(m.State)}]++
		oldest = max(oldest, at.Sub(m.Asked).Seconds())
		if m.Ready.IsZero() {
			continue
		}
		if here[m.Key] = true; !f.booted[m.Key] {
			if boots[kind] == nil {
				boots[kind] = &metrics.Sketch{}
			}
			boots[kind].Add(m.Ready.Sub(m.Asked).Seconds(), 1)
		}
	}
	f.booted = here
	for w, n := range count {
		add("machines.count", metrics.Gauge, float64(n), "kind", w.kind, "state", w.state)
	}
	for _, kind := range slices.Sorted(maps.Keys(boots)) {
		all = append(all, metrics.Sample{Name: "machines.boot", Kind: metrics.Dist, Sketch: boots[kind], Tags: metrics.Tags("kind", kind), Time: at})
	}
	add("machines.stale", metrics.Gauge, float64(len(f.pool.Machines(f.leak))))
	add("machines.oldest", metrics.Gauge, oldest)
	volumes := map[vmservice.LayerState]int{vmservice.LayersFree: 0, vmservice.LayersUsed: 0, vmservice.LayersReturning: 0}
	gb := 0
	for _, v := range layers {
		volumes[v.State]++
		gb += v.GB
	}
	for state, n := range volumes {
		add("volumes.count", metrics.Gauge, float64(n), "state", string(state))
	}
	add("volumes.bytes", metrics.Gauge, float64(gb)*(1<<30))
	now := status.Counts
	for result, n := range map[string]int{"hit": now.Hits - f.before.Hits, "fresh": now.Fresh - f.before.Fresh, "none": now.Without - f.before.Without} {
		if n > 0 {
			add("volumes.hits_total", metrics.Count, float64(n), "result", result)
		}
	}
	f.before = now
	return all, nil
}
