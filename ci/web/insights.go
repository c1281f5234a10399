package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Insights are figures about what has run in a project. No answer is longer
// than asked for, and none should take more than a fraction of a second: the
// pages ask while somebody waits.
type Insights interface {
	// Workflows sums up the runs of each workflow, by name.
	Workflows(ctx context.Context, q ci.InsightQuery) ([]ci.Figures, error)
	// Jobs sums up the runs of each job of a workflow, by name.
	Jobs(ctx context.Context, q ci.InsightQuery) ([]ci.Figures, error)
	// Days sums up each day in order; one without a run may be left out.
	Days(ctx context.Context, q ci.InsightQuery) ([]ci.DayFigures, error)
	// SlowestTests lists the slowest tests by P95, the slowest first, and
	// FlakyTests the flaky ones, the one that failed most often first.
	SlowestTests(ctx context.Context, q ci.InsightQuery, limit int) ([]ci.TestFigures, error)
	FlakyTests(ctx context.Context, q ci.InsightQuery, limit int) ([]ci.TestFigures, error)
	// TestHistory lists the newest runs of one test first.
	TestHistory(ctx context.Context, p ci.ProjectID, classname, name string, limit int) ([]ci.TestRun, error)
}

// How much the pages ask for.
const (
	testFigures = 15
	historyRuns = 60
	flakyMarks  = 500
	flakyDays   = 14
)

// windows are the lengths of time that insights can look at, in days.
var windows = []int{7, 30, 90}

// insightsBody is what the figures of a project are shown by.
type insightsBody struct {
	Project   ci.Project
	Days      int
	Windows   []link
	Workflow  string
	Branch    string
	Total     ci.Figures
	PerDay    float64
	Rows      []figureRow // of workflows, or of the jobs of one
	Runs      chart
	Durations chart
	Table     []ci.DayFigures
	Slowest   []ci.TestFigures
	Flaky     []ci.TestFigures
}

// A figureRow is a workflow or a job with a way to more of it.
type figureRow struct {
	ci.Figures
	Path string // "" is nowhere
}

// insights serves the figures about a project.
func (s *site) insights(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Insights == nil {
		return absent{"insights"}
	}
	ctx, f := r.Context(), r.URL.Query()
	p, err := s.read.ProjectBySlug(ctx, r.PathValue("slug"))
	if err != nil {
		return err
	}
	b := insightsBody{Project: p, Days: 30, Workflow: f.Get("workflow"), Branch: f.Get("branch")}
	for _, days := range windows {
		if f.Get("days") == strconv.Itoa(days) {
			b.Days = days
		}
	}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	q := ci.InsightQuery{
		Project: p.ID, Workflow: b.Workflow, Branch: b.Branch,
		Since: today.AddDate(0, 0, 1-b.Days), Until: today.AddDate(0, 0, 1),
	}
	if err := s.fillInsights(ctx, &b, q); err != nil {
		return err
	}
	for _, days := range windows {
		b.Windows = append(b.Windows, link{strconv.Itoa(days) + " days", b.path(days, b.Workflow), days == b.Days})
	}
	return s.render(w, r, http.StatusOK, "insights", view{
		Title: "Insights · " + show(p.Slug), Body: b, Crumbs: s.crumbs(p, crumb{"Insights", ""}), Tabs: s.projectTabs(p, "insights"),
	})
}

func (b insightsBody) path(days int, workflow string) string {
	f := url.Values{"days": {strconv.Itoa(days)}}
	if workflow != "" {
		f.Set("workflow", workflow)
	}
	if b.Branch != "" {
		f.Set("branch", b.Branch)
	}
	return InsightsPath(b.Project) + "?" + f.Encode()
}

// All is the address of the page without a workflow.
func (b insightsBody) All() string { return b.path(b.Days, "") }

func (s *site) fillInsights(ctx context.Context, b *insightsBody, q ci.InsightQuery) error {
	from := s.cfg.Insights
	all := q
	all.Workflow = ""
	figures, err := from.Workflows(ctx, all)
	if err != nil {
		return err
	}
	for _, one := range figures {
		if b.Workflow == "" || b.Workflow == one.Name {
			b.Total.Runs += one.Runs
			b.Total.Success += one.Success
			b.Total.Median, b.Total.P95 = one.Median, one.P95
		}
		if b.Workflow == "" {
			b.Rows = append(b.Rows, figureRow{one, b.path(b.Days, one.Name)})
		}
	}
	if b.Workflow == "" && len(figures) != 1 { // there is no sense in a median over several
		b.Total.Median, b.Total.P95 = 0, 0
	}
	if b.Workflow != "" {
		if figures, err = from.Jobs(ctx, q); err != nil {
			return err
		}
		for _, one := range figures {
			b.Rows = append(b.Rows, figureRow{one, ""})
		}
	}
	b.PerDay = float64(b.Total.Runs) / float64(b.Days)
	days, err := from.Days(ctx, q)
	if err != nil {
		return err
	}
	b.Table = everyDay(days, q)
	b.Runs, b.Durations = runChart(b.Table), durationChart(b.Table)
	if b.Slowest, err = from.SlowestTests(ctx, q, testFigures); err != nil {
		return err
	}
	b.Flaky, err = from.FlakyTests(ctx, q, testFigures)
	return err
}

// everyDay returns the figures of all days of the window, those without a run
// among them.
func everyDay(days []ci.DayFigures, q ci.InsightQuery) []ci.DayFigures {
	known := make(map[string]ci.DayFigures, len(days))
	for _, d := range days {
		known[d.Day.UTC().Format(time.DateOnly)] = d
	}
	var all []ci.DayFigures
	for day := q.Since; day.Before(q.Until); day = day.AddDate(0, 0, 1) {
		d := known[day.Format(time.DateOnly)]
		d.Day = day
		all = append(all, d)
	}
	return all
}

// percent returns a share for people.
func percent(share float64) string {
	switch p := share * 100; {
	case p > 99.9 && p < 100:
		return "99.9 %"
	case p == float64(int(p)):
		return fmt.Sprintf("%.0f %%", p)
	default:
		return fmt.Sprintf("%.1f %%", p)
	}
}

// testBody is what the history of one test is shown by.
type testBody struct {
	Job             ci.Job
	JobPath         string
	Project         ci.Project
	Classname, Name string
	Runs            []testRun
	Failed          int
	Bars            chart
}

// A testRun is a run of a test with the way to its job.
type testRun struct {
	ci.TestRun
	Path string
}

// testHistory serves the newest runs of a test.
func (s *site) testHistory(w http.ResponseWriter, r *http.Request, at jobPlace) error {
	if s.cfg.Insights == nil {
		return absent{"history of tests"}
	}
	ctx, f := r.Context(), r.URL.Query()
	b := testBody{Job: at.job, JobPath: JobPath(at.project, at.job.Number), Project: at.project, Classname: f.Get("class"), Name: f.Get("name")}
	runs, err := s.cfg.Insights.TestHistory(ctx, at.project.ID, b.Classname, b.Name, historyRuns)
	if err != nil {
		return err
	}
	if len(runs) == 0 {
		return fmt.Errorf("test %.100q: %w", b.Name, ci.ErrNotFound)
	}
	for _, run := range runs {
		if bad(ci.Test{Result: run.Result}) {
			b.Failed++
		}
		b.Runs = append(b.Runs, testRun{run, JobPath(at.project, run.Job)})
	}
	b.Bars = testChart(runs)
	p, err := s.read.Pipeline(ctx, at.workflow.Pipeline)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "test", view{
		Title: show(cmp.Or(b.Name, b.Classname)), Body: b,
		Crumbs: s.jobCrumbs(at, p, crumb{show(at.job.Name), b.JobPath}, crumb{"Test", ""}),
	})
}
