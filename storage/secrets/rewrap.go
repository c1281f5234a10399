package secrets

import (
	"context"
	"fmt"
	"slices"

	"github.com/rondo-ci/rondo/ci"
)

// Rewrap returns the sealed text with its data key wrapped by the primary key
// of the primary backend; the text as it is if it was already. The secret is
// not decrypted, and within one backend the data key does not leave it if the
// backend can help that.
func (k *Keeper) Rewrap(ctx context.Context, sealed string) (string, error) {
	b := k.head()
	primary, err := b.Primary(ctx)
	if err != nil {
		return "", fmt.Errorf("rewrap secret: %w", err)
	}
	out, err := k.rewrapAll(ctx, b, primary, []string{sealed})
	if err != nil {
		return "", err
	}
	return out[0], nil
}

// rewrapAll is Rewrap for many texts, with as few requests as possible.
func (k *Keeper) rewrapAll(ctx context.Context, to Backend, primary string, sealed []string) ([]string, error) {
	texts := make([]text, len(sealed))
	old := map[string][]Wrapped{} // by backend, each once
	seen := map[cacheKey]bool{}
	for i, s := range sealed {
		t, err := decode(s)
		if err != nil {
			return nil, opened(err)
		}
		texts[i] = t
		key := keyOf(t.backend, t.key)
		if current := t.backend == to.Name() && t.key.Key == primary; !current && !seen[key] {
			seen[key] = true
			old[t.backend] = append(old[t.backend], t.key)
		}
	}
	fresh := map[cacheKey]Wrapped{}
	for name, wrapped := range old {
		now, err := k.rewrapKeys(ctx, name, to, wrapped)
		if err != nil {
			return nil, opened(err)
		}
		for i, w := range wrapped {
			fresh[keyOf(name, w)] = now[i]
		}
	}
	out := slices.Clone(sealed)
	for i, t := range texts {
		if w, ok := fresh[keyOf(t.backend, t.key)]; ok {
			out[i] = text{to.Name(), w, t.born, t.sealed}.encode()
		}
	}
	return out, nil
}

func (k *Keeper) rewrapKeys(ctx context.Context, from string, to Backend, wrapped []Wrapped) ([]Wrapped, error) {
	b, err := k.backend(from)
	if err != nil {
		return nil, err
	}
	if b.Name() == to.Name() {
		now, err := to.Rewrap(ctx, wrapped...)
		if err == nil && len(now) != len(wrapped) {
			err = ErrTampered
		}
		return now, err
	}
	keys, err := b.Unwrap(ctx, wrapped...)
	if err != nil {
		return nil, err
	}
	if len(keys) != len(wrapped) {
		return nil, ErrTampered
	}
	now := make([]Wrapped, len(keys))
	for i, raw := range keys {
		now[i], err = to.Wrap(ctx, raw)
		clear(raw)
		if err != nil {
			return nil, err
		}
	}
	return now, nil
}

// Rotate makes a new primary key in the primary backend and returns its name.
// New secrets are sealed under it at once; call [Keeper.Reseal] to have the
// old ones follow.
func (k *Keeper) Rotate(ctx context.Context) (string, error) {
	b := k.head()
	key, err := b.Rotate(ctx)
	if err != nil {
		return "", fmt.Errorf("rotate the key of secrets: %w", err)
	}
	k.dropDataKey()
	k.cfg.Log.Info("a new key for secrets", "backend", b.Name(), "key", key)
	return key, nil
}

// Forget drops every unwrapped data key from memory, also the one for new
// secrets: after a key was disabled, so that it has an effect at once.
func (k *Keeper) Forget() {
	k.dropDataKey()
	k.cache.flush()
}

// Ready asks the primary backend for its primary key: nil says that secrets
// can be sealed now, for a health check once a minute.
func (k *Keeper) Ready(ctx context.Context) error {
	if _, err := k.head().Primary(ctx); err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	return nil
}

// An Info says what a keeper works with.
type Info struct {
	Backend  string           `json:"backend"` // the primary one
	Backends map[string][]Key `json:"backends"`
	// Uses counts the documents that need a key, by backend and key, if it was
	// asked for.
	Uses map[Use]int `json:"-"`
}

// A Use is a key that sealed texts need.
type Use struct{ Backend, Key string }

// Info lists the keys of all backends, and with docs who needs them.
func (k *Keeper) Info(ctx context.Context, docs ci.Docs) (Info, error) {
	k.mu.RLock()
	info := Info{Backend: k.primary.Name(), Backends: map[string][]Key{}}
	backends := make([]Backend, 0, len(k.backends))
	for _, b := range k.backends {
		backends = append(backends, b)
	}
	k.mu.RUnlock()
	for _, b := range backends {
		keys, err := b.Keys(ctx)
		if err != nil {
			return Info{}, fmt.Errorf("keys of %s: %w", b.Name(), err)
		}
		info.Backends[b.Name()] = keys
	}
	if docs == nil {
		return info, nil
	}
	var err error
	info.Uses, err = k.Uses(ctx, docs)
	return info, err
}
