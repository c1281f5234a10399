package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/rondo-ci/rondo/ci"
)

// A Directory says whether an identity still holds. [Provider] is one that
// takes passwords, too; a code host is one that does not.
type Directory interface {
	// Name is the Provider of its identities.
	Name() string
	// Lookup returns the identity as it is now. One that is gone or may not log
	// in any more is [ci.ErrNotFound].
	Lookup(ctx context.Context, subject string) (Identity, error)
}

// Config holds what [Users] are told about their surroundings.
type Config struct {
	// Providers are asked in this order about a login and password. Who is gone
	// from one of them is gone here.
	Providers []Provider
	// Hosts know the other identities, by which one logs in elsewhere. Who is
	// gone from one of them stays, if one of Providers knows them.
	Hosts []Directory
	// OpenFirst makes whoever logs in first the administrator, as the guide
	// says; else that takes the bootstrap link.
	OpenFirst bool
	// Recheck is how often a directory is asked about a user; 0 is 15 minutes.
	// Grace is for how long beyond that users stay whose directory does not
	// answer; 0 is 4 hours.
	Recheck, Grace time.Duration
	// Idle is after how long without use a session ends, Life after how long in
	// any case; 0 is 12 hours and 7 days.
	Idle, Life time.Duration
	// Note returns the changes that put an act on record. They are written in
	// the transaction of the act; what it refuses is not done. It may be called
	// again for an act for which others were faster. nil keeps no record.
	Note func(ctx context.Context, act ci.Act) ([]ci.DocChange, error)
	// Log receives what operators should know; nil is silent.
	Log *slog.Logger
	// Now is the time of day; nil is [time.Now].
	Now func() time.Time
}

// Users keeps people, their identities and sessions. Any number of processes
// may share the documents; only the limits of logins are each one's own. All
// methods are safe for concurrent use.
type Users struct {
	docs    ci.Docs
	cfg     Config
	log     *slog.Logger
	limits  *limits
	flight  singleflight.Group
	figures figures
}

// NewUsers returns the users in docs. It starts nothing: see [Users.Run].
func NewUsers(docs ci.Docs, cfg Config) *Users {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	set(&cfg.Recheck, 15*time.Minute)
	set(&cfg.Grace, 4*time.Hour)
	set(&cfg.Idle, 12*time.Hour)
	set(&cfg.Life, 7*24*time.Hour)
	if cfg.Note == nil {
		cfg.Note = func(context.Context, ci.Act) ([]ci.DocChange, error) { return nil, nil }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Users{docs: docs, cfg: cfg, log: cfg.Log, limits: newLimits()}
}

func (u *Users) now() time.Time { return u.cfg.Now().UTC().Truncate(time.Millisecond) }

// A draft is a change of a user as it is to be.
type draft struct {
	record
	roster roster
	more   []ci.DocChange
	drop   bool // the user is to be deleted
	// forced lets the last administrator go.
	forced bool
	// invited says that whoever logs in has the bootstrap token.
	invited bool
}

// change reads a user (or, with id "", begins a new one), lets edit change
// them, and writes; again, when others were faster. action is put on record in
// the same transaction; "" is not.
func (u *Users) change(ctx context.Context, id, action string, by ci.Actor, edit func(*draft) (map[string]string, error)) (record, error) {
	for range tries {
		var d draft
		var err error
		if id != "" {
			if d.record, err = u.record(ctx, id); err != nil {
				return record{}, err
			}
		}
		if d.roster, err = u.roster(ctx); err != nil {
			return record{}, fmt.Errorf("users: %w", err)
		}
		before := slices.Clone(d.roster.Admins)
		target, err := edit(&d)
		if err != nil {
			return record{}, err
		}
		d.settle()
		changes, err := u.changes(&d, before)
		if err != nil {
			return record{}, err
		}
		if action != "" {
			act := u.act(action, by, d.record, target)
			if action == actionLoggedIn && d.Suspended != "" {
				act.Success, act.Reason = false, "suspended"
			}
			event, err := u.note(ctx, act)
			if err != nil {
				return record{}, err
			}
			changes = append(changes, event...)
		}
		if _, err = u.docs.WriteDocs(ctx, changes...); err == nil {
			d.version++
			return d.record, nil
		}
		if !errors.Is(err, ci.ErrConflict) {
			return record{}, fmt.Errorf("write user: %w", err)
		}
	}
	return record{}, fmt.Errorf("write user: others keep changing it, try again: %w", ci.ErrConflict)
}

// changes are the documents of a draft. The roster is among them when the
// administrators change, so of two who would remove each other one finds it
// changed.
func (u *Users) changes(d *draft, before []string) ([]ci.DocChange, error) {
	admins := slices.DeleteFunc(slices.Clone(before), func(id string) bool { return id == d.ID })
	if !d.drop && d.Suspended == "" && Role(d.Role) == RoleAll {
		admins = append(admins, d.ID)
		d.roster.Begun = true
	}
	if len(before) > 0 && len(admins) == 0 && !d.forced {
		return nil, fmt.Errorf("%s is the last administrator; make somebody else one first: %w", d.Login, ci.ErrConflict)
	}
	written := d.more
	slices.Sort(admins)
	slices.Sort(before)
	if !slices.Equal(admins, before) {
		d.roster.Admins = admins
		c, err := d.roster.change()
		if err != nil {
			return nil, err
		}
		written = append(written, c)
	}
	c, err := u.write(d.record)
	c.Delete = d.drop
	return append(written, c), err
}

// Users lists all people by login. by has to be allowed to read settings.
func (u *Users) Users(ctx context.Context, by ci.Actor) ([]ci.User, error) {
	if err := u.Allowed(ctx, by, RoleRead); err != nil {
		return nil, err
	}
	kept, err := u.all(ctx)
	var all []ci.User
	for _, r := range kept {
		all = append(all, r.User)
	}
	return all, err
}

// User returns the person with an ID.
func (u *Users) User(ctx context.Context, id string) (ci.User, error) {
	r, err := u.record(ctx, id)
	return r.User, err
}

// Allowed says whether the actor has a role or a greater one: nil or
// [ci.ErrDenied]. The operator of the machine has every role. An auditor and
// an operator is nobody but they themselves and administrators.
func (u *Users) Allowed(ctx context.Context, by ci.Actor, role Role) error {
	if by == Operator {
		return nil
	}
	if by.Kind == ci.ActorUser && by.ID != "" {
		r, err := u.record(ctx, by.ID)
		if err != nil && !errors.Is(err, ci.ErrNotFound) {
			return err
		}
		has := Role(r.Role)
		special := role == RoleAuditor || role == RoleOperator
		switch {
		case err != nil || r.Suspended != "":
		case has == role || has == RoleAll, !special && rank(has) >= rank(role) && rank(has) >= rank(RoleRead):
			return nil
		}
	}
	return fmt.Errorf("this takes the role %s: %w", role, ci.ErrDenied)
}

// Operator is whoever can read the data folder of the server, and may do
// everything.
var Operator = ci.Actor{ID: "operator", Kind: ci.ActorUser, Login: "operator"}
