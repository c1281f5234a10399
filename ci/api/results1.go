package api

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// tests1 are the test results of a build on the wire of v1.1, all at once.
type tests1 struct {
	Tests []test `json:"tests"`
}

func (c *call) tests1() (any, error) {
	f, err := c.job(false)
	if err != nil {
		return nil, err
	}
	all, err := c.read.Tests(c.r.Context(), f.job.ID)
	if err != nil && !errors.Is(err, ci.ErrNotFound) {
		return nil, err
	}
	out := tests1{Tests: make([]test, 0, len(all))}
	for _, t := range all {
		out.Tests = append(out.Tests, test{t.Name, t.Classname, t.File, t.Source, t.Result, t.Seconds, t.Message, t.Node})
	}
	return out, nil
}

// An artifact1 is an artifact on the wire of v1.1.
type artifact1 struct {
	Path   string `json:"path"`
	Pretty string `json:"pretty_path"`
	Node   int    `json:"node_index"`
	URL    string `json:"url"`
}

func (c *call) artifacts1() (any, error) {
	f, err := c.job(false)
	if err != nil {
		return nil, err
	}
	return c.artifactsOf(f.project, f.job)
}

// artifactsOf lists the artifacts of a build. Their addresses are those of
// v1.1, which project tokens and readers of open projects may use.
func (c *call) artifactsOf(p ci.Project, j *ci.Job) ([]artifact1, error) {
	out := []artifact1{}
	for i, t := range j.Tasks {
		if t.Epoch == 0 {
			continue
		}
		like := ci.File{Kind: ci.FileArtifact, Task: j.ID.Task(i), Epoch: t.Epoch}
		for file, err := range c.files.FindFiles(c.r.Context(), p.ID, like) {
			if err != nil {
				return nil, err
			}
			out = append(out, artifact1{file.Name, file.Name, i, c.artifactURL1(p, j.Number, i, file.Name)})
		}
	}
	return out, nil
}

func (c *call) artifactURL1(p ci.Project, number int64, node int, name string) string {
	path := strings.Split(name, "/")
	for i := range path {
		path[i] = url.PathEscape(path[i])
	}
	return fmt.Sprintf("%s%s/project/%s/%d/artifacts/%d/%s", c.cfg.URL, root1, p.Slug, number, node, strings.Join(path, "/"))
}

// latestArtifacts lists the artifacts of the newest build that has some, among
// those of the newest pipeline with a build that the filter keeps.
func (c *call) latestArtifacts() (any, error) {
	p, err := c.project(false)
	if err != nil {
		return nil, err
	}
	keep, err := c.filter("completed")
	if err != nil {
		return nil, err
	}
	w, branch := c.walk(), c.r.URL.Query().Get("branch")
	// What forks build is found under their own branches only, whatever they
	// are called.
	ours := func(b built) bool {
		return keep(b) && (b.pipeline.Trigger.Fork == "" || branch != "" && branch != p.DefaultBranch)
	}
	newest, err := w.newest(ci.Query{Project: p.ID, Branch: branch}, ours, 0, 1)
	if err != nil || len(newest) == 0 {
		return []artifact1{}, err
	}
	of, err := w.builds(c.r.Context(), newest[0].pipeline, p)
	if err != nil {
		return nil, err
	}
	for _, b := range of {
		if !keep(b) {
			continue
		}
		if found, err := c.artifactsOf(p, b.job); err != nil || len(found) > 0 {
			return found, err
		}
	}
	return []artifact1{}, nil
}
