package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"github.com/rondo-ci/rondo/ci"
)

// How many pipelines a page has, and how many may be looked at to fill it: a
// page that cannot be filled from so many is short, and says where to go on.
const (
	pipelinePage = 20
	pipelineLook = 2000
)

// pipelinePageOf returns the page of pipelines that q selects and keep keeps.
func (c *call) pipelinePageOf(q ci.Query, keep func(ci.Pipeline, ci.Project) bool) (any, error) {
	ctx := c.r.Context()
	var before string
	if err := c.pageKey(&before); err != nil {
		return nil, err
	}
	q.Before, q.Limit = ci.PipelineID(before), pipelinePage+1
	var items []pipeline
	for looked := 0; ; q.Limit = 200 {
		batch, err := c.batch(q)
		if errors.Is(err, ci.ErrNotFound) && q.Before != "" {
			err = fmt.Errorf("page-token is not one of this list: %w", ci.ErrInvalid)
		}
		if err != nil {
			return nil, err
		}
		for _, p := range batch {
			if len(items) == pipelinePage {
				return pageOf(items, q.Before), nil
			}
			q.Before = p.ID
			project, err := c.may(ctx, p.Trigger.Project, false)
			switch {
			case err == nil && keep(p, project):
				items = append(items, pipelineOf(p, project))
			case err != nil && !hidden(err):
				return nil, err
			}
		}
		if len(batch) < q.Limit {
			return pageOf(items, nil), nil
		}
		if looked += len(batch); looked >= pipelineLook {
			return pageOf(items, q.Before), nil
		}
	}
}

// batch reads pipelines to the end before anything else is asked of the store,
// which may have one connection only.
func (c *call) batch(q ci.Query) ([]ci.Pipeline, error) {
	batch := make([]ci.Pipeline, 0, q.Limit)
	for p, err := range c.read.Pipelines(c.r.Context(), q) {
		if err != nil {
			return nil, err
		}
		batch = append(batch, p)
	}
	return batch, nil
}

// hidden reports whether an error of May leaves a thing out of a list.
func hidden(err error) bool { return errors.Is(err, ci.ErrNotFound) || errors.Is(err, ci.ErrDenied) }

// mine reports whether the caller triggered the pipeline.
func (c *call) mine(p ci.Pipeline) bool {
	a := p.Trigger.Actor
	return a.Kind == c.by.Kind && (a.ID != "" && a.ID == c.by.ID || a.ID == "" && c.by.ID == "" && a.Login == c.by.Login)
}

func (c *call) listPipelines() (any, error) {
	q := c.r.URL.Query()
	org, mine := shorten(strings.TrimSuffix(q.Get("org-slug"), "/")), q.Get("mine") == "true"
	return c.pipelinePageOf(ci.Query{}, func(p ci.Pipeline, project ci.Project) bool {
		return (org == "" || project.OrgSlug() == org) && (!mine || c.mine(p))
	})
}

func (c *call) listProjectPipelines() (any, error) {
	project, err := c.project(false)
	if err != nil {
		return nil, err
	}
	q := ci.Query{Project: project.ID, Branch: c.r.URL.Query().Get("branch")}
	return c.pipelinePageOf(q, func(ci.Pipeline, ci.Project) bool { return true })
}

func (c *call) listMyPipelines() (any, error) {
	project, err := c.project(false)
	if err != nil {
		return nil, err
	}
	return c.pipelinePageOf(ci.Query{Project: project.ID}, func(p ci.Pipeline, _ ci.Project) bool { return c.mine(p) })
}

func (c *call) getPipeline() (any, error) {
	p, project, err := c.pipeline(false)
	if err != nil {
		return nil, err
	}
	return pipelineOf(p, project), nil
}

func (c *call) getPipelineByNumber() (any, error) {
	project, err := c.project(false)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseInt(c.r.PathValue("pipeline_number"), 10, 64)
	if err != nil || number < 1 {
		return nil, named(ci.ErrNotFound, "Pipeline")
	}
	p, err := c.pipelineNumbered(project, number)
	return pipelineOf(p, project), err
}

// pipelineNumbered looks from the newest on, since a store knows no other way;
// numbers have no gaps, so it knows when it is past. For somebody without a
// token it does not look far.
func (c *call) pipelineNumbered(project ci.Project, number int64) (ci.Pipeline, error) {
	q := ci.Query{Project: project.ID, Limit: 1}
	for looked := 0; !c.anybody || looked < pipelineLook; looked += q.Limit {
		batch, err := c.batch(q)
		if err != nil {
			return ci.Pipeline{}, err
		}
		for _, p := range batch {
			if p.Number == number {
				return p, nil
			}
			q.Before = p.ID
		}
		if len(batch) < q.Limit || batch[len(batch)-1].Number < number {
			break
		}
		q.Limit = 500
	}
	return ci.Pipeline{}, named(ci.ErrNotFound, "Pipeline")
}

func (c *call) getPipelineConfig() (any, error) {
	p, _, err := c.pipeline(false)
	if err != nil {
		return nil, err
	}
	plan, err := c.read.Plan(c.r.Context(), p.ID)
	if errors.Is(err, ci.ErrNotFound) {
		return nil, refuse(http.StatusNotFound, "The pipeline has no compiled configuration.")
	}
	if err != nil {
		return nil, err
	}
	out := pipelineConfig{Source: plan.Source, Compiled: plan.Expanded}
	if plan.Before != nil {
		out.Setup, out.SetupCompiled = plan.Before.Source, plan.Before.Expanded
	}
	return out, nil
}

func (c *call) cancelPipeline() (any, error) {
	p, _, err := c.pipeline(true)
	if err != nil {
		return nil, err
	}
	workflows, err := c.read.Workflows(c.r.Context(), p.ID)
	if err != nil {
		return nil, err
	}
	for _, w := range workflows {
		if w.Status.Ended() {
			continue
		}
		// One that has ended by itself meanwhile is what was wanted, too.
		if err := c.server.Cancel(c.r.Context(), w.ID, c.by); err != nil && !errors.Is(err, ci.ErrConflict) {
			return nil, err
		}
	}
	return message{"Accepted."}, nil
}

func (c *call) triggerPipeline() (any, error) {
	project, err := c.project(true)
	if err != nil {
		return nil, err
	}
	var req struct {
		triggerRequest
		Config json.RawMessage `json:"config"`
	}
	if err := c.body(&req); err != nil {
		return nil, err
	}
	if len(req.Config) > 0 && string(req.Config) != "null" {
		return nil, refuse(http.StatusBadRequest, "A configuration in the request is not supported; commit it.")
	}
	return c.start(project, req.triggerRequest)
}

// start triggers a pipeline.
func (c *call) start(project ci.Project, req triggerRequest) (any, error) {
	switch {
	case c.cfg.Trigger == nil:
		return nil, refuse(http.StatusNotImplemented, "This server takes no triggers.")
	case req.Branch != "" && req.Tag != "":
		return nil, refuse(http.StatusBadRequest, "Give either a branch or a tag, not both.")
	case badRef(req.Branch) || badRef(req.Tag):
		return nil, refuse(http.StatusBadRequest, "That is no name of a branch or tag.")
	}
	parameters, err := typed(req.Parameters)
	if err != nil {
		return nil, err
	}
	t := ci.Trigger{
		Project: project.ID, Source: ci.SourceAPI, Actor: c.by, Branch: req.Branch, Tag: req.Tag, Parameters: parameters, Text: req.text,
	}
	if t.Branch == "" && t.Tag == "" {
		t.Branch = project.DefaultBranch
	}
	p, err := c.cfg.Trigger(c.r.Context(), t)
	if errors.Is(err, ci.ErrNotFound) {
		return nil, refuse(http.StatusBadRequest, "Branch or tag not found: "+t.Branch+t.Tag)
	}
	if err != nil {
		return nil, err
	}
	return triggered{ID: string(p.ID), State: string(p.State), Number: p.Number, Created: stampOf(p.Created)}, nil
}

// badRef reports whether a name cannot be that of a branch or tag.
func badRef(name string) bool {
	return len(name) > 1000 || strings.HasPrefix(name, "-") || strings.Contains(name, "..") ||
		strings.ContainsFunc(name, func(c rune) bool { return unicode.IsControl(c) || strings.ContainsRune(" ~^:?*[\\", c) })
}

// typed gives parameters the types that pipelines have: string, bool, int64.
func typed(in map[string]any) (map[string]any, error) {
	if len(in) > 100 {
		return nil, refuse(http.StatusBadRequest, "There are more than 100 parameters.")
	}
	var out map[string]any
	for name, v := range in {
		if n, ok := v.(json.Number); ok {
			i, err := n.Int64()
			if err != nil {
				return nil, refuse(http.StatusBadRequest, fmt.Sprintf("Parameter %q is not an integer.", name))
			}
			v = i
		}
		switch v.(type) {
		case string, bool, int64:
		default:
			return nil, refuse(http.StatusBadRequest, fmt.Sprintf("Parameter %q is neither string, boolean nor integer.", name))
		}
		if out == nil {
			out = make(map[string]any, len(in))
		}
		out[name] = v
	}
	return out, nil
}
