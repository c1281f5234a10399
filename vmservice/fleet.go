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
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rondo-ci/rondo/ci"
)

// A Fleet is all pools of an installation whose settings may change while it
// runs: the one in force, which gives machines out, and those of other
// providers before it, until nothing is left of what they had. A pool for the
// same provider as one before it takes over what that one has.
//
// All methods are safe for concurrent use.
type Fleet struct {
	docs ci.Docs
	log  *slog.Logger
	wake chan struct{}

	mu        sync.Mutex
	now       *post // nil is none
	old       []*post
	off       string // why there is none now, although there should be
	strangers []string
}

// A post is a pool and what runs it.
type post struct {
	pool   *Pool
	gone   func(context.Context) error
	before []*post // which end first
	start  bool    // it was started
	quit   chan struct{}
	ended  chan struct{}
}

// NewFleet returns a fleet without a pool, over the documents of its pools. It
// starts nothing. A nil log is silent.
func NewFleet(docs ci.Docs, log *slog.Logger) *Fleet {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Fleet{docs: docs, log: log, wake: make(chan struct{}, 1)}
}

// Use puts a pool into force; nil is that there are no machines any more. The
// one before it is stopped when it is for the same provider, and retired
// otherwise. Gone, which may be nil, is called once p is retired and has
// nothing left; it is called again while it returns an error.
func (f *Fleet) Use(p *Pool, gone func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off = ""
	if f.now != nil {
		f.old = append(f.old, f.now)
		f.now = nil
	}
	if p != nil {
		f.now = f.post(p, gone)
	}
	for _, o := range f.old {
		o.pool.Retire()
	}
	f.share()
	f.nudge()
}

// share makes the budgets in force bound what earlier pools still have too. The
// caller holds the lock.
func (f *Fleet) share() {
	if f.now == nil {
		return
	}
	var others []*Pool
	for _, o := range f.old {
		others = append(others, o.pool)
	}
	f.now.pool.countBeside(others)
}

// Retire runs a pool of earlier settings until nothing is left of what it has.
// Gone is as with [Fleet.Use]. A pool in force for the same provider has taken
// over already: then p is not run.
func (f *Fleet) Retire(p *Pool, gone func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now != nil && f.now.pool.cfg.Boot.Provider == p.cfg.Boot.Provider {
		return
	}
	p.Retire()
	f.old = append(f.old, f.post(p, gone))
	f.share()
	f.nudge()
}

// Off says that there should be machines and why there are none for now: tasks
// wait with that reason. What a pool in force has stays as it is.
func (f *Fleet) Off(why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off = why
}

// post makes the place of a pool, which begins when those for the same provider
// have ended. The caller holds the lock.
func (f *Fleet) post(p *Pool, gone func(context.Context) error) *post {
	next := &post{pool: p, gone: gone, quit: make(chan struct{}), ended: make(chan struct{})}
	f.old = slices.DeleteFunc(f.old, func(o *post) bool {
		if o.pool.cfg.Boot.Provider != p.cfg.Boot.Provider {
			return false
		}
		close(o.quit)
		p.inherit(o.pool)
		if o.start {
			next.before = append(next.before, o)
		} else {
			next.before = append(next.before, o.before...)
		}
		return true
	})
	return next
}

func (f *Fleet) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run runs the pools until ctx ends, each as [Pool.Run] says.
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
			g.Go(func() error { return s.run(ctx) })
		}
		if f.close(ctx) {
			timer.Reset(2 * time.Second)
		}
	}
}

// run runs one pool, after those before it, until it is to quit.
func (s *post) run(ctx context.Context) error {
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
	err := s.pool.Run(work)
	if ctx.Err() == nil && work.Err() != nil {
		return nil
	}
	return err
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

// posts are all pools, that in force first. The caller holds the lock.
func (f *Fleet) posts() []*post {
	if f.now == nil {
		return f.old
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
