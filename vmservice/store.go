package vmservice

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/rondo-ci/rondo/ci"
)

// load reads what there was before a restart.
func (p *Pool) load(ctx context.Context) error {
	now := p.cfg.Clock()
	p.mu.Lock()
	defer p.mu.Unlock()
	for d, err := range p.docs.Docs(ctx, ci.DocQuery{Kind: kindMachine, AllScopes: true}) {
		if err != nil {
			return err
		}
		var r Record
		if err := json.Unmarshal(d.Body, &r); err != nil {
			return fmt.Errorf("machine %s: %w", d.ID, err)
		}
		if p.machines[r.Key] != nil || r.Provider != p.cfg.Boot.Provider {
			continue
		}
		// It may have been asked for just before the end.
		m := &machine{version: d.Version, called: now, tries: 1, lease: now.Add(p.cfg.Times.Lease)}
		p.machines[r.Key] = m
		p.set(m, r)
		p.at(m, now)
	}
	for d, err := range p.docs.Docs(ctx, ci.DocQuery{Kind: kindVolume, AllScopes: true}) {
		if err != nil {
			return err
		}
		var v VolumeRecord
		if err := json.Unmarshal(d.Body, &v); err != nil {
			return fmt.Errorf("volume %s: %w", d.ID, err)
		}
		if p.layers[v.Key] == nil && v.Provider == p.cfg.Boot.Provider {
			p.addLayer(&layer{version: d.Version, tries: 1}, v)
		}
	}
	d, err := p.docs.Doc(ctx, kindPool, poolDoc)
	if err == nil {
		var kept poolState
		if err := json.Unmarshal(d.Body, &kept); err != nil {
			return fmt.Errorf("state of the pool: %w", err)
		}
		p.drained, p.poolVer = kept.Drained, d.Version
	} else if !errors.Is(err, ci.ErrNotFound) {
		return err
	}
	p.loaded = true
	return nil
}

// poolState is what operators have decided.
type poolState struct {
	Drained bool `json:"drained"`
}

// save writes a change of a machine, and of more documents with it. Only who
// has made the machine busy may call it. After an error it is not known
// what is written; the machine is read again before its next step.
func (p *Pool) save(ctx context.Context, m *machine, change func(*Record), more ...ci.DocChange) error {
	p.mu.Lock()
	r, version := m.rec, m.version
	p.mu.Unlock()
	change(&r)
	d, err := r.doc(p.cfg.Clock())
	if err != nil {
		return err
	}
	got, err := p.docs.WriteDocs(ctx, append([]ci.DocChange{{Doc: versioned(d, version)}}, more...)...)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		m.stale = true
		return err
	}
	m.version = got[0].Version
	p.set(m, r)
	return nil
}

func versioned(d ci.Doc, version int64) ci.Doc {
	d.Version = version
	return d
}

// reload reads a machine whose record is not known for sure.
func (p *Pool) reload(ctx context.Context, m *machine) error {
	d, err := p.docs.Doc(ctx, kindMachine, m.rec.Key)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case errors.Is(err, ci.ErrNotFound): // it never was, or is gone
		p.forget(m)
		return nil
	case err != nil:
		return err
	}
	var r Record
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return err
	}
	m.version, m.stale = d.Version, false
	if r.State == Claimed && m.rec.State != Claimed {
		m.lease = p.cfg.Clock().Add(p.cfg.Times.Lease)
		delete(p.waiting, r.Task)
		p.unqueue(r.Task)
	}
	p.set(m, r)
	return nil
}

// forget takes a machine out of everything. The caller holds the lock.
func (p *Pool) forget(m *machine) {
	p.count(m, -1)
	p.due.remove(m)
	delete(p.machines, m.rec.Key)
	m.rec.State = Gone
}

// finish moves a machine that is gone to the ledger, its volume on its way to
// be free.
func (p *Pool) finish(ctx context.Context, m *machine, why string) error {
	p.mu.Lock()
	r, version := m.rec, m.version
	v := p.layers[r.Volume]
	var next VolumeRecord
	if v != nil && v.rec.State == LayersUsed && v.rec.Machine == r.Key {
		next = v.returned(r, p.cfg.Clock())
	}
	p.mu.Unlock()
	r.State, r.Ended = Gone, p.cfg.Clock()
	if r.Why == "" {
		r.Why = why
	}
	past, err := r.past(p.cfg.Times.Keep)
	if err != nil {
		return err
	}
	changes := []ci.DocChange{
		{Doc: ci.Doc{Kind: kindMachine, ID: r.Key, Version: version}, Delete: true}, {Doc: past},
	}
	if p.cfg.Keeper != nil {
		changes = append(changes, ci.DocChange{Doc: ci.Doc{Kind: kindKey, ID: r.Key, Version: ci.AnyVersion}, Delete: true})
	}
	if next.Key != "" {
		change, err := v.change(next, p.cfg.Clock())
		if err != nil {
			return err
		}
		changes = append(changes, change)
	}
	got, err := p.docs.WriteDocs(ctx, changes...)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		m.stale = true
		if v != nil {
			v.stale = true
		}
		return err
	}
	if next.Key != "" {
		v.version = got[len(got)-1].Version
		p.setLayer(v, next)
	}
	p.cost(r, r.Ended)
	p.counts.Ended++
	p.forget(m)
	m.secrets = nil
	p.cfg.Log.Info("machine ended", "machine", r.Key, "id", r.ID, "task", r.Task, "why", r.Why)
	return nil
}

// newSecrets makes the key to a machine.
func (p *Pool) newSecrets(comment string) (secrets, string, error) {
	var seed [ed25519.SeedSize + 16]byte
	if _, err := io.ReadFull(p.cfg.Boot.Random, seed[:]); err != nil {
		return secrets{}, "", err
	}
	private := ed25519.NewKeyFromSeed(seed[:ed25519.SeedSize])
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return secrets{}, "", err
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		return secrets{}, "", err
	}
	return secrets{Key: string(pem.EncodeToMemory(block)), Token: hex.EncodeToString(seed[ed25519.SeedSize:])},
		strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))), nil
}

// keyChange returns the document of a machine's secrets; none without a
// keeper.
func (p *Pool) keyChange(ctx context.Context, m *machine, s secrets) ([]ci.DocChange, error) {
	if p.cfg.Keeper == nil {
		return nil, nil
	}
	plain, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	d := ci.Doc{Kind: kindKey, ID: m.rec.Key, Body: []byte("{}"), Updated: p.cfg.Clock()}
	if d, err = p.cfg.Keeper.SealDoc(ctx, d, plain); err != nil {
		return nil, err
	}
	d.Version = ci.AnyVersion
	return []ci.DocChange{{Doc: d}}, nil
}

// access returns the secrets of a machine, read if need be.
// [ci.ErrNotFound] when there are none any more.
func (p *Pool) access(ctx context.Context, m *machine) (secrets, error) {
	p.mu.Lock()
	s, key := m.secrets, m.rec.Key
	p.mu.Unlock()
	if s != nil {
		return *s, nil
	}
	if p.cfg.Keeper == nil {
		return secrets{}, fmt.Errorf("the key of machine %s was not kept over the restart: %w", key, ci.ErrNotFound)
	}
	d, err := p.docs.Doc(ctx, kindKey, key)
	if err != nil {
		return secrets{}, err
	}
	plain, err := p.cfg.Keeper.OpenDoc(ctx, d)
	if err != nil {
		return secrets{}, err
	}
	var got secrets
	if err := json.Unmarshal(plain, &got); err != nil {
		return secrets{}, err
	}
	p.mu.Lock()
	m.secrets = &got
	p.mu.Unlock()
	return got, nil
}
