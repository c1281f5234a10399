package web

import (
	"net/http"

	"github.com/rondo-ci/rondo/ci"
)

// homeProjects is how many projects the first page lists.
const homeProjects = 100

// homeBody is what the first page shows.
type homeBody struct {
	notice
	Listing  listing
	Projects []ci.Project
	More     bool // there are more projects than are shown
	Follows  bool // projects can be followed
}

// home serves the first page: the projects, and the newest pipelines of all.
func (s *site) home(w http.ResponseWriter, r *http.Request) error {
	seq, err := s.read.LastEvent(r.Context())
	if err != nil {
		return err
	}
	b := homeBody{notice: noticeOf(r), Follows: s.cfg.Chapters.Follow != nil}
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
	q := filterOf(r)
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
	notice
	Listing  listing
	Project  ci.Project
	CloneURL string
	CanRun   bool
	Sample   string // a first configuration
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
	q := filterOf(r)
	q.Project = p.ID
	b := projectBody{
		notice: noticeOf(r), Project: p, CloneURL: cloneURL(p), CanRun: s.cfg.Retrigger != nil, Sample: sample,
	}
	if b.Listing, err = s.list(r.Context(), q, ProjectPath(p), []ci.Project{p}); err != nil {
		return err
	}
	v := view{Title: show(p.Slug), Body: b, Crumbs: s.crumbs(p), Tabs: s.projectTabs(p, "pipelines")}
	if q.Before == "" {
		v.Live = live(seq, "project", string(p.ID))
	}
	return s.render(w, r, http.StatusOK, "project", v)
}

// sample is what a project without a pipeline may begin with.
const sample = `version: 2.1
jobs:
  build:
    docker:
      - image: cimg/base:current
    steps:
      - checkout
      - run: echo "Hello from Rondo"
workflows:
  main:
    jobs:
      - build
`
