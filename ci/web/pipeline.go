package web

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// pipelineBody is what a pipeline's page shows.
type pipelineBody struct {
	Project   ci.Project
	Pipeline  ci.Pipeline
	Status    ci.Status
	Workflows []ci.Workflow
	Problems  []located
	Warnings  []located
	Links     []string // of pull requests; http and https only
	Tab       string   // "", source or expanded
	Config    []string // the lines of that tab
	Cut       bool     // there are more lines than are shown
}

// A located is a problem with its place in the configuration.
type located struct {
	Place, Text string
	Line        string // its number; "" when there is no place
}

// configLines bounds what a page shows of a configuration.
const configLines = 20_000

// pipeline serves one pipeline.
func (s *site) pipeline(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	seq, err := s.read.LastEvent(ctx)
	if err != nil {
		return err
	}
	p, err := s.read.Pipeline(ctx, ci.PipelineID(r.PathValue("pipeline")))
	if err != nil {
		return err
	}
	project, err := s.read.Project(ctx, p.Trigger.Project)
	if err != nil {
		return err
	}
	b := pipelineBody{Project: project, Pipeline: p, Problems: locate(p.Errors), Warnings: locate(p.Warnings)}
	if b.Workflows, err = s.read.Workflows(ctx, p.ID); err != nil {
		return err
	}
	b.Status = pipelineStatus(p, b.Workflows)
	for _, l := range p.Trigger.PullRequests {
		if u, err := url.Parse(l); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" {
			b.Links = append(b.Links, u.String())
		}
	}
	switch tab := r.URL.Query().Get("tab"); tab {
	case "source", "expanded":
		b.Tab = tab
		if b.Config, b.Cut, err = s.config(r, p.ID, tab); err != nil {
			return err
		}
	}
	v := view{
		Title: show(project.Slug) + " #" + itoa(p.Number), Status: b.Status, Body: b,
		Crumbs: s.crumbs(project, crumb{"#" + itoa(p.Number), ""}),
	}
	if b.Tab == "" && (!b.Status.Ended() || p.State == ci.PipelinePending) {
		v.Live = live(seq, "pipeline", string(p.ID))
	}
	return s.render(w, r, http.StatusOK, "pipeline", v)
}

// config returns the lines of a pipeline's configuration. A pipeline that has
// no plan has none.
func (s *site) config(r *http.Request, id ci.PipelineID, tab string) ([]string, bool, error) {
	plan, err := s.read.Plan(r.Context(), id)
	if errors.Is(err, ci.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	text := plan.Source
	if tab == "expanded" {
		text = plan.Expanded
	}
	if text == "" {
		return nil, false, nil
	}
	lines := strings.SplitN(strings.TrimSuffix(text, "\n"), "\n", configLines+1)
	over := len(lines) > configLines
	if over {
		lines = lines[:configLines]
	}
	return lines, over, nil
}

// placed is how errors begin that have one: file:line:col or file:line.
var placed = regexp.MustCompile(`^([^\s:]{1,200}):(\d{1,7})(?::(\d{1,7}))?:\s*`)

// locate parts places from problems.
func locate(texts []string) []located {
	out := make([]located, len(texts))
	for i, t := range texts {
		out[i].Text = t
		if m := placed.FindStringSubmatch(t); m != nil {
			out[i] = located{Place: strings.TrimRight(strings.TrimSpace(m[0]), ":"), Text: t[len(m[0]):], Line: m[2]}
		}
	}
	return out
}
