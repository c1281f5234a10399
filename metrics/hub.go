package metrics

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// An Input is asked for figures at every interval. An error says that the
// figures of this time are missing; what came with it is still used. A hub never
// asks an input twice at once.
type Input interface {
	Gather(ctx context.Context) ([]Sample, error)
}

// InputFunc is a function as an [Input].
type InputFunc func(ctx context.Context) ([]Sample, error)

// Gather calls f.
func (f InputFunc) Gather(ctx context.Context) ([]Sample, error) { return f(ctx) }

// A Sink takes samples to a platform. Suite metricstest says what it must do.
// Write returns when the platform has taken them all. An error that wraps
// [ErrRefused] says that the same samples will never be taken; any other error,
// that they may be given again. Write is never called twice at once. A sink with
// a method Close() error is closed after its last Write, when a hub has no more
// use for it.
type Sink interface {
	Write(ctx context.Context, samples []Sample) error
}

// ErrRefused is what errors of sinks wrap when another try is useless.
var ErrRefused = errors.New("refused")

// A Limit is an error by which a sink says how long to wait.
type Limit struct {
	After time.Duration
	Err   error
}

// Error returns the text of the error behind it.
func (l *Limit) Error() string { return l.Err.Error() }

// Unwrap returns the error behind it.
func (l *Limit) Unwrap() error { return l.Err }

// A Named is a sink or an input with its name in logs and figures.
type Named[T any] struct {
	Name string
	T    T
}

// Config holds what a Hub can do without.
type Config struct {
	Log *slog.Logger // nil is silent
	// Interval is how often inputs are asked and sinks are given what came; 0
	// is 10 s.
	Interval time.Duration
	// Buffer is how many samples wait for one sink at most; 0 is 10,000. Batch
	// is how many it is given at once at most; 0 is 1,000.
	Buffer, Batch int
	// Tags are put on every sample ([global_tags]).
	Tags []Tag
	// Timeout is how long one Gather or Write may take; 0 is 5 s for inputs and
	// 30 s for sinks.
	Timeout time.Duration
	// Final is how long sinks get at the end; 0 is 5 s.
	Final time.Duration
}

// A Hub asks inputs at intervals and gives all sinks what they say. All methods
// are safe for concurrent use.
type Hub struct {
	cfg Config
	log *slog.Logger

	asking sync.Mutex // inputs are asked one time after another
	inputs []Named[Input]
	state  map[string]bool // inputs that fail

	mu    sync.Mutex
	lines []*line
	gone  []*line       // replaced, and not closed yet
	ended bool          // Run has, so nothing is written any more
	reset chan struct{} // closed when the lines are replaced
	own   *Registry
}

// NewHub returns a hub of the inputs. It has no sinks until [Hub.Use].
func NewHub(inputs []Named[Input], cfg Config) *Hub {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Interval <= 0 {
		cfg.Interval = 10 * time.Second
	}
	if cfg.Buffer <= 0 {
		cfg.Buffer = 10_000
	}
	if cfg.Batch <= 0 {
		cfg.Batch = 1000
	}
	if cfg.Final <= 0 {
		cfg.Final = 5 * time.Second
	}
	own := NewRegistry(nil)
	inputs = append(slices.Clone(inputs), Named[Input]{"metrics", own})
	return &Hub{cfg: cfg, log: cfg.Log, inputs: inputs, state: map[string]bool{}, reset: make(chan struct{}), own: own}
}

// Use replaces the sinks, while the hub runs or before. A sink whose name was in
// use keeps what waits for it, so a new setting loses nothing; what waits for a
// name that is gone is given up. Run closes the sinks that were replaced; one that
// is given again is the same one.
func (h *Hub) Use(sinks ...Named[Sink]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.lines
	h.lines = nil
	for _, s := range sinks {
		l := &line{name: s.Name, sink: s.T, most: h.cfg.Buffer, wake: make(chan struct{}, 1)}
		for _, o := range old {
			if o.name == s.Name {
				l.put(o.take(o.most))
			}
		}
		h.lines = append(h.lines, l)
	}
	h.gone = append(h.gone, old...)
	if h.ended {
		h.close()
	}
	close(h.reset)
	h.reset = make(chan struct{})
}

// same reports whether two sinks are one. Those that cannot be compared are not.
func same(a, b Sink) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}

// close closes the sinks that are gone, and when Run has ended all of them.
// Nobody writes to them, and mu is held.
func (h *Hub) close() {
	keep := h.lines
	if h.ended {
		h.gone, h.lines, keep = append(h.gone, h.lines...), nil, nil
	}
	for _, l := range h.gone {
		c, ok := l.sink.(io.Closer)
		if !ok || slices.ContainsFunc(keep, func(k *line) bool { return same(k.sink, l.sink) }) {
			continue
		}
		keep = append(slices.Clip(keep), l) // once
		if err := c.Close(); err != nil {
			h.log.Warn("metrics: close a sink", "sink", l.name, "err", err)
		}
	}
	h.gone = nil
}

// Run works until ctx ends, then gives sinks a short time for what waits, closes
// them, and returns nil. It is called once.
func (h *Hub) Run(ctx context.Context) error {
	g, all := errgroup.WithContext(context.WithoutCancel(ctx))
	g.Go(func() error {
		tick := time.NewTicker(h.cfg.Interval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				h.Gather(context.WithoutCancel(ctx))
				return nil
			case <-tick.C:
				h.Gather(ctx)
			}
		}
	})
	for {
		h.mu.Lock()
		h.close()
		lines, reset := h.lines, h.reset
		h.mu.Unlock()
		work, stop := context.WithCancel(all)
		sending, _ := errgroup.WithContext(work)
		for _, l := range lines {
			sending.Go(func() error { h.send(work, l); return nil })
		}
		select {
		case <-reset:
			stop()
			_ = sending.Wait() // they return nil
		case <-ctx.Done():
			stop()
			_ = sending.Wait()
			err := g.Wait()
			h.finish()
			return err
		}
	}
}

// Gather asks all inputs once and hands on what they say. Run calls it at every
// interval; others may call it meanwhile, and wait for each other.
func (h *Hub) Gather(ctx context.Context) {
	h.asking.Lock()
	defer h.asking.Unlock()
	var mu sync.Mutex
	var samples []Sample
	g, ctx := errgroup.WithContext(ctx)
	for _, in := range h.inputs {
		g.Go(func() error {
			limit := h.cfg.Timeout
			if limit <= 0 {
				limit = 5 * time.Second
			}
			one, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			got, err := in.T.Gather(one)
			mu.Lock()
			defer mu.Unlock()
			samples = append(samples, got...)
			h.say("input", in.Name, h.state, err)
			return nil
		})
	}
	_ = g.Wait() // they return nil
	h.Put(samples...)
}

// say tells once that something begins or ends to fail.
func (h *Hub) say(what, name string, state map[string]bool, err error) {
	switch {
	case err != nil && !state[name]:
		h.log.Error("metrics: "+what+" fails", what, name, "err", err)
	case err == nil && state[name]:
		h.log.Info("metrics: "+what+" works again", what, name)
	}
	state[name] = err != nil
}

// Put hands samples to all sinks without waiting for any.
func (h *Hub) Put(samples ...Sample) {
	if len(samples) == 0 {
		return
	}
	if len(h.cfg.Tags) > 0 {
		tagged := make([]Sample, len(samples))
		for i, s := range samples {
			s.Tags = Join(h.cfg.Tags, s.Tags)
			tagged[i] = s
		}
		samples = tagged
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.lines {
		if n := l.put(samples); n > 0 {
			h.own.Count("metrics.dropped_total", float64(n), Tag{"sink", l.name})
		}
	}
}

// send gives a sink what waits for it until ctx ends.
func (h *Hub) send(ctx context.Context, l *line) {
	wait := time.Second
	if l.bad == nil {
		l.bad = map[string]bool{}
	}
	for ctx.Err() == nil {
		batch := l.take(h.cfg.Batch)
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
			case <-l.wake:
			}
			continue
		}
		rest, err := h.write(ctx, l, batch)
		if n := l.back(rest); n > 0 {
			h.own.Count("metrics.dropped_total", float64(n), Tag{"sink", l.name})
		}
		if ctx.Err() != nil {
			return
		}
		h.say("sink", l.name, l.bad, err)
		if len(rest) == 0 {
			wait = time.Second
			continue
		}
		pause := time.Duration(rand.Int64N(int64(wait)) + int64(wait)/2)
		var limit *Limit
		if errors.As(err, &limit) && limit.After > 0 {
			pause = min(limit.After, 10*time.Minute)
		}
		wait = min(2*wait, time.Minute)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// write gives a sink one batch, and returns what of it is to be given again. Of
// a batch that it refuses, halves are tried, until the samples that it will not
// take are alone; those are dropped.
func (h *Hub) write(ctx context.Context, l *line, batch []Sample) ([]Sample, error) {
	limit := h.cfg.Timeout
	if limit <= 0 {
		limit = 30 * time.Second
	}
	one, cancel := context.WithTimeout(ctx, limit)
	err := l.sink.Write(one, batch)
	cancel()
	var all *AllRefused
	switch {
	case err == nil:
		return nil, nil
	case !errors.Is(err, ErrRefused):
		return batch, err
	case len(batch) == 1 || errors.As(err, &all):
		h.own.Count("metrics.refused_total", float64(len(batch)), Tag{"sink", l.name})
		return nil, err
	}
	half := len(batch) / 2
	rest, first := h.write(ctx, l, batch[:half])
	if len(rest) > 0 {
		return batch[half-len(rest):], first
	}
	rest, second := h.write(ctx, l, batch[half:])
	return rest, errors.Join(first, second)
}

// AllRefused is an error of a sink that refuses whatever it is given: a wrong
// key, a database that does not exist. It wraps [ErrRefused].
type AllRefused struct{ Err error }

// Error returns the text of the error behind it.
func (a *AllRefused) Error() string { return a.Err.Error() }

// Unwrap returns the error behind it, and [ErrRefused].
func (a *AllRefused) Unwrap() []error { return []error{a.Err, ErrRefused} }

// finish gives the sinks a last chance, and closes them.
func (h *Hub) finish() {
	h.mu.Lock()
	lines := h.lines
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), h.cfg.Final)
	defer cancel()
	var g errgroup.Group
	for _, l := range lines {
		g.Go(func() error {
			for batch := l.take(h.cfg.Batch); len(batch) > 0; batch = l.take(h.cfg.Batch) {
				if rest, err := h.write(ctx, l, batch); len(rest) > 0 {
					h.log.Warn("metrics: lost at the end", "sink", l.name, "samples", len(rest)+len(l.take(l.most)), "err", err)
					return nil
				}
			}
			return nil
		})
	}
	_ = g.Wait() // they return nil
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	h.close()
}
