package vmservice

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// grow asks for the machines that are missing, first those of tasks that wait
// and then those of floors and forecast, and ends what is too much. The caller
// holds the lock.
func (p *Pool) grow(now time.Time) {
	if !p.loaded {
		return
	}
	lines := p.sorted()
	for _, l := range lines {
		p.dropSilent(l, now)
		want := len(l.waiting) - len(l.ready) - l.coming // some of both may be about to meet
		for range min(want, p.room(l)) {
			if !p.ask(l, now) {
				p.makeRoom(l)
				break
			}
		}
	}
	for _, l := range lines {
		want := l.spare(now, p.cfg.Boot.Fixed) + len(l.waiting)
		if p.closed() {
			want = 0
		}
		missing := want - len(l.ready) - l.coming
		for range min(missing, p.room(l)) {
			if !p.ask(l, now) {
				break
			}
		}
		p.shrink(l, now, -missing)
	}
	p.thrift(now)
}

// sorted returns the lines, that of the longest waiting task first.
func (p *Pool) sorted() []*line {
	var all []*line
	for _, l := range p.lines {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *line) int {
		switch {
		case len(a.waiting) > 0 && len(b.waiting) > 0:
			return a.waiting[0].since.Compare(b.waiting[0].since)
		case len(a.waiting) != len(b.waiting):
			return len(b.waiting) - len(a.waiting)
		}
		return strings.Compare(fmt.Sprint(a.model), fmt.Sprint(b.model))
	})
	return all
}

// room is how many more machines may boot at once.
func (p *Pool) room(l *line) int {
	most := p.cfg.Boot.AtOnce
	if most <= 0 {
		most = max(5, (len(l.ready)+l.working+l.coming)/5)
	}
	return max(most-l.coming, 0)
}

// ask writes down that a machine is wanted, and reports whether one may be.
func (p *Pool) ask(l *line, now time.Time) bool {
	k, err := p.cfg.class(l.model.Class)
	if err != nil || p.shut(l.model.Kind, now) || p.bound(now, l.model.Kind, k) != "" {
		return false
	}
	zone, ok := p.zone(l, now)
	if !ok {
		return false
	}
	m := &machine{}
	r := Record{
		Key: p.newKey("m"), Provider: p.cfg.Boot.Provider, Model: l.model, State: Asked, Zone: zone, VCPUs: k.VCPUs, Price: k.Price, Asked: now,
	}
	p.machines[r.Key] = m
	p.set(m, r)
	p.at(m, now)
	return true
}

// zone chooses where to make a machine: where the volume of the first task
// that waits is, or else the first zone that is not cold.
func (p *Pool) zone(l *line, now time.Time) (string, bool) {
	zones := p.cfg.Boot.Zones
	if len(l.waiting) > 0 && l.waiting[0].layers && p.volumes != nil {
		w := l.waiting[min(l.coming, len(l.waiting)-1)]
		if v := p.freeLayers(w.record, l.model.Arch, nil); v != nil && slices.Contains(zones, v.rec.Zone) {
			zones = append([]string{v.rec.Zone}, zones...)
		}
	}
	for _, z := range zones {
		if !now.Before(l.cold[z]) {
			return z, true
		}
	}
	return "", false
}

// newKey returns a key that nothing has.
func (p *Pool) newKey(prefix string) string {
	return fmt.Sprintf("%s-%016x", prefix, p.random.Uint64())
}

// makeRoom ends the machine that has been ready longest without being asked
// for, of another model, because a task waits for one of this.
func (p *Pool) makeRoom(l *line) {
	k, err := p.cfg.class(l.model.Class)
	now := p.cfg.Clock()
	if err != nil || p.shut(l.model.Kind, now) || p.bound(now, l.model.Kind, k) == "" {
		return
	}
	ending := 0
	for _, m := range p.machines {
		if m.rec.State == Ending {
			ending++
		}
	}
	if ending > 0 {
		return // there will be room
	}
	var oldest *machine
	for _, other := range p.lines {
		if other == l || len(other.waiting) > 0 || len(other.ready) == 0 {
			continue
		}
		if m := other.ready[0]; !m.busy && (oldest == nil || m.rec.Ready.Before(oldest.rec.Ready)) {
			oldest = m
		}
	}
	if oldest != nil {
		p.doom(oldest, "a task waits for another kind of machine, and the budget is used")
	}
}

// shrink ends the oldest machine of too many that have been idle long enough,
// one at a time, and at once when the pool is drained.
func (p *Pool) shrink(l *line, now time.Time, surplus int) {
	switch {
	case surplus <= 0 || len(l.ready) == 0:
		l.idle = time.Time{}
	case p.closed():
		for _, m := range l.ready {
			p.doom(m, "the pool is drained")
		}
	case l.idle.IsZero():
		l.idle = now
	case now.Sub(l.idle) >= p.cfg.Times.Idle:
		l.idle = now.Add(min(time.Minute, p.cfg.Times.Idle) - p.cfg.Times.Idle) // the next one in a minute
		p.doom(l.ready[0], "it was not needed any more")
	}
}

// thrift ends idle machines when what they and the others may cost today would
// pass the budget.
func (p *Pool) thrift(now time.Time) {
	for kind, b := range p.cfg.Budgets {
		if b.Money <= 0 || p.money(now, kind) <= b.Money {
			continue
		}
		for _, l := range p.lines {
			if (kind == "" || l.model.Kind == kind) && len(l.ready) > 0 {
				p.doom(l.ready[0], "the day's budget is used")
				return
			}
		}
	}
}

// doom makes a machine end as its next step. Again changes nothing: a step that
// is put off with each look would never come. The caller holds the lock.
func (p *Pool) doom(m *machine, why string) {
	if m.kill != "" {
		return
	}
	m.kill = why
	if !m.busy {
		p.at(m, p.cfg.Clock())
	}
}

// shut reports whether no machine of the kind may be asked for now.
func (p *Pool) shut(kind ci.MachineKind, now time.Time) bool {
	return p.breaker(kind).shut(now)
}
