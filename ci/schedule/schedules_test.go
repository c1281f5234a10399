package schedule_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/schedule"
)

func TestPutSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, ctx := w.clock(), t.Context()
		parameters := map[string]any{"branch": "main", "i": 3, "big": int64(1)<<60 + 1, "f": 0.5, "b": true}
		s := w.put(c, ci.ScheduledPipeline{Name: " nightly ", Description: "d", Timetable: everyHour(), Actor: alice, Parameters: parameters})
		require.Equal(t, "nightly", s.Name)
		require.Equal(t, map[string]any{"branch": "main", "i": 3.0, "big": int64(1)<<60 + 1, "f": 0.5, "b": true}, s.Parameters)
		got, err := c.Schedule(ctx, s.ID)
		require.NoError(t, err)
		require.Equal(t, s, got)
		list, err := c.Schedules(ctx, "p")
		require.NoError(t, err)
		require.Equal(t, []ci.ScheduledPipeline{s}, list)
		_, never, err := c.Last(ctx, s.ID)
		require.NoError(t, err)
		require.False(t, never)

		// Another description leaves the times alone, even one that is overdue.
		time.Sleep(90 * time.Minute)
		s.Description = "e"
		bob := ci.Actor{ID: "b", Kind: ci.ActorUser, Login: "bob"}
		kept, err := c.PutSchedule(ctx, s, bob)
		require.NoError(t, err)
		require.Equal(t, alice, kept.Actor, "what it triggers is as before")
		require.Equal(t, s.Next, kept.Next)
		require.Equal(t, s.Created, kept.Created)
		require.True(t, kept.Updated.After(s.Updated))
		kept.Timetable = ci.Timetable{PerHour: 1, HoursOfDay: []int{7}, DaysOfMonth: []int{1}}
		kept, err = c.PutSchedule(ctx, kept, bob)
		require.NoError(t, err)
		require.Equal(t, 7, kept.Next.Hour())
		require.Equal(t, bob, kept.Actor)

		carol := ci.Actor{ID: "c", Kind: ci.ActorUser, Login: "carol"}
		for says, spoil := range map[string]func(*ci.ScheduledPipeline){
			"name is":                 func(s *ci.ScheduledPipeline) { s.Name = " \t" },
			"of one line":             func(s *ci.ScheduledPipeline) { s.Name = "a\nb" },
			"description is longer":   func(s *ci.ScheduledPipeline) { s.Description = strings.Repeat("x", 5000) },
			"must have branch or tag": func(s *ci.ScheduledPipeline) { s.Parameters = map[string]any{"x": 1} },
			"and not both":            func(s *ci.ScheduledPipeline) { s.Parameters = map[string]any{"branch": "x", "tag": "y"} },
			"branch or tag, a text":   func(s *ci.ScheduledPipeline) { s.Parameters = map[string]any{"branch": 1} },
			"neither text nor number": func(s *ci.ScheduledPipeline) { s.Parameters = map[string]any{"branch": "x", "l": []any{}} },
			"timetable: per-hour":     func(s *ci.ScheduledPipeline) { s.Timetable = ci.Timetable{} },
			"there is no such day":    func(s *ci.ScheduledPipeline) { s.Timetable = ci.Timetable{Cron: "0 0 31 4 *"} },
			"belongs to another":      func(s *ci.ScheduledPipeline) { s.Project = "q" },
		} {
			bad := kept
			spoil(&bad)
			_, err := c.PutSchedule(ctx, bad, bob)
			require.ErrorIs(t, err, ci.ErrInvalid, says)
			require.ErrorContains(t, err, says)
		}
		bad := kept
		bad.Actor = carol
		_, err = c.PutSchedule(ctx, bad, bob)
		require.ErrorIs(t, err, ci.ErrDenied)
		_, err = c.PutSchedule(ctx, ci.ScheduledPipeline{Project: "p", Name: "nightly", Timetable: everyHour(), Parameters: map[string]any{"branch": "x"}}, bob)
		require.ErrorIs(t, err, ci.ErrConflict)
		require.ErrorContains(t, err, "the project has one of that name")
		_, err = c.PutSchedule(ctx, ci.ScheduledPipeline{Project: "q", Name: "n", Timetable: everyHour(), Parameters: map[string]any{"branch": "x"}}, bob)
		require.ErrorIs(t, err, ci.ErrNotFound)
		bad = kept
		bad.ID = ci.NewID()
		_, err = c.PutSchedule(ctx, bad, bob)
		require.ErrorIs(t, err, ci.ErrNotFound)

		require.NoError(t, c.DeleteSchedule(ctx, s.ID, bob))
		require.ErrorIs(t, c.DeleteSchedule(ctx, s.ID, bob), ci.ErrNotFound)
		_, err = c.Schedule(ctx, s.ID)
		require.ErrorIs(t, err, ci.ErrNotFound)
	})
}

// A025: nobody has a schedule of somebody else trigger what they like with the
// rights of that person.
func TestA025_BorrowedName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, ctx := w.clock(), t.Context()
		s := w.put(c, ci.ScheduledPipeline{Name: "deploy", Timetable: everyHour(), Actor: alice})
		bob := ci.Actor{ID: "b", Kind: ci.ActorUser, Login: "bob"}
		s.Parameters = map[string]any{"branch": "evil"}
		s, err := c.PutSchedule(ctx, s, bob)
		require.NoError(t, err)
		require.Equal(t, bob, s.Actor)
		w.run(c.Run)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, bob, w.fired()[0].Trigger.Actor)
		s.Actor, s.Parameters = ci.Actor{}, map[string]any{"branch": "main"}
		s, err = c.PutSchedule(ctx, s, bob)
		require.NoError(t, err)
		require.Empty(t, s.Actor, "the system stays")
		s.Actor = alice
		_, err = c.PutSchedule(ctx, s, bob)
		require.ErrorIs(t, err, ci.ErrDenied)
	})
}

// A027: a project has no more than its share of the clock, however many
// branches somebody pushes.
func TestA027_ManySchedules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, ctx := w.clock(), t.Context()
		w.run(c.Run)
		var fifty []ci.Schedule
		for i := range 50 {
			fifty = append(fifty, ci.Schedule{Workflow: fmt.Sprint("w", i), Cron: "* * * * *"})
		}
		long := ci.Schedule{Workflow: strings.Repeat("w", 2*ci.MaxDoc), Cron: "* * * * *"}
		for _, branch := range []string{"a", "b", "c", "d"} {
			w.push(branch, "", false, append([]ci.Schedule{long}, fifty...)...)
		}
		list, err := c.Workflows(ctx, "p")
		require.NoError(t, err)
		require.Len(t, list, schedule.MaxSchedules)
		w.push("a", "", false, fifty[1:]...)
		w.push("c", "", false, fifty[:3]...)
		list, err = c.Workflows(ctx, "p")
		require.NoError(t, err)
		require.Len(t, list, schedule.MaxSchedules)
		require.Equal(t, "c", list[99].Branch)

		for i := range schedule.MaxSchedules {
			w.put(c, ci.ScheduledPipeline{Name: fmt.Sprint(i), Timetable: everyHour()})
		}
		_, err = c.PutSchedule(ctx, ci.ScheduledPipeline{Project: "p", Name: "more", Timetable: everyHour(), Parameters: map[string]any{"branch": "x"}}, alice)
		require.ErrorIs(t, err, ci.ErrConflict)
		require.ErrorContains(t, err, "delete one")
	})
}

// A project that nobody follows any more is not built by the clock either.
func TestClock_Unfollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.clock()
		w.run(c.Run)
		w.push("main", "", false, ci.Schedule{Workflow: "hourly", Cron: "0 * * * *"})
		p, err := w.db.Project(t.Context(), "p")
		require.NoError(t, err)
		p.Followed = false
		require.NoError(t, w.db.PutProject(t.Context(), p))
		time.Sleep(3*time.Hour + time.Second)
		synctest.Wait()
		require.Empty(t, w.fired())
		p.Followed = true
		require.NoError(t, w.db.PutProject(t.Context(), p))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, w.fired(), 1)
	})
}

// Changing a schedule while it comes up neither loses the change nor doubles.
func TestPutSchedule_WhileItComesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.clock()
		w.run(c.Run)
		s := w.put(c, ci.ScheduledPipeline{Name: "s", Timetable: ci.Timetable{Cron: "* * * * *"}})
		time.Sleep(time.Until(s.Next))
		for i := range 60 {
			s.Description = strings.Repeat("x", i)
			w.put(c, s)
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		got, err := c.Schedule(t.Context(), s.ID)
		require.NoError(t, err)
		require.Equal(t, s.Description, got.Description)
		require.Len(t, w.times(), 61)
	})
}
