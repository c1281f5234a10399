package api

import (
	"errors"
	"net/http"

	"github.com/rondo-ci/rondo/ci"
)

// policyRoutes are the operations on policies that configurations must pass.
// This server evaluates none, so it takes none: what has no rules passes.
func policyRoutes() []route {
	const at = "/owner/{org_slug_or_id}/context/{policy_context}"
	routes := []route{
		{
			method: "GET", path: at + "/policy-bundle", summary: "The policies of an organisation: none",
			response: map[string]string{}, serve: (*call).getPolicies,
		}, {
			method: "GET", path: at + "/policy-bundle/{policy_name...}", summary: "A policy of an organisation; with no name, all",
			response: map[string]string{}, serve: (*call).getPolicies,
		}, {
			method: "POST", path: at + "/policy-bundle", summary: "Take an empty bundle of policies; refuse any other",
			query: []string{"dry: true to change nothing"}, request: policyBundle{}, response: policyDiff{}, serve: (*call).putPolicies,
		}, {
			method: "GET", path: at + "/decision", summary: "What was decided before: nothing",
			query:    []string{"status", "after", "before", "branch", "project_id", "offset"},
			response: []decision{}, serve: (*call).listDecisions,
		}, {
			method: "POST", path: at + "/decision", summary: "Decide about a configuration: with no policies, all pass",
			most: maxConfig, request: decisionRequest{}, response: decision{}, serve: (*call).decide,
		}, {
			method: "GET", path: at + "/decision/{decision_id}", summary: "A decision",
			response: decision{}, serve: (*call).getDecision,
		}, {
			method: "GET", path: at + "/decision/{decision_id}/policy-bundle", summary: "The policies of a decision",
			response: map[string]string{}, serve: (*call).getDecision,
		}, {
			method: "GET", path: at + "/decision/settings", summary: "Whether pipelines ask for decisions",
			response: policySettings{}, serve: (*call).getPolicySettings,
		}, {
			method: "PATCH", path: at + "/decision/settings", summary: "Say whether pipelines ask for decisions",
			request: policySettings{}, response: policySettings{}, serve: (*call).changePolicySettings,
		},
	}
	for i := range routes {
		routes[i].tag, routes[i].status, routes[i].errorKey = "Policy", http.StatusOK, true
	}
	return routes
}

// policies returns the slug of the organisation of the address. There is one
// context of policies.
func (c *call) policies(write bool) (string, error) {
	org, err := c.org(write)
	if err == nil && c.r.PathValue("policy_context") != "config" {
		err = refuse(http.StatusNotFound, "Policy context not found")
	}
	return org, err
}

func (c *call) getPolicies() (any, error) {
	if _, err := c.policies(false); err != nil {
		return nil, err
	}
	if c.r.PathValue("policy_name") != "" {
		return nil, refuse(http.StatusNotFound, "Policy not found")
	}
	return map[string]string{}, nil
}

// A policyBundle is policies by file name.
type policyBundle struct {
	Policies map[string]string `json:"policies"`
}

// A policyDiff is what a bundle would change.
type policyDiff struct {
	Created  []string `json:"created"`
	Deleted  []string `json:"deleted"`
	Modified []string `json:"modified"`
}

// putPolicies refuses what would never be evaluated: nobody must believe that
// a rule holds which nothing looks at.
func (c *call) putPolicies() (any, error) {
	if _, err := c.policies(true); err != nil {
		return nil, err
	}
	var req policyBundle
	if err := c.body(&req); err != nil {
		return nil, err
	}
	if len(req.Policies) > 0 {
		return nil, refuse(http.StatusUnprocessableEntity, "Policies are not evaluated by this server, so it does not take any.")
	}
	return policyDiff{[]string{}, []string{}, []string{}}, nil
}

// A decision about a configuration.
type decision struct {
	Status string   `json:"status"`
	Rules  []string `json:"enabled_rules"`
	Soft   []string `json:"soft_failures"`
	Hard   []string `json:"hard_failures"`
	Reason string   `json:"reason"`
}

// A decisionRequest is a configuration and what goes with it.
type decisionRequest struct {
	Input    string         `json:"input"`
	Metadata map[string]any `json:"metadata,omitempty"`
}

func (c *call) listDecisions() (any, error) {
	if _, err := c.policies(false); err != nil {
		return nil, err
	}
	return []decision{}, nil
}

func (c *call) decide() (any, error) {
	if _, err := c.policies(false); err != nil {
		return nil, err
	}
	var req decisionRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	if req.Input == "" {
		return nil, missing("input")
	}
	return decision{"PASS", []string{}, []string{}, []string{}, "The organization has no policies."}, nil
}

func (c *call) getDecision() (any, error) {
	if _, err := c.policies(false); err != nil {
		return nil, err
	}
	return nil, refuse(http.StatusNotFound, "Decision not found")
}

// policySettings say whether pipelines ask for decisions. With no policies it
// makes no difference.
type policySettings struct {
	Enabled *bool `json:"enabled"`
}

func (c *call) policySettings(write bool) (kept[policySettings], error) {
	org, err := c.policies(write)
	if err != nil {
		return kept[policySettings]{}, err
	}
	k, err := readDoc[policySettings](c, docPolicy, orgID(org), orgID(org))
	if errors.Is(err, ci.ErrNotFound) {
		return kept[policySettings]{Doc: ci.Doc{Kind: docPolicy, ID: orgID(org), Scope: orgID(org)}, is: policySettings{new(bool)}}, nil
	}
	return k, err
}

func (c *call) getPolicySettings() (any, error) {
	k, err := c.policySettings(false)
	if err != nil {
		return nil, err
	}
	return k.is, nil
}

func (c *call) changePolicySettings() (any, error) {
	k, err := c.policySettings(true)
	if err != nil {
		return nil, err
	}
	var req policySettings
	if err := c.body(&req); err != nil {
		return nil, err
	}
	if req.Enabled != nil {
		k.is = req
		if err := k.write(c); err != nil {
			return nil, err
		}
	}
	return k.is, nil
}
