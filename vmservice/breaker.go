package vmservice

import (
	"errors"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A breaker stops growth of a kind after faults that will not pass by
// themselves.
type breaker struct {
	until   time.Time
	why     string
	class   FaultClass
	setting string
	told    bool
}

func (p *Pool) breaker(kind ci.MachineKind) *breaker {
	b := p.breakers[kind]
	if b == nil {
		b = &breaker{}
		p.breakers[kind] = b
	}
	return b
}

func (b *breaker) shut(now time.Time) bool { return now.Before(b.until) }

// How long growth rests after a fault. coldTime is the figure of Karpenter.
const (
	coldTime     = 3 * time.Minute
	quotaTime    = 5 * time.Minute
	settingsTime = 5 * time.Minute
)

// fault says what an error of the provider means for a model and zone, and
// whether the same call should be tried again.
func (p *Pool) fault(m Model, zone string, err error) (again bool, after time.Duration) {
	var f *Fault
	if !errors.As(err, &f) {
		return true, 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.cfg.Clock()
	p.counts.fault(f)
	b := p.breaker(m.Kind)
	switch f.Class {
	case FaultCapacity:
		p.line(m).cold[zone] = now.Add(max(coldTime, f.After))
		return false, 0
	case FaultQuota:
		*b = breaker{until: now.Add(max(quotaTime, f.After)), why: f.Error(), class: f.Class, told: b.told}
	case FaultSettings:
		*b = breaker{until: now.Add(max(settingsTime, f.After)), why: f.Error(), class: f.Class, setting: f.Setting, told: b.told}
	default:
		return true, f.After
	}
	if !b.told {
		b.told = true
		p.cfg.Log.Error("no more machines until somebody acts", "kind", m.Kind, "class", f.Class, "setting", f.Setting, "err", err)
	}
	return false, 0
}

// well says that the provider has made a machine: what was wrong no longer is.
func (p *Pool) well(m Model) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.breaker(m.Kind); b.told {
		p.cfg.Log.Info("machines can be made again", "kind", m.Kind)
	}
	*p.breaker(m.Kind) = breaker{}
}
