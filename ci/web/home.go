package web

import (
	"context"
	"net/http"
	"net/url"

	"github.com/rondo-ci/rondo/ci"
)

// How much a listing shows.
const (
	pageSize     = 20
	homeProjects = 100
)

// A listing is one page of pipelines, newest first.
type listing struct {
	Rows    []row
	Project ci.ProjectID // selected; "" is all
	Branch  string       // selected; "" is all
	Older   string       // address of the next page; "" is the last
	Newest  string       // address of the first page; "" on it
	Reset   string       // address without any selection
	Single  bool         // all rows are of one project, which the page names
}

// A row is a pipeline in a listing.
type row struct {
	Project   ci.Project
	Pipeline  ci.Pipeline
	Workflows []ci.Workflow
	Status    ci.Status
}

// homeBody is what the first page shows.
type homeBody struct {
	Listing  listing
	Projects []ci.Project
	More     bool // there are more projects than are shown
}

// home serves the first page: the projects, and the newest pipelines of all.
func (s *site) home(w http.ResponseWriter, r *http.Request) error {
	seq, err := s.read.LastEvent(r.Context())
	if err != nil {
		return err
	}
	var b homeBody
	for p, err := range s.read.Projects(r.Context()) {
		if err != nil {
			return err
		}
		if len(b.Projects) == homeProjects {
			b.More = true
			break
		}
		b.Projects = append(b.Projects, p)
	}
	q := query(r)
	q.Project = ci.ProjectID(r.URL.Query().Get("project"))
	if b.Listing, err = s.list(r.Context(), q, "/", b.Projects); err != nil {
		return err
	}
	v := view{Title: "Pipelines", Body: b}
	if q.Before == "" {
		v.Live = live(seq, "project", string(q.Project))
	}
	return s.render(w, r, http.StatusOK, "home", v)
}

// projectBody is what a project's page shows.
type projectBody struct {
	Listing  listing
	Project  ci.Project
	CloneURL string
	CanRun   bool
}

// project serves the pipelines of one project.
func (s *site) project(w http.ResponseWriter, r *http.Request) error {
	seq, err := s.read.LastEvent(r.Context())
	if err != nil {
		return err
	}
	p, err := s.read.ProjectBySlug(r.Context(), r.PathValue("slug"))
	if err != nil {
		return err
	}
	q := query(r)
	q.Project = p.ID
	b := projectBody{Project: p, CloneURL: cloneURL(p), CanRun: s.cfg.Retrigger != nil}
	if b.Listing, err = s.list(r.Context(), q, ProjectPath(p), []ci.Project{p}); err != nil {
		return err
	}
	v := view{Title: show(p.Slug), Body: b, Crumbs: []crumb{{show(p.Slug), ""}}}
	if q.Before == "" {
		v.Live = live(seq, "project", string(p.ID))
	}
	return s.render(w, r, http.StatusOK, "project", v)
}

// query returns what the address selects.
func query(r *http.Request) ci.Query {
	f := r.URL.Query()
	return ci.Query{Branch: f.Get("branch"), Before: ci.PipelineID(f.Get("before")), Limit: pageSize + 1}
}

// list reads one page of pipelines with their workflows.
func (s *site) list(ctx context.Context, q ci.Query, path string, known []ci.Project) (listing, error) {
	l := listing{Project: q.Project, Branch: q.Branch, Reset: path, Single: path != "/"}
	projects := make(map[ci.ProjectID]ci.Project, len(known))
	for _, p := range known {
		projects[p.ID] = p
	}
	var pipelines []ci.Pipeline
	for p, err := range s.read.Pipelines(ctx, q) {
		if err != nil {
			return listing{}, err
		}
		pipelines = append(pipelines, p)
	}
	if len(pipelines) > pageSize {
		pipelines = pipelines[:pageSize]
		l.Older = listPath(path, q, pipelines[pageSize-1].ID)
	}
	if q.Before != "" {
		l.Newest = listPath(path, q, "")
	}
	for _, p := range pipelines {
		project, ok := projects[p.Trigger.Project]
		if !ok {
			var err error
			if project, err = s.read.Project(ctx, p.Trigger.Project); err != nil {
				return listing{}, err
			}
			projects[project.ID] = project
		}
		workflows, err := s.read.Workflows(ctx, p.ID)
		if err != nil {
			return listing{}, err
		}
		l.Rows = append(l.Rows, row{project, p, workflows, pipelineStatus(p, workflows)})
	}
	return l, nil
}

// listPath returns the address of a page of a listing.
func listPath(path string, q ci.Query, before ci.PipelineID) string {
	f := url.Values{}
	if path == "/" && q.Project != "" {
		f.Set("project", string(q.Project))
	}
	if q.Branch != "" {
		f.Set("branch", q.Branch)
	}
	if before != "" {
		f.Set("before", string(before))
	}
	if len(f) == 0 {
		return path
	}
	return path + "?" + f.Encode()
}
