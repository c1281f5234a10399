package web

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/ci"
)

// In any graph each job stands right of what it requires, no two overlap, all
// lie within the drawing, and each job that requires something has a line.
func TestLayout_Properties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 60).Draw(t, "jobs")
		jobs := make([]ci.Job, n)
		for i := range jobs {
			jobs[i].Name = fmt.Sprint("job", i)
			for range rapid.IntRange(0, 3).Draw(t, "requires") {
				if i > 0 {
					jobs[i].Requires = append(jobs[i].Requires, ci.Requirement{Job: fmt.Sprint("job", rapid.IntRange(0, i-1).Draw(t, "up"))})
				}
			}
		}
		g := layout(jobs)
		require.Len(t, g.Nodes, n)
		seen := map[[2]int]bool{}
		for i, a := range g.Nodes {
			require.LessOrEqual(t, a.X+nodeWidth, g.Width)
			require.LessOrEqual(t, a.Y+nodeHeight, g.Height)
			require.False(t, seen[[2]int{a.X, a.Y}])
			seen[[2]int{a.X, a.Y}] = true
			for _, b := range g.Nodes[:i] {
				apart := a.X != b.X || a.Y >= b.Y+nodeHeight+gapY || b.Y >= a.Y+nodeHeight+gapY
				require.True(t, apart)
			}
			for _, r := range a.Job.Requires {
				for _, b := range g.Nodes {
					if b.Job.Name == r.Job {
						require.Greater(t, a.X, b.X)
					}
				}
			}
		}
	})
}

func TestLayout_LeavesOutWhatFollows(t *testing.T) {
	job := func(name string, requires ...ci.Requirement) ci.Job { return ci.Job{Name: name, Requires: requires} }
	a, b := ci.Requirement{Job: "a"}, ci.Requirement{Job: "b"}
	g := layout([]ci.Job{job("a"), job("b", a), job("c", a, b), job("d", ci.Requirement{Job: "gone"})})
	require.Len(t, g.Edges, 2)
	failed := ci.Requirement{Job: "a", Statuses: []ci.Status{ci.Failed}}
	g = layout([]ci.Job{job("a"), job("b", a), job("c", failed, b)})
	require.Len(t, g.Edges, 3, "another condition does not follow")
	// A cycle cannot come from a plan; it must not hang the page.
	require.NotPanics(t, func() {
		layout([]ci.Job{job("a", b), job("b", a), job("s", ci.Requirement{Job: "s"})})
	})
}
