package schedule_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/schedule"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// Three years go by: every time comes up once, on time.
func TestClock_Years(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cfg.Look = 30 * 24 * time.Hour
		c := w.clock()
		w.run(c.Run)
		table := ci.Timetable{PerHour: 2, HoursOfDay: []int{2, 14}, DaysOfMonth: []int{1, 15, 29, 31}}
		s := w.put(c, ci.ScheduledPipeline{Name: "nightly", Timetable: table, Parameters: map[string]any{"branch": "main", "full": true, "n": 3}})
		require.Equal(t, "2000-01-01T02:00:00Z", s.Next.Format(time.RFC3339))
		time.Sleep(3 * 366 * 24 * time.Hour)
		synctest.Wait()

		var want []time.Time
		for at := s.Created.Add(time.Minute); !at.After(time.Now()); at = at.Add(time.Minute) {
			if due(table, at) {
				want = append(want, at)
			}
		}
		fired := w.fired()
		require.Len(t, fired, len(want))
		require.Greater(t, len(want), 400)
		for i, p := range fired {
			require.True(t, want[i].Equal(p.Trigger.Planned))
			require.True(t, want[i].Equal(p.Created), "on time")
		}
		tr := fired[0].Trigger
		require.Equal(t, map[string]any{"full": true, "n": 3.0}, tr.Parameters)
		require.Equal(t, "main", tr.Branch)
		require.Equal(t, ci.Actor{Kind: ci.ActorSchedule, ID: s.ID}, tr.Actor)
		require.Equal(t, [2]string{"nightly", s.ID}, [2]string{tr.Schedule, tr.Scheduled})
		require.Equal(t, s.ID+"@2000-01-01T02:00:00Z", tr.Key)
		last, ok, err := c.Last(t.Context(), s.ID)
		require.NoError(t, err)
		require.True(t, ok && last.Late == 0 && last.Missed == 0 && last.Pipeline == fired[len(fired)-1].ID, "%+v", last)
	})
}

// What was missed while nobody was there is made up for once, late, and it is
// said by how much.
func TestP1_OutageRunsOnceLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.clock()
		stop := w.run(c.Run)
		s := w.put(c, ci.ScheduledPipeline{Name: "hourly", Timetable: everyHour()})
		time.Sleep(2*time.Hour + 30*time.Minute)
		stop()
		time.Sleep(5 * time.Hour) // 03:00 to 07:00 pass
		require.Equal(t, []string{"01-01 01:00", "01-01 02:00"}, w.times())

		c = w.clock()
		w.run(c.Run)
		synctest.Wait()
		require.Equal(t, []string{"01-01 01:00", "01-01 02:00", "01-01 03:00"}, w.times())
		late := w.fired()[2]
		require.Equal(t, 4*time.Hour+30*time.Minute, late.Created.Sub(late.Trigger.Planned), "the pipeline says so")
		last, _, err := c.Last(t.Context(), s.ID)
		require.NoError(t, err)
		require.Equal(t, 4*time.Hour+30*time.Minute, last.Late)
		require.Equal(t, 4, last.Missed)
		now, err := c.Schedule(t.Context(), s.ID)
		require.NoError(t, err)
		require.Equal(t, "08:00", now.Next.Format("15:04"))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, w.times(), 4)
	})
}

// deaf are documents whose writes are lost.
type deaf struct{ books }

type books = ci.Docs

func (deaf) WriteDocs(context.Context, ...ci.DocChange) ([]ci.Doc, error) {
	return nil, errors.New("the power has gone")
}

// A crash between the trigger and the write does not double.
func TestP1_CrashBetweenTriggerAndWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cfg.Follow = nil
		w.put(w.clock(), ci.ScheduledPipeline{Name: "hourly", Timetable: everyHour()})
		stop := w.run(w.clockOver(deaf{w.db}).Run)
		time.Sleep(time.Hour + time.Minute)
		stop()
		require.Equal(t, []string{"01-01 01:00"}, w.times())
		require.Greater(t, w.calls.Load(), int32(1))

		w.run(w.clock().Run)
		synctest.Wait()
		require.Equal(t, []string{"01-01 01:00"}, w.times())
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, []string{"01-01 01:00", "01-01 02:00"}, w.times())
	})
}

// Several servers on one database trigger each time once, and see what the
// others write.
func TestP1_TwoServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cfg.Look = 0
		a, b := w.clock(), w.clock()
		w.run(a.Run)
		w.run(b.Run)
		w.put(a, ci.ScheduledPipeline{Name: "every minute", Timetable: ci.Timetable{Cron: "* * * * *"}})
		half := ci.Schedule{Workflow: "nightly", Cron: "30 * * * *"}
		w.mu.Lock()
		w.plans["head of dev"] = ci.Plan{Schedules: []ci.Schedule{half}}
		w.mu.Unlock()
		w.push("dev", "", false, half)
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		require.Len(t, w.times(), 3*60+3)
	})
}

// The same on SQLite, where the keys are the database's to keep.
func TestP1_TwoServersOnSQLite(t *testing.T) {
	db, err := sqldb.Open(t.Context(), filepath.Join(t.TempDir(), "rondo.db"), sqldb.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.PutProject(t.Context(), ci.Project{ID: "p", Slug: "gh/acme/shop", Org: "acme", Repo: "shop"}))
	server := ci.New(db, nil, ci.Config{})
	trigger := func(ctx context.Context, t ci.Trigger) (ci.Pipeline, error) {
		t.Revision = "r"
		return server.Trigger(ctx, t)
	}
	yesterday := schedule.New(db, db, trigger, schedule.Config{Now: func() time.Time { return time.Now().Add(-24 * time.Hour) }})
	var ids []string
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		s, err := yesterday.PutSchedule(t.Context(), ci.ScheduledPipeline{Project: "p", Name: name, Timetable: everyHour(), Parameters: map[string]any{"tag": "v1"}}, alice)
		require.NoError(t, err)
		ids = append(ids, s.ID)
	}
	ctx, stop := context.WithCancel(t.Context())
	var ended errgroup.Group
	for range 3 {
		ended.Go(func() error { return schedule.New(db, db, trigger, schedule.Config{}).Run(ctx) })
	}
	for _, id := range ids {
		require.Eventually(t, func() bool {
			last, ok, err := yesterday.Last(t.Context(), id)
			require.NoError(t, err)
			return ok && last.Late > 22*time.Hour && last.Missed >= 22
		}, 20*time.Second, 5*time.Millisecond)
	}
	stop()
	require.NoError(t, ended.Wait())
	n := 0
	for p, err := range db.Pipelines(t.Context(), ci.Query{Limit: 100}) {
		require.NoError(t, err)
		require.False(t, p.Trigger.Planned.IsZero())
		n++
	}
	require.Equal(t, 10, n)
}

// P20.a: the time of day jumps; no time is doubled or left out.
func TestP20a_ClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour, -30 * 365 * 24 * time.Hour, 38 * 366 * 24 * time.Hour, 262 * 365 * 24 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.cfg.Look = 0
				c := w.clock()
				w.run(c.Run)
				s := w.put(c, ci.ScheduledPipeline{Name: "hourly", Timetable: everyHour()})
				time.Sleep(90 * time.Minute)
				for range 10 { // there and back
					w.shift.Store(int64(jump))
					time.Sleep(15 * time.Second)
					w.shift.Store(0)
					time.Sleep(15 * time.Second)
				}
				time.Sleep(26 * time.Hour)
				synctest.Wait()
				seen := map[string]int{}
				for _, at := range w.fired() {
					seen[at.Trigger.Planned.Format(time.RFC3339)]++
				}
				for at := s.Created.Add(time.Hour); !at.After(time.Now()); at = at.Add(time.Hour) {
					require.Equal(t, 1, seen[at.Format(time.RFC3339)], "%v of %v", at, seen)
				}
				extra := len(seen) - 27
				require.LessOrEqual(t, extra, 1, "%v", seen)
			})
		})
	}
}

// A code host that is away holds up its own schedule only.
func TestClock_HostAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.clock()
		w.run(c.Run)
		s := w.put(c, ci.ScheduledPipeline{Name: "away", Timetable: everyHour(), Parameters: map[string]any{"branch": "away"}})
		w.put(c, ci.ScheduledPipeline{Name: "here", Timetable: everyHour()})
		w.breaks("away", errors.New("connection refused"))
		time.Sleep(3*time.Hour + 20*time.Minute)
		require.Len(t, w.times(), 3)
		require.Less(t, w.calls.Load(), int32(60), "with patience")
		w.breaks("away", nil)
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		require.Len(t, w.times(), 4)
		last, _, err := c.Last(t.Context(), s.ID)
		require.NoError(t, err)
		require.Equal(t, 2, last.Missed)
		require.Greater(t, last.Late, 2*time.Hour)

		w.breaks("away", ci.ErrNotFound) // the branch was deleted
		time.Sleep(time.Hour)
		synctest.Wait()
		last, _, err = c.Last(t.Context(), s.ID)
		require.NoError(t, err)
		require.Equal(t, "not found", last.Error)
		require.Empty(t, last.Pipeline)
	})
}

// A129: who has lost the right to trigger does not do it by the clock either.
func TestA129_LostRights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var lost atomic.Bool
		w.cfg.May = func(_ context.Context, by ci.Actor, p ci.Project, write bool) error {
			require.True(t, write && by == alice && p.ID == "p")
			if lost.Load() {
				return ci.ErrNotFound
			}
			return nil
		}
		c := w.clock()
		w.run(c.Run)
		s := w.put(c, ci.ScheduledPipeline{Name: "mine", Timetable: everyHour(), Actor: alice})
		w.put(c, ci.ScheduledPipeline{Name: "the system's", Timetable: everyHour()})
		time.Sleep(90 * time.Minute)
		require.Len(t, w.fired(), 2)
		lost.Store(true)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, w.fired(), 3)
		last, _, err := c.Last(t.Context(), s.ID)
		require.NoError(t, err)
		require.Contains(t, last.Error, "alice may not trigger pipelines of gh/acme/shop any more")
	})
}
