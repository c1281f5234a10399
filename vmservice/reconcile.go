package vmservice

import (
	"context"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Finding is something that the provider has and the books do not, or the
// other way round.
type Finding struct {
	// Case is the letter of the rule: b a machine without a record, f a volume
	// attached for nobody, g a volume without a record.
	Case  string `json:"case"`
	About string `json:"about"` // the provider's ID
	Key   string `json:"key,omitempty"`
	Text  string `json:"text"`
	// Acts says what happens: "now", or "when it is seen again".
	Acts    string `json:"acts"`
	machine Machine
	volume  Volume
}

// twice is how far apart two sightings must be before anything is ended: a
// slow listing must not cost a job.
const twice = 30 * time.Second

// judge notes the findings and returns those that have been made before, long
// enough ago. The caller holds the lock.
func (p *Pool) judge(found []Finding, now time.Time) []Finding {
	var due []Finding
	next := make(map[string]sighting, len(found))
	for i := range found {
		f := &found[i]
		id := f.Case + " " + f.About
		s, before := p.look.strange[id]
		if !before {
			s.first = now
			p.counts.Leaks++
			p.cfg.Log.Warn("machines and books differ", "case", f.Case, "about", f.About, "what", f.Text)
		}
		s.last = now
		s.times++
		next[id] = s
		f.Acts = "when it is seen again"
		if s.times >= 2 && now.Sub(s.first) >= twice {
			f.Acts = "now"
			due = append(due, *f)
		}
	}
	p.look.strange = next
	if len(found) > len(due) {
		p.lookSoon(now)
	}
	return due
}

// act ends what should not be. An unknown machine is taken into the books
// first, to be ended as any other.
func (p *Pool) act(ctx context.Context, f Finding) {
	now := p.cfg.Clock()
	action := ActReapVolume
	if f.Case == "b" {
		action = ActReapMachine
	}
	err := p.note(ctx, action, f.About, f.Key, "", f.Text)
	if err != nil {
		p.cfg.Log.Warn("put on record what is set right", "case", f.Case, "about", f.About, "err", err)
		return
	}
	switch f.Case {
	case "b":
		m := &machine{seen: f.machine, busy: true, called: f.machine.Created}
		r := Record{
			Key: f.Key, ID: f.machine.ID, Provider: p.cfg.Boot.Provider, Model: f.machine.Model, State: Ending, Zone: f.machine.Zone,
			Why: f.Text, Asked: f.machine.Created, Ending: now,
		}
		if k, err := p.cfg.class(r.Model.Class); err == nil {
			r.VCPUs, r.Price = k.VCPUs, k.Price
		}
		p.mu.Lock()
		if p.machines[f.Key] != nil {
			p.mu.Unlock()
			return
		}
		p.machines[f.Key] = m
		p.set(m, r)
		p.mu.Unlock()
		err = p.save(ctx, m, func(*Record) {})
		p.settle(m, 0)
	case "f":
		err = p.volumes.Detach(ctx, f.About, true)
	case "g":
		if f.volume.State == VolumeAttached || f.volume.State == VolumeDetaching {
			err = p.volumes.Detach(ctx, f.About, true)
		} else {
			err = p.volumes.DestroyVolume(ctx, f.About)
		}
	}
	if err != nil {
		p.cfg.Log.Warn("set right", "case", f.Case, "about", f.About, "err", err)
	}
}

// What the pool does by itself, as the actions of an audit log.
const (
	ActReapMachine = "rondo.machine.reap"
	ActReapVolume  = "rondo.layers.reap"
)

// note puts on record what is about to be ended because it belongs to nobody.
func (p *Pool) note(ctx context.Context, action, id, key string, task ci.TaskID, why string) error {
	kind := "machine"
	if action == ActReapVolume {
		kind = "layers"
	}
	target := map[string]string{"type": kind, "id": id, "name": key, "why": why}
	if task != "" {
		target["task"] = string(task)
	}
	return p.cfg.Note(ctx, ci.Act{Action: action, Actor: ci.Actor{Kind: ci.ActorSystem, Login: "machines"}, Target: target, Success: true})
}

// Reconcile compares the books with the provider now and returns what differs.
// Unless dry, it ends at once what an earlier look has found as well; the rest
// when it is seen again, which [Pool.Run] sees to by itself. No record is ever
// dropped on the provider's word alone of one look.
func (p *Pool) Reconcile(ctx context.Context, dry bool) ([]Finding, error) {
	return p.lookAt(ctx, dry)
}
