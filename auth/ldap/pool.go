package ldap

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// How long a connection is kept. Active Directory closes those that are idle
// for 15 minutes; firewalls are less patient.
const (
	maxIdle = 5 * time.Minute
	maxLife = 30 * time.Minute
)

// A keep holds connections of one sort between requests, and no more of them
// than there are slots.
type keep struct {
	mu     sync.Mutex
	idle   []*link
	slots  chan struct{}
	closed bool
}

func newKeep(n int) *keep { return &keep{slots: make(chan struct{}, n)} }

// take returns a connection that is ready, or makes one.
func (k *keep) take(ctx context.Context, fresh bool, dial func() (*link, error)) (*link, error) {
	select {
	case k.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("all %d connections to the directory are busy: %w", cap(k.slots), ctx.Err())
	}
	if l := k.pop(); l != nil && !fresh {
		return l, nil
	} else if l != nil {
		_ = l.Close()
	}
	l, err := dial()
	if err != nil {
		<-k.slots
	}
	return l, err
}

// pop returns the connection that was used last and still stands, or nil.
func (k *keep) pop() *link {
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(k.idle) > 0 {
		l := k.idle[len(k.idle)-1]
		k.idle = k.idle[:len(k.idle)-1]
		if !l.IsClosing() && !l.stale() {
			return l
		}
		_ = l.Close()
	}
	return nil
}

func (l *link) stale() bool { return time.Since(l.used) > maxIdle || time.Since(l.since) > maxLife }

// give takes the connection back, or closes one that is broken.
func (k *keep) give(l *link, err error) {
	defer func() { <-k.slots }()
	k.mu.Lock()
	defer k.mu.Unlock()
	if broken(err) || l.IsClosing() || k.closed {
		_ = l.Close()
		return
	}
	l.used, l.bound = time.Now(), true
	k.idle = append(k.idle, l)
}

// prune closes what was idle for too long; all of it if that is said.
func (k *keep) prune(all bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = k.closed || all
	var rest []*link
	for _, l := range k.idle {
		if all || l.stale() || l.IsClosing() {
			_ = l.Close()
		} else {
			rest = append(rest, l)
		}
	}
	k.idle = rest
}

// use runs f with a connection. A kept one may have died in the meantime: then
// f runs once more with a fresh one, of another server if need be.
func (d *Directory) use(ctx context.Context, k *keep, prepare func(*link) error, f func(*link) error) error {
	for fresh := false; ; fresh = true {
		l, err := k.take(ctx, fresh, func() (*link, error) { return d.connect(ctx, nil, prepare) })
		if err != nil {
			return err
		}
		kept := l.bound
		stop := l.during(ctx)
		err = f(l)
		if !stop() && err == nil { // the context ended under it
			err = ctx.Err()
		}
		k.give(l, err)
		if !broken(err) {
			return err
		}
		if ctx.Err() == nil {
			d.reached(l.server, err)
		}
		if !kept || fresh || ctx.Err() != nil {
			return err
		}
	}
}

// Run keeps a connection warm, so that the first login of the morning is as
// quick as the next one, closes those that nobody uses, and keeps what is
// remembered of groups within groups younger than five minutes. It returns when
// the context ends and closes all of them; the directory works before, without
// (then logins climb the groups by requests) and no longer after it.
func (d *Directory) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		warm, cancel := context.WithTimeout(ctx, d.patience())
		_ = d.search(warm, nil, func(s searcher) error { return s.alive() }) // a login says what is wrong
		cancel()
		if err := d.refresh(ctx); err != nil && ctx.Err() == nil {
			d.log.Warn("groups within groups cannot be read now; logins ask for them level by level", "error", err)
		}
		select {
		case <-ctx.Done():
			d.Close()
			return nil
		case <-d.graph.poke:
			// Whoever logs in meanwhile shall find what this one missed.
		case <-tick.C:
			d.searchers.prune(false)
			d.provers.prune(false)
		}
	}
}

// Close closes all connections that nobody uses at the moment, and the others
// when they are free.
func (d *Directory) Close() {
	d.searchers.prune(true)
	d.provers.prune(true)
}
