package vmservice

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rondo-ci/rondo/ci"
)

// Run runs the pools until ctx ends. One that cannot read its documents is run
// again.
func (f *Fleet) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			err := g.Wait()
			if err == nil || errors.Is(err, context.Canceled) {
				err = ctx.Err()
			}
			return err
		case <-timer.C:
		case <-f.wake:
			f.look(ctx)
		}
		for _, s := range f.toStart() {
			g.Go(func() error { return s.run(ctx, f.log) })
		}
		if f.close(ctx) {
			timer.Reset(2 * time.Second)
		}
	}
}

// run runs one pool, after those before it, until it is to quit.
func (s *post) run(ctx context.Context, log *slog.Logger) error {
	defer close(s.ended)
	for _, b := range s.before {
		<-b.ended
	}
	work, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-s.quit:
		case <-work.Done():
		}
		stop()
	}()
	for {
		err := s.pool.Run(work)
		if work.Err() != nil {
			return ctx.Err()
		}
		// The database may be away just when settings change.
		log.Warn("run machines, which is tried again", "provider", s.pool.cfg.Boot.Provider, "err", err)
		select {
		case <-work.Done():
		case <-time.After(2 * time.Second):
		}
	}
}

// toStart returns the pools that do not run yet, and notes that they do.
func (f *Fleet) toStart() []*post {
	f.mu.Lock()
	defer f.mu.Unlock()
	var fresh []*post
	for _, s := range f.posts() {
		if !s.start {
			s.start = true
			fresh = append(fresh, s)
		}
	}
	return fresh
}

// posts are all pools, that in force first, for use also without the lock, which
// the caller holds.
func (f *Fleet) posts() []*post {
	if f.now == nil {
		return slices.Clone(f.old)
	}
	return append([]*post{f.now}, f.old...)
}

// pools are all pools, and whether the first is in force.
func (f *Fleet) pools() (all []*Pool, current bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.posts() {
		all = append(all, s.pool)
	}
	return all, f.now != nil
}

// close lets go of the retired pools that have nothing left, and reports whether
// there are others.
func (f *Fleet) close(ctx context.Context) bool {
	f.mu.Lock()
	old := slices.Clone(f.old)
	f.mu.Unlock()
	for _, s := range old {
		if !s.pool.empty() {
			continue
		}
		if s.gone != nil {
			if err := s.gone(ctx); err != nil {
				f.log.Warn("let go of earlier machines", "provider", s.pool.cfg.Boot.Provider, "err", err)
				continue
			}
		}
		f.mu.Lock()
		if i := slices.Index(f.old, s); i >= 0 { // or else another has taken over
			f.old = slices.Delete(f.old, i, i+1)
			close(s.quit)
			if f.now != nil {
				f.now.pool.inherit(s.pool)
			}
			f.share()
		}
		f.mu.Unlock()
		f.log.Info("nothing is left of earlier machines", "provider", s.pool.cfg.Boot.Provider)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.old) > 0
}

// look counts what the books have of providers that no pool is for.
func (f *Fleet) look(ctx context.Context) {
	known := map[string]bool{}
	all, _ := f.pools()
	for _, p := range all {
		known[p.cfg.Boot.Provider] = true
	}
	count := map[string]int{}
	for _, kind := range []string{kindMachine, kindVolume} {
		for d, err := range f.docs.Docs(ctx, ci.DocQuery{Kind: kind, AllScopes: true}) {
			var r struct {
				Provider string `json:"provider"`
			}
			if err == nil {
				err = json.Unmarshal(d.Body, &r)
			}
			if err != nil {
				f.log.Warn("look for machines of other providers", "err", err)
				return
			}
			if !known[r.Provider] {
				count[r.Provider]++
			}
		}
	}
	var found []string
	for provider, n := range count {
		found = append(found, fmt.Sprintf("%d machines and volumes of %q are in the books and no settings say how to reach it: bring its settings back, and the server ends them", n, cmp.Or(provider, "an unnamed provider")))
	}
	slices.Sort(found)
	if len(found) > 0 {
		f.log.Warn("machines of another provider are left", "what", strings.Join(found, "; "))
	}
	f.mu.Lock()
	f.strangers = found
	f.mu.Unlock()
}
