package secrets

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// KeysetConfig has what a [Keyset] can do without.
type KeysetConfig struct {
	// Data is the data folder of the installation. A root in a file must lie
	// outside it; the keyset itself may lie inside.
	Data string
	// Name is that of the backend; "" is "local".
	Name string
	// Cost is that of a new passphrase.
	Cost Cost
	// Log hears of keys made and destroyed; nil is silent.
	Log *slog.Logger
	// Now is the clock; nil is [time.Now].
	Now func() time.Time
}

// A Keyset is a [Backend] for an installation on its own: AES-256-GCM keys in
// a file that is encrypted by a [Root]. Changes are on disk when a method
// returns. Several processes may use one file; each notices what another has
// changed. It is safe for concurrent use.
type Keyset struct {
	path string
	cfg  KeysetConfig

	mu      sync.Mutex
	root    Root
	lock    *lock
	seen    os.FileInfo // of the file that was read
	keys    []Key
	primary string
	aeads   map[string]cipher.AEAD // of those that may be used
	failed  error                  // why the file could not be read,
	retry   time.Time              // and when it is tried again
}

// retryAfter is how long a file that cannot be read is let alone: trying a
// passphrase is costly by design.
const retryAfter = 10 * time.Second

// CreateKeyset makes the file of a keyset with one key. A file that exists is
// [os.ErrExist], a passphrase of less than 12 characters [ci.ErrInvalid].
func CreateKeyset(path string, root Root, cfg KeysetConfig) (*Keyset, error) {
	k := newKeyset(path, root, cfg)
	err := locked(path, func() error {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, os.ErrExist)
		}
		if err := root.apart(cfg.Data); err != nil {
			return err
		}
		f, l, err := newKeysetFile(root, k.cfg.Cost)
		if err != nil {
			return err
		}
		k.lock = l
		return k.write(f, []storedKey{k.newKey()})
	})
	if err != nil {
		return nil, fmt.Errorf("create keyset %s: %w", path, err)
	}
	return k, nil
}

// OpenKeyset opens one. A file that does not exist is [os.ErrNotExist]; look
// twice before you make a new one, which reads nothing of what was sealed
// before. Other errors are [ErrWrongRoot] and [ErrDamaged].
func OpenKeyset(path string, root Root, cfg KeysetConfig) (*Keyset, error) {
	k := newKeyset(path, root, cfg)
	err := root.apart(cfg.Data)
	if err == nil {
		err = k.refresh()
	}
	if err != nil {
		return nil, fmt.Errorf("open keyset %s: %w", path, err)
	}
	return k, nil
}

func newKeyset(path string, root Root, cfg KeysetConfig) *Keyset {
	if cfg.Name == "" {
		cfg.Name = "local"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Cost = cfg.Cost.orDefault()
	return &Keyset{path: path, root: root, cfg: cfg}
}

// String names the keyset and tells nothing.
func (k *Keyset) String() string { return "secrets.Keyset(" + k.path + ")" }

// GoString is as String.
func (k *Keyset) GoString() string { return k.String() }

// newKey returns a primary key.
func (k *Keyset) newKey() storedKey {
	id := make([]byte, 6)
	secret := make([]byte, dataKeySize)
	_, _ = rand.Read(id)
	_, _ = rand.Read(secret)
	return storedKey{Name: hex.EncodeToString(id), State: KeyPrimary, Created: k.cfg.Now().UTC().Truncate(time.Second), Secret: secret}
}

// refresh reads the file if it is another than the last time.
func (k *Keyset) refresh() error {
	info, err := os.Stat(k.path)
	if err != nil {
		return err
	}
	if k.seen != nil && os.SameFile(k.seen, info) && k.seen.ModTime().Equal(info.ModTime()) && k.seen.Size() == info.Size() {
		return nil
	}
	if k.failed != nil && k.cfg.Now().Before(k.retry) {
		return k.failed
	}
	_, keys, err := k.load()
	if err == nil {
		defer wipe(keys)
		err = k.use(keys, info)
	}
	k.failed, k.retry = err, k.cfg.Now().Add(retryAfter)
	return err
}

// load reads the file.
func (k *Keyset) load() (*keysetFile, []storedKey, error) {
	f, err := readKeyset(k.path)
	if err != nil {
		return nil, nil, err
	}
	l := k.lock
	if l == nil || l.salt != string(f.Salt) {
		if k.root.kind != f.Root {
			return nil, nil, fmt.Errorf("it is under a %s, not a %s: %w", f.Root, k.root.kind, ErrWrongRoot)
		}
		if l, err = newLock(f, k.root, false); err != nil {
			return nil, nil, err
		}
	}
	keys, err := f.open(l)
	if err == nil {
		k.lock = l
	}
	return f, keys, err
}

// use puts the keys to work.
func (k *Keyset) use(keys []storedKey, info os.FileInfo) error {
	var public []Key
	primary, aeads := "", map[string]cipher.AEAD{}
	for _, key := range keys {
		public = append(public, key.public())
		if key.State == KeyPrimary {
			primary = key.Name
		}
		if key.State == KeyPrimary || key.State == KeyDecryptOnly {
			aead, err := newAEAD(key.Secret)
			if err != nil || !validName(key.Name) {
				return ErrDamaged
			}
			aeads[key.Name] = aead
		}
	}
	if primary == "" {
		return ErrDamaged
	}
	k.keys, k.primary, k.aeads, k.seen = public, primary, aeads, info
	return nil
}

// write puts the keys into the file and to work, and overwrites them.
func (k *Keyset) write(f *keysetFile, keys []storedKey) error {
	defer wipe(keys)
	b, err := f.seal(k.lock, keys)
	if err != nil {
		return err
	}
	if err := writeKeyset(k.path, b); err != nil {
		return err
	}
	info, err := os.Stat(k.path)
	if err != nil {
		return err
	}
	return k.use(keys, info)
}

func wipe(keys []storedKey) {
	for _, key := range keys {
		clear(key.Secret)
	}
}

// Name is that of the configuration.
func (k *Keyset) Name() string { return k.cfg.Name }

// Primary returns the name of the primary key.
func (k *Keyset) Primary(context.Context) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(); err != nil {
		return "", fmt.Errorf("keyset %s: %w", k.path, err)
	}
	return k.primary, nil
}

// Keys lists the keys, the oldest first.
func (k *Keyset) Keys(context.Context) ([]Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(); err != nil {
		return nil, fmt.Errorf("keyset %s: %w", k.path, err)
	}
	return append([]Key(nil), k.keys...), nil
}

// Wrap wraps a data key under the primary key.
func (k *Keyset) Wrap(_ context.Context, dataKey []byte) (Wrapped, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(); err != nil {
		return Wrapped{}, fmt.Errorf("keyset %s: %w", k.path, err)
	}
	return k.wrap(dataKey), nil
}

func (k *Keyset) wrap(dataKey []byte) Wrapped {
	return Wrapped{k.primary, k.aeads[k.primary].Seal(nil, nil, dataKey, wrapBinding(k.primary))}
}

// wrapBinding is what a wrapped data key is bound to: that it is one, and the
// name of its key.
func wrapBinding(key string) []byte { return appendPart(appendPart(nil, "rondo data key"), key) }

// Unwrap unwraps data keys, also while the file cannot be read.
func (k *Keyset) Unwrap(_ context.Context, wrapped ...Wrapped) ([][]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	stale := k.refresh()
	keys := make([][]byte, len(wrapped))
	for i, w := range wrapped {
		var err error
		if keys[i], err = k.unwrap(w); err != nil {
			if stale != nil && errors.Is(err, ErrNoKey) {
				err = stale
			}
			return nil, fmt.Errorf("keyset %s: %w", k.path, err)
		}
	}
	return keys, nil
}

func (k *Keyset) unwrap(w Wrapped) ([]byte, error) {
	aead := k.aeads[w.Key]
	if aead == nil {
		for _, key := range k.keys {
			if key.Name == w.Key && key.State == KeyDisabled {
				return nil, ErrKeyDisabled
			}
		}
		return nil, ErrNoKey
	}
	raw, err := aead.Open(nil, nil, w.Data, wrapBinding(w.Key))
	if err != nil {
		return nil, ErrTampered
	}
	return raw, nil
}

// Rewrap wraps the same data keys under the primary key.
func (k *Keyset) Rewrap(ctx context.Context, wrapped ...Wrapped) ([]Wrapped, error) {
	keys, err := k.Unwrap(ctx, wrapped...)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := make([]Wrapped, len(keys))
	for i, raw := range keys {
		now[i] = k.wrap(raw)
		clear(raw)
	}
	return now, nil
}

var _ Backend = (*Keyset)(nil)

// errState says that a key is not in the state that a change asks for.
func errState(key Key, want string) error {
	return fmt.Errorf("key %s is %s, not %s: %w", key.Name, key.State, want, ci.ErrConflict)
}
