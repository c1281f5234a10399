package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// orgRoutes are the operations on organisations and people.
func orgRoutes() []route {
	const at = "/organization/{org_slug_or_id}"
	return []route{
		{
			method: "GET", path: "/me/collaborations", summary: "The organisations that the caller belongs to", tag: "User",
			status: 200, response: []organization{}, serve: (*call).collaborations,
		}, {
			method: "GET", path: "/user/{id}", summary: "A person", tag: "User",
			status: 200, response: user{}, serve: (*call).getUser,
		}, {
			method: "GET", path: at, summary: "An organisation", tag: "Organization",
			status: 200, response: organization{}, serve: (*call).getOrg,
		}, {
			method: "POST", path: "/organization", summary: "Refused: organisations are those of the code hosts", tag: "Organization",
			status: 201, request: orgRequest{}, response: organization{}, serve: (*call).createOrg,
		}, {
			method: "DELETE", path: at, summary: "Refused: organisations are those of the code hosts", tag: "Organization",
			status: 200, response: message{}, serve: (*call).deleteOrg,
		}, {
			method: "POST", path: at + "/project", summary: "Create a project from a repository of the organisation, and follow it", tag: "Organization",
			status: 201, request: orgProjectRequest{}, response: project{}, serve: (*call).createOrgProject,
		}, {
			method: "GET", path: "/organizations/{org_slug_or_id}/groups", summary: "The groups of an organisation that are kept here: none", tag: "Organization",
			query: []string{pageToken}, status: 200, response: page[group]{}, serve: (*call).listGroups,
		}, {
			method: "GET", path: "/organizations/{org_slug_or_id}/groups/{group_id}", summary: "A group", tag: "Organization",
			status: 200, response: group{}, serve: (*call).getGroup,
		}, {
			method: "POST", path: "/organizations/{org_slug_or_id}/groups", summary: "Refused: groups are those of the code host and the directory", tag: "Organization",
			status: 201, request: groupRequest{}, response: group{}, serve: (*call).createGroup,
		}, {
			method: "DELETE", path: "/organizations/{org_slug_or_id}/groups/{group_id}", summary: "Delete a group", tag: "Organization",
			status: 200, response: message{}, serve: (*call).getGroup,
		}, {
			method: "GET", path: at + "/url-orb-allow-list", summary: "Where orbs may be loaded from", tag: "Organization",
			query: []string{pageToken}, status: 200, response: page[orbPrefix]{}, serve: (*call).listOrbPrefixes,
		}, {
			method: "POST", path: at + "/url-orb-allow-list", summary: "Allow orbs from below an address", tag: "Organization",
			status: 201, request: orbPrefixRequest{}, response: orbPrefix{}, serve: (*call).addOrbPrefix,
		}, {
			method: "DELETE", path: at + "/url-orb-allow-list/{allow_list_entry_id}", summary: "Allow orbs from there no more", tag: "Organization",
			status: 200, response: message{}, serve: (*call).removeOrbPrefix,
		},
	}
}

// An organization is one on the wire. The schema and the clients disagree about
// the spelling of its kind.
type organization struct {
	ID     string  `json:"id"`
	Name   string  `json:"name"`
	Slug   string  `json:"slug"`
	VCS    string  `json:"vcs_type"`
	VCSToo string  `json:"vcs-type"`
	Avatar *string `json:"avatar_url"`
}

func organizationOf(slug string) organization {
	host, name, _ := strings.Cut(slug, "/")
	for l, short := range long {
		if short == host {
			host = l
		}
	}
	return organization{ID: orgID(slug), Name: name, Slug: slug, VCS: host, VCSToo: host}
}

// orgID returns the identity of an organisation, which follows from its slug.
func orgID(slug string) string { return ci.OrgID(slug) }

// withOrg makes the organisation in the address one segment, as withSlug does
// with projects.
func withOrg(r *http.Request) *http.Request {
	for _, prefix := range []string{"/organization/", "/organizations/", "/org/", "/owner/"} {
		if slug, rest, ok := gather(r, root+prefix, 2); ok {
			return at(r, root+prefix+url.PathEscape(slug)+rest)
		}
	}
	return r
}

// org returns the slug of the organisation of the address, if the caller may
// see (or change) what belongs to it.
func (c *call) org(write bool) (string, error) {
	return c.orgNamed(c.r.PathValue("org_slug_or_id"), write)
}

// orgNamed returns the slug of an organisation by slug or identity, likewise.
func (c *call) orgNamed(name string, write bool) (string, error) {
	slug, err := c.orgSlug(name)
	if err == nil {
		err = c.mayOrg(slug, write)
	}
	return slug, named(err, "Organization")
}

// mayOrg is as [Config] May, for an organisation.
func (c *call) mayOrg(slug string, write bool) error {
	if c.cfg.Chapters.MayOrg == nil {
		return nil
	}
	return c.cfg.Chapters.MayOrg(c.r.Context(), c.by, slug, write)
}

// orgSlug takes a slug as it is where somebody says who may see what belongs to
// it; else it must be that of an organisation that is known here.
func (c *call) orgSlug(name string) (string, error) {
	host, org, _ := strings.Cut(name, "/")
	if host == "circleci" && isUUID(org) { // the slug that clients make of an identity
		name = org
	}
	byID := isUUID(name)
	switch {
	case byID:
		name = strings.ToLower(name)
	case host == "" || org == "" || strings.Contains(org, "/"):
		return "", ci.ErrNotFound
	case c.cfg.Chapters.MayOrg != nil:
		return shorten(name), nil
	default:
		name = shorten(name)
	}
	theirs, err := c.theirOrgs()
	if err != nil {
		return "", err
	}
	all, err := c.projectOrgs(func(ci.Project) error { return nil })
	if err != nil {
		return "", err
	}
	for _, slug := range append(theirs, all...) {
		if byID && orgID(slug) == name || slug == name {
			return slug, nil
		}
	}
	return "", ci.ErrNotFound
}

// theirOrgs returns the slugs of the caller's organisations, as far as the
// installation knows of membership.
func (c *call) theirOrgs() ([]string, error) {
	if c.cfg.Chapters.Orgs == nil {
		return nil, nil
	}
	return c.cfg.Chapters.Orgs(c.r.Context(), c.by)
}

// projectOrgs returns the slugs of the organisations of those projects that may
// lets through, by name.
func (c *call) projectOrgs(may func(ci.Project) error) ([]string, error) {
	var all []ci.Project
	for p, err := range c.read.Projects(c.r.Context()) {
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	var slugs []string
	for _, p := range all {
		switch err := may(p); {
		case err == nil && p.OrgSlug() != "":
			slugs = append(slugs, p.OrgSlug())
		case err != nil && !hidden(err):
			return nil, err
		}
	}
	slices.Sort(slugs)
	return slices.Compact(slugs), nil
}

// collaborations lists, where the installation does not know who belongs to
// what, the organisations whose projects the caller may see.
func (c *call) collaborations() (any, error) {
	slugs, err := c.theirOrgs()
	if c.cfg.Chapters.Orgs == nil {
		slugs, err = c.projectOrgs(func(p ci.Project) error { return c.cfg.May(c.r.Context(), c.by, p, false) })
	}
	if err != nil {
		return nil, err
	}
	out := make([]organization, 0, len(slugs))
	for _, slug := range slugs {
		out = append(out, organizationOf(slug))
	}
	return out, nil
}

func (c *call) getUser() (any, error) {
	id := strings.ToLower(c.r.PathValue("id"))
	self := c.self()
	if id == self.ID {
		return self, nil
	}
	if c.cfg.User == nil {
		return nil, refuse(http.StatusNotFound, "User not found")
	}
	a, err := c.cfg.User(c.r.Context(), id)
	if err != nil {
		return nil, named(err, "User")
	}
	return userOf(a), nil
}

func (c *call) getOrg() (any, error) {
	slug, err := c.org(false)
	if err != nil {
		return nil, err
	}
	return organizationOf(slug), nil
}

// An orgRequest asks for an organisation that no code host knows.
type orgRequest struct {
	Name string `json:"name"`
	VCS  string `json:"vcs_type"`
}

// createOrg says why there is nothing to create, so that clients which can
// create one elsewhere show it.
func (c *call) createOrg() (any, error) {
	if err := c.body(&orgRequest{}); err != nil {
		return nil, err
	}
	return nil, refuse(http.StatusBadRequest, "Organizations of this server are those of its code hosts; create it there.")
}

func (c *call) deleteOrg() (any, error) {
	if _, err := c.org(true); err != nil {
		return nil, err
	}
	return nil, refuse(http.StatusBadRequest, "Organizations of this server are those of its code hosts; delete its projects instead.")
}

// An orgProjectRequest names a repository of an organisation.
type orgProjectRequest struct {
	Name string `json:"name"`
}

// createOrgProject answers those who say the organisation by identity with the
// standalone slug: they take the organisation's name in a slug for that of a
// public code host, and would go there to follow the project.
func (c *call) createOrgProject() (any, error) {
	org, err := c.org(true)
	if err != nil {
		return nil, err
	}
	var req orgProjectRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	if req.Name == "" || strings.ContainsAny(req.Name, "/\\") || badRef(req.Name) {
		return nil, refuse(http.StatusBadRequest, "name must be that of a repository of the organization.")
	}
	p, err := c.follow(org+"/"+req.Name, true)
	if err != nil {
		return nil, err
	}
	out := projectOf(p)
	if isUUID(strings.TrimPrefix(c.r.PathValue("org_slug_or_id"), "circleci/")) {
		out.Slug = "circleci/" + orgID(org) + "/" + string(p.ID)
	}
	return out, nil
}

// standalone returns the identity of the project in a slug that is made of
// identities, as circleci/{organisation}/{project}; "" if it is no such slug.
func standalone(slug string) string {
	rest, ok := strings.CutPrefix(slug, "circleci/")
	_, id, _ := strings.Cut(rest, "/")
	if !ok || !isUUID(id) {
		return ""
	}
	return id
}

// A group is a collection of people on the wire. Who belongs together is known
// to the code host and the directory, so the list is empty and any one of them
// not there.
type group struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

func (c *call) listGroups() (any, error) {
	if _, err := c.org(false); err != nil {
		return nil, err
	}
	return keyed(c, nil, func(g group) string { return g.ID }, func(g group) group { return g })
}

func (c *call) getGroup() (any, error) {
	if _, err := c.org(false); err != nil {
		return nil, err
	}
	return nil, refuse(http.StatusNotFound, "Group not found")
}

// A groupRequest asks for a group.
type groupRequest struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

func (c *call) createGroup() (any, error) {
	if _, err := c.org(true); err != nil {
		return nil, err
	}
	if err := c.body(&groupRequest{}); err != nil {
		return nil, err
	}
	return nil, refuse(http.StatusBadRequest, "Groups are those of the code host and the directory; a restriction names them as they are called there.")
}
