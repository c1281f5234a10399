package vmservice

import (
	"context"
	"log/slog"
	"slices"
	"sync"

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

// On reports whether there are to be machines, now or later.
func (f *Fleet) On() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now != nil || f.off != ""
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
