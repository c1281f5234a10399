package api

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// privateRoutes are addresses that CircleCI keeps to itself and that clients
// use all the same. They are not described.
func privateRoutes() []route {
	const output = "/output/raw/{project_slug}/job/{job_number}"
	return []route{
		{method: "GET", path: "/project", status: 200, response: page[privateProject]{}, serve: (*call).privateProjects},
		{method: "GET", path: "/me/followed-projects", status: 200, response: page[followed]{}, serve: (*call).followedProjects},
		{method: "GET", path: output + "/output/{node}/{step}", status: 200, serve: (*call).rawOutput},
		{method: "GET", path: output + "/error/{node}/{step}", status: 200, serve: (*call).rawError},
	}
}

type privateProject struct {
	ID   string `json:"id"`
	Slug string `json:"slug"`
	Name string `json:"name"`
}

type followed struct {
	Name string `json:"name"`
	Slug string `json:"slug"`
	VCS  string `json:"vcs_type"`
}

// projectPage is how many projects a page has at most.
const projectPage = 100

// visible returns the projects that keep keeps and the caller may see, by slug.
func (c *call) visible(keep func(ci.Project) bool) ([]ci.Project, error) {
	var all []ci.Project
	for p, err := range c.read.Projects(c.r.Context()) {
		if err != nil {
			return nil, err
		}
		if keep(p) {
			all = append(all, p)
		}
	}
	var out []ci.Project
	for _, p := range all { // not while the store is being read
		switch err := c.access(c.r.Context(), p, false); {
		case err == nil:
			out = append(out, p)
		case !hidden(err):
			return nil, err
		}
	}
	return out, nil
}

// isFollowed reports whether a project is in the lists of those that people
// follow. The folder of a local server is there because somebody wants it.
func isFollowed(p ci.Project) bool { return p.Followed || strings.HasPrefix(p.Slug, "local/") }

// projectsFrom is the page of visible projects; its key is the last slug.
func projectsFrom[T any](c *call, size int, keep func(ci.Project) bool, show func(ci.Project) T) (any, error) {
	var after string
	if err := c.pageKey(&after); err != nil {
		return nil, err
	}
	all, err := c.visible(func(p ci.Project) bool { return p.Slug > after && keep(p) })
	if err != nil {
		return nil, err
	}
	var items []T
	for _, p := range all[:min(size, len(all))] {
		items = append(items, show(p))
	}
	if size < len(all) {
		return pageOf(items, all[size-1].Slug), nil
	}
	return pageOf(items, nil), nil
}

func (c *call) privateProjects() (any, error) {
	size, err := c.number("page-size", 50)
	if err != nil {
		return nil, err
	}
	org := c.r.URL.Query().Get("organization-id")
	return projectsFrom(c, int(min(max(size, 1), projectPage)), func(p ci.Project) bool {
		return org == "" || strings.EqualFold(projectOf(p).OrgID, org)
	}, func(p ci.Project) privateProject { return privateProject{string(p.ID), p.Slug, p.Repo} })
}

func (c *call) followedProjects() (any, error) {
	return projectsFrom(c, projectPage, isFollowed, func(p ci.Project) followed {
		return followed{p.Repo, p.Slug, longHost(p)}
	})
}

// rawOutput sends the output of a step as it is. What was written to the error
// stream is in it, too, in the order in which it came.
func (c *call) rawOutput() (any, error) { return c.raw(true) }

// rawError is empty: the streams are kept as one.
func (c *call) rawError() (any, error) { return c.raw(false) }

func (c *call) raw(output bool) (any, error) {
	f, err := c.job(false)
	if err != nil {
		return nil, err
	}
	node, bad1 := strconv.Atoi(c.r.PathValue("node"))
	step, bad2 := strconv.Atoi(c.r.PathValue("step"))
	if errors.Join(bad1, bad2) != nil || node < 0 || node >= len(f.job.Tasks) || step < 0 {
		return nil, refuse(http.StatusNotFound, "Step not found")
	}
	key := ci.LogKey{Task: f.job.ID.Task(node), Epoch: f.job.Tasks[node].Epoch, Step: step}
	var size int64
	if output && key.Epoch > 0 {
		size, err = c.logs.Size(c.r.Context(), key)
		if err != nil && !errors.Is(err, ci.ErrNotFound) {
			return nil, err
		}
	}
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	return c.sendLog(key, 0, -1, size)
}
