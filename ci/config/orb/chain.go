package orb

import (
	"context"
	"errors"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
)

// A Source is a place where orbs are: a [Dir], a [View].
type Source interface {
	Orb(ctx context.Context, ref string) (resolved string, source []byte, err error)
}

// A Chain asks several places, one after the other, until one has the orb. A
// folder of the operator's before the registry lets nobody publish over what is
// in the folder. It is as safe for concurrent use as its parts.
type Chain []Source

// Orb returns the orb from the first place that has it. Any error but
// [ci.ErrNotFound] ends the search.
func (c Chain) Orb(ctx context.Context, ref string) (resolved string, source []byte, err error) {
	missing := fmt.Errorf("orb %.300s: %w", ref, ci.ErrNotFound)
	for i, s := range c {
		resolved, source, err = s.Orb(ctx, ref)
		if !errors.Is(err, ci.ErrNotFound) {
			return resolved, source, err
		}
		if i == 0 { // the first place is the operator's: it knows what to do
			missing = err
		}
	}
	return "", nil, missing
}

// Refs returns the exact references that the places of the chain list; a place
// that cannot list them has none. If none can, that is [ci.ErrNotFound]. They
// are for hints only.
func (c Chain) Refs() ([]string, error) {
	var all []string
	listed := false
	for _, s := range c {
		l, ok := s.(interface{ Refs() ([]string, error) })
		if !ok {
			continue
		}
		listed = true
		refs, err := l.Refs()
		if err != nil {
			return nil, err
		}
		all = append(all, refs...)
	}
	if !listed {
		return nil, fmt.Errorf("no place lists its orbs: %w", ci.ErrNotFound)
	}
	return all, nil
}
