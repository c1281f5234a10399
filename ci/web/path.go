package web

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// JobPath returns the canonical path of a job's page, for CIRCLE_BUILD_URL and
// for statuses on code hosts; put the installation's address before it. Jobs
// that have no number (approvals) have no page of their own.
func JobPath(project ci.Project, number int64) string {
	return "/jobs/" + escapeSlug(project.Slug) + "/" + strconv.FormatInt(number, 10)
}

// ProjectPath returns the path of a project's page.
func ProjectPath(project ci.Project) string { return "/projects/" + escapeSlug(project.Slug) }

// PipelinePath returns the path of a pipeline's page.
func PipelinePath(id ci.PipelineID) string { return "/pipelines/" + url.PathEscape(string(id)) }

// WorkflowPath returns the path of a workflow's page.
func WorkflowPath(id ci.WorkflowID) string { return "/workflows/" + url.PathEscape(string(id)) }

// AccountPath is the path of the page where people find their own tokens.
const AccountPath = "/account"

// OrgPath returns the path of an organisation's page, by its slug.
func OrgPath(org string) string { return "/orgs/" + escapeSlug(org) }

// InsightsPath returns the path of the figures about a project.
func InsightsPath(project ci.Project) string { return "/insights/" + escapeSlug(project.Slug) }

func settingsPath(section string, project ci.Project) string {
	return "/settings/" + section + "/" + escapeSlug(project.Slug)
}

func contextPath(id ci.ContextID) string { return "/contexts/" + url.PathEscape(string(id)) }

// artifactPath returns the path of an artifact: get downloads it, open shows
// it where that is safe.
func artifactPath(verb string, job ci.JobID, node int, name string) string {
	return "/artifacts/" + verb + "/" + url.PathEscape(string(job)) + "/" + strconv.Itoa(node) + "/" + escapeSlug(name)
}

// escapeSlug escapes each part of a path with slashes. A dot part is escaped
// too, lest it be taken for a step up.
func escapeSlug(slug string) string {
	parts := strings.Split(slug, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

// splitJobPath parts "slug/number" and "slug/number/verb", where verb is one
// of the addresses below a job's page. false means neither.
func splitJobPath(rest string) (slug string, number int64, verb string, ok bool) {
	slug, last, found := cutLast(rest)
	if !found {
		return "", 0, "", false
	}
	if jobVerbs[last] {
		verb = last
		slug, last, found = cutLast(slug)
	}
	number, err := strconv.ParseInt(last, 10, 64)
	if !found || err != nil || number <= 0 || strconv.FormatInt(number, 10) != last {
		return "", 0, "", false
	}
	return slug, number, verb, true
}

// jobVerbs are the addresses below a job's page.
var jobVerbs = map[string]bool{"log": true, "output": true, "events": true, "view": true, "lines": true, "search": true, "test": true}

func cutLast(path string) (before, last string, found bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

// cloneURL returns a project's clone address without a password in it.
func cloneURL(p ci.Project) string {
	u, err := url.Parse(p.CloneURL)
	if err != nil {
		if strings.Contains(p.CloneURL, "@") {
			return ""
		}
		return p.CloneURL
	}
	u.User = nil
	return u.String()
}
