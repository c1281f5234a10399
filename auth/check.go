package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rondo-ci/rondo/ci"
)

// retry is after how long a directory that did not answer is asked again, and
// lookupTime how long it may take to answer.
const (
	retry      = time.Minute
	lookupTime = 10 * time.Second
)

// figures count what happens, from the start of the process.
type figures struct {
	logins, failures, refused, limited, checks, removed, down atomic.Int64
}

// Figures are counts since the start of the process, for metrics.
type Figures struct {
	Logins   int64 // sessions opened
	Failures int64 // wrong logins or passwords
	Refused  int64 // logins of suspended users
	Limited  int64 // tries refused because there were too many
	Checks   int64 // users about whom the directories were asked again
	Removed  int64 // users suspended since a directory lost them
	Down     int64 // questions that a directory did not answer
}

// Figures returns the counts.
func (u *Users) Figures() Figures {
	f := &u.figures
	return Figures{f.logins.Load(), f.failures.Load(), f.refused.Load(), f.limited.Load(), f.checks.Load(), f.removed.Load(), f.down.Load()}
}

// Alive returns the user if they may do anything now, after asking the
// directories if that was too long ago; else the error is [ci.ErrDenied].
func (u *Users) Alive(ctx context.Context, id string) (ci.User, error) {
	r, err := u.alive(ctx, id)
	return r.User, err
}

func (u *Users) alive(ctx context.Context, id string) (record, error) {
	r, err := u.record(ctx, id)
	if errors.Is(err, ci.ErrNotFound) {
		return r, fmt.Errorf("this user is gone: %w", ci.ErrDenied)
	}
	now := u.now()
	if err == nil && r.Suspended == "" && now.Sub(r.Checked) >= u.cfg.Recheck && now.Sub(r.Tried) >= retry {
		r, err = u.check(ctx, id)
	}
	switch {
	case err != nil:
		return r, err
	case r.Suspended != "":
		return r, fmt.Errorf("this account is suspended (%s): %w", r.Suspended, ci.ErrDenied)
	case now.Sub(r.Checked) >= u.cfg.Recheck+u.cfg.Grace:
		return r, fmt.Errorf("no directory has answered about this user for too long: %w", ci.ErrDenied)
	}
	return r, nil
}

// check asks the directories about a user; once, also when many ask.
func (u *Users) check(ctx context.Context, id string) (record, error) {
	v, err, _ := u.flight.Do(id, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTime)
		defer cancel()
		r, err := u.record(ctx, id)
		if err != nil || r.Suspended != "" {
			return r, err
		}
		u.figures.checks.Add(1)
		f := u.ask(ctx, r)
		return u.conclude(context.WithoutCancel(ctx), r, f)
	})
	r, _ := v.(record)
	return r, err
}

// findings are what the directories say about a user.
type findings struct {
	now  []Identity // as they are now
	lost string     // the provider that has lost the user
	down error
}

func (u *Users) ask(ctx context.Context, r record) findings {
	var f findings
	strong, weak := "", "" // who has lost the user
	held := false          // by one that takes passwords
	look := func(d Directory, lost *string, strong bool) {
		id, ok := r.identity(d.Name())
		if !ok {
			return
		}
		found, err := d.Lookup(ctx, id.Subject)
		switch {
		case errors.Is(err, ci.ErrNotFound):
			*lost = d.Name()
		case err != nil:
			f.down = errors.Join(f.down, fmt.Errorf("%s: %w", d.Name(), err))
		default:
			held = held || strong
			found.Provider, found.Subject = id.Provider, id.Subject
			f.now = append(f.now, found)
		}
	}
	for _, p := range u.cfg.Providers {
		look(p, &strong, true)
	}
	for _, h := range u.cfg.Hosts {
		look(h, &weak, false)
	}
	switch {
	case strong != "":
		f.lost = strong
	case weak != "" && !held && f.down == nil:
		f.lost = weak
	case f.down == nil && len(f.now) == 0 && weak == "":
		f.down = errors.New("none of the user's directories is among those of the settings")
	}
	return f
}

// conclude writes down what the directories say.
func (u *Users) conclude(ctx context.Context, r record, f findings) (record, error) {
	action := ""
	if f.lost != "" {
		action = actionSuspended
	}
	if f.down != nil {
		u.figures.down.Add(1)
		u.log.Warn("a directory does not answer; who is logged in stays for a while", "user", r.Login, "since", r.Checked, "err", f.down)
	}
	now := u.now()
	r, err := u.change(ctx, r.ID, action, ci.Actor{}, func(d *draft) (map[string]string, error) {
		for _, id := range f.now {
			d.put(id)
		}
		d.forced = true // no rule of ours keeps somebody in whom the directory has removed
		switch {
		case f.lost != "":
			d.Suspended = removed + f.lost
			d.Epoch++
			return map[string]string{"reason": strings.ReplaceAll(f.lost, " ", "_") + "_removed"}, nil
		case f.down != nil:
			d.Tried = now
		default:
			d.Checked, d.Tried = now, now.Add(-retry)
		}
		return nil, nil
	})
	if err != nil {
		return r, fmt.Errorf("check user: %w", err)
	}
	if f.lost != "" {
		u.figures.removed.Add(1)
		u.log.Warn("user suspended", "user", r.Login, "reason", r.Suspended)
		return r, u.sweep(ctx, r.ID)
	}
	return r, nil
}

// Run asks the directories about users who do nothing, too, so that they are
// gone within the time of Recheck, and removes sessions and links to a new
// password that have ended, until ctx ends.
func (u *Users) Run(ctx context.Context) error {
	every := time.NewTicker(min(u.cfg.Recheck/5+time.Millisecond, retry))
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		if err := u.round(ctx); err != nil && ctx.Err() == nil {
			u.log.Error("check users, will try again", "err", err)
		}
	}
}

// atOnce is how many users are checked at the same time, perRound how many in
// one go.
const (
	atOnce   = 4
	perRound = 1000
)

// round checks whoever is due.
func (u *Users) round(ctx context.Context) error {
	g, work := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for d, err := range u.docs.DueDocs(ctx, kindUser, u.now(), perRound) {
		if err != nil {
			return err
		}
		g.Go(func() error {
			_, err := u.check(work, d.ID)
			if errors.Is(err, ci.ErrNotFound) {
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, kind := range []string{kindSession, kindReset} {
		for d, err := range u.docs.DueDocs(ctx, kind, u.now(), perRound) {
			if err != nil {
				return err
			}
			if _, err := u.docs.WriteDocs(ctx, ci.DocChange{Doc: d, Delete: true}); err != nil && !errors.Is(err, ci.ErrConflict) {
				return err
			}
		}
	}
	return nil
}
