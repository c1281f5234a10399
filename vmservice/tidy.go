package vmservice

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// tidyEvery is between two looks for volumes that nobody has used for long, and
// records to drop.
const tidyEvery = 10 * time.Minute

// tidyLayers dooms the volumes that nobody has used for too long. The caller
// holds the lock.
func (p *Pool) tidyLayers(now time.Time) {
	if !p.loaded || now.Sub(p.counts.tidied) < tidyEvery {
		return
	}
	p.counts.tidied = now
	p.counts.sweep = true
	for _, v := range p.layers {
		if v.rec.State == LayersFree && !v.busy && v.rec.Doomed == "" && now.Sub(v.rec.Used) > p.cfg.Layers.Unused {
			p.doomLayer(v, "not used for "+p.cfg.Layers.Unused.String())
		}
	}
}

// startLayers starts what is due about volumes. The caller holds the lock.
func (p *Pool) startLayers(ctx context.Context, now time.Time, start func(func() error) bool) {
	if p.counts.sweep {
		p.counts.sweep = !start(func() error { return p.sweep(ctx) })
	}
	for _, v := range p.moving {
		if v.busy || v.rec.State == LayersUsed || now.Before(v.next) {
			continue
		}
		v.busy = true
		if !start(func() error {
			next := p.moveLayer(ctx, v)
			p.mu.Lock()
			v.busy = false
			v.next = p.cfg.Clock().Add(next)
			p.mu.Unlock()
			return nil
		}) {
			v.busy = false
			return
		}
	}
}

// sweep drops the records of machines that have been gone for long.
func (p *Pool) sweep(ctx context.Context) error {
	var old []ci.DocChange
	for d, err := range p.docs.DueDocs(ctx, kindPast, p.cfg.Clock(), 1000) {
		if err != nil {
			p.cfg.Log.Warn("drop old records of machines", "err", err)
			return nil
		}
		old = append(old, ci.DocChange{Doc: ci.Doc{Kind: d.Kind, ID: d.ID, Version: ci.AnyVersion}, Delete: true})
	}
	if len(old) > 0 {
		if _, err := p.docs.WriteDocs(ctx, old...); err != nil {
			p.cfg.Log.Warn("drop old records of machines", "err", err)
		}
	}
	return nil
}

// moveLayer does the next step of a volume that comes back or is to go.
func (p *Pool) moveLayer(ctx context.Context, v *layer) time.Duration {
	calling, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	p.mu.Lock()
	stale, r, seen, unseen, looked := v.stale, v.rec, v.seen, v.unseen, p.look.done
	p.lookSoon(p.cfg.Clock())
	p.mu.Unlock()
	now := p.cfg.Clock()
	settled := looked.After(r.Created.Add(p.cfg.Times.Settle)) && looked.After(r.Returning.Add(p.cfg.Times.Settle))
	// One that was listed and is being removed cannot be too new to be listed;
	// if it were, it would be found as nobody's, and removed all the same.
	gone := unseen >= 2 && (settled || r.Doomed != "" && seen.ID != "")
	switch {
	case stale:
		if err := p.reloadLayer(ctx, v); err != nil {
			p.cfg.Log.Warn("read volume again", "volume", r.Key, "err", err)
		}
		return p.pace(soon)
	case r.ID == "" && seen.ID != "": // the answer was lost
		next := r
		next.ID, next.Zone = seen.ID, seen.Zone
		if err := p.saveLayer(ctx, v, next); err != nil {
			p.cfg.Log.Warn("write volume", "volume", r.Key, "err", err)
		}
		return 0
	case gone:
		return p.removeLayer(ctx, v)
	case r.ID == "":
		return p.pace(soon)
	case r.State == LayersReturning && seen.State == VolumeFree && looked.After(r.Returning):
		next := r
		next.State, next.Returning = LayersFree, time.Time{}
		if err := p.saveLayer(ctx, v, next); err != nil {
			p.cfg.Log.Warn("write volume", "volume", r.Key, "err", err)
		}
		return p.pace(soon)
	case r.State == LayersReturning:
		force := now.Sub(r.Returning) > time.Minute
		if err := p.volumes.Detach(calling, r.ID, force); err != nil {
			p.cfg.Log.Warn("detach volume", "volume", r.ID, "force", force, "err", err)
		}
		return p.pace(busyLook)
	case r.Doomed != "":
		if err := p.volumes.DestroyVolume(calling, r.ID); err != nil {
			p.cfg.Log.Warn("remove volume", "volume", r.ID, "err", err)
			p.mu.Lock()
			v.tries++
			wait := p.jitter(v.tries)
			p.mu.Unlock()
			return wait
		}
	}
	return p.pace(busyLook)
}

// removeLayer takes a volume that is gone out of the books.
func (p *Pool) removeLayer(ctx context.Context, v *layer) time.Duration {
	_, err := p.docs.WriteDocs(ctx, ci.DocChange{Doc: ci.Doc{Kind: kindVolume, ID: v.rec.Key, Version: v.version}, Delete: true})
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && !errors.Is(err, ci.ErrNotFound) {
		v.stale = true
		return p.pace(soon)
	}
	p.dropLayer(v)
	p.cfg.Log.Info("volume removed", "volume", v.rec.ID, "project", v.rec.Project, "why", v.rec.Doomed)
	return 0
}

// reloadLayer reads a volume whose record is not known for sure.
func (p *Pool) reloadLayer(ctx context.Context, v *layer) error {
	d, err := p.docs.Doc(ctx, kindVolume, v.rec.Key)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case errors.Is(err, ci.ErrNotFound):
		p.dropLayer(v)
		return nil
	case err != nil:
		return err
	}
	var r VolumeRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return err
	}
	v.version, v.stale = d.Version, false
	p.setLayer(v, r)
	return nil
}
