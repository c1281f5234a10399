package schedule_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/schedule"
	"github.com/rondo-ci/rondo/storage/memdb"
)

var _ ci.Schedules = (*schedule.Clock)(nil)

var alice = ci.Actor{ID: "a", Kind: ci.ActorUser, Login: "alice"}

// A world is a server with a project whose code host may be down.
type world struct {
	t      *testing.T
	db     *memdb.DB
	server *ci.Server
	cfg    schedule.Config
	shift  atomic.Int64 // of the time of day, in nanoseconds

	calls atomic.Int32 // of trigger

	mu    sync.Mutex
	down  map[string]error // by branch
	plans map[string]ci.Plan
}

// newWorld is called inside a bubble.
func newWorld(t *testing.T) *world {
	w := &world{t: t, db: memdb.New(), down: map[string]error{}, plans: map[string]ci.Plan{}}
	w.server = ci.New(w.db, ci.CompilerFunc(func(_ context.Context, _ ci.Project, p ci.Pipeline) (ci.Plan, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.plans[p.Trigger.Revision], nil
	}), ci.Config{})
	w.cfg = schedule.Config{Look: time.Hour, Follow: w.server.Follow, Now: func() time.Time {
		return time.Now().Add(time.Duration(w.shift.Load()))
	}}
	require.NoError(t, w.db.PutProject(t.Context(), ci.Project{ID: "p", Slug: "gh/acme/shop", Org: "acme", Repo: "shop", DefaultBranch: "main", Followed: true}))
	w.run(w.server.Run)
	return w
}

// run runs something until the test ends or stop is called.
func (w *world) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := f(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	w.t.Cleanup(stop)
	return stop
}

func (w *world) clock() *schedule.Clock { return w.clockOver(w.db) }

func (w *world) clockOver(docs ci.Docs) *schedule.Clock {
	return schedule.New(docs, w.db, w.trigger, w.cfg)
}

// trigger finds the commit and starts a pipeline, as an installation does.
func (w *world) trigger(ctx context.Context, t ci.Trigger) (ci.Pipeline, error) {
	w.calls.Add(1)
	w.mu.Lock()
	err := w.down[t.Branch]
	w.mu.Unlock()
	if err != nil {
		return ci.Pipeline{}, err
	}
	t.Revision = "head of " + t.Branch + t.Tag
	return w.server.Trigger(ctx, t)
}

func (w *world) breaks(branch string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[branch] = err
}

// push starts a pipeline of a branch whose configuration has the schedules.
func (w *world) push(branch, fork string, setup bool, schedules ...ci.Schedule) ci.Pipeline {
	w.mu.Lock()
	rev := fmt.Sprint("push ", len(w.plans))
	w.plans[rev] = ci.Plan{Schedules: schedules, Setup: setup}
	w.mu.Unlock()
	p, err := w.server.Trigger(w.t.Context(), ci.Trigger{Project: "p", Source: ci.SourceWebhook, Branch: branch, Revision: rev, Fork: fork})
	require.NoError(w.t, err)
	synctest.Wait()
	return p
}

// fired returns the triggers of the clock, oldest first.
func (w *world) fired() []ci.Pipeline {
	var out []ci.Pipeline
	for p, err := range w.db.Pipelines(w.t.Context(), ci.Query{Limit: 1 << 30}) {
		require.NoError(w.t, err)
		if p.Trigger.Source == ci.SourceSchedule {
			out = append([]ci.Pipeline{p}, out...)
		}
	}
	return out
}

// times are when those were planned.
func (w *world) times() []string {
	var out []string
	for _, p := range w.fired() {
		out = append(out, p.Trigger.Planned.Format("01-02 15:04"))
	}
	return out
}

func (w *world) put(c *schedule.Clock, s ci.ScheduledPipeline) ci.ScheduledPipeline {
	w.t.Helper()
	s.Project = "p"
	if s.Parameters == nil {
		s.Parameters = map[string]any{"branch": "main"}
	}
	kept, err := c.PutSchedule(w.t.Context(), s, alice)
	require.NoError(w.t, err)
	return kept
}

func everyHour() ci.Timetable { return ci.Timetable{Cron: "0 * * * *"} }
