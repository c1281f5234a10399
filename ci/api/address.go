package api

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// The places where tables begin, beside root.
const (
	root1   = "/api/v1.1"
	alias1  = "/api/v1"
	private = "/api/private"
)

// mounts are the patterns of everything that the API answers.
var mounts = []string{
	root + "/", root1 + "/", alias1 + "/", private + "/",
	"/cc.xml", "/account/api", "/status-badge/", "/pipelines/workflows/", "/gh/", "/github/", "/bb/", "/bitbucket/", "/circleci/", "/local/",
	"/pipelines/gh/", "/pipelines/github/", "/pipelines/bb/", "/pipelines/bitbucket/", "/pipelines/circleci/", "/pipelines/local/",
}

// belowProject returns what of an address comes before the slug of a project;
// where there is none, a beginning that it does not have.
func belowProject(r *http.Request) string {
	for _, base := range []string{root1 + "/project/", private + "/output/raw/"} {
		if strings.HasPrefix(r.URL.EscapedPath(), base) {
			return base
		}
	}
	return root + "/project/"
}

// withoutAlias turns an address of /api/v1, which knows GitHub only and does
// not name it, into that of v1.1.
func withoutAlias(r *http.Request) *http.Request {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), alias1+"/")
	if !ok {
		return r
	}
	if below, ok := strings.CutPrefix(rest, "project/"); ok {
		rest = "project/gh/" + below
	}
	return at(r, root1+"/"+rest)
}

// longHost returns the long name of a project's code host, as v1.1 has it.
func longHost(p ci.Project) string {
	host, _, _ := strings.Cut(p.Slug, "/")
	for name, short := range long {
		if short == host {
			return name
		}
	}
	return host
}

// oldURL returns the address that v1.1 has for something of a project. It leads
// to the page.
func (c *call) oldURL(p ci.Project, parts ...string) string {
	out := c.cfg.URL
	for _, part := range append(strings.Split(p.Slug, "/"), parts...) {
		out += "/" + url.PathEscape(part)
	}
	return out
}
