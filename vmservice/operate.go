package vmservice

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Drain stops the pool from giving out and keeping machines, or lets it again;
// it stays so over a restart. Machines that tasks have are left to them.
func (p *Pool) Drain(ctx context.Context, on bool) error {
	body, err := json.Marshal(poolState{Drained: on})
	if err != nil {
		return err
	}
	d := ci.Doc{Kind: kindPool, ID: poolDoc, Body: body, Version: ci.AnyVersion, Updated: p.cfg.Clock()}
	if _, err := p.docs.WriteDocs(ctx, ci.DocChange{Doc: d}); err != nil {
		return fmt.Errorf("drain machines: %w", err)
	}
	p.mu.Lock()
	p.drained = on
	p.mu.Unlock()
	p.nudge()
	return nil
}

// Purge has the volumes of a project removed: those that are free at once, the
// others when their tasks end. It returns how many there are.
func (p *Pool) Purge(_ context.Context, project ci.ProjectID) (free, used int, err error) {
	if project == "" {
		return 0, 0, fmt.Errorf("purge layer caches: no project is named: %w", ci.ErrInvalid)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.layers {
		if v.rec.Project != project {
			continue
		}
		if v.rec.State == LayersUsed {
			used++
		} else {
			free++
		}
		p.doomLayer(v, "purged")
	}
	p.nudge()
	return free, used, nil
}

// End ends a machine, named by its key or by the provider's ID, whatever it
// does: a task that has it loses it. One that ends already is no error,
// [ci.ErrNotFound] one that is not there.
func (p *Pool) End(name string) (Record, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.machines {
		if name == "" || m.rec.Key != name && m.rec.ID != name {
			continue
		}
		if m.rec.State != Ending {
			p.doom(m, "an operator has ended it")
			p.nudge()
		}
		return m.rec, nil
	}
	return Record{}, noMachine(name)
}

func noMachine(name string) error {
	return fmt.Errorf("end machine %q: none has this name; rondo vm list shows those that there are: %w", name, ci.ErrNotFound)
}

// Report takes the host key of a machine that boots, with the token that it was
// given. [ci.ErrDenied] for a wrong token, for a second time, and for a machine
// that does not boot.
func (p *Pool) Report(ctx context.Context, key, token, hostKey string) error {
	denied := fmt.Errorf("report of machine %q: %w", key, ci.ErrDenied)
	p.mu.Lock()
	m := p.machines[key]
	p.mu.Unlock()
	if m == nil || token == "" || hostKey == "" || len(hostKey) > 8<<10 {
		return denied
	}
	s, err := p.access(ctx, m)
	if err != nil || !same(s.Token, token) {
		return denied
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.reported != "" && m.reported != hostKey || m.rec.State != Asked && m.rec.State != Booting {
		return denied
	}
	m.reported = hostKey
	if !m.busy {
		p.at(m, p.cfg.Clock())
	}
	p.nudge()
	return nil
}

// Machines returns those that may exist and are older than that, the oldest
// first.
func (p *Pool) Machines(older time.Duration) []Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.cfg.Clock()
	var all []Record
	for _, m := range p.machines {
		if now.Sub(m.rec.Asked) >= older {
			all = append(all, m.rec)
		}
	}
	slices.SortFunc(all, func(a, b Record) int {
		return cmp.Or(a.Asked.Compare(b.Asked), cmp.Compare(a.Key, b.Key))
	})
	return all
}

// Layers returns the volumes, by project and last use.
func (p *Pool) Layers() []VolumeRecord {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []VolumeRecord
	for _, v := range p.layers {
		all = append(all, v.rec)
	}
	slices.SortFunc(all, func(a, b VolumeRecord) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), b.Used.Compare(a.Used), cmp.Compare(a.Key, b.Key))
	})
	return all
}

// Past returns the newest records of machines that are gone, of one task or,
// with "", of those that never had one.
func (p *Pool) Past(ctx context.Context, task ci.TaskID, limit int) ([]Record, error) {
	return past(ctx, p.docs, task, limit)
}

func past(ctx context.Context, docs ci.Docs, task ci.TaskID, limit int) ([]Record, error) {
	scope := cmp.Or(string(task), scopeIdle)
	var all []Record
	for d, err := range docs.Docs(ctx, ci.DocQuery{Kind: kindPast, Scope: scope, Newest: true, Limit: limit}) {
		if err != nil {
			return nil, fmt.Errorf("machines that are gone: %w", err)
		}
		var r Record
		if err := json.Unmarshal(d.Body, &r); err != nil {
			return nil, fmt.Errorf("machine %s: %w", d.ID, err)
		}
		all = append(all, r)
	}
	return all, nil
}
