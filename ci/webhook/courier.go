package webhook

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Reader reads what messages tell of. A [ci.Store] is one. What does not
// exist is [ci.ErrNotFound].
type Reader interface {
	Project(ctx context.Context, id ci.ProjectID) (ci.Project, error)
	Pipeline(ctx context.Context, id ci.PipelineID) (ci.Pipeline, error)
	Workflow(ctx context.Context, id ci.WorkflowID) (ci.Workflow, error)
	LastEvent(ctx context.Context) (uint64, error)
}

// A Keeper seals signing secrets. place says where what is sealed belongs:
// kind, scope, ID and name of its document. It opens nowhere else.
type Keeper interface {
	Seal(ctx context.Context, place []string, plain []byte) (string, error)
	Open(ctx context.Context, place []string, sealed string) ([]byte, error)
}

// Config holds what a [Courier] can do without.
type Config struct {
	// Log receives what operators should know; nil is silent.
	Log *slog.Logger
	// Follow yields all events after the given number and waits for more, see
	// ci.Server. nil makes no messages but pings.
	Follow func(ctx context.Context, after uint64) iter.Seq2[ci.Event, error]
	// Keeper seals the secrets; nil refuses webhooks that have one.
	Keeper Keeper
	// WorkflowURL returns the address of a workflow's page; nil leaves it
	// empty.
	WorkflowURL func(id ci.WorkflowID) string
	// Allow are networks that messages may go to although they are not of the
	// public internet.
	Allow []netip.Prefix
	// Proxy returns the proxy for a request, as http.Transport has it; nil or
	// a nil address goes directly. The proxy itself may be anywhere.
	Proxy func(*http.Request) (*url.URL, error)
	// Wrap is given each transport that would make requests and returns what
	// does; nil is that transport. So trust can be that of the program, and
	// change while it runs. Its proxy and its dialer are to stay: they are the
	// guard.
	Wrap func(*http.Transport) http.RoundTripper
	// Transport makes the requests instead of all this; Allow and Proxy, and a
	// webhook's wish not to have certificates checked, are then its own
	// business. nil is the one described.
	Transport http.RoundTripper
	// AtOnce is how many messages are under way at the same time, 0 is 64, and
	// PerHook how many of one webhook, 0 is 4.
	AtOnce  int
	PerHook int
}

// The bounds of delivery.
const (
	timeout  = 10 * time.Second         // of one try
	giveUp   = 24 * time.Hour           // after which a message has failed
	keep     = 7 * 24 * time.Hour       // a message in the log
	lease    = timeout + 20*time.Second // in which nobody else tries
	lookEach = 10 * time.Second         // at what other processes wrote
)

// A Courier keeps webhooks and delivers. Any number of couriers may share a
// database. All methods are safe for concurrent use.
type Courier struct {
	docs ci.Docs
	read Reader
	cfg  Config
	log  *slog.Logger
	road road
	wake chan struct{} // has one element after a write

	mu    sync.Mutex
	busy  map[string]bool // messages under way
	hooks map[string]int  // by webhook, how many of them
	// failing are the webhooks whose last try failed: they get one place, so
	// that many slow receivers leave room for the others.
	failing map[string]bool
	waiting map[string][]string // by webhook, messages that have no place yet
	full    bool                // there were more messages than places
}

// New returns a courier. It does nothing by itself until [Courier.Run] is
// called.
func New(docs ci.Docs, read Reader, cfg Config) *Courier {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.AtOnce <= 0 {
		cfg.AtOnce = 64
	}
	if cfg.PerHook <= 0 {
		cfg.PerHook = 4
	}
	if cfg.WorkflowURL == nil {
		cfg.WorkflowURL = func(ci.WorkflowID) string { return "" }
	}
	return &Courier{
		docs: docs, read: read, cfg: cfg, log: cfg.Log, road: newRoad(cfg), wake: make(chan struct{}, 1),
		busy: map[string]bool{}, hooks: map[string]int{}, failing: map[string]bool{}, waiting: map[string][]string{},
	}
}

// The kinds of documents.
const (
	kindHook    = "webhook"          // scope project
	kindMessage = "webhook-delivery" // scope webhook, named by time
	kindCursor  = "webhook-cursor"   // how far the events have been read
)

// Run makes and delivers messages until ctx ends; then it returns nil, with
// none under way. One Run at a time.
func (c *Courier) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer c.road.close()
	defer all.Wait()
	if c.cfg.Follow != nil {
		all.Go(func() { c.follow(ctx) })
	}
	for ctx.Err() == nil {
		wait, begun := lookEach, time.Now()
		err := c.look(ctx, &all, &wait)
		if err != nil && ctx.Err() == nil {
			c.log.Error("look for webhook messages, will try again", "wait", wait, "err", err)
		}
		// A look through many messages that wait takes its time: the more, the
		// rarer.
		rest(ctx, 3*time.Since(begun), nil)
		rest(ctx, wait, c.wake)
	}
	return nil
}

// rest waits, until it is woken or ctx ends.
func rest(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}

// woken makes Run look now.
func (c *Courier) woken() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// look starts what is due, as far as there is room, notes what has to wait for
// room, and shortens wait to when the next message is due.
func (c *Courier) look(ctx context.Context, all *sync.WaitGroup, wait *time.Duration) error {
	now := time.Now()
	c.mu.Lock()
	clear(c.waiting)
	c.mu.Unlock()
	for d, err := range c.docs.DueDocs(ctx, kindMessage, now.Add(lookEach), 0) {
		if err != nil {
			return err
		}
		if until := d.Due.Sub(now); until > 0 {
			*wait = min(*wait, until)
			return nil // they come in order
		}
		free, taken := c.take(d)
		if !free {
			return nil
		}
		if taken {
			all.Go(func() { c.work(ctx, d) })
		}
	}
	return nil
}

// work handles a message, and those of the same webhook that wait for its
// place.
func (c *Courier) work(ctx context.Context, d ci.Doc) {
	next, ok := c.release(d, c.handle(ctx, d))
	for ok {
		now, err := c.docs.Doc(ctx, kindMessage, next)
		bad := false
		if err == nil && !now.Due.After(time.Now()) { // else another courier had it
			bad = c.handle(ctx, now)
		}
		next, ok = c.release(ci.Doc{ID: next, Scope: d.Scope}, bad)
	}
}

// maxWaiting is how many messages of one webhook are noted to wait for room.
// The next look finds the rest.
const maxWaiting = 1000

// take notes that a message is under way. free is false when no more have
// room, taken when this one has none.
func (c *Courier) take(d ci.Doc) (free, taken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.busy) >= c.cfg.AtOnce {
		c.full = true
		return false, false
	}
	room := c.cfg.PerHook
	if c.failing[d.Scope] {
		room = 1
	}
	switch {
	case c.busy[d.ID]:
		return true, false
	case c.hooks[d.Scope] >= room:
		if len(c.waiting[d.Scope]) < maxWaiting {
			c.waiting[d.Scope] = append(c.waiting[d.Scope], d.ID)
		}
		return true, false
	}
	c.busy[d.ID] = true
	c.hooks[d.Scope]++
	return true, true
}

// release notes that a message is no longer under way. The one that takes its
// place, if any, is.
func (c *Courier) release(d ci.Doc, failed bool) (next string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, d.ID)
	delete(c.failing, d.Scope)
	if failed {
		c.failing[d.Scope] = true
	}
	if c.full { // others may have waited longer
		c.full = false
		c.woken()
	}
	for list := c.waiting[d.Scope]; len(list) > 0 && !failed; list = c.waiting[d.Scope] {
		c.waiting[d.Scope] = list[1:]
		if !c.busy[list[0]] {
			c.busy[list[0]] = true
			return list[0], true
		}
	}
	if c.hooks[d.Scope]--; c.hooks[d.Scope] == 0 {
		delete(c.hooks, d.Scope)
	}
	return "", false
}

// Kinds returns the kinds of the documents that have sealed secrets, for
// whoever seals them anew.
func Kinds() []string { return []string{kindHook} }
