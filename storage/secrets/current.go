package secrets

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// current is the data key for new secrets.
type current struct {
	backend string // "" if there is none
	wrapped Wrapped
	born    uint16 // day
	seals   int
}

// maxSeals is how many secrets a keeper seals with one data key. Random nonces
// of 96 bits are good for 2^32 (NIST SP 800-38D, 8.3).
const maxSeals = 1 << 28

// today returns the day, counted from 1970.
func today() uint16 { return uint16(time.Now().Unix() / (24 * 60 * 60)) }

// young reports whether a data key still serves for new secrets.
func (k *Keeper) young(c current) bool {
	age := int(today()) - int(c.born)
	return c.seals < maxSeals && age >= 0 && time.Duration(age)*24*time.Hour < k.cfg.KeyFor
}

// dataKey returns the data key for a new secret. If the last one is of another
// backend, too old or used up, it takes one that was met in a sealed text, so
// that a restart is no reason for another, and else makes one.
func (k *Keeper) dataKey(ctx context.Context, b Backend) (current, error) {
	var c *current
	select {
	case c = <-k.current:
		defer func() { k.current <- c }()
	case <-ctx.Done():
		return current{}, ctx.Err()
	}
	if c.backend == b.Name() && k.young(*c) {
		c.seals++
		return *c, nil
	}
	if met := k.known.Swap(nil); met != nil && met.backend == b.Name() && k.young(*met) {
		primary, err := b.Primary(ctx)
		if err != nil {
			return current{}, err
		}
		if met.wrapped.Key == primary {
			*c = *met
			return *c, nil
		}
	}
	raw := make([]byte, dataKeySize)
	_, _ = rand.Read(raw) // never fails
	w, err := b.Wrap(ctx, raw)
	if err != nil {
		return current{}, err
	}
	if err := checkName("key", w.Key); err != nil || len(w.Data) > maxWrapped {
		return current{}, fmt.Errorf("backend %s wraps what is not fit for a sealed text: %w", b.Name(), ci.ErrInvalid)
	}
	if _, err := k.cache.put(keyOf(b.Name(), w), raw); err != nil {
		return current{}, err
	}
	*c = current{backend: b.Name(), wrapped: w, born: today(), seals: 1}
	k.cfg.Log.Info("a new data key", "backend", b.Name(), "key", w.Key)
	return *c, nil
}

// notice keeps the youngest data key of the texts that were opened, which are
// genuine therefore.
func (k *Keeper) notice(t text) {
	met := k.known.Load()
	if met != nil && met.backend == t.backend && met.born >= t.born {
		return
	}
	k.known.CompareAndSwap(met, &current{backend: t.backend, wrapped: t.key, born: t.born})
}

// dropDataKey has the next seal make a new one.
func (k *Keeper) dropDataKey() {
	c := <-k.current
	*c = current{}
	k.known.Store(nil)
	k.current <- c
}
