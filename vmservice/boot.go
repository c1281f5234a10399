package vmservice

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// How long the pool waits for one answer of a machine or the provider, and
// between two tries of the same.
const (
	callTime  = 2 * time.Minute
	probeTime = 20 * time.Second
	soon      = 3 * time.Second
)

// begin makes the key of a machine and writes the intent to have it.
func (p *Pool) begin(ctx context.Context, m *machine) error {
	s, public, err := p.newSecrets("rondo " + m.rec.Key)
	if err != nil {
		return err
	}
	changes, err := p.keyChange(ctx, m, s)
	if err != nil {
		return err
	}
	if err := p.save(ctx, m, func(r *Record) { r.AuthorizedKey = public }, changes...); err != nil {
		return err
	}
	p.mu.Lock()
	m.secrets = &s
	p.mu.Unlock()
	return nil
}

// create asks the provider for a machine, under the key that is written down.
func (p *Pool) create(ctx context.Context, m *machine, r Record) time.Duration {
	if m.version == 0 {
		if err := p.begin(ctx, m); err != nil {
			p.cfg.Log.Warn("write down a machine", "machine", r.Key, "err", err)
			p.mu.Lock()
			m.stale = true
			p.mu.Unlock()
			return p.backoff(m)
		}
		r = m.rec
	}
	s, err := p.access(ctx, m)
	if errors.Is(err, ci.ErrNotFound) {
		p.killLater(m, "its key was lost")
		return 0
	}
	if err != nil {
		p.cfg.Log.Warn("open the key of a machine", "machine", r.Key, "err", err)
		return p.backoff(m)
	}
	if p.cfg.Clock().Sub(r.Asked) > p.cfg.Times.Boot {
		p.killLater(m, "the provider did not answer in time")
		return 0
	}
	report := p.cfg.Boot.Report
	if report != "" {
		report = strings.TrimSuffix(report, "/") + "/v1/machines/" + url.PathEscape(r.Key) + "/host-key"
	}
	b := Boot{
		Tags: map[string]string{TagInstall: p.cfg.Install, TagKey: r.Key}, User: p.cfg.Boot.User, AuthorizedKey: r.AuthorizedKey,
		Report: report, Token: s.Token, Zone: r.Zone, Life: p.cfg.Times.MaxAge + p.cfg.Times.Leak + time.Hour,
	}
	calling, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	p.mu.Lock()
	m.called = p.cfg.Clock()
	p.mu.Unlock()
	made, err := p.driver.Create(calling, r.Key, r.Model, b)
	if err != nil {
		again, after := p.fault(r.Model, r.Zone, err)
		if again {
			p.cfg.Log.Warn("create machine", "machine", r.Key, "err", err)
			return max(p.backoff(m), after)
		}
		p.mu.Lock()
		first := m.tries == 0
		p.mu.Unlock()
		if !first { // an earlier call may have been served
			p.killLater(m, err.Error())
			return 0
		}
		if err := p.finish(ctx, m, err.Error()); err != nil {
			return p.backoff(m)
		}
		return 0
	}
	p.well(r.Model)
	err = p.save(ctx, m, func(r *Record) {
		r.State, r.ID, r.Zone = Booting, made.ID, made.Zone
	})
	if err != nil {
		return p.backoff(m)
	}
	p.mu.Lock()
	m.tries, m.seen = 0, made
	p.lookSoon(p.cfg.Clock())
	p.counts.Created++
	p.mu.Unlock()
	return p.pace(soon)
}

// killLater makes the machine, which is busy, end as its next step.
func (p *Pool) killLater(m *machine, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.kill == "" {
		m.kill = why
	}
}

// entry is what opens a machine.
func (p *Pool) entry(s secrets) Access { return Access{User: p.cfg.Boot.User, Key: s.Key} }

// target returns the machine as guests know it.
func (m *machine) target(r Record) Machine {
	t := m.seen
	t.ID, t.Key, t.Model, t.Zone = r.ID, r.Key, r.Model, r.Zone
	if t.HostKey == "" {
		t.HostKey = m.reported
	}
	if r.HostKey != "" {
		t.HostKey = r.HostKey
	}
	if t.Address == "" {
		t.Address = r.Address
	}
	return t
}

// probe asks a machine that boots whether it is ready.
func (p *Pool) probe(ctx context.Context, m *machine, r Record) time.Duration {
	p.mu.Lock()
	target := m.target(r)
	p.mu.Unlock()
	switch {
	case target.State == MachineEnding || target.State == MachineGone:
		p.killLater(m, "it ended while it booted: "+target.Why)
		return 0
	case p.cfg.Clock().Sub(r.Asked) > p.cfg.Times.Boot:
		p.killLater(m, fmt.Sprintf("it was not ready within %s", p.cfg.Times.Boot))
		return 0
	case target.State != MachineRunning || target.Address == "" || target.HostKey == "":
		p.mu.Lock()
		p.lookSoon(p.cfg.Clock())
		p.mu.Unlock()
		return p.pace(soon)
	}
	s, err := p.access(ctx, m)
	if err != nil {
		p.killLater(m, "its key was lost")
		return 0
	}
	asking, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	if err := p.guest.Probe(asking, target, p.entry(s)); err != nil {
		return p.pace(soon)
	}
	var changes []ci.DocChange
	if r.Model.Kind == ci.MachineForDocker {
		serving, cancel := context.WithTimeout(ctx, callTime)
		defer cancel()
		docker, err := p.guest.ServeDocker(serving, target, p.entry(s))
		if err != nil {
			p.cfg.Log.Warn("serve Docker", "machine", r.Key, "err", err)
			return p.backoff(m)
		}
		s.Docker = &docker
		if changes, err = p.keyChange(ctx, m, s); err != nil {
			return p.backoff(m)
		}
	}
	now := p.cfg.Clock()
	err = p.save(ctx, m, func(r *Record) {
		r.State, r.Ready, r.Address, r.HostKey, r.Serves = Ready, now, target.Address, target.HostKey, s.Docker != nil
	}, changes...)
	if err != nil {
		return p.backoff(m)
	}
	p.mu.Lock()
	m.secrets, m.tries, m.probed = &s, 0, now
	p.line(r.Model).booted(now.Sub(r.Asked))
	p.mu.Unlock()
	return p.cfg.Times.Probe
}

// keepReady probes a machine that waits for a task. A task may get it
// meanwhile: the machine is not busy while it is asked.
func (p *Pool) keepReady(ctx context.Context, m *machine, r Record) error {
	p.mu.Lock()
	now := p.cfg.Clock()
	target := m.target(r)
	// Machines that were made together do not all end together.
	age := p.cfg.Times.MaxAge - time.Duration(p.random.Int64N(int64(p.cfg.Times.MaxAge)/20+1))
	old := now.Sub(r.Asked) > age
	m.busy = false
	p.at(m, now.Add(p.cfg.Times.Probe))
	if old {
		p.doom(m, fmt.Sprintf("it is older than %s", age.Round(time.Minute)))
		p.mu.Unlock()
		p.nudge()
		return nil
	}
	fresh := now.Sub(m.probed) < p.cfg.Times.Probe/2
	p.mu.Unlock()
	if fresh {
		return nil
	}
	s, err := p.access(ctx, m)
	if err == nil {
		asking, cancel := context.WithTimeout(ctx, probeTime)
		defer cancel()
		err = p.guest.Probe(asking, target, p.entry(s))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() != nil || m.rec.State != Ready || m.busy {
		return nil
	}
	m.probed = p.cfg.Clock()
	switch {
	case err == nil:
		m.misses = 0
	case errors.Is(err, ci.ErrNotFound):
		p.doom(m, "its key was lost")
	default:
		if m.misses++; m.misses >= 3 {
			p.doom(m, "it does not answer: "+err.Error())
		} else {
			p.at(m, m.probed.Add(soon))
		}
	}
	p.nudge()
	return nil
}
