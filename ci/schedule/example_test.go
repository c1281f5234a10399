package schedule_test

import (
	"context"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/schedule"
	"github.com/rondo-ci/rondo/storage/memdb"
)

func ExamplePreview() {
	workdays := ci.Timetable{PerHour: 2, HoursOfDay: []int{6}, DaysOfWeek: []string{"MON", "FRI"}}
	times, err := schedule.Preview(workdays, time.Date(2026, 2, 27, 6, 10, 0, 0, time.UTC), 3)
	if err != nil {
		fmt.Println(err)
	}
	for _, t := range times {
		fmt.Println(t.Format("Mon Jan 2 15:04"))
	}
	// Output:
	// Fri Feb 27 06:30
	// Mon Mar 2 06:00
	// Mon Mar 2 06:30
}

func ExampleNew() {
	ctx, stop := context.WithCancel(context.Background())
	db := memdb.New()
	_ = db.PutProject(ctx, ci.Project{ID: "shop", Slug: "gh/acme/shop"})
	overdue := time.Date(2026, 2, 27, 6, 10, 0, 0, time.UTC) // nobody was there then
	now := func() time.Time { return overdue }
	trigger := func(_ context.Context, t ci.Trigger) (ci.Pipeline, error) {
		fmt.Println(t.Schedule, t.Branch, t.Planned.Format(time.DateTime))
		stop()
		return ci.Pipeline{}, nil // ci.Server.Trigger, after the commit was looked up
	}
	clock := schedule.New(db, db, trigger, schedule.Config{Now: now})
	_, err := clock.PutSchedule(ctx, ci.ScheduledPipeline{
		Project: "shop", Name: "nightly", Timetable: ci.Timetable{Cron: "30 6 * * *"}, Parameters: map[string]any{"branch": "main"},
	}, ci.Actor{})
	if err != nil {
		fmt.Println(err)
	}
	clock = schedule.New(db, db, trigger, schedule.Config{})
	_ = clock.Run(ctx)
	// Output: nightly main 2026-02-27 06:30:00
}
