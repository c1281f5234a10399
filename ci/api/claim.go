package api

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// claimRoutes are the operations on the claims of the tokens by which jobs say
// who they are.
func claimRoutes() []route {
	var routes []route
	for _, at := range []string{"/org/{org_slug_or_id}/oidc-custom-claims", "/org/{org_slug_or_id}/project/{project_id}/oidc-custom-claims"} {
		routes = append(routes, route{
			method: "GET", path: at, summary: "The claims that were chosen for tokens of jobs", tag: "OIDC",
			status: 200, errorKey: true, response: claims{}, serve: (*call).getClaims,
		}, route{
			method: "PATCH", path: at, summary: "Choose claims for tokens of jobs", tag: "OIDC",
			status: 200, errorKey: true, request: claimsRequest{}, response: claims{}, serve: (*call).changeClaims,
		}, route{
			method: "DELETE", path: at, summary: "Go back to the usual claims", tag: "OIDC",
			query:  []string{"claims: which, of audience and ttl, with a comma between them"},
			status: 200, errorKey: true, response: claims{}, serve: (*call).deleteClaims,
		})
	}
	return routes
}

// claims are what people chose for the tokens of an organisation's or a
// project's jobs.
type claims struct {
	Org             string   `json:"org_id"`
	Project         string   `json:"project_id,omitempty"`
	Audience        []string `json:"audience,omitempty"`
	AudienceUpdated *stamp   `json:"audience_updated_at,omitempty"`
	TTL             string   `json:"ttl,omitempty"`
	TTLUpdated      *stamp   `json:"ttl_updated_at,omitempty"`
}

// A keptClaims is what is kept of them, for whoever makes the tokens: document
// "oidc-claims" whose identity and scope are those of the organisation or the
// project.
type keptClaims struct {
	Audience        []string  `json:"audience,omitempty"`
	AudienceUpdated time.Time `json:"audience_updated,omitzero"`
	TTL             string    `json:"ttl,omitempty"`
	TTLUpdated      time.Time `json:"ttl_updated,omitzero"`
}

// claims returns those of the address; Version 0 says that there are none yet.
func (c *call) claims(write bool) (claims, kept[keptClaims], error) {
	var k kept[keptClaims]
	org, err := c.org(write)
	if err != nil {
		return claims{}, k, err
	}
	out := claims{Org: orgID(org)}
	k.Kind, k.ID = docClaims, out.Org
	if name := c.r.PathValue("project_id"); name != "" {
		p, err := c.projectNamed(name, write)
		if err == nil && p.OrgSlug() != org {
			err = refuse(http.StatusNotFound, "Project not found")
		}
		if err != nil {
			return out, k, err
		}
		out.Project, k.ID = string(p.ID), string(p.ID)
	}
	k.Scope = k.ID
	there, err := readDoc[keptClaims](c, docClaims, k.ID, k.ID)
	if errors.Is(err, ci.ErrNotFound) {
		return out, k, nil
	}
	return out, there, err
}

func (out claims) with(k keptClaims) claims {
	if len(k.Audience) > 0 {
		out.Audience, out.AudienceUpdated = k.Audience, new(stampOf(k.AudienceUpdated))
	}
	if k.TTL != "" {
		out.TTL, out.TTLUpdated = k.TTL, new(stampOf(k.TTLUpdated))
	}
	return out
}

func (c *call) getClaims() (any, error) {
	out, k, err := c.claims(false)
	if err != nil {
		return nil, err
	}
	return out.with(k.is), nil
}

// A claimsRequest chooses claims; what is absent stays as it is.
type claimsRequest struct {
	Audience []string `json:"audience,omitempty"`
	TTL      *string  `json:"ttl,omitempty"`
}

// ttl is the form of a life time: numbers with units, the larger first.
var ttl = regexp.MustCompile(`^([0-9]{1,9}(ms|s|m|h|d|w)){1,7}$`)

func (c *call) changeClaims() (any, error) {
	out, k, err := c.claims(true)
	if err != nil {
		return nil, err
	}
	var req claimsRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	now := time.Now()
	if req.Audience != nil {
		blank := func(s string) bool { return strings.TrimSpace(s) == "" || len(s) > 1000 }
		if len(req.Audience) == 0 || len(req.Audience) > 100 || slices.ContainsFunc(req.Audience, blank) {
			return nil, refuse(http.StatusBadRequest, "audience must be 1 to 100 names.")
		}
		k.is.Audience, k.is.AudienceUpdated = req.Audience, now
	}
	if req.TTL != nil {
		if !ttl.MatchString(*req.TTL) {
			return nil, refuse(http.StatusBadRequest, "ttl must be a span of time like 1h30m, of ms, s, m, h, d, w.")
		}
		k.is.TTL, k.is.TTLUpdated = *req.TTL, now
	}
	if err := k.write(c); err != nil {
		return nil, err
	}
	return out.with(k.is), nil
}

func (c *call) deleteClaims() (any, error) {
	out, k, err := c.claims(true)
	if err != nil {
		return nil, err
	}
	for _, name := range strings.Split(c.r.URL.Query().Get("claims"), ",") {
		switch strings.TrimSpace(name) {
		case "audience":
			k.is.Audience, k.is.AudienceUpdated = nil, time.Time{}
		case "ttl":
			k.is.TTL, k.is.TTLUpdated = "", time.Time{}
		default:
			return nil, refuse(http.StatusBadRequest, "claims must name audience, ttl or both, with a comma between them.")
		}
	}
	if k.Version > 0 {
		if err := k.write(c); err != nil {
			return nil, err
		}
	}
	return out.with(k.is), nil
}
