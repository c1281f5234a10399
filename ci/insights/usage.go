package insights

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Usage sums up what the query's jobs used of each resource class, by class.
func (in *Insights) Usage(ctx context.Context, q ci.RunQuery) ([]ci.ClassUsage, error) {
	byClass := map[string]*ci.ClassUsage{}
	waits := map[string][]time.Duration{}
	for r, err := range in.Runs(ctx, q) {
		if err != nil {
			return nil, err
		}
		for _, j := range r.Jobs {
			if j.Started.IsZero() {
				continue
			}
			u := byClass[j.Class]
			if u == nil {
				u = &ci.ClassUsage{Class: j.Class}
				byClass[j.Class] = u
			}
			u.Jobs++
			u.Time += j.Stopped.Sub(j.Started) * time.Duration(max(j.Parallelism, 1))
			waits[j.Class] = append(waits[j.Class], j.Started.Sub(j.Queued))
		}
	}
	all := make([]ci.ClassUsage, 0, len(byClass))
	for class, u := range byClass {
		u.Wait = spread(waits[class])
		all = append(all, *u)
	}
	slices.SortFunc(all, func(a, b ci.ClassUsage) int { return strings.Compare(a.Class, b.Class) })
	return all, nil
}
