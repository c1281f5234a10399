package api

import (
	"net/url"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A user is a person on the wire.
type user struct {
	ID     string  `json:"id"`
	Login  string  `json:"login"`
	Name   string  `json:"name"`
	Avatar *string `json:"avatar_url"`
}

func userOf(a ci.Actor) user {
	return user{ID: uuidOr(a.ID, "user "+a.String()), Login: a.String(), Name: a.String()}
}

// self returns who calls.
func (c *call) self() user { return userOf(c.by) }

func (c *call) me() (any, error) { return c.self(), nil }

// uuidOr returns id if it is a UUID, and else one that follows from the name:
// clients expect one everywhere.
func uuidOr(id, name string) string {
	if isUUID(id) {
		return id
	}
	return ci.NameID(name + "\n" + id)
}

// A project is a [ci.Project] on the wire.
type project struct {
	ID      string         `json:"id"`
	Slug    string         `json:"slug"`
	Name    string         `json:"name"`
	Org     string         `json:"organization_name"`
	OrgSlug string         `json:"organization_slug"`
	OrgID   string         `json:"organization_id"`
	VCS     projectVCSInfo `json:"vcs_info"`
}

type projectVCSInfo struct {
	URL           string `json:"vcs_url"`
	Provider      string `json:"provider"`
	DefaultBranch string `json:"default_branch"`
}

func projectOf(p ci.Project) project {
	org := p.OrgSlug()
	return project{
		ID: string(p.ID), Slug: p.Slug, Name: p.Repo, Org: p.Org, OrgSlug: org, OrgID: orgID(org),
		VCS: projectVCSInfo{URL: webURL(p), Provider: provider(p), DefaultBranch: p.DefaultBranch},
	}
}

// provider returns the name of the project's code host.
func provider(p ci.Project) string {
	host, _, _ := strings.Cut(p.Slug, "/")
	switch host {
	case "gh":
		return "GitHub"
	case "bb":
		return "Bitbucket"
	case "circleci":
		return "CircleCI"
	}
	return host
}

// hosts are where the projects of the public code hosts live.
var hosts = map[string]string{"gh": "https://github.com/", "bb": "https://bitbucket.org/"}

// webURL returns the address of the repository for people. It never holds a
// password.
func webURL(p ci.Project) string {
	if u, err := url.Parse(p.CloneURL); err == nil && u.Host != "" {
		web := url.URL{Scheme: "https", Host: u.Hostname(), Path: strings.TrimSuffix(u.Path, ".git")}
		if u.Scheme == "http" || u.Scheme == "https" {
			web.Scheme, web.Host = u.Scheme, u.Host
		}
		return web.String()
	}
	if login, path, ok := strings.Cut(p.CloneURL, ":"); ok && !strings.Contains(login, "/") && strings.Contains(login, "@") {
		return "https://" + login[strings.LastIndexByte(login, '@')+1:] + "/" + strings.TrimSuffix(path, ".git")
	}
	host, _, _ := strings.Cut(p.Slug, "/")
	if base := hosts[host]; base != "" {
		return base + p.Org + "/" + p.Repo
	}
	return p.CloneURL
}

func (c *call) getProject() (any, error) {
	p, err := c.project(false)
	if err != nil {
		return nil, err
	}
	out := projectOf(p)
	// Who knows it by another slug goes on to know it by that.
	if asked := c.r.PathValue("project_slug"); standalone(asked) != "" {
		out.Slug = asked
	}
	return out, nil
}

func (c *call) listProjects() (any, error) {
	var all []ci.Project
	for p, err := range c.read.Projects(c.r.Context()) {
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	var items []project
	for _, p := range all {
		switch err := c.cfg.May(c.r.Context(), c.by, p, false); {
		case err == nil:
			items = append(items, projectOf(p))
		case !hidden(err):
			return nil, err
		}
	}
	return pageOf(items, nil), nil
}
