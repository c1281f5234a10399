package auth

import (
	"context"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
)

// act is something that was done to a user.
func (*Users) act(action string, by ci.Actor, r record, more map[string]string) ci.Act {
	target := map[string]string{"type": "user", "id": r.ID, "name": r.Login, "user": r.ID, "login": r.Login}
	for k, v := range more {
		target[k] = v
	}
	if by.ID == "" && by.Kind == ci.ActorUser { // who signs in for the first time had no identity before
		by.ID = r.ID
	}
	return ci.Act{Action: action, Actor: by, Target: target, Success: true}
}

// note returns the changes that put an act on record.
func (u *Users) note(ctx context.Context, act ci.Act) ([]ci.DocChange, error) {
	event, err := u.cfg.Note(ctx, act)
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", act.Action, err)
	}
	return event, nil
}

// tell puts on record what changes nothing: a refusal.
func (u *Users) tell(ctx context.Context, act ci.Act) error {
	event, err := u.note(ctx, act)
	if err == nil && len(event) > 0 {
		_, err = u.docs.WriteDocs(ctx, event...)
	}
	if err != nil {
		return fmt.Errorf("record %s: %w", act.Action, err)
	}
	return nil
}
