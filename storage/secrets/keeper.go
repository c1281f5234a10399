package secrets

import (
	"context"
	"crypto/cipher"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Config has what a [Keeper] can do without.
type Config struct {
	// Kinds are the kinds of places that may have secrets. Others are refused,
	// since [Keeper.Reseal] would not find them.
	Kinds []string
	// Others are backends that have wrapped before and still unwrap.
	Others []Backend
	// CacheFor is how long an unwrapped data key is remembered; 0 is 5 minutes,
	// which is also the most.
	CacheFor time.Duration
	// CacheMax is how many of them; 0 is 1000.
	CacheMax int
	// KeyFor is for how long a data key serves for new secrets, in days; 0 is
	// 30 days. Fewer data keys are fewer to unwrap; more are less to lose with
	// one.
	KeyFor time.Duration
	// Log hears of keys made and documents resealed; nil is silent.
	Log *slog.Logger
}

// A Keeper seals and opens secrets. It is safe for concurrent use.
type Keeper struct {
	install string
	cfg     Config
	cache   *cache
	current chan *current // of one: who has it makes or takes the data key
	known   atomic.Pointer[current]

	mu       sync.RWMutex
	primary  Backend
	backends map[string]Backend
}

const (
	cacheFor = 5 * time.Minute
	cacheMax = 1000
	keyFor   = 30 * 24 * time.Hour
)

// New returns a keeper for the installation of that ID (which every sealed
// text is bound to: it must never change) that seals under the primary key of
// the backend. It does not talk to it yet.
func New(install string, primary Backend, cfg Config) (*Keeper, error) {
	if install == "" || primary == nil || len(cfg.Kinds) == 0 {
		return nil, fmt.Errorf("keep secrets: an installation, a backend and kinds are needed: %w", ci.ErrInvalid)
	}
	if cfg.CacheFor <= 0 || cfg.CacheFor > cacheFor {
		cfg.CacheFor = cacheFor
	}
	if cfg.CacheMax <= 0 {
		cfg.CacheMax = cacheMax
	}
	if cfg.KeyFor <= 0 {
		cfg.KeyFor = keyFor
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{
		install: install, cfg: cfg, primary: primary, backends: map[string]Backend{},
		cache:   &cache{ttl: cfg.CacheFor, max: cfg.CacheMax, entries: map[cacheKey]*entry{}},
		current: make(chan *current, 1),
	}
	k.current <- &current{}
	for _, b := range append([]Backend{primary}, cfg.Others...) {
		if err := k.add(b); err != nil {
			return nil, fmt.Errorf("keep secrets: %w", err)
		}
	}
	return k, nil
}

func (k *Keeper) add(b Backend) error {
	if err := checkName("backend", b.Name()); err != nil {
		return err
	}
	if old := k.backends[b.Name()]; old != nil && old != b {
		return fmt.Errorf("two backends have the name %s: %w", b.Name(), ci.ErrInvalid)
	}
	k.backends[b.Name()] = b
	return nil
}

// String names the keeper and tells nothing.
func (k *Keeper) String() string { return "secrets.Keeper(" + k.head().Name() + ")" }

// GoString is as String.
func (k *Keeper) GoString() string { return k.String() }

// head returns the primary backend.
func (k *Keeper) head() Backend {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.primary
}

func (k *Keeper) backend(name string) (Backend, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if b := k.backends[name]; b != nil {
		return b, nil
	}
	return nil, ErrNoKey
}

// Move makes a backend the primary one. The others remain for reading. Call
// [Keeper.Reseal] afterwards to be rid of them.
func (k *Keeper) Move(to Backend) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.add(to); err != nil {
		return fmt.Errorf("move secrets: %w", err)
	}
	k.primary = to
	k.cfg.Log.Info("secrets have moved", "backend", to.Name())
	return nil
}

// Seal returns the secret as text that opens at this place only. The place is
// a kind, one of Config.Kinds, and what names the secret within it; for a
// document use [Keeper.SealDoc]. The same secret twice gives two texts that
// nobody can tell to be of the same. One that is larger than [MaxSecret] is
// [ci.ErrInvalid].
func (k *Keeper) Seal(ctx context.Context, place []string, plain []byte) (string, error) {
	if err := k.check(place, len(plain)); err != nil {
		return "", fmt.Errorf("seal secret: %w", err)
	}
	for retried := false; ; retried = true {
		b := k.head()
		c, err := k.dataKey(ctx, b)
		if err != nil {
			return "", fmt.Errorf("seal secret: %w", err)
		}
		aead, err := k.unwrapped(ctx, b, c.wrapped)
		if err == nil {
			sealed := aead.Seal(nil, nil, plain, binding(k.install, place, c.born))
			return text{b.Name(), c.wrapped, c.born, sealed}.encode(), nil
		}
		if retried || !hopeless(err) {
			return "", fmt.Errorf("seal secret: %w", err)
		}
		k.dropDataKey() // its key was disabled since
	}
}

func (k *Keeper) check(place []string, size int) error {
	switch {
	case size > MaxSecret:
		return fmt.Errorf("it has %d bytes, more than %d: %w", size, MaxSecret, ci.ErrInvalid)
	case len(place) == 0 || !slices.Contains(k.cfg.Kinds, place[0]):
		return fmt.Errorf("places %.1q are not among the kinds that are resealed: %w", place, ci.ErrInvalid)
	}
	return nil
}

// Open returns the secret of a sealed text. What was sealed elsewhere, by
// another installation or with keys that are gone, and what was changed, is
// [ErrUnreadable], with one text whatever the reason.
func (k *Keeper) Open(ctx context.Context, place []string, sealed string) ([]byte, error) {
	t, err := decode(sealed)
	if err != nil {
		return nil, &unreadable{err}
	}
	b, err := k.backend(t.backend)
	if err != nil {
		return nil, &unreadable{err}
	}
	aead, err := k.unwrapped(ctx, b, t.key)
	if err != nil {
		return nil, opened(err)
	}
	plain, err := aead.Open(nil, nil, t.sealed, binding(k.install, place, t.born))
	if err != nil {
		return nil, &unreadable{ErrTampered}
	}
	k.notice(t)
	return plain, nil
}

// unwrapped returns a data key ready for use.
func (k *Keeper) unwrapped(ctx context.Context, b Backend, w Wrapped) (cipher.AEAD, error) {
	return k.cache.get(ctx, keyOf(b.Name(), w), func() ([]byte, error) {
		keys, err := b.Unwrap(ctx, w)
		if err == nil && len(keys) != 1 {
			err = ErrTampered
		}
		if err != nil {
			return nil, err
		}
		return keys[0], nil
	})
}
