package ci

import "errors"

// The four ways an operation can be refused. Every package of Rondo wraps one
// of them (with %w) when it applies, so callers ask with [errors.Is]; any
// other error is a fault of the machinery and worth retrying.
var (
	// ErrNotFound says that the thing named does not exist, or that the asker
	// may not know that it does.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that the state has moved on: a stale lease, a job that
	// has already ended, a name that is taken. Repeating will not help.
	ErrConflict = errors.New("conflict")
	// ErrInvalid says that the request itself is wrong; its text says how.
	ErrInvalid = errors.New("invalid")
	// ErrDenied says that the actor may not do this.
	ErrDenied = errors.New("denied")
)
