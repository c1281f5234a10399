package web_test

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// figures are insights that look like those of a living project.
type figures struct {
	w    *world
	evil string
}

// Runs has a workflow that runs every day but Sunday, and those of the world.
func (i figures) Runs(_ context.Context, q ci.RunQuery) iter.Seq2[ci.Run, error] {
	return func(yield func(ci.Run, error) bool) {
		for _, r := range i.own(q) {
			if !yield(r, nil) {
				return
			}
		}
		n := 0
		for day := q.From; day.Before(q.To); day = day.AddDate(0, 0, 1) {
			n++
			if day.Weekday() == time.Sunday {
				continue
			}
			for k := range 9 + n*7%11 {
				r := ci.Run{Name: "build-and-ship", Branch: "main", Status: ci.Success, Created: day, Stopped: day.Add(time.Duration(230+n*13%50+k*k*3) * time.Second)}
				switch (n + k) % 9 {
				case 0:
					r.Status = ci.Failed
				case 4:
					r.Status = ci.Canceled
				}
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// own returns the runs of the world with a job that has test results.
func (i figures) own(q ci.RunQuery) []ci.Run {
	var all []ci.Run
	for p, err := range i.w.db.Pipelines(i.w.ctx, ci.Query{Project: q.Project, Limit: 100}) {
		if err != nil {
			return nil
		}
		workflows, _ := i.w.db.Workflows(i.w.ctx, p.ID)
		for _, wf := range workflows {
			for _, j := range append(wf.Past, wf.Jobs...) {
				if tests, _ := i.w.db.Tests(i.w.ctx, j.ID); len(tests) > 0 {
					all = append(all, ci.Run{Name: wf.Name, Branch: "main", Revision: revision, Status: ci.Failed, Created: j.Queued, Stopped: j.Stopped, Jobs: []ci.JobRun{{ID: j.ID, Name: j.Name, Number: j.Number, Tests: ci.TestCounts{Failure: 1, Success: len(tests) - 1}}}})
				}
			}
		}
	}
	return all
}

func (i figures) WorkflowStats(_ context.Context, q ci.RunQuery) ([]ci.Stats, error) {
	if q.Branch == "quiet" {
		return nil, nil
	}
	all := []ci.Stats{
		{Name: "build-and-ship", Runs: 430, Successes: 371, Failures: 41, Recovery: 96 * time.Minute, Duration: ci.Spread{Median: 4*time.Minute + 12*time.Second, P95: 9 * time.Minute}},
		{Name: cmp.Or(i.evil, "nightly"), Runs: 30, Successes: 30, Duration: ci.Spread{Median: 22 * time.Minute, P95: 31 * time.Minute}},
	}
	return slices.DeleteFunc(all, func(s ci.Stats) bool { return q.Workflow != "" && q.Workflow != s.Name }), nil
}

func (figures) JobStats(context.Context, ci.RunQuery) ([]ci.Stats, error) {
	return []ci.Stats{
		{Name: "build", Runs: 412, Successes: 405, Failures: 7, Duration: ci.Spread{Median: 50 * time.Second, P95: 95 * time.Second}, Wait: ci.Spread{Median: 1200 * time.Millisecond}},
		{Name: "test", Runs: 402, Successes: 380, Failures: 22, Duration: ci.Spread{Median: 150 * time.Second, P95: 320 * time.Second}, Wait: ci.Spread{Median: 2 * time.Second}},
	}, nil
}

func (i figures) TestStats(context.Context, ci.RunQuery) (ci.TestStats, error) {
	named := func(class, name string) ci.Test {
		return ci.Test{Classname: cmp.Or(i.evil, class), Name: cmp.Or(i.evil, name), File: i.evil}
	}
	return ci.TestStats{
		Slowest: []ci.TestStat{
			{Test: named("shop/stock", "TestRestock/whole-catalogue"), Job: cmp.Or(i.evil, "integration"), Longest: 48 * time.Second},
			{Test: named("shop/cart", "TestTotal/coupon"), Job: "test", Longest: 1520 * time.Millisecond},
		},
		Failed: []ci.TestStat{{Test: named("shop/cart", "TestTotal/coupon"), Job: "test", Failures: 17}},
	}, nil
}

func (i figures) FlakyTests(_ context.Context, p ci.ProjectID) ([]ci.FlakyTest, error) {
	if p != i.w.project.ID {
		return nil, nil
	}
	return []ci.FlakyTest{{
		Test: ci.Test{Classname: cmp.Or(i.evil, "shop/cart"), Name: cmp.Or(i.evil, "TestTotal/coupon")}, Job: cmp.Or(i.evil, "test"),
		JobNumber: 1, Flakes: 17, Last: time.Now().Add(-3 * time.Hour),
	}}, nil
}
