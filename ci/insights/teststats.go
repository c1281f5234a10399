package insights

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// listed is how many tests a list of [ci.TestStats] holds.
const listed = 10

// TestStats sums up the tests of the query's runs.
func (in *Insights) TestStats(ctx context.Context, q ci.RunQuery) (ci.TestStats, error) {
	var s ci.TestStats
	total := 0
	byID := map[testID]*ci.TestStat{}
	find := func(job string, t ci.Test) *ci.TestStat {
		id := idOf(job, t)
		if byID[id] == nil {
			byID[id] = &ci.TestStat{Test: t, Job: job}
		}
		return byID[id]
	}
	for r, err := range in.Runs(ctx, q) {
		if err != nil {
			return s, err
		}
		tests := 0
		for _, j := range r.Jobs {
			tests += j.Tests.Total()
			for _, t := range j.Failures {
				find(j.Name, t).Failures++
			}
			for _, t := range j.Slowest {
				stat := find(j.Name, t)
				stat.Longest = max(stat.Longest, time.Duration(t.Seconds*float64(time.Second)))
			}
		}
		if tests > 0 {
			s.Runs++
			total += tests
		}
	}
	if s.Runs > 0 {
		s.Average = float64(total) / float64(s.Runs)
	}
	s.Failed, s.FailedMore = top(byID, func(t *ci.TestStat) int64 { return int64(t.Failures) })
	s.Slowest, s.SlowestMore = top(byID, func(t *ci.TestStat) int64 { return int64(t.Longest) })
	return s, nil
}

// top returns the tests with the largest values above 0, and how many more
// there are.
func top(byID map[testID]*ci.TestStat, value func(*ci.TestStat) int64) ([]ci.TestStat, int) {
	var all []ci.TestStat
	for _, t := range byID {
		if value(t) > 0 {
			all = append(all, *t)
		}
	}
	slices.SortFunc(all, func(a, b ci.TestStat) int {
		return cmp.Or(cmp.Compare(value(&b), value(&a)), cmp.Compare(a.Job, b.Job), cmp.Compare(a.Classname, b.Classname), cmp.Compare(a.Name, b.Name))
	})
	n := min(listed, len(all))
	return all[:n], len(all) - n
}
