package vmservice

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A layer is a volume of Docker layers.
type layer struct {
	rec     VolumeRecord
	version int64
	busy    bool
	stale   bool
	tries   int
	unseen  int
	seen    Volume
	next    time.Time
}

// change returns the write of a volume's next record.
func (v *layer) change(next VolumeRecord, now time.Time) (ci.DocChange, error) {
	d, err := next.doc(now)
	return ci.DocChange{Doc: versioned(d, v.version)}, err
}

// returned is a volume whose machine is gone.
func (v *layer) returned(r Record, now time.Time) VolumeRecord {
	next := v.rec
	next.State, next.Task, next.Machine, next.Returning = LayersReturning, "", "", now
	clean := r.Unmounted || r.Delivered && !r.Mounted
	if !clean && next.ID != "" {
		next.Wipes++
	}
	return next
}

// layerRecord returns what is known of a volume.
func (p *Pool) layerRecord(v *layer) VolumeRecord {
	p.mu.Lock()
	defer p.mu.Unlock()
	return v.rec
}

// addLayer puts a volume into the books. The caller holds the lock.
func (p *Pool) addLayer(v *layer, r VolumeRecord) {
	p.layers[r.Key] = v
	p.spend("", use{volumes: 1, gb: r.GB})
	p.setLayer(v, r)
}

// setLayer gives a volume its record.
func (p *Pool) setLayer(v *layer, r VolumeRecord) {
	v.rec = r
	if r.State == LayersReturning || r.Doomed != "" && r.State == LayersFree {
		p.moving[r.Key] = v
	} else if !v.stale {
		delete(p.moving, r.Key)
	}
}

// dropLayer takes a volume out of the books.
func (p *Pool) dropLayer(v *layer) {
	delete(p.layers, v.rec.Key)
	delete(p.moving, v.rec.Key)
	p.spend("", use{volumes: -1, gb: -v.rec.GB})
}

// freeLayers returns the free volume of a task's project, tier, architecture
// and format that was used last, in the zone if one is given; nil is none.
func (p *Pool) freeLayers(r Record, arch string, zone *string) *layer {
	want := affinity(r.Project, r.Trust, arch)
	var best *layer
	for _, v := range p.layers {
		free := v.rec.State == LayersFree && !v.busy && !v.stale && v.rec.Doomed == "" && v.rec.affinity() == want
		if free && (zone == nil || v.rec.Zone == *zone) && (best == nil || newer(v, best)) {
			best = v
		}
	}
	return best
}

func newer(a, b *layer) bool {
	return cmp.Or(a.rec.Used.Compare(b.rec.Used), cmp.Compare(b.rec.Key, a.rec.Key)) > 0
}

// newLayers makes a volume for a task, in memory; or says why there can be
// none, and makes room for the next one.
func (p *Pool) newLayers(r, m Record, now time.Time) (*layer, string) {
	own := 0
	for _, v := range p.layers {
		if v.rec.Project == r.Project {
			own++
		}
	}
	bound := p.boundLayers(m.Model.Kind)
	if own >= p.cfg.Layers.PerProject {
		bound = fmt.Sprintf("a project may have %d volumes, and all of them are used", p.cfg.Layers.PerProject)
	}
	if bound != "" {
		if p.evict(r.Project, own >= p.cfg.Layers.PerProject, now) {
			return nil, bound + "; one that nobody uses is being removed, so a later build will have one"
		}
		return nil, bound
	}
	v := &layer{}
	p.addLayer(v, VolumeRecord{
		Key: p.newKey("v"), Provider: p.cfg.Boot.Provider, Project: r.Project, Trust: r.Trust, Arch: m.Model.Arch, Format: layerFormat,
		GB: p.cfg.Layers.GB, Zone: m.Zone, State: LayersFree, Created: now,
	})
	return v, ""
}

// evict dooms the free volume that will be missed least: unused for long, then
// the least used of projects that have another, then any. Of its own project
// only when that is what is full.
func (p *Pool) evict(project ci.ProjectID, own bool, now time.Time) bool {
	var free []*layer
	per := map[ci.ProjectID]int{}
	for _, v := range p.layers {
		per[v.rec.Project]++
		if v.rec.State == LayersFree && !v.busy && !v.stale && v.rec.ID != "" && (!own || v.rec.Project == project) {
			if v.rec.Doomed != "" {
				return true // there will be room
			}
			free = append(free, v)
		}
	}
	rank := func(v *layer) int {
		switch {
		case now.Sub(v.rec.Used) > day:
			return 0
		case per[v.rec.Project] > 1:
			return 1
		}
		return 2
	}
	if len(free) == 0 {
		return false
	}
	p.doomLayer(slices.MinFunc(free, func(a, b *layer) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.rec.Used.Compare(b.rec.Used), cmp.Compare(a.rec.Key, b.rec.Key))
	}), "to make room")
	return true
}

// doomLayer has a volume removed as soon as it is free.
func (p *Pool) doomLayer(v *layer, why string) {
	v.rec.Doomed = why
	p.moving[v.rec.Key] = v
	v.next = time.Time{}
}
