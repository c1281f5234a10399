package autoscale

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Group is a set of machines that somebody else starts and ends to keep it at
// a size: an Auto Scaling group.
type Group interface {
	// Bounds returns the size that is wanted now, and the least and the most
	// that may be.
	Bounds(ctx context.Context) (desired, least, most int, err error)
	// Resize changes the size that is wanted.
	Resize(ctx context.Context, desired int) error
}

// A Scaler keeps a group at the size that a policy says. One goroutine uses it.
type Scaler struct {
	group Group
	see   func(context.Context) (View, error)
	ask   func(View) int
	log   *slog.Logger
}

// NewScaler returns one. See returns how the cluster stands, without the time;
// nil is for policies that look at the clock alone. A log of nil is silent.
func NewScaler(g Group, p Policy, see func(context.Context) (View, error), log *slog.Logger) *Scaler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if see == nil {
		see = func(context.Context) (View, error) { return View{}, nil }
	}
	return &Scaler{group: g, see: see, ask: p.Start(), log: log}
}

// Decide takes one decision, as of an instant, and carries it out. It returns
// the size that is wanted now. What the group refuses is an error, and the next
// call tries again; twice at one instant is no harm.
func (s *Scaler) Decide(ctx context.Context, now time.Time) (int, error) {
	desired, least, most, err := s.group.Bounds(ctx)
	if err != nil {
		return 0, fmt.Errorf("scale: %w", err)
	}
	if most < least {
		return desired, fmt.Errorf("%w: scale: the group has at least %d nodes and at most %d", ci.ErrInvalid, least, most)
	}
	v, err := s.see(ctx)
	if err != nil {
		return desired, fmt.Errorf("scale: %w", err)
	}
	v.Now, v.Nodes = now, desired
	want := min(max(s.ask(v), least), most)
	if want == desired {
		return desired, nil
	}
	if err := s.group.Resize(ctx, want); err != nil {
		return desired, fmt.Errorf("scale from %d to %d nodes: %w", desired, want, err)
	}
	s.log.Info("scaled", "from", desired, "to", want)
	return want, nil
}

// Run decides every so often, until the context ends, and returns its error.
// An error of a decision is logged.
func (s *Scaler) Run(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if _, err := s.Decide(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.log.Error("scale", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
