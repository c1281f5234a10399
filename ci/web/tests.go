package web

import (
	"context"

	"github.com/rondo-ci/rondo/ci"
)

// testRows is how many tests a page lists; counts are of all.
const testRows = 500

// A testsView is the test results of a job, failures first.
type testsView struct {
	Total, Failed, Skipped int
	Seconds                float64
	Rows                   []ci.Test
}

// Passed returns how many tests succeeded.
func (v testsView) Passed() int { return v.Total - v.Failed - v.Skipped }

// Failures returns the rows that failed, a few at most.
func (v testsView) Failures() []ci.Test {
	return v.Rows[:min(v.Failed, len(v.Rows), 10)]
}

func (s *site) tests(ctx context.Context, job ci.JobID) (testsView, error) {
	all, err := s.read.Tests(ctx, job)
	if err != nil {
		return testsView{}, err
	}
	v := testsView{Total: len(all)}
	for _, t := range all {
		switch t.Result {
		case "failure", "error":
			v.Failed++
		case "skipped":
			v.Skipped++
		}
		if t.Seconds > 0 && t.Seconds < 1e8 { // not NaN either
			v.Seconds += t.Seconds
		}
	}
	v.Rows = all[:min(len(all), testRows)]
	return v, nil
}

// bad reports whether a test went wrong.
func bad(t ci.Test) bool { return t.Result == "failure" || t.Result == "error" }
