package secrets

import (
	"errors"
	"fmt"
)

// Why a sealed text does not open. Whoever is told of it reads the same text
// in all four cases; code that may know more asks with [errors.Is].
var (
	// ErrUnreadable is all of the following.
	ErrUnreadable = errors.New("not readable with the keys of this installation")
	// ErrTampered says that the text was changed, cut, or moved to another
	// place, or never was a sealed text.
	ErrTampered = errors.New("changed or moved")
	// ErrNoKey says that no backend has the key: it was destroyed, or the
	// backend is not configured.
	ErrNoKey = errors.New("no such key")
	// ErrKeyDisabled says that the key is there and may not be used.
	ErrKeyDisabled = errors.New("key is disabled")
)

// What keeps a backend from answering. These are worth retrying.
var (
	// ErrSealed says that the key server waits to be unsealed.
	ErrSealed = errors.New("key server is sealed: unseal it")
	// ErrRefused says that the key server does not accept our token, or that
	// its policy does not allow what we ask.
	ErrRefused = errors.New("key server refuses: check the token and its policy")
	// ErrBusy says that the key server wants fewer requests.
	ErrBusy = errors.New("key server is busy")
	// ErrUnreachable says that the key server did not answer, or not in time.
	ErrUnreachable = errors.New("key server does not answer")
)

// What keeps a [Keyset] from opening.
var (
	// ErrWrongRoot says that the passphrase or the key file is not the one of
	// this keyset.
	ErrWrongRoot = errors.New("wrong passphrase or root key")
	// ErrDamaged says that the file of a keyset is damaged. Restore it from a
	// backup: without it nothing that was sealed can be read.
	ErrDamaged = errors.New("keyset is damaged")
)

// An unreadable has one text for every reason; a log for operators may have
// that too, which is what it unwraps to.
type unreadable struct{ reason error }

func (e *unreadable) Error() string { return "open secret: " + ErrUnreadable.Error() }

func (e *unreadable) Is(target error) bool { return target == ErrUnreadable }

func (e *unreadable) Unwrap() error { return e.reason }

// hopeless reports whether asking again will not help.
func hopeless(err error) bool {
	return errors.Is(err, ErrTampered) || errors.Is(err, ErrNoKey) || errors.Is(err, ErrKeyDisabled)
}

// opened is what outsiders hear of an error: the reason does not show if it is
// one of those that they must not tell apart.
func opened(err error) error {
	if hopeless(err) {
		return &unreadable{err}
	}
	return fmt.Errorf("open secret: %w", err)
}
