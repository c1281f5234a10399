package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// before returns the query for the window of the same length before.
func before(q ci.RunQuery) ci.RunQuery {
	length := q.To.Sub(q.From)
	q.From, q.To = q.From.Add(-length), q.From
	return q
}

// total adds up the statistics of several workflows. Their medians and P95
// cannot be added: those are of the slowest.
func total(all []ci.Stats) ci.Stats {
	var t ci.Stats
	var sum, recovery time.Duration
	for i, s := range all {
		done := s.Successes + s.Failures
		if i == 0 {
			t.From, t.To, t.Duration.Min = s.From, s.To, s.Duration.Min
		}
		t.Runs, t.Successes, t.Failures, t.Recoveries = t.Runs+s.Runs, t.Successes+s.Successes, t.Failures+s.Failures, t.Recoveries+s.Recoveries
		sum += s.Duration.Mean * time.Duration(done)
		recovery += s.Recovery * time.Duration(s.Recoveries)
		t.Duration.Min = min(t.Duration.Min, s.Duration.Min)
		t.Duration.Median = max(t.Duration.Median, s.Duration.Median)
		t.Duration.P95 = max(t.Duration.P95, s.Duration.P95)
		t.Duration.Max = max(t.Duration.Max, s.Duration.Max)
		t.Wait.Median, t.Wait.P95 = max(t.Wait.Median, s.Wait.Median), max(t.Wait.P95, s.Wait.P95)
		t.Parallelism = max(t.Parallelism, s.Parallelism)
	}
	if n := t.Successes + t.Failures; n > 0 {
		t.Duration.Mean = sum / time.Duration(n)
	}
	if t.Recoveries > 0 {
		t.Recovery = recovery / time.Duration(t.Recoveries)
	}
	return t
}

// compared returns the statistics of a window and of the one before, by name.
func compared(ctx context.Context, in Insights, q ci.RunQuery) (now []ci.Stats, then map[string]ci.Stats, err error) {
	if now, err = in.WorkflowStats(ctx, q); err != nil {
		return nil, nil, err
	}
	old, err := in.WorkflowStats(ctx, before(q))
	then = map[string]ci.Stats{}
	for _, s := range old {
		then[s.Name] = s
	}
	return now, then, err
}

func values(m map[string]ci.Stats) []ci.Stats {
	var all []ci.Stats
	for _, s := range m {
		all = append(all, s)
	}
	return all
}

func (c *call) insightSummary() (any, error) {
	in, q, err := c.runQuery()
	if err != nil {
		return nil, err
	}
	now, then, err := compared(c.r.Context(), in, q)
	if err != nil {
		return nil, err
	}
	everything := q
	everything.Workflow = ""
	all, err := in.WorkflowStats(c.r.Context(), everything)
	names := []string{}
	for _, s := range all {
		names = append(names, s.Name)
	}
	sum := total(now)
	sum.From, sum.To = q.From, q.To
	return workflowSummary{metricsOf(sum), trendsOf(sum, then[q.Workflow]), names}, err
}

func (c *call) insightProject() (any, error) {
	in, q, err := c.runQuery()
	if err != nil {
		return nil, err
	}
	ctx := c.r.Context()
	p, err := c.read.Project(ctx, q.Project)
	if err != nil {
		return nil, err
	}
	q.Branch = c.r.URL.Query().Get("branch")
	now, then, err := compared(ctx, in, q)
	if err != nil {
		return nil, err
	}
	branches, err := in.Branches(ctx, q.Project, "")
	if err != nil {
		return nil, err
	}
	s := projectSummary{
		Org: orgID(p.OrgSlug()), Project: string(p.ID), Workflows: []workflowMetrics{}, ByBranch: []workflowMetrics{},
		Branches: append([]string{}, branches...), Names: []string{},
	}
	sum := total(now)
	s.Data = metricsAndTrends{metricsOf(sum), trendsOf(sum, total(values(then)))}
	for _, w := range now {
		s.Names = append(s.Names, w.Name)
		s.Workflows = append(s.Workflows, workflowMetrics{Name: w.Name, Metrics: metricsOf(w), Trends: trendsOf(w, then[w.Name])})
	}
	return s, nil
}

func (c *call) insightOrg() (any, error) {
	in, err := c.insights()
	if err != nil {
		return nil, err
	}
	org, err := c.orgNamed(c.r.PathValue("org_slug_or_id"), false)
	if err != nil {
		return nil, err
	}
	length, ok := windows[c.r.URL.Query().Get("reporting-window")]
	if !ok {
		return nil, badWindow()
	}
	ctx := c.r.Context()
	var projects []ci.Project
	for p, err := range c.read.Projects(ctx) {
		if err != nil {
			return nil, err
		}
		if p.OrgSlug() == org {
			projects = append(projects, p)
		}
	}
	s := orgSummary{Projects: []projectMetrics{}, Names: []string{}}
	var allNow, allThen []ci.Stats
	for _, p := range projects {
		if err := c.cfg.May(ctx, c.by, p, false); hidden(err) {
			continue
		} else if err != nil {
			return nil, err
		}
		q := ci.RunQuery{Project: p.ID, To: time.Now().UTC()}
		q.From = q.To.Add(-length)
		now, then, err := compared(ctx, in, q)
		if err != nil {
			return nil, err
		}
		sum, old := total(now), total(values(then))
		s.Names = append(s.Names, p.Repo)
		s.Projects = append(s.Projects, projectMetrics{p.Repo, metricsOf(sum), trendsOf(sum, old)})
		allNow, allThen = append(allNow, sum), append(allThen, old)
	}
	sum := total(allNow)
	s.Data = metricsAndTrends{metricsOf(sum), trendsOf(sum, total(allThen))}
	return s, nil
}

// maxBuckets bounds a time series.
const maxBuckets = 100

func (c *call) insightSeries() (any, error) {
	in, q, err := c.runQuery()
	if err != nil {
		return nil, err
	}
	step := day
	switch c.r.URL.Query().Get("granularity") {
	case "", "daily":
	case "hourly":
		step = time.Hour
		q.From = q.To.Add(-48 * time.Hour)
	default:
		return nil, fmt.Errorf("granularity is neither daily nor hourly: %w", ci.ErrInvalid)
	}
	stats := in.WorkflowStats
	if strings.HasSuffix(c.r.URL.Path, "/jobs") {
		stats = in.JobStats
	}
	var items []bucketItem
	from := q.From.Truncate(step)
	for n := 0; from.Before(q.To) && n < maxBuckets; n++ {
		bucket := q
		bucket.From, bucket.To = from, from.Add(step)
		all, err := stats(c.r.Context(), bucket)
		if err != nil {
			return nil, err
		}
		for _, s := range all {
			items = append(items, bucketItem{s.Name, stampOf(from), stampOf(bucket.From), stampOf(bucket.To), metricsOf(s)})
		}
		from = bucket.To
	}
	return pageOf(items, nil), nil
}

func (c *call) insightTests() (any, error) {
	in, q, err := c.runQuery()
	if err != nil {
		return nil, err
	}
	ctx := c.r.Context()
	stats, err := in.TestStats(ctx, q)
	if err != nil {
		return nil, err
	}
	flaky, err := in.FlakyTests(ctx, q.Project)
	if err != nil {
		return nil, err
	}
	list := func(all []ci.TestStat) []testStat {
		items := []testStat{}
		for _, t := range all {
			s := testStat{
				Name: t.Name, Classname: t.Classname, File: t.File, Source: t.Source, Job: t.Job,
				Failed: t.Failures, Total: stats.Runs, P95: t.Longest.Seconds(),
			}
			for _, f := range flaky {
				s.Flaky = s.Flaky || f.Job == t.Job && f.Name == t.Name && f.Classname == t.Classname
			}
			items = append(items, s)
		}
		return items
	}
	m := testMetrics{
		Average: int64(stats.Average + 0.5), Runs: stats.Runs, TestRuns: []testRun{},
		Failed: list(stats.Failed), FailedMore: stats.FailedMore, Slowest: list(stats.Slowest), SlowestMore: stats.SlowestMore,
	}
	for r, err := range in.Runs(ctx, q) {
		if err != nil {
			return nil, err
		}
		if len(m.TestRuns) == maxBuckets {
			break
		}
		if t, ok := testRunOf(r); ok {
			m.TestRuns = append(m.TestRuns, t)
		}
	}
	return m, nil
}

// testRunOf counts the tests of a run, and false when it has none.
func testRunOf(r ci.Run) (testRun, bool) {
	t := testRun{Pipeline: r.Number, Workflow: string(r.Workflow)}
	for _, j := range r.Jobs {
		t.Counts.Error += j.Tests.Error
		t.Counts.Failure += j.Tests.Failure
		t.Counts.Skipped += j.Tests.Skipped
		t.Counts.Success += j.Tests.Success
		t.Counts.Total += j.Tests.Total()
	}
	if t.Counts.Total == 0 {
		return t, false
	}
	if ran := t.Counts.Total - t.Counts.Skipped; ran > 0 {
		t.Rate = float64(t.Counts.Success) / float64(ran)
	}
	return t, true
}

func (c *call) insightFlaky() (any, error) {
	in, err := c.insights()
	if err != nil {
		return nil, err
	}
	p, err := c.project(false)
	if err != nil {
		return nil, err
	}
	all, err := in.FlakyTests(c.r.Context(), p.ID)
	items := []flakyTest{}
	for _, f := range all {
		wasted := f.Seconds * float64(f.Flakes)
		items = append(items, flakyTest{
			Name: f.Name, Classname: f.Classname, File: f.File, Source: f.Source, Job: f.Job, JobNumber: f.JobNumber,
			Pipeline: f.PipelineNumber, Workflow: f.Workflow, WorkflowID: string(f.WorkflowID), Flakes: f.Flakes, Wasted: wasted, At: stampOf(f.Last),
			NameKebab: f.Name, JobKebab: f.Job, JobNumberKebab: f.JobNumber, PipelineKebab: f.PipelineNumber,
			WorkflowKebab: f.Workflow, IDKebab: string(f.WorkflowID), FlakesKebab: f.Flakes, WastedKebab: wasted, AtKebab: stampOf(f.Last),
		})
	}
	return flakyList{items, len(items), items, len(items)}, err
}
