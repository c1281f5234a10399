package secrets

import (
	"context"
	"time"
)

// A Backend wraps data keys with keys that it does not give away. One of its
// keys is primary: it wraps; the others only unwrap. All methods are safe for
// concurrent use, and their errors are among those of this package, wrapped,
// or the context's.
type Backend interface {
	// Name is what sealed texts call it: letters, digits, dots, dashes,
	// underscores. It never changes.
	Name() string
	// Primary returns the name of the primary key.
	Primary(ctx context.Context) (string, error)
	// Wrap wraps a data key under the primary key.
	Wrap(ctx context.Context, dataKey []byte) (Wrapped, error)
	// Unwrap unwraps all of them, in order, in as few requests as it can, or
	// fails. The caller may overwrite what it gets.
	Unwrap(ctx context.Context, wrapped ...Wrapped) ([][]byte, error)
	// Rewrap wraps the same data keys under the primary key. Where it can, it
	// does so without the data keys leaving the backend.
	Rewrap(ctx context.Context, wrapped ...Wrapped) ([]Wrapped, error)
	// Rotate makes a new primary key and returns its name.
	Rotate(ctx context.Context) (string, error)
	// Keys lists the keys, the oldest first.
	Keys(ctx context.Context) ([]Key, error)
}

// A Wrapped is a data key under a key of a backend. It unwraps under the key
// of that name and no other.
type Wrapped struct {
	Key  string
	Data []byte // at most 4 KiB
}

// A Key is what people may know of a key: all but the key.
type Key struct {
	Name    string    `json:"name"`
	State   State     `json:"state"`
	Created time.Time `json:"created,omitzero"` // zero if the backend does not say
	// Retired is when it ceased to be primary; zero if it has not, or if the
	// backend does not say.
	Retired time.Time `json:"retired,omitzero"`
}

// A State says what a key may be used for.
type State string

// The states of keys.
const (
	KeyPrimary     State = "primary"      // wraps and unwraps
	KeyDecryptOnly State = "decrypt-only" // unwraps
	KeyDisabled    State = "disabled"     // does nothing, and can be enabled again
	KeyDestroyed   State = "destroyed"    // is gone; only its name is left
)
