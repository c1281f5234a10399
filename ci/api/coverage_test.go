package api_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
)

// An operation is one of the description.
type operation struct {
	method, path string
	body         bool // it takes one
}

// operations returns those that the API describes, those that destroy last.
func (w *world) operations() []operation {
	w.t.Helper()
	var all []operation
	for path, methods := range w.get("/openapi.json")["paths"].(map[string]any) {
		for method, op := range methods.(map[string]any) {
			all = append(all, operation{strings.ToUpper(method), path, op.(map[string]any)["requestBody"] != nil})
		}
	}
	order := []string{"GET", "PUT", "PATCH", "POST", "DELETE"}
	slices.SortFunc(all, func(a, b operation) int {
		if a.method != b.method {
			return slices.Index(order, a.method) - slices.Index(order, b.method)
		}
		return -strings.Compare(a.path, b.path) // what is within a thing before the thing
	})
	return all
}

// address fills in a path.
func (at ids) address(path string, p ci.Pipeline, f ci.Workflow) string {
	name := regexp.MustCompile(`\{[\w-]+\}`)
	return "/api/v2" + name.ReplaceAllStringFunc(path, func(name string) string {
		switch strings.Trim(name, "{}") {
		case "project-slug":
			return "gh%2Facme%2Fshop"
		case "provider":
			return "gh"
		case "organization":
			return "acme"
		case "project":
			return "shop"
		case "org-slug-or-id":
			return at.org
		case "name", "env-var-name":
			if strings.Contains(path, "/envvar/") {
				return "KEY"
			}
			return "TOKEN"
		case "context-id":
			return at.context
		case "restriction-id":
			return at.restriction
		case "schedule-id":
			return at.schedule
		case "webhook-id":
			return at.webhook
		case "fingerprint":
			return at.fingerprint
		case "project-id":
			return at.project
		case "pipeline-definition-id":
			return at.definition
		case "trigger-id":
			return at.trigger
		case "allow-list-entry-id":
			return at.prefix
		case "usage-export-job-id":
			return at.export
		case "policy-context":
			return "config"
		case "policy-name":
			return ""
		case "id":
			return ada.ID
		case "pipeline-id":
			return string(p.ID)
		case "pipeline-number", "job-number":
			return "1"
		case "workflow-id":
			return string(f.ID)
		case "job-id":
			return string(f.Jobs[0].ID)
		case "approval-request-id":
			return string(f.Jobs[1].ID)
		case "node":
			if strings.HasPrefix(path, "/rondo/nodes/") {
				return "none"
			}
			return "0"
		case "placement-id":
			return "9f2b1c40"
		}
		return "none"
	})
}

// TestARC06_ChapterCoverage walks the table in a town that has one of each:
// with the right and a good body each route does what it says, without a token
// it does nothing.
func TestARC06_ChapterCoverage(t *testing.T) {
	n := newTown(t)
	at := n.populate()
	p := n.trigger(ci.Trigger{})
	f := n.workflow(p)
	bodies := map[string]string{
		"POST /context": `{"name":"more","owner":{"slug":"gh/acme"}}`,
		"POST /context/{context-id}/restrictions":                       `{"restriction_type":"group","restriction_value":"ops"}`,
		"PUT /context/{context-id}/environment-variable/{env-var-name}": `{"value":""}`,
		"POST /rondo/users/{user-id}":                                   `{"role":"all"}`,
		"POST /rondo/users/migration":                                   `{"directory":"ldap","by":"email"}`,
		"POST /rondo/nodes/{node}/drain":                                `{"on":true}`,
		"POST /rondo/queue/promote":                                     `{"count":1}`,
		"POST /rondo/queue/cancel":                                      `{"count":1}`,
		"POST /rondo/users/settings":                                    `{"suspend_new":true}`,
		"POST /project/{project-slug}/envvar":                           `{"name":"MORE","value":""}`,
		"POST /project/{project-slug}/checkout-key":                     `{"type":"user-key"}`,
		"POST /project/{project-slug}/schedule":                         nightly,
		"POST /webhook":                                                 `{"name":"w","url":"http://x","events":["workflow-completed"],"scope":{"id":"` + at.project + `","type":"project"}}`,
		"POST /projects/{project-id}/pipeline-definitions":              `{"name":"third"}`,
		"POST /projects/{project-id}/pipeline-definitions/{pipeline-definition-id}/triggers": `{"event_source":{"provider":"schedule","schedule":{"cron_expression":"0 3 * * *","attribution_actor":"system"}},"event_name":"n","checkout_ref":"main"}`,
		"POST /organization/{org-slug-or-id}/project":                                        `{"name":"till"}`,
		"POST /organization/{org-slug-or-id}/url-orb-allow-list":                             `{"name":"more","prefix":"https://orbs.example/more/"}`,
		"POST /compile-config-with-defaults":                                                 `{"config_yaml":"version: 2.1"}`,
		"POST /pipeline/continue":                                                            `{"continuation-key":"the-key","configuration":"version: 2.1"}`,
		"POST /owner/{org-slug-or-id}/context/{policy-context}/decision":                     `{"input":"version: 2.1"}`,
		"POST /organizations/{org-slug-or-id}/usage_export_job":                              `{"start":"2026-11-01","end":"2026-11-02"}`,
		"PATCH /org/{org-slug-or-id}/oidc-custom-claims":                                     `{"audience":["aws"],"ttl":"1h30m"}`,
	}
	// What is not there, or refused, in this town; each says so itself.
	other := map[string]int{
		"POST /organization": 400, "GET /organizations/{org-slug-or-id}/groups/{group-id}": 404,
		"DELETE /organization/{org-slug-or-id}": 400, "POST /organizations/{org-slug-or-id}/groups": 400,
		"DELETE /organizations/{org-slug-or-id}/groups/{group-id}":                                  404,
		"GET /owner/{org-slug-or-id}/context/{policy-context}/decision/{decision-id}":               404,
		"GET /owner/{org-slug-or-id}/context/{policy-context}/decision/{decision-id}/policy-bundle": 404,
		"GET /rondo/job/{job-id}/artifacts/{node}/{path}":                                           404,
		"POST /workflow/{workflow-id}/approve/{approval-request-id}":                                409, // it does not wait yet
		"POST /workflow/{workflow-id}/rerun":                                                        409, // nor has it ended
		"GET /rondo/log":                                                                            404, // nothing runs
		"GET /rondo/usage/{org-id}/{usage-export-job-id}":                                           403, // no signature
	}
	query := map[string]string{
		"GET /context": "?owner-id=" + at.org, "GET /webhook": "?scope-type=project&scope-id=" + at.project,
		"GET /rondo/users/migration": "?directory=ldap&by=email",
		"GET /rondo/queue/explain":   "?of=1", "GET /rondo/placements/{placement-id}/output": "?stderr=true",
		"DELETE /rondo/users": "?login=ada&forge=github",
		"GET /rondo/log":      "?task=" + string(f.Jobs[0].ID) + ".0&step=0",
		"DELETE /org/{org-slug-or-id}/oidc-custom-claims":                      "?claims=audience,ttl",
		"DELETE /org/{org-slug-or-id}/project/{project-id}/oidc-custom-claims": "?claims=ttl",
	}
	count := 0
	for _, op := range n.operations() {
		count++
		name := op.method + " " + op.path
		address := at.address(op.path, p, f) + query[name]
		if op.path != "/openapi.json" && op.path != "/pipeline/continue" && !strings.HasPrefix(op.path, "/rondo/usage/") {
			r := n.call(op.method, address, bodies[name], func(r *http.Request) { r.Header.Del("Circle-Token") })
			require.Equal(t, 401, r.StatusCode, name)
			require.Equal(t, "You must log in first.", n.decode(r)["message"])
		}
		if op.path == "/rondo/events" { // never ends
			continue
		}
		r := n.call(op.method, address, bodies[name])
		if want := other[name]; want != 0 {
			require.Equal(t, want, r.StatusCode, "%s: %s", name, r.body)
		} else {
			require.Less(t, r.StatusCode, 300, "%s %s: %s", name, address, r.body)
		}
	}
	require.Greater(t, count, 80)
	require.NotContains(t, n.rooms.by, ci.Actor{}, "whoever asks is passed on")
	for _, by := range n.rooms.by {
		require.Equal(t, ada, by)
	}
}

// TestARC06_HostileBodies: whatever takes a body refuses what is no body.
func TestARC06_HostileBodies(t *testing.T) {
	n := newTown(t)
	at := n.populate()
	p := n.trigger(ci.Trigger{})
	f := n.workflow(p)
	hostile := []struct {
		name, body, kind string
		statuses         []int
	}{
		{"large", `{"name":"` + strings.Repeat("x", 10<<20) + `"}`, "application/json", []int{413}},
		{"deep", strings.Repeat(`{"parameters":`, 50_000), "application/json", []int{400}},
		{"deep array", strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000), "application/json", []int{400}},
		{"bad UTF-8", "{\"name\":\"\xff\xfe\"}", "application/json", []int{400}},
		{"form", `name=x`, "application/x-www-form-urlencoded", []int{415}},
		{"YAML", "name: x", "application/yaml", []int{415}},
		{"multipart", "--x--", "multipart/form-data; boundary=x", []int{415}},
		{"two values", `{}{}`, "application/json", []int{400}},
		{"array", `[{}]`, "application/json", []int{400}},
		{"text", `"x"`, "application/json", []int{400}},
		{"NaN", `{"name":NaN}`, "application/json", []int{400}},
		{"wrong types", `{"name":[],"value":{},"config_yaml":1,"continuation-key":[],"branch":1,"type":[],"restriction_type":1,"timetable":7,"events":1,"audience":7,"enabled":"x","policies":[],"input":[],"advanced":[],"jobs":1,"definition_id":1,"event_source":1,"role":1,"suspend_new":7,"directory":1,"login":1,"on":1,"count":"x"}`, "application/json", []int{400}},
	}
	count := 0
	for _, op := range n.operations() {
		if !op.body {
			continue
		}
		count++
		address := at.address(op.path, p, f)
		for _, h := range hostile {
			r := n.call(op.method, address, h.body, func(r *http.Request) { r.Header.Set("Content-Type", h.kind) })
			require.Contains(t, h.statuses, r.StatusCode, "%s %s: %s: %s", op.method, op.path, h.name, r.body)
			require.NotEmpty(t, n.decode(r)["message"])
		}
	}
	require.Greater(t, count, 20)
	require.Len(t, n.rooms.contexts, 1, "nothing came of it")
	require.Len(t, items(n.get("/pipeline")), 1)
}

// FuzzChapters sends anything to the routes of the chapters: none may fail by
// its own fault.
func FuzzChapters(f *testing.F) {
	n := newTown(f)
	at := n.populate()
	p := n.trigger(ci.Trigger{})
	for _, op := range n.operations() {
		if op.method == "DELETE" || op.path == "/rondo/events" {
			continue
		}
		for _, body := range []string{nightly, `{"name":"a","value":"b","owner":{"slug":"gh/acme"},"advanced":{"oss":true}}`, `{"event_source":{"provider":"schedule"}}`} {
			f.Add(op.method, at.address(op.path, p, n.workflow(p)), "page-token=ImEi&owner-slug=gh/acme&digest=sha256", body)
		}
	}
	h := api.New(n.server, n.world.db, n.logs, n.files, n.cfg)
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		if !slices.Contains([]string{"GET", "POST", "PUT", "PATCH"}, method) {
			method = "DELETE"
		}
		if strings.Contains(strings.ToLower(path), "rondo") { // streams may not end
			return
		}
		r := httptest.NewRequestWithContext(t.Context(), method, "/", strings.NewReader(body))
		r.URL.RawPath, r.URL.Path, r.URL.RawQuery = path, path, query
		if plain, err := url.PathUnescape(path); err == nil {
			r.URL.Path = plain
		}
		r.Header.Set("Circle-Token", token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Less(t, w.Code, 500, "%s %s: %s", method, path, w.Body)
	})
}
