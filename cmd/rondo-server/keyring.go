package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/secrets"
)

// A keyring turns the keys that stored secrets are encrypted with, and lets
// the secrets follow.
type keyring struct {
	keeper *secrets.Keeper
	docs   ci.Docs
	log    *slog.Logger
	turned chan struct{} // holds one when keys may have turned
}

func newKeyring(k *secrets.Keeper, docs ci.Docs, log *slog.Logger) *keyring {
	r := &keyring{keeper: k, docs: docs, log: log, turned: make(chan struct{}, 1)}
	r.turned <- struct{}{} // at the start, in case the settings name another backend
	return r
}

// SealingKeys lists the keys, the primary one first.
func (r *keyring) SealingKeys(ctx context.Context, _ ci.Actor) ([]ci.SealingKey, error) {
	info, err := r.keeper.Info(ctx, r.docs)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	var all []ci.SealingKey
	for backend, keys := range info.Backends {
		for _, k := range keys {
			state := string(k.State)
			if backend != info.Backend && k.State == secrets.KeyPrimary {
				state = string(secrets.KeyDecryptOnly) // of a backend that seals nothing new
			}
			all = append(all, ci.SealingKey{
				Backend: backend, Name: k.Name, State: state, Created: k.Created,
				Uses: info.Uses[secrets.Use{Backend: backend, Key: k.Name}],
			})
		}
	}
	rank := func(k ci.SealingKey) int {
		if k.State == string(secrets.KeyPrimary) {
			return 0
		}
		return 1
	}
	slices.SortFunc(all, func(a, b ci.SealingKey) int {
		return cmp.Or(rank(a)-rank(b), b.Created.Compare(a.Created), cmp.Compare(a.Backend, b.Backend), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}

// RotateKeys makes a new primary key; what is stored follows while the server
// runs.
func (r *keyring) RotateKeys(ctx context.Context, by ci.Actor) (ci.SealingKey, error) {
	name, err := r.keeper.Rotate(ctx)
	if err != nil {
		return ci.SealingKey{}, fmt.Errorf("rotate keys: %w", err)
	}
	r.log.Info("keys of stored secrets rotated", "key", name, "by", by.String())
	select {
	case r.turned <- struct{}{}:
	default:
	}
	keys, err := r.SealingKeys(ctx, by)
	if err != nil {
		return ci.SealingKey{}, err
	}
	for _, k := range keys {
		if k.Name == name {
			return k, nil
		}
	}
	return ci.SealingKey{Name: name}, nil
}

// resealAgain is after how long resealing is tried again when it failed.
const resealAgain = time.Minute

// Run seals what is stored under the primary key, whenever that has changed,
// until ctx ends.
func (r *keyring) Run(ctx context.Context) error {
	again := time.NewTimer(resealAgain)
	again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.turned:
		case <-again.C:
		}
		p, err := r.keeper.Reseal(ctx, r.docs, nil)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			r.log.Error("seal stored secrets under the new key, will try again", "resealed", p.Resealed, "failed", p.Failed, "err", err)
			again.Reset(resealAgain)
		case p.Resealed > 0:
			r.log.Info("stored secrets are sealed under the primary key", "resealed", p.Resealed)
		}
	}
}
