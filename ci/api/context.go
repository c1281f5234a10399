package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// contextRoutes are the operations on contexts and who may use them.
func contextRoutes() []route {
	const at = "/context/{context_id}"
	return []route{
		{
			method: "GET", path: "/context", summary: "The contexts of an organisation", tag: "Context",
			query: []string{
				"owner-id: identity of the organisation", "owner-slug: its slug, if not its identity",
				"owner-type: organization or account", "name: only the one of that name", pageToken,
			},
			status: 200, response: page[vault]{}, serve: (*call).listContexts,
		}, {
			method: "POST", path: "/context", summary: "Create a context", tag: "Context",
			status: 200, request: contextRequest{}, response: vault{}, serve: (*call).createContext,
		}, {
			method: "GET", path: at, summary: "A context, with its variables and restrictions", tag: "Context",
			status: 200, response: vaultDetails{}, serve: (*call).getContext,
		}, {
			method: "DELETE", path: at, summary: "Delete a context with all that is in it", tag: "Context",
			status: 200, response: message{}, serve: (*call).deleteContext,
		}, {
			method: "GET", path: at + "/restrictions", summary: "Who may use a context", tag: "Context",
			query: []string{pageToken}, status: 200, response: page[restriction]{}, serve: (*call).listRestrictions,
		}, {
			method: "POST", path: at + "/restrictions", summary: "Restrict who may use a context", tag: "Context",
			status: 201, request: restrictionRequest{}, response: restriction{}, serve: (*call).createRestriction,
		}, {
			method: "DELETE", path: at + "/restrictions/{restriction_id}", summary: "Take a restriction back", tag: "Context",
			status: 200, response: message{}, serve: (*call).deleteRestriction,
		},
	}
}

// A vault is a [ci.Context] on the wire.
type vault struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Created stamp  `json:"created_at"`
}

func vaultOf(x ci.Context) vault { return vault{string(x.ID), x.Name, stampOf(x.Created)} }

// context returns the context of the address, if the caller may see (or
// change) it.
func (c *call) context(write bool) (ci.Context, error) {
	if c.cfg.Chapters.Contexts == nil {
		return ci.Context{}, absent("contexts")
	}
	id := ci.ContextID(strings.ToLower(c.r.PathValue("context_id")))
	x, err := c.cfg.Chapters.Contexts.Context(c.r.Context(), id)
	if err == nil {
		err = c.mayOrg(x.Org, write)
	}
	return x, named(err, "Context")
}

func (c *call) listContexts() (any, error) {
	if c.cfg.Chapters.Contexts == nil {
		return nil, absent("contexts")
	}
	q := c.r.URL.Query()
	org, err := c.owner(contextOwner{ID: q.Get("owner-id"), Slug: q.Get("owner-slug"), Type: q.Get("owner-type")}, false)
	if err != nil {
		return nil, err
	}
	all, err := c.cfg.Chapters.Contexts.Contexts(c.r.Context(), org)
	if err != nil {
		return nil, err
	}
	if name := q.Get("name"); name != "" {
		var only []ci.Context
		for _, x := range all {
			if x.Name == name {
				only = append(only, x)
			}
		}
		all = only
	}
	return keyed(c, all, func(x ci.Context) string { return x.Name }, vaultOf)
}

// A contextRequest asks for a context.
type contextRequest struct {
	Name  string       `json:"name"`
	Owner contextOwner `json:"owner"`
}

// A contextOwner is the organisation that a context is to belong to.
type contextOwner struct {
	ID   string `json:"id,omitempty"`
	Slug string `json:"slug,omitempty"`
	Type string `json:"type,omitempty"`
}

// owner returns the slug of the organisation. An account is an organisation by
// its name in the days of CircleCI Server.
func (c *call) owner(o contextOwner, write bool) (string, error) {
	switch {
	case o.Type != "" && o.Type != "organization" && o.Type != "account":
		return "", refuse(http.StatusBadRequest, "The type of an owner is organization or account.")
	case o.ID != "":
		return c.orgNamed(o.ID, write)
	case o.Slug != "":
		return c.orgNamed(strings.TrimSuffix(o.Slug, "/"), write)
	}
	return "", refuse(http.StatusBadRequest, "The owner is required: give the id or the slug of an organization.")
}

func (c *call) createContext() (any, error) {
	if c.cfg.Chapters.Contexts == nil {
		return nil, absent("contexts")
	}
	var req contextRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	if req.Name == "" {
		return nil, missing("name")
	}
	org, err := c.owner(req.Owner, true)
	if err != nil {
		return nil, err
	}
	x, err := c.cfg.Chapters.Contexts.CreateContext(c.r.Context(), org, req.Name, c.by)
	if err != nil {
		return nil, err
	}
	return vaultOf(x), nil
}

// A vaultDetails is a context with all that is in it, as newer clients ask for.
type vaultDetails struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Created      stamp             `json:"created_at"`
	Org          string            `json:"org_id"`
	Variables    []contextVariable `json:"environment_variables"`
	Restrictions []restriction     `json:"restrictions"`
}

func (c *call) getContext() (any, error) {
	x, err := c.context(false)
	if err != nil {
		return nil, err
	}
	out := vaultDetails{
		ID: string(x.ID), Name: x.Name, Created: stampOf(x.Created), Org: orgID(x.Org), Variables: []contextVariable{}, Restrictions: []restriction{},
	}
	rules, err := c.cfg.Chapters.Contexts.Restrictions(c.r.Context(), x.ID)
	if err != nil {
		return nil, named(err, "Context")
	}
	for _, r := range rules {
		out.Restrictions = append(out.Restrictions, c.restrictionOf(r))
	}
	if c.cfg.Chapters.Variables == nil {
		return out, nil
	}
	variables, err := c.cfg.Chapters.Variables.Variables(c.r.Context(), ci.Holder{Context: x.ID})
	for _, v := range variables {
		out.Variables = append(out.Variables, contextVariableOf(x.ID)(v))
	}
	return out, named(err, "Context")
}

func (c *call) deleteContext() (any, error) {
	x, err := c.context(true)
	if err != nil {
		return nil, err
	}
	if err := c.cfg.Chapters.Contexts.DeleteContext(c.r.Context(), x.ID, c.by); err != nil {
		return nil, named(err, "Context")
	}
	return message{"Context deleted."}, nil
}

// A restriction is a [ci.Restriction] on the wire.
type restriction struct {
	ID      string  `json:"id"`
	Context string  `json:"context_id"`
	Project *string `json:"project_id"`
	Name    string  `json:"name"`
	Type    string  `json:"restriction_type"`
	Value   string  `json:"restriction_value"`
}

// restrictionOf names what the restriction looks at, as far as the caller may
// know it.
func (c *call) restrictionOf(r ci.Restriction) restriction {
	out := restriction{ID: r.ID, Context: string(r.Context), Name: r.Name, Type: string(r.Kind), Value: r.Value}
	if r.Kind == ci.RestrictProject {
		out.Project = &r.Value
		if p, err := c.may(c.r.Context(), ci.ProjectID(r.Value), false); err == nil && out.Name == "" {
			out.Name = p.Slug
		}
	}
	if out.Name == "" {
		out.Name = r.Value
	}
	return out
}

func (c *call) listRestrictions() (any, error) {
	x, err := c.context(false)
	if err != nil {
		return nil, err
	}
	all, err := c.cfg.Chapters.Contexts.Restrictions(c.r.Context(), x.ID)
	if err != nil {
		return nil, err
	}
	return keyed(c, all, func(r ci.Restriction) string { return r.ID }, c.restrictionOf)
}

// A restrictionRequest asks for a restriction; old clients name a project only.
type restrictionRequest struct {
	Type    string `json:"restriction_type,omitempty"`
	Value   string `json:"restriction_value,omitempty"`
	Project string `json:"project_id,omitempty"`
}

func (c *call) createRestriction() (any, error) {
	x, err := c.context(true)
	if err != nil {
		return nil, err
	}
	var req restrictionRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	if req.Type == "" && req.Value == "" && req.Project != "" {
		req.Type, req.Value = string(ci.RestrictProject), req.Project
	}
	kind := ci.RestrictionKind(req.Type)
	switch kind {
	case ci.RestrictExpression, ci.RestrictGroup:
		if strings.TrimSpace(req.Value) == "" {
			return nil, missing("restriction_value")
		}
	case ci.RestrictProject:
		p, err := c.may(c.r.Context(), ci.ProjectID(strings.ToLower(req.Value)), false)
		if errors.Is(err, ci.ErrNotFound) || err == nil && p.OrgSlug() != x.Org {
			return nil, refuse(http.StatusBadRequest, "restriction_value must be the id of a project of the context's organization.")
		}
		if err != nil {
			return nil, err
		}
		req.Value = string(p.ID)
	default:
		return nil, refuse(http.StatusBadRequest, "restriction_type must be project, expression or group.")
	}
	r, err := c.cfg.Chapters.Contexts.Restrict(c.r.Context(), x.ID, kind, req.Value, c.by)
	if err != nil {
		return nil, named(err, "Context")
	}
	return c.restrictionOf(r), nil
}

func (c *call) deleteRestriction() (any, error) {
	x, err := c.context(true)
	if err != nil {
		return nil, err
	}
	id := c.r.PathValue("restriction_id")
	if err := c.cfg.Chapters.Contexts.Unrestrict(c.r.Context(), x.ID, id, c.by); err != nil {
		return nil, named(err, "Restriction")
	}
	return message{"Context restriction deleted."}, nil
}
