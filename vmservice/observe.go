package vmservice

import (
	"context"
	"fmt"
	"time"
)

// A look is how the pool watches the provider.
type look struct {
	busy bool
	next time.Time
	done time.Time // when the last one that worked began
	// strange are the findings of the last looks, by what they are about.
	strange map[string]sighting
	fails   int
	err     string
}

// A sighting is a finding that has been made before.
type sighting struct {
	first time.Time
	last  time.Time
	times int
}

// busyLook is between two looks while something changes.
const busyLook = 5 * time.Second

// lookSoon makes the next look due within a few seconds. The caller holds the
// lock.
func (p *Pool) lookSoon(now time.Time) {
	if at := now.Add(p.pace(busyLook)); p.look.next.After(at) {
		p.look.next = at
	}
}

// pace shortens a wait where looks are more frequent.
func (p *Pool) pace(d time.Duration) time.Duration { return min(d, p.cfg.Times.Observe) }

// observe looks at all that the provider has and acts on what is not as the
// books say.
func (p *Pool) observe(ctx context.Context) error {
	_, err := p.lookAt(ctx, p.cfg.Boot.DryReaper)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.cfg.Clock()
	p.look.busy = false
	p.look.next = now.Add(p.cfg.Times.Observe)
	if err != nil && ctx.Err() == nil {
		p.look.fails++
		p.look.err = err.Error()
		p.look.next = now.Add(p.jitter(p.look.fails))
		p.cfg.Log.Warn("look at the provider", "err", err)
	} else if err == nil {
		p.look.fails, p.look.err = 0, ""
		for _, l := range p.lines {
			if l.coming > 0 {
				p.lookSoon(now)
			}
		}
		if len(p.moving) > 0 {
			p.lookSoon(now)
		}
	}
	p.nudge()
	return nil
}

// lookAt lists what the provider has, brings the books up to date, and returns
// what is wrong. Unless dry, it acts on what was wrong before as well.
func (p *Pool) lookAt(ctx context.Context, dry bool) ([]Finding, error) {
	began := p.cfg.Clock()
	calling, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	machines, err := p.driver.List(calling)
	if err != nil {
		return nil, fmt.Errorf("list machines: %w", err)
	}
	var volumes []Volume
	if p.volumes != nil {
		if volumes, err = p.volumes.Volumes(calling); err != nil {
			return nil, fmt.Errorf("list volumes: %w", err)
		}
	}
	p.mu.Lock()
	p.look.done = began
	found := append(p.see(machines, began), p.seeVolumes(volumes, began)...)
	due := p.judge(found, began)
	p.mu.Unlock()
	if dry {
		return found, nil
	}
	for _, f := range due {
		p.act(ctx, f)
	}
	p.nudge()
	return found, nil
}

// see compares the machines with the books. The caller holds the lock.
func (p *Pool) see(all []Machine, began time.Time) []Finding {
	var found []Finding
	listed := make(map[string]bool, len(all))
	for _, one := range all {
		if one.Tags[TagInstall] != p.cfg.Install {
			continue // whatever it is, it is not ours
		}
		key := one.Key
		if key == "" {
			key = one.ID
		}
		listed[key] = true
		m := p.machines[key]
		switch {
		case m == nil && one.State != MachineGone && one.State != MachineEnding:
			found = append(found, Finding{Case: "b", About: one.ID, Key: key, Text: "the provider has a machine that is not in the books", machine: one})
		case m == nil:
		default:
			m.seen, m.unseen, m.listed = one, 0, true
			over := one.State == MachineEnding || one.State == MachineGone
			if over && m.rec.State != Ending && m.rec.State != Asked && m.kill == "" {
				p.doom(m, "the provider has ended it: "+one.Why)
			}
		}
	}
	for key, m := range p.machines {
		if listed[key] {
			continue
		}
		if began.After(m.called) {
			m.unseen++
		}
		if m.rec.ID != "" && m.rec.State != Ending && m.unseen >= 2 && began.After(m.rec.Asked.Add(p.cfg.Times.Settle)) && m.kill == "" {
			p.doom(m, "the provider does not list it any more")
		}
		if m.rec.State == Ending && m.unseen == 2 && !m.busy {
			p.at(m, p.cfg.Clock())
		}
	}
	return found
}

// seeVolumes compares the volumes with the books. The caller holds the lock.
func (p *Pool) seeVolumes(all []Volume, began time.Time) []Finding {
	var found []Finding
	listed := make(map[string]bool, len(all))
	for _, one := range all {
		if one.Tags[TagInstall] != p.cfg.Install {
			continue
		}
		listed[one.Key] = true
		v := p.layers[one.Key]
		if v == nil {
			found = append(found, Finding{Case: "g", About: one.ID, Key: one.Key, Text: "the provider has a volume that is not in the books", volume: one})
			continue
		}
		v.seen, v.unseen = one, 0
		if v.rec.State == LayersFree && one.State == VolumeAttached {
			found = append(found, Finding{Case: "f", About: one.ID, Key: one.Key, Text: "a volume is attached to " + one.Machine + ", and no task has it", volume: one})
		}
	}
	for key, v := range p.layers {
		settled := began.After(v.rec.Created.Add(p.cfg.Times.Settle))
		if !listed[key] && (settled || v.rec.Doomed != "" && v.seen.ID != "") { // or too new to be listed
			v.unseen++
			if v.rec.State == LayersFree && v.unseen >= 2 && v.rec.Doomed == "" && !v.busy {
				p.doomLayer(v, "the provider does not list it any more")
			}
		}
	}
	return found
}
