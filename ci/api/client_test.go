package api_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the classic command line (0.1.47860) sends to the REST API, as recorded
// from real runs of: config process --org-slug, project create, project secret
// create, pipeline create, trigger create, pipeline run, context create, store-
// secret, show, remove-secret, delete; policy settings, fetch, logs, decide.
var commandLineRequests = []recorded{
	{"POST", "/compile-config-with-defaults", `{"config_yaml":"version: 2.1\n","options":{"owner_id":"{org}","pipeline_values":{"pipeline.config.file_path":"","pipeline.config.ref":"refs/head/master","pipeline.number":1,"pipeline.git.branch.is_default":true}}}`, "", map[string]any{
		"valid": true, "errors": []any{}, "source-yaml": "version: 2.1\n", "output-yaml": "version: 2\n",
	}},
	{"POST", "/organization/gh/acme/project", `{"name":"till"}`, "till", map[string]any{"slug": "gh/acme/till", "name": "till", "organization_name": "acme"}},
	{"POST", "/project/gh/acme/shop/envvar", `{"name":"FOO","value":"bar12345"}`, "", map[string]any{"name": "FOO", "value": "xxxx2345"}},
	{"GET", "/project/gh/acme/shop/envvar/FOO", "", "", map[string]any{"name": "FOO"}},
	{"POST", "/projects/{shop}/pipeline-definitions", `{"name":"cli","description":"d","config_source":{"provider":"github_app","repo":{"external_id":"4711"},"file_path":".circleci/config.yml"},"checkout_source":{"provider":"github_app","repo":{"external_id":"4711"}}}`, "definition", map[string]any{"name": "cli"}},
	{"GET", "/projects/{shop}/pipeline-definitions/{definition}", "", "", map[string]any{"id": "{definition}"}},
	{"POST", "/projects/{shop}/pipeline-definitions/{definition}/triggers", `{"event_source":{"provider":"github_app","repo":{"external_id":"4711"}},"event_preset":"all-pushes"}`, "trigger", nil},
	{"POST", "/project/circleci/acme/{shop}/pipeline/run", `{"definition_id":"{definition}","config":{"branch":"main"},"checkout":{"branch":"main"},"parameters":{"n":"1"}}`, "pipeline", map[string]any{"state": "pending", "number": 1.0, "created_at?": nil}},
	{"POST", "/context", `{"name":"deploy","owner":{"type":"organization","slug":"github/acme"}}`, "context", map[string]any{"name": "deploy"}},
	{"GET", "/context?owner-id={org}", "", "", map[string]any{"next_page_token": nil}},
	{"PUT", "/context/{context}/environment-variable/TOKEN", `{"value":"s3cret-value\n"}`, "", map[string]any{"variable": "TOKEN", "context_id": "{context}"}},
	{"GET", "/context/{context}/environment-variable", "", "", map[string]any{"next_page_token": nil}},
	{"DELETE", "/context/{context}/environment-variable/TOKEN", "", "", map[string]any{"message": "Environment variable deleted."}},
	{"DELETE", "/context/{context}", "", "", map[string]any{"message": "Context deleted."}},
	{"PATCH", "/owner/{org}/context/config/decision/settings", `{"enabled":true}`, "", map[string]any{"enabled": true}},
	{"GET", "/owner/{org}/context/config/policy-bundle/", "", "", nil},
	{"POST", "/owner/{org}/context/config/decision", `{"input":"version: 2.1\n"}`, "", map[string]any{"status": "PASS"}},
}

func TestARC06_ClassicCommandLine(t *testing.T) {
	n := newTown(t)
	// It sends this first, and finds out by the answer whom it talks to.
	n.say(400, "POST", "/compile-config-with-defaults", "")
	// And asks this for what there is.
	paths := n.get("/openapi.json")["paths"].(map[string]any)
	for _, path := range []string{"/context", "/context/{context-id}/environment-variable/{env-var-name}", "/schedule/{schedule-id}", "/webhook"} {
		require.Contains(t, paths, path)
	}
	n.replay(commandLineRequests)
}

// Every reference in the description leads somewhere, every variable of a path
// is described, and each thing that is sent has a form.
func TestDescription(t *testing.T) {
	n := newTown(t)
	spec := n.get("/openapi.json")
	schemas := spec["components"].(map[string]any)["schemas"].(map[string]any)
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				require.Contains(t, schemas, strings.TrimPrefix(ref, "#/components/schemas/"))
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(spec)
	for path, methods := range spec["paths"].(map[string]any) {
		for method, op := range methods.(map[string]any) {
			named := map[string]bool{}
			for _, p := range asList(op.(map[string]any)["parameters"]) {
				if p := p.(map[string]any); p["in"] == "path" {
					named["{"+p["name"].(string)+"}"] = true
				}
			}
			require.Len(t, named, strings.Count(path, "{"), "%s %s", method, path)
			for name := range named {
				require.Contains(t, path, name)
			}
		}
	}
	for name, schema := range schemas {
		require.NotEmpty(t, schema.(map[string]any)["properties"], name)
	}
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}
