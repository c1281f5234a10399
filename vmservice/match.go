package vmservice

import (
	"context"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A pair is a task and the machine that is about to be its own.
type pair struct {
	w *waiter
	m *machine
	v *layer // nil is none
	// next is what the volume becomes, note what the task is told of it.
	next VolumeRecord
	note string
}

// match finds machines for those that wait, the longest waiting first. Both are
// taken until commit. The caller holds the lock.
func (p *Pool) match(now time.Time) []pair {
	if !p.loaded || p.closed() {
		return nil
	}
	var pairs []pair
	for _, l := range p.lines {
		for i := 0; i < len(l.waiting); {
			w := l.waiting[i]
			if w.taken || p.byTask[w.record.Task] != nil { // an older epoch is on its way out
				i++
				continue
			}
			m := p.choose(l, w)
			if m == nil {
				break
			}
			w.taken, m.busy = true, true
			pairs = append(pairs, p.withLayers(pair{w: w, m: m}, now))
			i++
		}
	}
	return pairs
}

// choose returns the machine that has been ready longest; for a task with
// layers, where a volume of its own is, if there is one.
func (p *Pool) choose(l *line, w *waiter) *machine {
	var first *machine
	for _, m := range l.ready {
		if m.busy || m.kill != "" || m.stale {
			continue
		}
		if first == nil {
			first = m
		}
		if !w.layers || p.freeLayers(w.record, l.model.Arch, &m.rec.Zone) != nil {
			return m
		}
	}
	return first
}

// withLayers adds a volume to a pair whose task wants one.
func (p *Pool) withLayers(a pair, now time.Time) pair {
	if !a.w.layers {
		if a.w.why != "" {
			p.counts.Without++
			a.note = "Docker layer cache: none, " + a.w.why
		}
		return a
	}
	r := a.w.record
	a.v = p.freeLayers(r, a.m.rec.Model.Arch, &a.m.rec.Zone)
	if a.v == nil {
		var why string
		if a.v, why = p.newLayers(r, a.m.rec, now); a.v == nil {
			p.counts.Without++
			a.note = "Docker layer cache: none, " + why
			return a
		}
	}
	a.v.busy = true
	a.next = a.v.rec
	a.next.State, a.next.Task, a.next.Machine = LayersUsed, r.Task, a.m.rec.Key
	a.next.Used = now
	return a
}

// commit writes a pair down: the machine is the task's from then on.
func (p *Pool) commit(ctx context.Context, a pair) error {
	now := p.cfg.Clock()
	var more []ci.DocChange
	if a.v != nil {
		change, err := a.v.change(a.next, now)
		if err != nil {
			return err
		}
		more = append(more, change)
	}
	w := a.w.record
	err := p.save(ctx, a.m, func(r *Record) {
		r.State, r.Claimed = Claimed, now
		r.Task, r.Epoch, r.Project, r.Trust = w.Task, w.Epoch, w.Project, w.Trust
		r.Volume = a.next.Key
		r.Delivered = a.v == nil
		if a.note != "" {
			r.Notes = []string{a.note}
		}
	}, more...)
	p.mu.Lock()
	a.w.taken = false
	if a.v != nil {
		a.v.busy = false
	}
	if err != nil {
		if a.v != nil {
			a.v.stale = true
			p.moving[a.v.rec.Key] = a.v
		}
		p.mu.Unlock()
		p.settle(a.m, 0)
		return err
	}
	delete(p.waiting, w.Task)
	p.unqueue(w.Task)
	a.m.lease = now.Add(p.cfg.Times.Lease)
	p.counts.Claimed++
	p.counts.waited(now.Sub(a.w.since))
	if a.v != nil {
		// The version is read again before it is written: only the machine
		// writes it until it is back.
		a.v.version++
		p.setLayer(a.v, a.next)
	}
	p.mu.Unlock()
	next := time.Duration(0)
	if a.v == nil {
		next = p.cfg.Times.Lease
	}
	p.settle(a.m, next)
	return nil
}

// reason says why a task waits, for people. The caller holds the lock.
func (p *Pool) reason(task ci.TaskID, now time.Time) string {
	w := p.waiting[task]
	if w == nil || !p.loaded {
		return "the server is looking for its machines after a restart"
	}
	l := p.line(w.model)
	ahead := 0
	for _, other := range l.waiting {
		if other == w {
			break
		}
		ahead++
	}
	k, _ := p.cfg.class(w.model.Class)
	b := p.breaker(w.model.Kind)
	switch {
	case p.drained:
		return "the pool of machines is drained: an operator has stopped it from giving out any"
	case p.byTask[task] != nil:
		return "its machine of an earlier run is being ended"
	case b.shut(now) && b.class == FaultSettings && b.setting != "":
		return fmt.Sprintf("no machines can be made until an administrator mends the setting %s: %s", b.setting, b.why)
	case b.shut(now) && b.class == FaultSettings:
		return "no machines can be made until an administrator acts: " + b.why
	case b.shut(now):
		return "the provider allows no more machines: " + b.why
	}
	if l.coming > ahead {
		return fmt.Sprintf("a machine boots, which takes about %s; %d of its kind are ahead", l.boot95().Round(time.Second), ahead)
	}
	if bound := p.bound(now, w.model.Kind, k); bound != "" {
		return fmt.Sprintf("bounded: %s; it waits for one to end, %d are ahead", bound, ahead)
	}
	if _, ok := p.zone(l, now); !ok {
		return "the provider has no room for machines of this class now; it is asked again within 3 minutes"
	}
	return fmt.Sprintf("a machine is about to be asked for, %d of its kind are ahead", ahead)
}
