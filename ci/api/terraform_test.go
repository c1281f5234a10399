package api_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// A recorded request is one that a real client sent; {x} in it is an identity
// from an answer before. Want are the fields of the answer that the client must
// find as they are here. A field ending in ? is read as a time.
type recorded struct {
	method, path, body string
	keep               string // under which name the answer's id is kept
	want               map[string]any
}

// What the official Terraform provider sends for a plan of resources of each
// kind, as recorded from a real apply, plan, change and destroy. If its state
// does not find the fields of want, the next plan is not clean.
var terraformRequests = []recorded{
	{"GET", "/organization/{org}", "", "", map[string]any{"id": "{org}", "name": "acme", "slug": "gh/acme", "vcs_type": "github"}},
	{"GET", "/project/gh/acme/shop", "", "", map[string]any{"id": "{shop}", "organization_id": "{org}"}},
	{"POST", "/context", `{"name":"deploy","owner":{"id":"{org}","type":"organization"}}`, "context", map[string]any{"name": "deploy", "created_at?": nil}},
	{"POST", "/webhook", `{"name":"hook","url":"https://hooks.example.com/x","verify-tls":true,"signing-secret":"sesame-open","scope":{"id":"{shop}","type":"project"},"events":["workflow-completed","job-completed"]}`, "webhook", map[string]any{"created_at?": nil, "updated_at?": nil}},
	{"POST", "/projects/{shop}/pipeline-definitions", `{"name":"app","description":"the app","config_source":{"provider":"github_app","repo":{"external_id":"4711"},"file_path":".circleci/config.yml"},"checkout_source":{"provider":"github_app","repo":{"external_id":"4711"}}}`, "definition", map[string]any{
		"name": "app", "description": "the app", "created_at?": nil,
		"config_source":   map[string]any{"provider": "github_app", "repo": map[string]any{"external_id": "4711", "full_name": "acme/shop"}, "file_path": ".circleci/config.yml"},
		"checkout_source": map[string]any{"provider": "github_app", "repo": map[string]any{"external_id": "4711", "full_name": "acme/shop"}},
	}},
	{"POST", "/organization/{org}/project", `{"name":"till"}`, "till", map[string]any{"name": "till", "organization_id": "{org}", "slug": "circleci/{org}/{till}"}},
	{"PATCH", "/project/circleci/{org}/{till}/settings", `{"advanced":{"autocancel_builds":true,"build_fork_prs":false,"disable_ssh":false,"forks_receive_secret_env_vars":false,"set_github_status":false,"setup_workflows":false,"write_settings_requires_admin":false,"pr_only_branch_overrides":["main","release"]}}`, "", map[string]any{"advanced": tillSettings}},
	{"POST", "/context/{context}/restrictions", `{"restriction_type":"project","restriction_value":"{shop}"}`, "restriction", map[string]any{"project_id": "{shop}", "name": "gh/acme/shop"}},
	{"PUT", "/context/{context}/environment-variable/TOKEN", `{"value":"abcdefgh"}`, "", map[string]any{"created_at?": nil, "updated_at?": nil}},
	{"POST", "/project/circleci/{org}/{till}/envvar", `{"name":"KEY","value":"12345678"}`, "", map[string]any{"created-at?": nil}},
	{"POST", "/projects/{shop}/pipeline-definitions/{definition}/triggers", `{"event_source":{"provider":"github_app","repo":{"external_id":"4711"}},"event_preset":"all-pushes","disabled":false}`, "push", map[string]any{"disabled": false}},
	{"POST", "/projects/{shop}/pipeline-definitions/{definition}/triggers", `{"checkout_ref":"main","config_ref":"main","event_source":{"provider":"schedule","schedule":{"cron_expression":"0 3 * * *","attribution_actor":"system"}},"event_name":"night","disabled":false,"parameters":{"deep":true,"n":3}}`, "night", map[string]any{"disabled": false}},

	// The plan after it.
	{"GET", "/context/{context}", "", "", map[string]any{"id": "{context}", "name": "deploy", "created_at?": nil}},
	{"GET", "/webhook/{webhook}", "", "", map[string]any{
		"id": "{webhook}", "name": "hook", "url": "https://hooks.example.com/x", "verify-tls": true, "events": []any{"workflow-completed", "job-completed"},
		"scope": map[string]any{"id": "{shop}", "type": "project"}, "created_at?": nil, "updated_at?": nil,
	}},
	{"GET", "/projects/{shop}/pipeline-definitions/{definition}", "", "", map[string]any{"id": "{definition}", "name": "app", "description": "the app"}},
	{"GET", "/project/circleci/{org}/{till}", "", "", map[string]any{"id": "{till}", "name": "till", "slug": "circleci/{org}/{till}"}},
	{"GET", "/project/circleci/{org}/{till}/settings", "", "", map[string]any{"advanced": tillSettings}},
	{"GET", "/project/circleci/{org}/{till}/envvar/KEY", "", "", map[string]any{"name": "KEY", "created-at?": nil}},
	{"GET", "/projects/{shop}/triggers/{push}", "", "", map[string]any{
		"id": "{push}", "created_at?": nil, "event_preset": "all-pushes", "disabled": false, "event_name": nil, "checkout_ref": nil, "config_ref": nil, "parameters": nil,
		"event_source": map[string]any{"provider": "github_app", "repo": map[string]any{"external_id": "4711", "full_name": "acme/shop"}},
	}},
	{"GET", "/projects/{shop}/triggers/{night}", "", "", map[string]any{
		"id": "{night}", "created_at?": nil, "event_name": "night", "checkout_ref": "main", "config_ref": "main", "disabled": false, "event_preset": nil,
		"parameters": map[string]any{"deep": true, "n": 3.0},
	}},

	// Changes.
	{"PUT", "/webhook/{webhook}", `{"name":"hook","url":"https://hooks.example.com/x","verify-tls":true,"signing-secret":"sesame-shut","scope":{},"events":["workflow-completed","job-completed"]}`, "", map[string]any{"updated_at?": nil}},
	{"PATCH", "/projects/{shop}/pipeline-definitions/{definition}", `{"name":"app","description":"the new app","config_source":{"file_path":".circleci/config.yml"},"checkout_source":{"provider":"github_app","repo":{"external_id":"4711"}}}`, "", map[string]any{"description": "the new app"}},
	{"PATCH", "/projects/{shop}/triggers/{night}", `{"checkout_ref":"main","config_ref":"main","event_source":{"provider":"schedule","schedule":{"cron_expression":"0 4 * * *","attribution_actor":"system"}},"event_name":"night","disabled":false,"parameters":{"deep":true,"n":3}}`, "", map[string]any{"disabled": false}},

	// The end.
	{"DELETE", "/context/{context}/environment-variable/TOKEN", "", "", nil},
	{"DELETE", "/context/{context}/restrictions/{restriction}", "", "", nil},
	{"DELETE", "/project/circleci/{org}/{till}/envvar/KEY", "", "", nil},
	{"DELETE", "/projects/{shop}/triggers/{push}", "", "", nil},
	{"DELETE", "/projects/{shop}/triggers/{night}", "", "", nil},
	{"DELETE", "/webhook/{webhook}", "", "", nil},
	{"DELETE", "/project/circleci/{org}/{till}", "", "", nil},
	{"DELETE", "/projects/{shop}/pipeline-definitions/{definition}", "", "", nil},
	{"DELETE", "/context/{context}", "", "", nil},
}

var tillSettings = map[string]any{
	"autocancel_builds": true, "build_fork_prs": false, "build_prs_only": false, "disable_ssh": false, "forks_receive_secret_env_vars": false, "oss": false,
	"set_github_status": false, "setup_workflows": false, "write_settings_requires_admin": false, "pr_only_branch_overrides": []any{"main", "release"},
}

func TestARC06_TerraformProvider(t *testing.T) {
	n := newTown(t)
	n.replay(terraformRequests)
	require.Empty(t, n.rooms.contexts)
	require.Empty(t, n.rooms.schedules)
	require.Empty(t, n.rooms.webhooks)
	require.Equal(t, []bool{true, true, false, false}, n.followed, "till, then shop; shop no more, nor till")
	for d, err := range n.world.db.Docs(t.Context(), ci.DocQuery{Kind: "pipeline-trigger", AllScopes: true}) {
		require.NoError(t, err)
		require.Fail(t, "a trigger is left over", d.ID)
	}
}

// replay sends recorded requests. {shop} is the project and {org} its
// organisation.
func (n *town) replay(requests []recorded) {
	t := n.world.t
	t.Helper()
	p := n.world.now
	p.RepoID = "4711"
	require.NoError(t, n.world.db.PutProject(context.Background(), p))
	known := []string{"{shop}", string(p.ID), "{org}", n.get("/organization/gh/acme")["id"].(string)}
	for _, r := range requests {
		fill := strings.NewReplacer(known...)
		res := n.call(r.method, "/api/v2"+fill.Replace(r.path), fill.Replace(r.body))
		require.Less(t, res.StatusCode, 300, "%s %s: %s", r.method, r.path, res.body)
		got := n.decode(res)
		if r.keep != "" {
			known = append(known, "{"+r.keep+"}", got["id"].(string))
			fill = strings.NewReplacer(known...)
		}
		for field, want := range r.want {
			at := r.method + " " + r.path + ": " + field
			if name, isTime := strings.CutSuffix(field, "?"); isTime {
				_, err := time.Parse(time.RFC3339, got[name].(string))
				require.NoError(t, err, at)
				continue
			}
			require.Equal(t, filled(fill, want), got[field], at)
		}
	}
}

// filled puts identities into what is wanted.
func filled(fill *strings.Replacer, want any) any {
	switch v := want.(type) {
	case string:
		return fill.Replace(v)
	case map[string]any:
		out := map[string]any{}
		for name, v := range v {
			out[name] = filled(fill, v)
		}
		return out
	}
	return want
}
