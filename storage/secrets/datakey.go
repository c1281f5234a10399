package secrets

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"sync"
	"time"
)

// dataKeySize is that of AES-256.
const dataKeySize = 32

// newAEAD returns AES-256-GCM that makes a random nonce of 96 bits for each
// seal and puts it in front.
func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != dataKeySize {
		return nil, fmt.Errorf("data key of %d bytes: %w", len(key), ErrTampered)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// A cacheKey names a wrapped data key.
type cacheKey struct{ backend, key, data string }

func keyOf(backend string, w Wrapped) cacheKey { return cacheKey{backend, w.Key, string(w.Data)} }

// A cache remembers unwrapped data keys for a time, and sees to it that those
// who need the same one at once ask the backend once.
type cache struct {
	ttl time.Duration
	max int

	mu      sync.Mutex
	entries map[cacheKey]*entry
}

// An entry is a data key that is unwrapped or about to be.
type entry struct {
	done chan struct{} // closed when the next two are set
	aead cipher.AEAD
	err  error
	drop *time.Timer // nil until then
}

// get returns what the cache has for the key, or has unwrap find it.
func (c *cache) get(ctx context.Context, key cacheKey, unwrap func() ([]byte, error)) (cipher.AEAD, error) {
	for {
		e, mine := c.enter(key)
		if mine {
			raw, err := unwrap()
			c.settle(key, e, raw, err)
			return e.aead, e.err
		}
		select {
		case <-e.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		// The one that asked may have been told to stop; that is not our error.
		if !errors.Is(e.err, context.Canceled) && !errors.Is(e.err, context.DeadlineExceeded) || ctx.Err() != nil {
			return e.aead, e.err
		}
	}
}

// put remembers a data key that the caller has anyway, and overwrites it.
func (c *cache) put(key cacheKey, raw []byte) (cipher.AEAD, error) {
	e := &entry{done: make(chan struct{})}
	c.mu.Lock()
	if old := c.entries[key]; old != nil && old.drop != nil {
		old.drop.Stop()
	}
	c.insert(key, e)
	c.mu.Unlock()
	c.settle(key, e, raw, nil)
	return e.aead, e.err
}

// has reports whether the key is there or on its way.
func (c *cache) has(key cacheKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries[key] != nil
}

// enter returns the entry of the key, and whether the caller has to settle it.
func (c *cache) enter(key cacheKey) (*entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil {
		return e, false
	}
	e := &entry{done: make(chan struct{})}
	c.insert(key, e)
	return e, true
}

// insert makes room first. Any key will do: the cache is as large as what is
// read together, and random in the order of maps.
func (c *cache) insert(key cacheKey, e *entry) {
	for k, old := range c.entries {
		if len(c.entries) < c.max {
			break
		}
		if old.drop != nil { // others wait for the rest
			old.drop.Stop()
			delete(c.entries, k)
		}
	}
	c.entries[key] = e
}

// settle takes the outcome, overwrites the key, and forgets the entry after a
// time, at once if it failed.
func (c *cache) settle(key cacheKey, e *entry, raw []byte, err error) {
	if err == nil {
		e.aead, err = newAEAD(raw)
		clear(raw)
	}
	e.err = err
	forget := func() {
		if c.entries[key] == e {
			delete(c.entries, key)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		forget()
	} else {
		e.drop = time.AfterFunc(c.ttl, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			forget()
		})
	}
	close(e.done)
}

// flush forgets everything that is settled.
func (c *cache) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, e := range c.entries {
		if e.drop != nil {
			e.drop.Stop()
			delete(c.entries, k)
		}
	}
}
