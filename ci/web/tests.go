package web

import (
	"context"
	"net/url"

	"github.com/rondo-ci/rondo/ci"
)

// testRows is how many tests a page lists; counts are of all.
const testRows = 500

// A testsView is the test results of a job, failures first.
type testsView struct {
	Total, Failed, Skipped int
	Seconds                float64
	Rows                   []testRow
}

// A testRow is a test on a page.
type testRow struct {
	ci.Test
	Flaky   bool
	History string // address of its runs; "" is nowhere
}

// Passed returns how many tests succeeded.
func (v testsView) Passed() int { return v.Total - v.Failed - v.Skipped }

// Failures returns the rows that failed, a few at most.
func (v testsView) Failures() []testRow {
	return v.Rows[:min(v.Failed, len(v.Rows), 10)]
}

// Sample is how a job stores results.
func (testsView) Sample() string {
	return "- run: gotestsum --junitfile results/unit.xml\n- store_test_results:\n    path: results\n"
}

func (s *site) tests(ctx context.Context, at jobPlace) (testsView, error) {
	all, err := s.read.Tests(ctx, at.job.ID)
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
	flaky := s.flaky(ctx, at.project.ID, len(all))
	path := JobPath(at.project, at.job.Number) + "/test?"
	for _, t := range all[:min(len(all), testRows)] {
		row := testRow{Test: t, Flaky: flaky[[2]string{t.Classname, t.Name}]}
		if s.cfg.Insights != nil {
			row.History = path + url.Values{"class": {t.Classname}, "name": {t.Name}}.Encode()
		}
		v.Rows = append(v.Rows, row)
	}
	return v, nil
}

// flaky returns the tests of a project that have been flaky of late. Without
// insights, or when they do not answer, it is none: the results are what the
// page is about.
func (s *site) flaky(ctx context.Context, p ci.ProjectID, tests int) map[[2]string]bool {
	if s.cfg.Insights == nil || tests == 0 {
		return nil
	}
	list, err := s.cfg.Insights.FlakyTests(ctx, p)
	if err != nil {
		s.log.Warn("flaky tests are not marked", "project", p, "err", err)
		return nil
	}
	flaky := make(map[[2]string]bool, len(list))
	for _, t := range list {
		flaky[[2]string{t.Classname, t.Name}] = true
	}
	return flaky
}

// bad reports whether a test went wrong.
func bad(t ci.Test) bool { return t.Result == "failure" || t.Result == "error" }
