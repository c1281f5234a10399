package api

import (
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A pipeline is a [ci.Pipeline] on the wire.
type pipeline struct {
	ID         string          `json:"id"`
	Number     int64           `json:"number"`
	Slug       string          `json:"project_slug"`
	State      string          `json:"state"`
	Created    stamp           `json:"created_at"`
	Updated    stamp           `json:"updated_at"`
	Errors     []pipelineError `json:"errors"`
	Warnings   []string        `json:"warnings"`
	Trigger    pipelineTrigger `json:"trigger"`
	Parameters map[string]any  `json:"trigger_parameters,omitempty"`
	VCS        pipelineVCS     `json:"vcs"`
}

type pipelineError struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

type pipelineTrigger struct {
	Type     string `json:"type"`
	Received stamp  `json:"received_at"`
	Actor    actor  `json:"actor"`
}

type actor struct {
	Login  string  `json:"login"`
	Avatar *string `json:"avatar_url"`
}

type pipelineVCS struct {
	Provider  string         `json:"provider_name"`
	Origin    string         `json:"origin_repository_url"`
	Target    string         `json:"target_repository_url"`
	Revision  string         `json:"revision"`
	Branch    string         `json:"branch,omitempty"`
	Tag       string         `json:"tag,omitempty"`
	ReviewID  string         `json:"review_id,omitempty"`
	ReviewURL string         `json:"review_url,omitempty"`
	Commit    pipelineCommit `json:"commit"`
}

type pipelineCommit struct {
	Subject string `json:"subject"`
	Body    string `json:"body"`
}

func pipelineOf(p ci.Pipeline, project ci.Project) pipeline {
	t := p.Trigger
	target := webURL(project)
	out := pipeline{
		ID: string(p.ID), Number: p.Number, Slug: project.Slug, State: string(p.State),
		Created: stampOf(p.Created), Updated: stampOf(p.Updated),
		Errors: []pipelineError{}, Warnings: append([]string{}, p.Warnings...), Parameters: t.Parameters,
		Trigger: pipelineTrigger{Type: string(t.Source), Received: stampOf(p.Created), Actor: actor{Login: t.Actor.String()}},
		VCS: pipelineVCS{
			Provider: provider(project), Origin: target, Target: target, Revision: t.Revision, Branch: t.Branch, Tag: t.Tag,
			Commit: pipelineCommit{t.Subject, t.Body},
		},
	}
	for _, e := range p.Errors {
		out.Errors = append(out.Errors, pipelineError{"config", e})
	}
	if t.Fork != "" {
		out.VCS.Origin = strings.TrimSuffix(target, project.Org+"/"+project.Repo) + t.Fork
	}
	if len(t.PullRequests) > 0 {
		out.VCS.ReviewURL = t.PullRequests[0]
		out.VCS.ReviewID = t.PullRequests[0][strings.LastIndexByte(t.PullRequests[0], '/')+1:]
	}
	return out
}

// A pipelineConfig is the configuration of a pipeline on the wire.
type pipelineConfig struct {
	Source   string `json:"source"`
	Compiled string `json:"compiled"`
	// Those of the setup workflow, once the pipeline has been continued.
	Setup         string `json:"setup-config,omitempty"`
	SetupCompiled string `json:"compiled-setup-config,omitempty"`
}

// A triggerRequest asks for a pipeline.
type triggerRequest struct {
	Branch     string         `json:"branch,omitempty"`
	Tag        string         `json:"tag,omitempty"`
	Parameters map[string]any `json:"parameters,omitempty"`
	// text says that the parameters may be text for what is none.
	text bool
}

// A triggered pipeline has just been accepted.
type triggered struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Number  int64  `json:"number"`
	Created stamp  `json:"created_at"`
}
