package api

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Insights answers what became of workflows. The project of a query is one
// that the caller may read.
type Insights interface {
	// Runs yields runs, the newest of a workflow first.
	Runs(ctx context.Context, q ci.RunQuery) iter.Seq2[ci.Run, error]
	// WorkflowStats and JobStats sum up each workflow or job, by name.
	WorkflowStats(ctx context.Context, q ci.RunQuery) ([]ci.Stats, error)
	JobStats(ctx context.Context, q ci.RunQuery) ([]ci.Stats, error)
	TestStats(ctx context.Context, q ci.RunQuery) (ci.TestStats, error)
	Usage(ctx context.Context, q ci.RunQuery) ([]ci.ClassUsage, error)
	Branches(ctx context.Context, p ci.ProjectID, workflow string) ([]string, error)
	FlakyTests(ctx context.Context, p ci.ProjectID) ([]ci.FlakyTest, error)
}

// insightRoutes are the operations on what became of workflows.
func insightRoutes() []route {
	const (
		below  = "/insights/project/{project_slug}"
		window = "reporting-window: last-24-hours, last-7-days, last-30-days, last-60-days or last-90-days (the default)"
		branch = "branch: a branch; the default branch if absent"
		all    = "all-branches: true for all branches"
		grain  = "granularity: daily (the default) or hourly"
	)
	get := func(path, summary string, response any, serve func(*call) (any, error), query ...string) route {
		r := route{
			method: "GET", path: path, summary: summary, tag: "Insights", status: http.StatusOK,
			response: response, serve: serve, query: query,
		}
		r.shown = strings.NewReplacer("/project/", "/", "/org/", "/").Replace(path)
		return r
	}
	return []route{
		get(below+"/workflows", "How the workflows of a project do", page[namedMetrics]{}, (*call).insightWorkflows, window, branch, all, pageToken),
		get(below+"/workflows/{workflow}", "The runs of a workflow, newest first", page[runItem]{}, (*call).insightRuns,
			"start-date: first day or instant", "end-date: last one", branch, all, pageToken),
		get(below+"/workflows/{workflow}/summary", "How a workflow does, beside the window before", workflowSummary{}, (*call).insightSummary, window, branch, all),
		get(below+"/workflows/{workflow}/jobs", "How the jobs of a workflow do", page[namedMetrics]{}, (*call).insightJobs, window, branch, all, pageToken),
		get(below+"/workflows/{workflow}/jobs/{job}", "The runs of a job, newest first", page[jobRunItem]{}, (*call).insightJobRuns,
			"start-date: first day or instant", "end-date: last one", branch, all, pageToken),
		get(below+"/workflows/{workflow}/test-metrics", "How the tests of a workflow do", testMetrics{}, (*call).insightTests, window, branch, all),
		get(below+"/branches", "The branches that workflows ran on", branchList{}, (*call).insightBranches, "workflow-name: only those of a workflow"),
		get(below+"/flaky-tests", "Tests with different results for the same commit", flakyList{}, (*call).insightFlaky),
		get(below+"/usage", "What jobs used of each resource class", page[classUsage]{}, (*call).insightUsage, window, branch, all),
		get("/insights/pages/project/{project_slug}/summary", "How a project and its workflows do", projectSummary{}, (*call).insightProject, window),
		get("/insights/time-series/project/{project_slug}/workflows", "How workflows did, day by day", page[bucketItem]{}, (*call).insightSeries, grain, branch, all, window),
		get("/insights/time-series/project/{project_slug}/workflows/{workflow}/jobs", "How the jobs of a workflow did, day by day", page[bucketItem]{}, (*call).insightSeries, grain, branch, all, window),
		get("/insights/org/{org_slug_or_id}/summary", "How the projects of an organisation do", orgSummary{}, (*call).insightOrg, window),
	}
}

// withInsights makes the project or organisation in an address below /insights
// one segment, and says which of the two it is.
func withInsights(r *http.Request) *http.Request {
	const base = root + "/insights/"
	path := r.URL.EscapedPath()
	for _, prefix := range []string{base + "pages/", base + "time-series/"} {
		if slug, rest, ok := gather(r, prefix, 3); ok {
			return at(r, prefix+"project/"+url.PathEscape(slug)+rest)
		}
	}
	if below, ok := strings.CutPrefix(path, base); !ok || strings.HasPrefix(below, "pages/") || strings.HasPrefix(below, "time-series/") {
		return r
	}
	if slug, rest, ok := gather(r, base, 2); ok && rest == "/summary" {
		return at(r, base+"org/"+url.PathEscape(slug)+rest)
	}
	if slug, rest, ok := gather(r, base, 3); ok {
		return at(r, base+"project/"+url.PathEscape(slug)+rest)
	}
	return r
}

// windows are the reporting windows by name.
var windows = map[string]time.Duration{
	"": 90 * day, "last-90-days": 90 * day, "last-60-days": 60 * day, "last-30-days": 30 * day, "last-7-days": 7 * day, "last-24-hours": day,
}

const day = 24 * time.Hour

// insights returns the chapter, or that there is none.
func (c *call) insights() (Insights, error) {
	if c.cfg.Chapters.Insights == nil {
		return nil, refuse(http.StatusNotFound, "This installation has no insights")
	}
	return c.cfg.Chapters.Insights, nil
}

// runQuery reads the project, the workflow, the branch and the window of the
// address.
func (c *call) runQuery() (Insights, ci.RunQuery, error) {
	in, err := c.insights()
	if err != nil {
		return nil, ci.RunQuery{}, err
	}
	p, err := c.project(false)
	if err != nil {
		return nil, ci.RunQuery{}, err
	}
	q := ci.RunQuery{Project: p.ID, Workflow: c.r.PathValue("workflow"), To: time.Now().UTC()}
	get := c.r.URL.Query().Get
	if q.Branch = get("branch"); q.Branch == "" && get("all-branches") != "true" {
		q.Branch = p.DefaultBranch
	}
	length, ok := windows[get("reporting-window")]
	if !ok {
		return nil, q, badWindow()
	}
	q.From = q.To.Add(-length)
	for name, to := range map[string]*time.Time{"start-date": &q.From, "end-date": &q.To} {
		if text := get(name); text != "" {
			if *to, err = parseDate(text); err != nil {
				return nil, q, fmt.Errorf("%s is no date or time, as in 2026-11-25 or 2026-11-25T10:00:00Z: %w", name, ci.ErrInvalid)
			}
		}
	}
	switch {
	case q.To.Before(q.From):
		return nil, q, fmt.Errorf("end-date is before start-date: %w", ci.ErrInvalid)
	case q.To.Sub(q.From) > 90*day+time.Hour:
		return nil, q, fmt.Errorf("start-date and end-date are more than 90 days apart: %w", ci.ErrInvalid)
	}
	return in, q, nil
}

func badWindow() error {
	return fmt.Errorf("reporting-window is none of last-24-hours, last-7-days, last-30-days, last-60-days and last-90-days: %w", ci.ErrInvalid)
}

func parseDate(text string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UTC(), nil
	}
	return time.Parse(time.DateOnly, text)
}

func (c *call) insightWorkflows() (any, error) {
	in, q, err := c.runQuery()
	if err != nil {
		return nil, err
	}
	all, err := in.WorkflowStats(c.r.Context(), q)
	return pageOf(namedMetricsOf(q.Project, all), nil), err
}

func (c *call) insightJobs() (any, error) {
	in, q, err := c.runQuery()
	if err != nil {
		return nil, err
	}
	all, err := in.JobStats(c.r.Context(), q)
	return pageOf(namedMetricsOf(q.Project, all), nil), err
}

// runsPage is how many runs stand on a page.
const runsPage = 20

// A runKey is where a page of runs ended.
type runKey struct {
	At time.Time     `json:"at"`
	ID ci.WorkflowID `json:"id"`
}

// runPage lists a page of runs for which want is true.
func (c *call) runPage(want func(ci.Run) bool) ([]ci.Run, any, error) {
	in, q, err := c.runQuery()
	if err != nil {
		return nil, nil, err
	}
	var key runKey
	if err := c.pageKey(&key); err != nil {
		return nil, nil, err
	}
	if key.ID != "" {
		q.To = key.At.Add(time.Millisecond)
	}
	var runs []ci.Run
	for r, err := range in.Runs(c.r.Context(), q) {
		if err != nil {
			return nil, nil, err
		}
		if key.ID != "" && !r.Stopped.Before(key.At) && r.Workflow >= key.ID || !want(r) {
			continue
		}
		if len(runs) == runsPage {
			last := runs[runsPage-1]
			return runs, runKey{last.Stopped.Truncate(time.Millisecond), last.Workflow}, nil
		}
		runs = append(runs, r)
	}
	return runs, nil, nil
}

func (c *call) insightRuns() (any, error) {
	runs, next, err := c.runPage(func(ci.Run) bool { return true })
	var items []runItem
	for _, r := range runs {
		items = append(items, runItem{
			ID: string(r.Workflow), Branch: r.Branch, Duration: seconds(r.Stopped.Sub(r.Created)),
			Created: stampOf(r.Created), Stopped: stampOf(r.Stopped), Status: string(r.Status), Approval: r.Approval,
		})
	}
	return pageOf(items, next), err
}

func (c *call) insightJobRuns() (any, error) {
	name := c.r.PathValue("job")
	find := func(r ci.Run) (j ci.JobRun, ok bool) {
		for _, j := range r.Jobs {
			if j.Name == name && !j.Started.IsZero() {
				return j, true
			}
		}
		return j, false
	}
	runs, next, err := c.runPage(func(r ci.Run) bool { _, ok := find(r); return ok })
	var items []jobRunItem
	for _, r := range runs {
		j, _ := find(r)
		items = append(items, jobRunItem{
			ID: string(j.ID), Number: j.Number, Duration: seconds(j.Stopped.Sub(j.Started)), Status: string(j.Status),
			Started: stampOf(j.Started), Stopped: stampOf(j.Stopped),
		})
	}
	return pageOf(items, next), err
}

func (c *call) insightBranches() (any, error) {
	in, err := c.insights()
	if err != nil {
		return nil, err
	}
	p, err := c.project(false)
	if err != nil {
		return nil, err
	}
	branches, err := in.Branches(c.r.Context(), p.ID, c.r.URL.Query().Get("workflow-name"))
	if branches == nil {
		branches = []string{}
	}
	return branchList{Org: orgID(p.OrgSlug()), Project: string(p.ID), Branches: branches}, err
}

func (c *call) insightUsage() (any, error) {
	in, q, err := c.runQuery()
	if err != nil {
		return nil, err
	}
	all, err := in.Usage(c.r.Context(), q)
	var items []classUsage
	for _, u := range all {
		items = append(items, classUsage{Class: u.Class, Jobs: u.Jobs, Seconds: seconds(u.Time), Queue: spreadOf(u.Wait)})
	}
	return pageOf(items, nil), err
}
