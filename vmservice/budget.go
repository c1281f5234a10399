package vmservice

import (
	"fmt"
	"maps"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A use is what is used of a budget.
type use struct{ machines, vcpus, volumes, gb int }

func (p *Pool) spend(kind string, u use) {
	k := ci.MachineKind(kind)
	have := p.used[k]
	have.machines += u.machines
	have.vcpus += u.vcpus
	have.volumes += u.volumes
	have.gb += u.gb
	p.used[k] = have
}

// add returns the sum of both.
func (u use) add(o use) use {
	return use{u.machines + o.machines, u.vcpus + o.vcpus, u.volumes + o.volumes, u.gb + o.gb}
}

// countBeside makes the budgets of the pool hold for it and for these others
// together, which have no new machines; only this pool may ask them.
func (p *Pool) countBeside(others []*Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.beside = others
}

// inherit takes what another pool, which has ended, has spent today.
func (p *Pool) inherit(before *Pool) {
	before.mu.Lock()
	today, spent := before.counts.day, maps.Clone(before.counts.spent)
	before.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.counts.day.Before(today) {
		p.counts.day, p.counts.spent = today, map[ci.MachineKind]float64{}
	}
	if p.counts.day.Equal(today) {
		for kind, c := range spent {
			p.counts.spent[kind] += c
		}
	}
}

// usage is what is used of a budget, by this pool and those beside it.
func (p *Pool) usage(of ci.MachineKind) use {
	u := p.used[of]
	for _, o := range p.beside {
		o.mu.Lock()
		u = u.add(o.used[of])
		o.mu.Unlock()
	}
	return u
}

// bound returns which budget one more machine would pass, "" when none.
func (p *Pool) bound(now time.Time, kind ci.MachineKind, k Class) string {
	for _, of := range []ci.MachineKind{"", kind} {
		b, u := p.cfg.Budgets[of], p.usage(of)
		name := "of all machines"
		if of != "" {
			name = "of kind " + string(of)
		}
		switch {
		case b.Machines > 0 && u.machines+1 > b.Machines:
			return fmt.Sprintf("the budget %s is %d machines", name, b.Machines)
		case b.VCPUs > 0 && u.vcpus+k.VCPUs > b.VCPUs:
			return fmt.Sprintf("the budget %s is %d vCPUs, and %d are used", name, b.VCPUs, u.vcpus)
		}
		if b.Money > 0 {
			if m := p.money(now, of) + p.committed(now, now, k.Price); m > b.Money {
				return fmt.Sprintf("the budget %s is %.2f a day, and one more could bring today to %.2f", name, b.Money, m)
			}
		}
	}
	return ""
}

// money is what the machines of a kind ("" is all) have cost today and may
// still cost, those of pools beside among them.
func (p *Pool) money(now time.Time, kind ci.MachineKind) float64 {
	sum := p.ownMoney(now, kind)
	for _, o := range p.beside {
		o.mu.Lock()
		sum += o.ownMoney(now, kind)
		o.mu.Unlock()
	}
	return sum
}

func (p *Pool) ownMoney(now time.Time, kind ci.MachineKind) float64 {
	today := now.UTC().Truncate(day)
	sum := 0.0
	if p.counts.day.Equal(today) {
		sum = p.counts.spent[kind]
	}
	for _, m := range p.machines {
		if kind != "" && m.rec.Model.Kind != kind || m.rec.Price == 0 {
			continue
		}
		from := m.rec.Asked
		if from.Before(today) {
			from = today
		}
		sum += m.rec.Price * max(now.Sub(from), 0).Hours()
		switch m.rec.State {
		case Ending:
		case Claimed:
			sum += p.committed(now, m.rec.Claimed, m.rec.Price)
		default:
			sum += p.committed(now, now, m.rec.Price)
		}
	}
	return sum
}

// committed is what a machine will cost from now, today, if the task that has
// it since then takes as long as one may.
func (p *Pool) committed(now, since time.Time, price float64) float64 {
	until := since.Add(p.cfg.Times.Leak)
	if midnight := now.UTC().Truncate(day).Add(day); until.After(midnight) {
		until = midnight
	}
	return price * max(until.Sub(now), 0).Hours()
}

// cost books what a machine that is gone has cost today.
func (p *Pool) cost(r Record, now time.Time) {
	today := now.UTC().Truncate(day)
	if !p.counts.day.Equal(today) {
		p.counts.day, p.counts.spent = today, map[ci.MachineKind]float64{}
	}
	from := r.Asked
	if from.Before(today) {
		from = today
	}
	c := r.Price * max(now.Sub(from), 0).Hours()
	p.counts.spent[""] += c
	p.counts.spent[r.Model.Kind] += c
}

// boundLayers returns which budget one more volume would pass, "" when none.
func (p *Pool) boundLayers(kind ci.MachineKind) string {
	for _, of := range []ci.MachineKind{"", kind} {
		b, u := p.cfg.Budgets[of], p.usage(of)
		if of != "" {
			u = p.usage("") // volumes serve both kinds: a bound of one bounds all
		}
		switch {
		case b.Volumes > 0 && u.volumes+1 > b.Volumes:
			return fmt.Sprintf("the budget is %d volumes, and all are used", b.Volumes)
		case b.GB > 0 && u.gb+p.cfg.Layers.GB > b.GB:
			return fmt.Sprintf("the budget is %d GB of volumes, and %d are used", b.GB, u.gb)
		}
	}
	return ""
}
