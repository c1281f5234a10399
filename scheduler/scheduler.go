package scheduler

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Scheduler is the queue: it follows the events, keeps a ticket for each task
// that has not ended, hands tasks to the cluster, grants leases, and reports
// what became of them. Everything it knows can be read again from its
// [Backlog], so it may be killed at any instant. All methods are safe for
// concurrent use; those that need the tickets wait until [Scheduler.Run] has
// loaded them.
type Scheduler struct {
	backlog Backlog
	cluster Cluster
	report  func(context.Context, ci.Report) error
	cfg     Config
	log     *slog.Logger

	began   atomic.Bool
	ready   chan struct{} // closed when the tickets are loaded
	stopped chan struct{} // closed when Run has returned
	work    work
	woken   chan struct{} // has an element when the loop has something to do
	look    chan struct{} // has an element when the nodes are to be asked for
	reports chan struct{} // bounds the reports at once

	mu       sync.Mutex
	tasks    map[ci.TaskID]*entry
	jobs     map[ci.JobID][]*entry
	active   map[*entry]bool // with the cluster, by ticket
	queue    *queue
	fleet    *fleet
	forecast *forecast
	reserved *reservation
	paused   string // why nothing is handed out
	seq      uint64
	moved    chan struct{} // closed and replaced when an entry leaves active

	recent  recent               // ended lately
	history history              // likewise, for people
	orphans map[orphan]time.Time // placements without a ticket, since when
	lanes   map[string]chan struct{}

	cursor     uint64 // last event applied
	saved      uint64 // last event whose tickets are stored
	cursorBy   time.Time
	dirty      []*entry
	removed    []ci.TaskID // ended: may be removed a little later
	removeBy   time.Time
	dropped    []ci.TaskID // canceled: must be removed before the cursor moves
	pending    *batch
	deadline   time.Time
	bounced    []*entry
	lostWrites int // commits in a row that failed
}

// New returns a scheduler that reports to the given function, which must be
// idempotent, see [ci.Server.Report]. It does nothing until [Scheduler.Run].
func New(b Backlog, c Cluster, report func(context.Context, ci.Report) error, cfg Config) *Scheduler {
	s := &Scheduler{
		backlog: b, cluster: c, report: report, cfg: cfg.withDefaults(),
		ready: make(chan struct{}), stopped: make(chan struct{}),
		work: newWork(), woken: make(chan struct{}, 1), look: make(chan struct{}, 1),
		reports: make(chan struct{}, 8),
		tasks:   make(map[ci.TaskID]*entry), jobs: make(map[ci.JobID][]*entry), active: make(map[*entry]bool),
		fleet: newFleet(), forecast: newForecast(), moved: make(chan struct{}),
		orphans: make(map[orphan]time.Time), lanes: make(map[string]chan struct{}),
		pending: newBatch(),
	}
	s.log = s.cfg.Log
	s.queue = newQueue(&s.cfg)
	return s
}

// Run loads the tickets and then does all the work, until ctx ends; then it
// returns nil, and what runs on the cluster goes on running. follow yields the
// events after the given number and waits for more; when it ends, it is called
// again. Run may be called once.
func (s *Scheduler) Run(ctx context.Context, follow func(ctx context.Context, after uint64) iter.Seq2[ci.Event, error]) error {
	if !s.began.CompareAndSwap(false, true) {
		return fmt.Errorf("run scheduler: it has run before: %w", ci.ErrConflict)
	}
	defer close(s.stopped)
	if err := s.load(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("load backlog: %w", err)
	}
	s.sayOn()
	close(s.ready)
	var wg sync.WaitGroup
	for _, part := range []func(context.Context){s.work.run, s.loop, s.watch, s.poll} {
		wg.Go(func() { part(ctx) })
	}
	wg.Go(func() { s.follow(ctx, follow) })
	wg.Wait()
	s.lastCommit(ctx)
	return nil
}

// errStopped is what callers get that come too late. It is none of the four
// sentinels: the next process will know the answer.
var errStopped = errors.New("the scheduler has stopped")

// errLoading is what Check says to callers that come too early.
var errLoading = errors.New("the scheduler has not loaded its tickets yet")

// await waits until the tickets are loaded.
func (s *Scheduler) await(ctx context.Context) error {
	select {
	case <-s.stopped:
		return errStopped
	default:
	}
	select {
	case <-s.ready:
		return nil
	case <-s.stopped:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// kick makes the loop run once more.
func (s *Scheduler) kick() { signal(s.woken) }

// signal puts an element into a channel of capacity 1, unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// wakeAt makes the loop run at t at the latest.
func (s *Scheduler) wakeAt(t time.Time) {
	if !t.IsZero() && (s.deadline.IsZero() || t.Before(s.deadline)) {
		s.deadline = t
		s.kick()
	}
}
