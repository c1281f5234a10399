package schedule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Reader reads what the schedules of configurations depend on. A [ci.Store]
// is one. What does not exist is [ci.ErrNotFound].
type Reader interface {
	Project(ctx context.Context, id ci.ProjectID) (ci.Project, error)
	Pipeline(ctx context.Context, id ci.PipelineID) (ci.Pipeline, error)
	Plan(ctx context.Context, id ci.PipelineID) (*ci.Plan, error)
	Pipelines(ctx context.Context, q ci.Query) iter.Seq2[ci.Pipeline, error]
}

// Config holds what a [Clock] can do without.
type Config struct {
	// Log receives what operators should know; nil is silent.
	Log *slog.Logger
	// Follow yields all events after the given number and waits for more, see
	// ci.Server. nil leaves the schedules of configurations alone.
	Follow func(ctx context.Context, after uint64) iter.Seq2[ci.Event, error]
	// Admits says whether the branch filters of a schedule let the branch
	// pass; nil compares names and knows no regular expressions.
	Admits func(s ci.Schedule, branch string) (bool, error)
	// May says whether the actor in whose name a schedule triggers may still do
	// that, as in package api: nil, [ci.ErrDenied] or [ci.ErrNotFound]. A nil
	// May allows everything. The system always may.
	May func(ctx context.Context, by ci.Actor, p ci.Project, write bool) error
	// Now is the time of day; nil is [time.Now].
	Now func() time.Time
	// Look is how often the clock looks at what other processes have written
	// and whether the time of day was changed; 0 is 10 s. Its own writes it
	// sees at once.
	Look time.Duration
}

// A Clock keeps the schedules and triggers what is due. Any number of clocks
// may share a database. All methods are safe for concurrent use.
type Clock struct {
	docs    ci.Docs
	read    Reader
	trigger func(ctx context.Context, t ci.Trigger) (ci.Pipeline, error)
	cfg     Config
	log     *slog.Logger
	wake    chan struct{} // has one element after a write

	mu    sync.Mutex
	tries map[string]try // by document, of what could not be triggered
}

// A try says when a schedule that could not trigger is tried again.
type try struct {
	planned time.Time
	wait    time.Duration
	next    time.Time // by the monotonic clock
}

// New returns a clock. trigger is called with a trigger that lacks the commit,
// and should find the newest one of the branch or tag; when there is none, or
// no such project, it returns [ci.ErrNotFound]. It must keep the Key. An error
// that is none of the four of package ci is tried again. The clock does
// nothing by itself until [Clock.Run] is called.
func New(docs ci.Docs, read Reader, trigger func(ctx context.Context, t ci.Trigger) (ci.Pipeline, error), cfg Config) *Clock {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Look <= 0 {
		cfg.Look = 10 * time.Second
	}
	if cfg.Admits == nil {
		cfg.Admits = byName
	}
	return &Clock{docs: docs, read: read, trigger: trigger, cfg: cfg, log: cfg.Log, wake: make(chan struct{}, 1), tries: map[string]try{}}
}

// The kinds of documents.
const (
	kindPipeline = "schedule"          // of the API; scope project, name as people gave it
	kindWorkflow = "schedule-workflow" // of a configuration; scope project, see workflowName
	kindCursor   = "schedule-cursor"   // how far the events have been read
)

// Run triggers what is due until ctx ends; then it returns nil. What is due
// when it starts is late. One Run at a time.
func (c *Clock) Run(ctx context.Context) error {
	var follower sync.WaitGroup
	if c.cfg.Follow != nil {
		follower.Go(func() { c.follow(ctx) })
		defer follower.Wait()
	}
	var seen time.Time // by the wall clock
	mark := time.Now()
	for ctx.Err() == nil {
		now := c.now()
		passed := time.Since(mark)
		mark = mark.Add(passed)
		if now.Before(seen.Add(passed-time.Second)) || seen.IsZero() {
			if err := c.setBack(ctx, now); err != nil && ctx.Err() == nil {
				c.log.Error("look through schedules, will try again", "err", err)
				now = time.Time{}
			}
		}
		seen = now
		wait, err := c.look(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Error("look for due schedules, will try again", "err", err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-c.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// now is the time of day, to the millisecond as documents keep it.
func (c *Clock) now() time.Time { return time.UnixMilli(c.cfg.Now().UnixMilli()).UTC() }

// woken makes Run look now.
func (c *Clock) woken() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// setBack moves what was planned by a clock that was ahead to its next time by
// the clock of now.
func (c *Clock) setBack(ctx context.Context, now time.Time) error {
	for _, kind := range []string{kindPipeline, kindWorkflow} {
		var moved []ci.Doc
		for d, err := range c.docs.Docs(ctx, ci.DocQuery{Kind: kind, AllScopes: true}) {
			if err != nil {
				return err
			}
			e, err := open(d)
			if err != nil {
				c.log.Error("read schedule", "schedule", d.ID, "err", err)
				continue
			}
			if next := e.hands.next(now); d.Due.After(next) && !next.IsZero() {
				d.Due = next
				moved = append(moved, d)
			}
		}
		for _, d := range moved {
			if _, err := c.docs.WriteDocs(ctx, ci.DocChange{Doc: d}); err != nil && !errors.Is(err, ci.ErrConflict) {
				return err
			}
			c.log.Warn("the clock was set back; schedule moved", "schedule", d.ID, "next", d.Due)
		}
	}
	return nil
}

// An entry is a document of a schedule that has been read: of the API, or with
// Workflow set one of a configuration.
type entry struct {
	ci.ScheduledPipeline
	Branch   string        `json:"branch,omitempty"`
	Workflow string        `json:"workflow,omitempty"`
	From     ci.PipelineID `json:"from,omitempty"` // whose configuration says so
	Last     *Firing       `json:"last,omitempty"`

	hands hands
}

// open reads a document.
func open(d ci.Doc) (entry, error) {
	var e entry
	body := json.NewDecoder(bytes.NewReader(d.Body))
	body.UseNumber()
	err := body.Decode(&e)
	if err != nil {
		return entry{}, fmt.Errorf("schedule %s: %w", d.ID, err)
	}
	for name, v := range e.Parameters {
		if n, ok := v.(json.Number); ok {
			e.Parameters[name] = number(n)
		}
	}
	if e.hands, err = parse(e.Timetable); err != nil {
		return entry{}, fmt.Errorf("schedule %s: %w", d.ID, err)
	}
	e.ID, e.Created, e.Next = d.ID, d.Created, d.Due // Updated counts people's changes only
	return e, nil
}

// number returns a number as the parameters of triggers have it: float64, or
// int64 where that would not be exact.
func number(n json.Number) any {
	f, _ := n.Float64() // it was written as a number
	if i, err := n.Int64(); err == nil && int64(f) != i {
		return i
	}
	return f
}

// body is the entry as a document keeps it.
func (e entry) body() ([]byte, error) {
	e.Next, e.Created = time.Time{}, time.Time{}
	return json.Marshal(e)
}
