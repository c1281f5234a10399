package vmservice

import (
	"context"
	"time"
)

// stuckTime is after how long people are told that a machine does not end.
const stuckTime = 10 * time.Minute

// end does what is left until a machine is gone: its volume is taken out in
// order, and the provider is asked until it no longer lists the machine.
func (p *Pool) end(ctx context.Context, m *machine, r Record) time.Duration {
	now := p.cfg.Clock()
	p.mu.Lock()
	target, called, unseen, tries := m.target(r), m.called, m.unseen, m.tries
	var v *layer
	var disk VolumeRecord
	if v = p.layers[r.Volume]; v != nil {
		disk = v.rec
	}
	p.lookSoon(now)
	looked := p.look.done
	p.mu.Unlock()
	if r.ID == "" {
		// The call may have been served and its answer lost: only when a look
		// that cannot have missed it does not find it, it never was.
		switch {
		case p.seenID(m) != "":
			id := p.seenID(m)
			if err := p.save(ctx, m, func(r *Record) { r.ID = id }); err != nil {
				return p.backoff(m)
			}
			return 0
		case looked.After(called.Add(p.cfg.Times.Settle)) && looked.After(r.Ending.Add(p.cfg.Times.Settle)) && unseen >= 2:
			return p.gone(ctx, m, "it was never made")
		}
		return p.pace(soon)
	}
	if p.isGone(m) {
		return p.gone(ctx, m, r.Why)
	}
	if disk.ID != "" && disk.Machine == r.Key {
		if !r.Unmounted && r.Mounted && tries < 2 && target.State == MachineRunning {
			return p.takeOut(ctx, m, r, v, target)
		}
		calling, cancel := context.WithTimeout(ctx, callTime)
		defer cancel()
		if r.Unmounted {
			if err := p.volumes.Detach(calling, disk.ID, false); err != nil {
				p.cfg.Log.Warn("detach Docker layers", "machine", r.Key, "volume", disk.ID, "err", err)
			}
		}
	}
	calling, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if err := p.driver.Destroy(calling, r.ID); err != nil {
		p.fault(r.Model, r.Zone, err)
		p.cfg.Log.Warn("end machine", "machine", r.Key, "id", r.ID, "err", err)
		return p.backoff(m)
	}
	if now.Sub(r.Ending) > stuckTime && !p.told(m) {
		p.cfg.Log.Error("a machine does not end", "machine", r.Key, "id", r.ID, "since", r.Ending)
	}
	return min(time.Minute, max(p.pace(soon), now.Sub(r.Ending)/4))
}

// told reports whether people have been told of a machine, and notes that they
// are.
func (p *Pool) told(m *machine) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := m.stuck
	m.stuck = true
	return was
}

func (p *Pool) seenID(m *machine) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return m.seen.ID
}

// isGone reports whether the provider has said, or no longer says anything, of
// a machine that it once named.
func (p *Pool) isGone(m *machine) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	// One that was listed before cannot be too new to be listed.
	settled := m.listed || p.look.done.After(m.rec.Asked.Add(p.cfg.Times.Settle)) && p.look.done.After(m.called.Add(p.cfg.Times.Settle))
	return m.seen.State == MachineGone || m.unseen >= 2 && settled
}

// gone ends the books of a machine.
func (p *Pool) gone(ctx context.Context, m *machine, why string) time.Duration {
	if err := p.finish(ctx, m, why); err != nil {
		p.cfg.Log.Warn("close the books of a machine", "machine", m.rec.Key, "err", err)
		return p.backoff(m)
	}
	return 0
}

// takeOut unmounts the layers inside of the machine.
func (p *Pool) takeOut(ctx context.Context, m *machine, r Record, v *layer, target Machine) time.Duration {
	s, err := p.access(ctx, m)
	if err != nil {
		p.backoff(m)
		p.backoff(m) // nobody gets in any more
		return 0
	}
	asking, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	layers, err := p.guest.Unmount(asking, target, p.entry(s))
	if err != nil {
		p.cfg.Log.Warn("unmount Docker layers", "machine", r.Key, "volume", r.Volume, "err", err)
		return p.backoff(m)
	}
	next := p.layerRecord(v)
	next.Layers = layers
	next.Uses++
	change, err := v.change(next, p.cfg.Clock())
	if err != nil {
		return p.backoff(m)
	}
	if err := p.save(ctx, m, func(r *Record) { r.Unmounted = true }, change); err != nil {
		p.mu.Lock()
		v.stale = true
		p.moving[v.rec.Key] = v
		p.mu.Unlock()
		return p.backoff(m)
	}
	p.mu.Lock()
	v.version++
	p.setLayer(v, next)
	m.tries = 0
	p.mu.Unlock()
	return 0
}
