package secret

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

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
// documents as they are kept. The record of the change is written with it, so
// that there is none without the other; a change that cannot be put on record
// is not made. A plan that fails with [ci.ErrDenied] goes on record as refused.
func (s *Safe) change(ctx context.Context, action string, by ci.Actor, draw func() (plan, error)) ([]ci.Doc, error) {
	var undo func() error
	var p plan
	var record []ci.DocChange
	noted := false
	for range tries {
		var err error
		target := p.target
		if p, err = draw(); p.target == nil {
			p.target = target // what it was about is gone
		}
		if err == nil && !noted {
			if record, err = s.announce(ctx, action, by, p); err != nil {
				return nil, err
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
			kept, err = s.docs.WriteDocs(ctx, slices.Concat(p.docs, record)...)
			if err == nil {
				return kept[:len(p.docs)], nil
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

// announce returns what is to be written with the change. When something is
// done outside the database before, that is put on record at once: no crash
// leaves a trace outside that the record knows nothing of.
func (s *Safe) announce(ctx context.Context, action string, by ci.Actor, p plan) ([]ci.DocChange, error) {
	act := ci.Act{Action: action, Actor: by, Target: p.target, Success: true}
	if p.before != nil {
		first := act
		first.Target = maps.Clone(p.target)
		first.Target["phase"] = "announced"
		if err := s.record(ctx, first); err != nil {
			return nil, err
		}
	}
	record, err := s.cfg.Note(ctx, act)
	if err != nil {
		return nil, unrecorded(action, err)
	}
	return record, nil
}

// record puts an act on record that changes no document.
func (s *Safe) record(ctx context.Context, act ci.Act) error {
	changes, err := s.cfg.Note(ctx, act)
	if err == nil && len(changes) > 0 {
		_, err = s.docs.WriteDocs(ctx, changes...)
	}
	if err != nil {
		return unrecorded(act.Action, err)
	}
	return nil
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
	return s.record(ctx, ci.Act{Action: action, Actor: by, Target: target, Reason: reason.Error()})
}

// unrecorded is the error of what cannot be put on record.
func unrecorded(action string, err error) error {
	return fmt.Errorf("record %s: %w", action, asFault(err))
}
