package web

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Insights are figures about what has run in a project. Runs that were
// canceled or not run count as runs and as nothing else.
type Insights interface {
	// Runs yields runs, the newest of a workflow first.
	Runs(ctx context.Context, q ci.RunQuery) iter.Seq2[ci.Run, error]
	// WorkflowStats and JobStats sum up each workflow or job, by name.
	WorkflowStats(ctx context.Context, q ci.RunQuery) ([]ci.Stats, error)
	JobStats(ctx context.Context, q ci.RunQuery) ([]ci.Stats, error)
	TestStats(ctx context.Context, q ci.RunQuery) (ci.TestStats, error)
	// FlakyTests lists the tests that gave different results for one commit,
	// the most flaky first.
	FlakyTests(ctx context.Context, p ci.ProjectID) ([]ci.FlakyTest, error)
}

// flakyRows is how many flaky tests a page lists.
const flakyRows = 15

// windows are the lengths of time that insights can look at, in days.
var windows = []int{7, 30, 90}

// insightsBody is what the figures of a project are shown by.
type insightsBody struct {
	Project   ci.Project
	Days      int
	Windows   []link
	Workflow  string
	Branch    string
	Total     ci.Stats // its durations are zero where they are of several workflows
	Rows      []statsRow
	Jobs      bool // Rows are the jobs of one workflow
	Runs      chart
	Durations chart
	Table     []dayStats
	Tests     ci.TestStats
	Flaky     []ci.FlakyTest
	FlakyAll  int
}

// A statsRow is a workflow or a job with a way to more of it.
type statsRow struct {
	ci.Stats
	Path string // "" is nowhere
}

// dayStats are the runs that ended on one day, in UTC.
type dayStats struct {
	Day             time.Time
	Runs, Successes int
	Failures        int
	Median, P95     time.Duration // of the successful ones
	took            []time.Duration
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
	q := ci.RunQuery{
		Project: p.ID, Workflow: b.Workflow, Branch: b.Branch,
		From: today.AddDate(0, 0, 1-b.Days), To: today.AddDate(0, 0, 1),
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

func (s *site) fillInsights(ctx context.Context, b *insightsBody, q ci.RunQuery) error {
	from := s.cfg.Insights
	workflows, err := from.WorkflowStats(ctx, q)
	if err != nil {
		return err
	}
	b.Total = ci.Stats{From: q.From, To: q.To}
	for _, one := range workflows {
		b.Total.Runs += one.Runs
		b.Total.Successes += one.Successes
		b.Total.Failures += one.Failures
		b.Rows = append(b.Rows, statsRow{one, b.path(b.Days, one.Name)})
		if len(workflows) == 1 { // there is no sense in a median over several
			b.Total.Duration, b.Total.Recovery = one.Duration, one.Recovery
		}
	}
	if b.Jobs = b.Workflow != ""; b.Jobs {
		jobs, err := from.JobStats(ctx, q)
		if err != nil {
			return err
		}
		b.Rows = nil
		for _, one := range jobs {
			b.Rows = append(b.Rows, statsRow{one, ""})
		}
	}
	if b.Table, err = s.days(ctx, q); err != nil {
		return err
	}
	b.Runs, b.Durations = runChart(b.Table), durationChart(b.Table)
	if b.Tests, err = from.TestStats(ctx, q); err != nil {
		return err
	}
	b.Flaky, err = from.FlakyTests(ctx, q.Project)
	b.FlakyAll = len(b.Flaky)
	b.Flaky = b.Flaky[:min(len(b.Flaky), flakyRows)]
	return err
}

// days sums up each day of the window, those without a run among them.
func (s *site) days(ctx context.Context, q ci.RunQuery) ([]dayStats, error) {
	var all []dayStats
	for day := q.From; day.Before(q.To); day = day.AddDate(0, 0, 1) {
		all = append(all, dayStats{Day: day})
	}
	for r, err := range s.cfg.Insights.Runs(ctx, q) {
		if err != nil {
			return nil, err
		}
		i := int(r.Stopped.Sub(q.From).Hours() / 24)
		if i < 0 || i >= len(all) {
			continue
		}
		d := &all[i]
		d.Runs++
		switch {
		case r.Status == ci.Success:
			d.Successes++
			d.took = append(d.took, r.Stopped.Sub(r.Created))
		case r.Status.Bad():
			d.Failures++
		}
	}
	for i := range all {
		d := &all[i]
		slices.Sort(d.took)
		if n := len(d.took); n > 0 {
			d.Median = (d.took[(n-1)/2] + d.took[n/2]) / 2
			d.P95 = d.took[(n*95+99)/100-1]
		}
	}
	return all, nil
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
