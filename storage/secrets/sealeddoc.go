package secrets

import (
	"context"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
)

// SealDoc returns the document with the secret as its Sealed part, bound to
// its [PlaceOf].
func (k *Keeper) SealDoc(ctx context.Context, d ci.Doc, plain []byte) (ci.Doc, error) {
	sealed, err := k.Seal(ctx, PlaceOf(d), plain)
	if err != nil {
		return ci.Doc{}, fmt.Errorf("%s %s: %w", d.Kind, d.ID, err)
	}
	d.Sealed = sealed
	return d, nil
}

// OpenDoc returns the secret of a document.
func (k *Keeper) OpenDoc(ctx context.Context, d ci.Doc) ([]byte, error) {
	plain, err := k.Open(ctx, PlaceOf(d), d.Sealed)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", d.Kind, d.ID, err)
	}
	return plain, nil
}

// OpenDocs returns the secrets of all the documents, in order, or fails. It
// asks each backend once for all data keys that are not remembered, however
// many documents there are.
func (k *Keeper) OpenDocs(ctx context.Context, docs []ci.Doc) ([][]byte, error) {
	k.warm(ctx, docs)
	plain := make([][]byte, len(docs))
	for i, d := range docs {
		var err error
		if plain[i], err = k.OpenDoc(ctx, d); err != nil {
			return nil, err
		}
	}
	return plain, nil
}

// warm unwraps the data keys of the documents together. What does not work
// shows when a document is opened on its own.
func (k *Keeper) warm(ctx context.Context, docs []ci.Doc) {
	need := map[string][]Wrapped{}
	seen := map[cacheKey]bool{}
	for _, d := range docs {
		t, err := decode(d.Sealed)
		if err != nil {
			continue
		}
		if key := keyOf(t.backend, t.key); !seen[key] && !k.cache.has(key) && len(seen) < k.cfg.CacheMax {
			seen[key] = true
			need[t.backend] = append(need[t.backend], t.key)
		}
	}
	for name, wrapped := range need {
		b, err := k.backend(name)
		if err != nil || len(wrapped) == 1 {
			continue
		}
		keys, err := b.Unwrap(ctx, wrapped...)
		if err != nil || len(keys) != len(wrapped) {
			continue
		}
		for i, raw := range keys {
			_, _ = k.cache.put(keyOf(name, wrapped[i]), raw)
		}
	}
}
