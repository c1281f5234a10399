package schedule_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/ci/schedule"
)

// The newest plan of a branch says what the clock starts there.
func TestClock_Configurations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cfg.Admits = config.Admits
		c := w.clock()
		w.run(c.Run)
		names := func() (out []string) {
			list, err := c.Workflows(t.Context(), "p")
			require.NoError(t, err)
			for _, s := range list {
				out = append(out, s.Branch+" "+s.Workflow+" "+s.Cron)
			}
			return out
		}
		nightly := ci.Schedule{Workflow: "nightly", Cron: "0 4 * * *", Only: []string{"main", "/release-.*/"}}
		weekly := ci.Schedule{Workflow: "weekly", Cron: "0 5 * * 0", Ignore: []string{"main"}}
		broken := ci.Schedule{Workflow: "broken", Cron: "0 5 * * 0", Only: []string{"/(/"}}
		first := w.push("main", "", false, nightly, weekly, broken, nightly)
		w.push("release-1", "", false, nightly, weekly)
		w.push("dev", "", false, nightly)
		require.Equal(t, []string{"main nightly 0 4 * * *", "release-1 nightly 0 4 * * *", "release-1 weekly 0 5 * * 0"}, names())

		time.Sleep(4*time.Hour + time.Second)
		synctest.Wait()
		fired := w.fired()
		require.Len(t, fired, 2)
		tr := fired[0].Trigger
		require.Equal(t, "nightly", tr.Schedule)
		require.Empty(t, tr.Scheduled)
		require.Equal(t, ci.SourceSchedule, tr.Source)
		require.Equal(t, ci.ActorSchedule, tr.Actor.Kind)
		// That pipeline's own plan had no schedules: it was the newest.
		require.Empty(t, names())

		w.push("main", "", false, nightly)
		w.push("main", "eve/shop", false)
		w.push("main", "eve/shop", false, weekly)
		require.Equal(t, []string{"main nightly 0 4 * * *"}, names(), "a fork decides nothing")
		before, err := c.Workflows(t.Context(), "p")
		require.NoError(t, err)
		w.push("main", "", false, nightly, ci.Schedule{Workflow: "hourly", Cron: "0 * * * *"})
		list, err := c.Workflows(t.Context(), "p")
		require.NoError(t, err)
		require.Equal(t, before[0], list[1], "undisturbed")
		w.push("main", "", true, nightly)
		require.Empty(t, names(), "a setup configuration has none")
		w.push("main", "", false, nightly)
		require.NoError(t, c.BranchGone(t.Context(), "p", "mai"))
		require.Len(t, names(), 1)
		require.NoError(t, c.BranchGone(t.Context(), "p", "main"))
		require.NoError(t, c.BranchGone(t.Context(), "p", "main"))
		require.Empty(t, names())
		require.NotEmpty(t, first.ID)
	})
}

// The plan that is written last is not always the newest.
func TestClock_OlderPlanComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		older := w.push("main", "", false, ci.Schedule{Workflow: "old", Cron: "0 4 * * *"})
		w.push("main", "", false, ci.Schedule{Workflow: "new", Cron: "0 4 * * *"})
		// Both are known before the clock reads of the first.
		c := w.clock()
		w.run(c.Run)
		synctest.Wait()
		list, err := c.Workflows(t.Context(), "p")
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, "new", list[0].Workflow)
		require.NotEqual(t, older.ID, list[0].Pipeline)
	})
}

// What continues a setup configuration has no schedules, nor do older plans
// count then.
func TestClock_Continued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		hourly := ci.Schedule{Workflow: "hourly", Cron: "0 * * * *"}
		w.push("main", "", false, hourly)
		w.mu.Lock()
		w.plans["setup"] = ci.Plan{Setup: true, Workflows: []ci.PlannedWorkflow{{Name: "setup", Jobs: []ci.PlannedJob{{Name: "find out"}}}}}
		w.mu.Unlock()
		p, err := w.server.Trigger(t.Context(), ci.Trigger{Project: "p", Branch: "main", Revision: "setup"})
		require.NoError(t, err)
		synctest.Wait()
		plan, err := w.db.Plan(t.Context(), p.ID)
		require.NoError(t, err)
		c := w.clock()
		w.run(c.Run)
		synctest.Wait()
		list, err := c.Workflows(t.Context(), "p")
		require.NoError(t, err)
		require.Empty(t, list)
		w.mu.Lock()
		w.plans["setup"] = ci.Plan{Schedules: []ci.Schedule{hourly}}
		w.mu.Unlock()
		require.NoError(t, w.server.Continue(t.Context(), plan.Key, ci.Continuation{Source: "version: 2.1"}))
		synctest.Wait()
		p, err = w.db.Pipeline(t.Context(), p.ID)
		require.NoError(t, err)
		require.Equal(t, ci.PipelineReady, p.State)
		list, err = c.Workflows(t.Context(), "p")
		require.NoError(t, err)
		require.Empty(t, list)
	})
}

// A branch of whose end nobody told is noticed at the next time.
func TestClock_BranchGoneUntold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.clock()
		w.run(c.Run)
		w.push("dev", "", false, ci.Schedule{Workflow: "hourly", Cron: "0 * * * *"})
		w.breaks("dev", ci.ErrNotFound)
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		list, err := c.Workflows(t.Context(), "p")
		require.NoError(t, err)
		require.Empty(t, list)
		require.EqualValues(t, 1, w.calls.Load())
	})
}

// What a plan asked for while the clock was away is late, not forgotten; what
// is older than the clock itself is not made up for.
func TestClock_PlannedDuringOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.push("old", "", false, ci.Schedule{Workflow: "old", Cron: "0 * * * *"})
		time.Sleep(150 * time.Minute)
		stop := w.run(w.clock().Run)
		synctest.Wait()
		require.Empty(t, w.times())
		stop()
		w.push("new", "", false, ci.Schedule{Workflow: "new", Cron: "0 * * * *"})
		time.Sleep(45 * time.Minute) // 03:00 passes
		w.run(w.clock().Run)
		synctest.Wait()
		require.Equal(t, []string{"01-01 03:00", "01-01 03:00"}, w.times())
	})
}

// Many events without schedules move the cursor too, and nothing is lost when
// the clock starts anew in between.
func TestClock_ManyEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 5 {
			for range 130 {
				w.push("dev", "", false)
			}
			stop := w.run(w.clock().Run)
			synctest.Wait()
			stop()
		}
		w.push("dev", "", false, ci.Schedule{Workflow: "hourly", Cron: "0 * * * *"})
		c := w.clock()
		w.run(c.Run)
		synctest.Wait()
		list, err := c.Workflows(t.Context(), "p")
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, schedule.Workflow{ID: list[0].ID, Branch: "dev", Workflow: "hourly", Cron: "0 * * * *",
			Pipeline: list[0].Pipeline, Next: time.Now().UTC().Truncate(time.Hour).Add(time.Hour)}, list[0])
	})
}
