package secret

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/rondo-ci/rondo/ci"
)

// tries is how often a change is planned again because others were faster.
const tries = 50

// A plan is a change as it is to be, by what has been read.
type plan struct {
	// target is what the record shows.
	target map[string]string
	docs   []ci.DocChange
	// before is done once, after the change is on record and before it is
	// written; undo takes it back when the change cannot be written.
	before, undo func() error
}

// change plans and writes until nobody else interferes, and returns the
// documents as they are kept. A change that cannot be put on record is not
// made. A plan that fails with [ci.ErrDenied] goes on record as refused.
func (s *Safe) change(ctx context.Context, action string, by ci.Actor, draw func() (plan, error)) ([]ci.Doc, error) {
	noted := false
	var undo func() error
	var p plan
	for range tries {
		var err error
		p, err = draw()
		if err == nil && !noted {
			if err := s.cfg.Note(ctx, action, by, p.target); err != nil {
				return nil, unrecorded(action, err)
			}
			noted = true
			if p.before != nil {
				if err = p.before(); err == nil {
					undo = p.undo
				}
			}
		}
		var kept []ci.Doc
		if err == nil {
			kept, err = s.docs.WriteDocs(ctx, p.docs...)
			if err == nil {
				return kept, nil
			}
			if errors.Is(err, ci.ErrConflict) {
				continue
			}
		}
		return nil, s.failed(ctx, action, by, p.target, noted, err, undo)
	}
	err := fmt.Errorf("others keep changing it, try again: %w", ci.ErrConflict)
	return nil, s.failed(ctx, action, by, p.target, noted, err, undo)
}

// failed puts on record that a change was refused or, announced, did not come
// to be, and returns err and what went wrong on the way.
func (s *Safe) failed(ctx context.Context, action string, by ci.Actor, target map[string]string, noted bool, err error, undo func() error) error {
	ctx = context.WithoutCancel(ctx)
	if undo != nil {
		err = errors.Join(err, undo())
	}
	if !noted && !errors.Is(err, ci.ErrDenied) {
		return err
	}
	return errors.Join(err, s.refused(ctx, action, by, target, err))
}

// refused puts a refusal on record.
func (s *Safe) refused(ctx context.Context, action string, by ci.Actor, target map[string]string, reason error) error {
	target = maps.Clone(target)
	if target == nil {
		target = map[string]string{}
	}
	target["success"], target["reason"] = "false", reason.Error()
	if err := s.cfg.Note(ctx, action, by, target); err != nil {
		return unrecorded(action, err)
	}
	return nil
}

// unrecorded is the error of what cannot be put on record.
func unrecorded(action string, err error) error {
	return fmt.Errorf("record %s: %w", action, asFault(err))
}
