package engine

import (
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// ConfigFile is where a repository keeps its configuration.
const ConfigFile = ".circleci/config.yml"

// Values returns the pipeline values of the configuration language for a
// pipeline, by their names without "pipeline.".
func Values(project ci.Project, p ci.Pipeline) map[string]any {
	t := p.Trigger
	host, _, _ := strings.Cut(project.Slug, "/")
	return map[string]any{
		"id": string(p.ID), "number": p.Number,
		"project.git_url": project.CloneURL, "project.slug": project.Slug,
		"project.type": projectType(host), "project.id": string(project.ID),
		"git.branch": t.Branch, "git.tag": t.Tag,
		"git.revision": t.Revision, "git.base_revision": t.Base,
		"git.branch.is_default": t.Branch != "" && t.Branch == project.DefaultBranch,
		"git.commit.subject":    t.Subject, "git.commit.body": t.Body, "git.commit.author_name": t.Author,
		"git.repo_owner": project.Org, "git.repo_name": project.Repo, "git.repo_url": project.CloneURL,
		"trigger_source": string(t.Source), "schedule.name": t.Schedule, "schedule.id": t.Scheduled, "in_setup": false,
	}
}

// projectType is the long name of a code host.
func projectType(host string) string {
	switch host {
	case "gh":
		return "github"
	case "bb":
		return "bitbucket"
	}
	return host
}
