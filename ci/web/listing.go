package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/rondo-ci/rondo/ci"
)

// How much a listing shows, and how far it looks for it: whether a pipeline
// succeeded, and whose it is, are no columns of the database.
const (
	pageSize  = 20
	scanBatch = 60
	scanLimit = 600
)

// A filter is what a listing selects.
type filter struct {
	ci.Query
	Status string // one of statusChoices; "" is all
	Mine   bool   // those that the one who asks has triggered
}

// A choice is one of the values of a form's field.
type choice struct{ Value, Text string }

// statusChoices are what a listing can be filtered by.
var statusChoices = []choice{
	{"running", "running"}, {"failed", "failed"}, {"success", "success"}, {"on_hold", "needs approval"}, {"canceled", "canceled"},
}

// filterStatuses are the statuses of each choice.
var filterStatuses = map[string][]ci.Status{
	"running":  {ci.Running, ci.Failing, ci.Queued},
	"failed":   {ci.Failed, ci.Failing, ci.Unauthorized},
	"success":  {ci.Success},
	"on_hold":  {ci.OnHold},
	"canceled": {ci.Canceled, ci.NotRun},
}

// filterOf returns what the address selects. A status that does not exist
// selects nothing.
func filterOf(r *http.Request) filter {
	f := r.URL.Query()
	q := filter{Query: ci.Query{Branch: f.Get("branch"), Before: ci.PipelineID(f.Get("before"))}, Mine: f.Get("mine") != ""}
	if _, ok := filterStatuses[f.Get("status")]; ok {
		q.Status = f.Get("status")
	}
	return q
}

// narrow reports whether the database cannot select by itself.
func (f filter) narrow() bool { return f.Status != "" || f.Mine }

// A listing is one page of pipelines, newest first.
type listing struct {
	filter
	Rows     []row
	Choices  []choice
	Older    string // address of the next page; "" is the last
	Newest   string // address of the first page; "" on it
	Reset    string // address without any selection
	Single   bool   // all rows are of one project, which the page names
	Searched int    // how many were looked at when the page is not full; 0 is all
}

// Filtered reports whether something is selected.
func (l listing) Filtered() bool { return l.Branch != "" || l.narrow() }

// A row is a pipeline in a listing.
type row struct {
	Project   ci.Project
	Pipeline  ci.Pipeline
	Workflows []ci.Workflow
	Status    ci.Status
}

// list reads one page of pipelines with their workflows.
func (s *site) list(ctx context.Context, q filter, path string, known []ci.Project) (listing, error) {
	l := listing{filter: q, Choices: statusChoices, Reset: path, Single: path != "/"}
	if q.Before != "" {
		l.Newest = q.path(path, "")
	}
	projects := make(map[ci.ProjectID]ci.Project, len(known))
	for _, p := range known {
		projects[p.ID] = p
	}
	scan := q.Query
	scan.Limit = pageSize + 1
	if q.narrow() {
		scan.Limit = scanBatch
	}
	for looked := 0; ; {
		batch, err := s.batch(ctx, scan)
		if err != nil {
			return listing{}, err
		}
		for _, p := range batch {
			if len(l.Rows) == pageSize || looked == scanLimit {
				l.Older = q.path(path, scan.Before)
				break
			}
			looked++
			scan.Before = p.ID
			row, ok, err := s.row(ctx, q, p, projects)
			if err != nil {
				return listing{}, err
			}
			if ok {
				l.Rows = append(l.Rows, row)
			}
		}
		if l.Older != "" || len(batch) < scan.Limit {
			if len(l.Rows) < pageSize && l.Older != "" {
				l.Searched = looked
			}
			return l, nil
		}
	}
}

func (s *site) batch(ctx context.Context, q ci.Query) ([]ci.Pipeline, error) {
	var all []ci.Pipeline
	for p, err := range s.read.Pipelines(ctx, q) {
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// row makes the row of a pipeline; false leaves it out.
func (s *site) row(ctx context.Context, q filter, p ci.Pipeline, projects map[ci.ProjectID]ci.Project) (row, bool, error) {
	if q.Mine && !mine(actorIn(ctx), p.Trigger.Actor) {
		return row{}, false, nil
	}
	project, ok := projects[p.Trigger.Project]
	if !ok {
		var err error
		if project, err = s.read.Project(ctx, p.Trigger.Project); hidden(err) {
			return row{}, false, nil
		} else if err != nil {
			return row{}, false, err
		}
		projects[project.ID] = project
	}
	workflows, err := s.read.Workflows(ctx, p.ID)
	if err != nil {
		return row{}, false, err
	}
	r := row{project, p, workflows, pipelineStatus(p, workflows)}
	return r, q.Status == "" || slices.Contains(filterStatuses[q.Status], r.Status), nil
}

// mine reports whether two actors are the same.
func mine(a, b ci.Actor) bool {
	return a.Kind == b.Kind && (a.ID != "" && a.ID == b.ID || a.ID == "" && b.ID == "" && a.Login == b.Login)
}

// path returns the address of a page of a listing.
func (f filter) path(path string, before ci.PipelineID) string {
	v := url.Values{}
	for key, value := range map[string]string{"branch": f.Branch, "status": f.Status, "before": string(before)} {
		if value != "" {
			v.Set(key, value)
		}
	}
	if path == "/" && f.Project != "" {
		v.Set("project", string(f.Project))
	}
	if f.Mine {
		v.Set("mine", "1")
	}
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
}
