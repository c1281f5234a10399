package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// errLost is the cause when a lease is gone: everything stops at once and
// nothing more is written.
var errLost = fmt.Errorf("the lease is lost: %w", ci.ErrConflict)

// tick is how often the keeper looks at the clock, so that an agent that was
// paused notices soon after it goes on.
const tick = time.Second

// A keeper renews a lease and says when it is lost. Its methods are safe for
// concurrent use.
type keeper struct {
	door Door
	// ctx ends, with the cause, when the lease is lost.
	ctx  context.Context
	lose context.CancelCauseFunc
	// canceled is called when the server asks to stop with grace.
	canceled func()

	mu    sync.Mutex // held while renewing: one at a time
	lease ci.Lease
	state sync.Mutex // guards good
	good  time.Duration
}

// newKeeper returns the keeper of a lease that was asked for at the given time
// of the boot clock. The end of ctx is not that of the lease.
func newKeeper(ctx context.Context, door Door, l ci.Lease, asked time.Duration) *keeper {
	if l.Renew <= 0 {
		l.Renew = 10 * time.Second
	}
	if l.TTL <= 0 {
		l.TTL = 330 * time.Second
	}
	k := &keeper{door: door, lease: l, good: asked, canceled: func() {}}
	k.ctx, k.lose = context.WithCancelCause(context.WithoutCancel(ctx))
	return k
}

// fence is how long after the last good renewal the agent stops by itself.
func (k *keeper) fence() time.Duration { return k.lease.TTL / 11 * 9 }

// age returns how long ago the last good renewal was asked for.
func (k *keeper) age() time.Duration {
	k.state.Lock()
	defer k.state.Unlock()
	return bootTime() - k.good
}

// run renews the lease until ctx ends or the lease is lost.
func (k *keeper) run(ctx context.Context) {
	every := min(tick, k.lease.Renew, max(k.fence()/8, time.Millisecond))
	t := time.NewTicker(every)
	defer t.Stop()
	var tried time.Duration = bootTime()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.ctx.Done():
			return
		case <-t.C:
		}
		now := bootTime()
		switch {
		case k.age() > k.fence():
			// Paused, or the server was away for too long. The server may have
			// given the task to another agent already.
			k.lose(fmt.Errorf("no answer to a renewal for %v: %w", k.fence(), errLost))
			return
		case k.age() >= k.lease.Renew && now-tried >= min(k.lease.Renew, max(k.fence()/16, every)):
			tried = now
			_ = k.renew(ctx) // tried again at the next tick
		}
	}
}

// renew renews the lease now.
func (k *keeper) renew(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	// One renewal may hang no longer than the fence leaves time for.
	left := k.fence() - k.age()
	limited, stop := context.WithTimeout(ctx, max(min(left, 30*time.Second), time.Millisecond))
	defer stop()
	asked := bootTime()
	l, err := k.door.Renew(limited, k.lease)
	switch {
	case errors.Is(err, ci.ErrConflict), errors.Is(err, ci.ErrNotFound), errors.Is(err, ci.ErrDenied):
		k.lose(fmt.Errorf("%w: %w", errLost, err))
		return err
	case err != nil:
		return err
	}
	k.state.Lock()
	k.good = asked
	k.state.Unlock()
	if l.Canceled {
		k.canceled()
	}
	return nil
}

// check returns nil if the lease is good without doubt: it was renewed not
// long ago, or it is renewed here. An error means that it is lost or that ctx
// has ended. It comes before everything that others can see.
func (k *keeper) check(ctx context.Context) error {
	for k.age() > 2*k.lease.Renew+tick || k.ctx.Err() != nil {
		if err := context.Cause(k.ctx); err != nil {
			return err
		}
		if k.age() > k.fence() {
			k.lose(fmt.Errorf("no answer to a renewal for %v: %w", k.fence(), errLost))
			continue
		}
		if k.renew(ctx) == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-k.ctx.Done():
		case <-time.After(min(tick, max(k.fence()/16, time.Millisecond))):
		}
	}
	return nil
}

// do calls f with the lease until it succeeds, refuses for good, or the lease
// is lost. A conflict is the loss of the lease. The error is then [errLost].
func (k *keeper) do(what string, f func(ctx context.Context, l ci.Lease) error) error {
	err := retry(k.ctx, func() error {
		if err := k.check(k.ctx); err != nil {
			return err
		}
		return f(k.ctx, k.lease)
	})
	switch {
	case err == nil:
		return nil
	case k.ctx.Err() != nil:
		return context.Cause(k.ctx)
	case errors.Is(err, ci.ErrConflict):
		k.lose(fmt.Errorf("%s: %w: %w", what, errLost, err))
		return context.Cause(k.ctx)
	}
	return fmt.Errorf("%s: %w", what, err)
}
