package api

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// Pages are the addresses of the pages that old addresses lead to. What is nil
// or "" is answered with 404.
type Pages struct {
	Project  func(p ci.Project) string // of which Slug, Org and Repo are set
	Pipeline func(id ci.PipelineID) string
	Workflow func(id ci.WorkflowID) string
	Account  string // where people find their tokens
}

// publicRoutes are the addresses outside /api/ that badges, monitors and old
// links use.
func publicRoutes() []route {
	public := func(path string) route {
		return route{method: "GET", path: path, status: 200, scope: ci.ScopeStatus, serve: (*call).public}
	}
	return []route{
		{method: "GET", path: "/cc.xml", status: 200, scope: ci.ScopeStatus, serve: (*call).ccAll},
		{method: "GET", path: "/account/api", status: 200, open: true, serve: (*call).account},
		public("/status-badge/{rest...}"), public("/pipelines/{rest...}"),
		public("/gh/{rest...}"), public("/github/{rest...}"), public("/bb/{rest...}"), public("/bitbucket/{rest...}"),
		public("/circleci/{rest...}"), public("/local/{rest...}"),
	}
}

// A placeKind says what an address outside /api/ is about.
type placeKind int

const (
	placeProject  placeKind = iota // a project's page, or that of its branch
	placeJob                       // a job's page
	placePipeline                  // a pipeline's page
	placeWorkflow                  // a workflow's page
	placeBadge
	placePNG // a badge as it is not drawn any more
	placeCC
)

// A place is what such an address says.
type place struct {
	kind     placeKind
	slug     string
	branch   string // "" is the default one
	number   int64  // of the job or the pipeline
	workflow string
}

// placeOf reads an address. A branch may hold slashes, escaped or not; so may
// the slug.
func placeOf(escaped string) (p place, ok bool) {
	path, err := url.PathUnescape(strings.TrimPrefix(escaped, "/"))
	if err != nil {
		return p, false
	}
	first, rest, _ := strings.Cut(path, "/")
	switch first {
	case "pipelines":
		return pipelinePlace(strings.Split(rest, "/"))
	case "status-badge":
		verb, rest, _ := strings.Cut(rest, "/")
		p, ok = projectPlace(rest)
		image := p.kind == placeBadge || p.kind == placePNG
		return p, ok && (verb == "img" && image || verb == "redirect" && p.kind == placeProject)
	}
	return projectPlace(path)
}

// projectPlace reads host/org/repo, with a number, a branch, or an ending.
func projectPlace(path string) (p place, ok bool) {
	for _, e := range []struct {
		ending string
		kind   placeKind
	}{{".cc.xml", placeCC}, {".svg", placeBadge}, {".png", placePNG}} {
		if cut, found := strings.CutSuffix(path, e.ending); found {
			path, p.kind = cut, e.kind
			break
		}
	}
	parts := strings.SplitN(path, "/", 5)
	if !p.project(parts) {
		return p, false
	}
	switch rest := parts[3:]; {
	case len(rest) == 0:
		return p, true
	case len(rest) == 2 && rest[0] == "tree" && rest[1] != "":
		p.branch = rest[1]
		return p, true
	case len(rest) == 1 && p.kind == placeProject:
		p.kind = placeJob
		return p, p.count(rest[0])
	}
	return p, false
}

// pipelinePlace reads what follows /pipelines/.
func pipelinePlace(parts []string) (p place, ok bool) {
	if len(parts) == 2 && parts[0] == "workflows" {
		p.kind, p.workflow = placeWorkflow, parts[1]
		return p, isUUID(p.workflow)
	}
	if !p.project(parts) {
		return p, false
	}
	rest := parts[3:]
	if len(rest) == 0 {
		return p, true
	}
	p.kind = placePipeline
	if !p.count(rest[0]) {
		return p, false
	}
	switch {
	case len(rest) == 1:
		return p, true
	case rest[1] != "workflows" || len(rest) < 3 || !isUUID(rest[2]):
		return p, false
	}
	p.kind, p.workflow = placeWorkflow, rest[2]
	switch {
	case len(rest) == 3:
		return p, true
	case rest[3] != "jobs" || len(rest) != 5:
		return p, false
	}
	p.kind = placeJob
	return p, p.count(rest[4])
}

// project takes the slug from the front.
func (p *place) project(parts []string) bool {
	if len(parts) < 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return false
	}
	p.slug = shorten(strings.Join(parts[:3], "/"))
	return true
}

func (p *place) count(text string) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	p.number = n
	return err == nil && n > 0
}

// public answers an address outside /api/.
func (c *call) public() (any, error) {
	p, ok := placeOf(c.r.URL.EscapedPath())
	if !ok {
		return nil, refuse(http.StatusNotFound, "Not found")
	}
	c.r.SetPathValue("project_slug", p.slug)
	switch p.kind {
	case placeBadge:
		return c.badge(p.branch)
	case placePNG:
		u := url.URL{Path: strings.TrimSuffix(c.r.URL.Path, "png") + "svg", RawQuery: c.r.URL.RawQuery}
		if raw := c.r.URL.RawPath; raw != "" {
			u.RawPath = strings.TrimSuffix(raw, "png") + "svg"
		}
		return c.redirect(u.String())
	case placeCC:
		return c.ccProject(p.branch)
	}
	return c.page(p)
}

// page leads to a page. What exists is told only to those who may know: for
// all others the address is made of what they said themselves, and the page
// decides.
func (c *call) page(p place) (any, error) {
	project := ci.Project{Slug: p.slug}
	if parts := strings.Split(p.slug, "/"); len(parts) == 3 {
		project.Org, project.Repo = parts[1], parts[2]
	}
	switch pages := c.cfg.Pages; {
	case p.kind == placeJob && c.cfg.JobURL != nil:
		return c.redirect(c.cfg.JobURL(project, p.number))
	case p.kind == placeWorkflow && pages.Workflow != nil:
		return c.redirect(pages.Workflow(ci.WorkflowID(strings.ToLower(p.workflow))))
	case p.kind == placePipeline && pages.Pipeline != nil:
		found, err := c.project(false)
		if err == nil {
			line, err := c.pipelineNumbered(found, p.number)
			if err != nil {
				return nil, err
			}
			return c.redirect(pages.Pipeline(line.ID))
		}
		if !isNotFound(err) || pages.Project == nil {
			return nil, err
		}
		return c.redirect(pages.Project(project))
	case p.kind == placeProject && pages.Project != nil:
		return c.redirect(pages.Project(project))
	}
	return nil, refuse(http.StatusNotFound, "Not found")
}

func (c *call) account() (any, error) {
	if c.cfg.Pages.Account == "" {
		return nil, refuse(http.StatusNotFound, "Not found")
	}
	return c.redirect(c.cfg.Pages.Account)
}

// redirect sends the client elsewhere. The address is one of this server's.
func (c *call) redirect(to string) (any, error) {
	c.w.Header().Set("Location", to)
	c.w.WriteHeader(http.StatusFound)
	return written, nil
}
