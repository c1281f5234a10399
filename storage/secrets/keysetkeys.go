package secrets

import (
	"context"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// graceTime is how long after its retirement a key is kept in any case: a
// secret that was sealed under it may still be on its way to the database.
const graceTime = time.Hour

// change reads the file, has f change the keys, and writes them.
func (k *Keyset) change(what string, f func(keys []storedKey) ([]storedKey, error)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := locked(k.path, func() error {
		file, keys, err := k.load()
		if err != nil {
			return err
		}
		changed, err := f(keys)
		if err != nil {
			wipe(keys)
			return err
		}
		return k.write(file, changed)
	})
	if err != nil {
		return fmt.Errorf("%s in keyset %s: %w", what, k.path, err)
	}
	return nil
}

// Rotate adds a key and makes it primary; the one before goes on to unwrap.
func (k *Keyset) Rotate(context.Context) (string, error) {
	fresh := k.newKey()
	name := fresh.Name
	err := k.change("rotate the key", func(keys []storedKey) ([]storedKey, error) {
		for i, key := range keys {
			if key.State == KeyPrimary {
				keys[i].State, keys[i].Retired = KeyDecryptOnly, k.cfg.Now().UTC().Truncate(time.Second)
			}
		}
		return append(keys, fresh), nil
	})
	if err != nil {
		return "", err
	}
	k.cfg.Log.Info("a new key in the keyset", "key", name)
	return name, nil
}

// Disable stops a key that is not primary from unwrapping, until Enable. What
// is sealed under it is [ErrUnreadable] meanwhile, also for a [Keeper] once
// that forgets, see [Keeper.Forget].
func (k *Keyset) Disable(_ context.Context, name string) error {
	return k.turn(name, KeyDecryptOnly, KeyDisabled)
}

// Enable reverses Disable.
func (k *Keyset) Enable(_ context.Context, name string) error {
	return k.turn(name, KeyDisabled, KeyDecryptOnly)
}

func (k *Keyset) turn(name string, from, to State) error {
	return k.change("make key "+string(to), func(keys []storedKey) ([]storedKey, error) {
		i, err := find(keys, name)
		if err != nil {
			return nil, err
		}
		if keys[i].State != from {
			return nil, errState(keys[i].public(), string(from))
		}
		keys[i].State = to
		return keys, nil
	})
}

// Destroy removes a disabled key for ever, from this file: copies of the file
// keep it, and so may a disk that does not write in place. It refuses with [ci.ErrConflict]
// while documents need the key, which uses counts (see [Keeper.Uses]), and
// within an hour after the key was primary. What it cannot know is whether a
// backup needs the key: sealed parts in older ones become unreadable.
func (k *Keyset) Destroy(ctx context.Context, name string, uses func(context.Context) (map[Use]int, error)) error {
	err := k.change("destroy the key", func(keys []storedKey) ([]storedKey, error) {
		i, err := find(keys, name)
		if err != nil {
			return nil, err
		}
		if keys[i].State != KeyDisabled {
			return nil, errState(keys[i].public(), string(KeyDisabled))
		}
		if free := keys[i].Retired.Add(graceTime); k.cfg.Now().Before(free) {
			return nil, fmt.Errorf("key %s was primary until lately: wait until %s: %w", name, free.Format(time.RFC3339), ci.ErrConflict)
		}
		counted, err := uses(ctx)
		if err != nil {
			return nil, err
		}
		if n := counted[Use{k.Name(), name}]; n > 0 {
			return nil, fmt.Errorf("%d documents need key %s: reseal them first: %w", n, name, ci.ErrConflict)
		}
		clear(keys[i].Secret)
		keys[i].State, keys[i].Secret = KeyDestroyed, nil
		return keys, nil
	})
	if err == nil {
		k.cfg.Log.Info("a key of the keyset is destroyed", "key", name)
	}
	return err
}

// ChangeRoot encrypts the keyset, and nothing else, by another passphrase or
// key file. Other processes that use the file need the new one when they next
// make a key or start.
func (k *Keyset) ChangeRoot(_ context.Context, to Root) error {
	if err := to.apart(k.cfg.Data); err != nil {
		return fmt.Errorf("change the root of keyset %s: %w", k.path, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	err := locked(k.path, func() error {
		_, keys, err := k.load()
		if err != nil {
			return err
		}
		f, l, err := newKeysetFile(to, k.cfg.Cost)
		if err != nil {
			wipe(keys)
			return err
		}
		old := k.lock
		k.lock = l
		if err := k.write(f, keys); err != nil {
			k.lock = old
			return err
		}
		k.root = to
		return nil
	})
	if err != nil {
		return fmt.Errorf("change the root of keyset %s: %w", k.path, err)
	}
	return nil
}

func find(keys []storedKey, name string) (int, error) {
	for i, key := range keys {
		if key.Name == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("key %.100q: %w", name, ci.ErrNotFound)
}
