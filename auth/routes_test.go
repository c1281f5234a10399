package auth_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// cast are all who ask: what they are called at the code host, and their role.
// Reader, writer and owner belong to the organisation, the others do not.
var cast = [][2]string{
	{"stranger", ""}, {"suspended", "all"}, {"nobody", ""}, {"reader", ""}, {"writer", ""}, {"owner", ""},
	{"settings-reader", "read-settings"}, {"settings-writer", "write-settings"}, {"auditor", "auditor"}, {"operator", "operator"}, {"administrator", "all"},
}

// classes say who gets through a route of each.
var classes = map[string]string{
	"open":           "stranger suspended nobody reader writer owner settings-reader settings-writer auditor operator administrator",
	"person":         "nobody reader writer owner settings-reader settings-writer auditor operator administrator",
	"member":         "reader writer owner administrator",
	"write":          "writer owner administrator",
	"org-admin":      "owner administrator",
	"read-settings":  "settings-reader settings-writer administrator",
	"write-settings": "settings-writer administrator",
	"auditor":        "auditor administrator",
	"operator":       "operator administrator",
	"administrator":  "administrator",
	"nobody":         "", // refused to everybody, or there is none
}

// A routeCall is a route as the table names it, and how it is called.
type routeCall struct{ name, method, path, kind, body string }

var parameter = regexp.MustCompile(`\{[\w-]+(\.\.\.|\$)?\}`)

// fill puts the IDs of the town into a path.
func (n *town) fill(path string) string {
	if strings.HasPrefix(path, "/orgs/") {
		return "/orgs/gh/acme"
	}
	return parameter.ReplaceAllStringFunc(strings.TrimSuffix(path, "{$}"), func(name string) string {
		name = strings.ReplaceAll(strings.Trim(name, "{}.$"), "_", "-")
		if v, ok := n.ids[name]; ok {
			return v
		}
		return map[string]string{
			"pipeline": n.ids["pipeline-id"], "workflow": n.ids["workflow-id"], "context": n.ids["context-id"], "slug": "gh/acme/shop",
			"username": "acme", "organization": "acme", "provider": "gh", "env-var-name": "KEY", "name": "KEY", "node": "0", "step": "0",
			"pipeline-number": "1", "job-number": "1", "build-num": "1", "policy-context": "config", "section": "variables", "job": n.ids["job-id"],
			"branch": "main", "verb": "cancel", "project": "shop", "epoch": "1", "rest": n.ids["job-id"],
			"placement-id": "9f2b1c40", "decision-id": "11111111-2222-4333-8444-555555555555", "group-id": "11111111-2222-4333-8444-555555555555",
		}[name]
	})
}

// described returns the routes of a description.
func (n *town) described(root string) []routeCall {
	code, text := n.ask("GET", root+"/openapi.json", "", "")
	require.Equal(n.t, 200, code)
	var doc struct {
		Paths map[string]map[string]struct {
			Body any `json:"requestBody"`
		} `json:"paths"`
	}
	require.NoError(n.t, json.Unmarshal([]byte(text), &doc))
	var all []routeCall
	for path, methods := range doc.Paths {
		for method, op := range methods {
			c := routeCall{name: strings.ToUpper(method) + " " + root + path, method: strings.ToUpper(method), kind: "application/json"}
			c.path = root + n.fill(path)
			if op.Body != nil {
				c.body = "{}"
			}
			all = append(all, c)
		}
	}
	return all
}

// written returns the patterns of a mux that stand in a source file.
func (n *town) written(file, root, kind string) []routeCall {
	text, err := os.ReadFile(file)
	require.NoError(n.t, err)
	var all []routeCall
	for _, m := range regexp.MustCompile(`"(GET|POST|DELETE) ("? ?\+ ?root(?: \+ )?"?)?([^"]*)"?: `).FindAllStringSubmatch(string(text), -1) {
		path := root + strings.Trim(m[3], `" `)
		all = append(all, routeCall{m[1] + " " + path, m[1], n.fill(path), kind, ""})
	}
	require.NotEmpty(n.t, all)
	return all
}

func (n *town) routes() []routeCall {
	all := slices.Concat(n.described("/api/v2"), n.described("/api/v1.1"),
		n.written("../ci/api/runner/runner.go", "/api/v3/runner", "application/json"),
		n.written("../ci/web/handler.go", "", "application/x-www-form-urlencoded"),
		[]routeCall{{"POST /graphql-unstable", "POST", "/graphql-unstable", "application/json", `{"query":"{ me { id } }"}`}})
	for i := range all {
		c := &all[i]
		if b, ok := bodies[c.name]; ok {
			c.body = n.expand(b)
		}
		if q, ok := queries[c.name]; ok {
			c.path += n.expand(q)
		}
		if c.method == "POST" && c.body == "" {
			c.body = map[string]string{"application/json": "{}", "application/x-www-form-urlencoded": "do=none"}[c.kind]
		}
	}
	order := []string{"GET", "PUT", "PATCH", "POST", "DELETE"}
	slices.SortFunc(all, func(a, b routeCall) int {
		if one, other := strings.HasPrefix(a.path, "/api/v1.1"), strings.HasPrefix(b.path, "/api/v1.1"); one != other {
			if one {
				return 1
			}
			return -1
		}
		if a.method != b.method {
			return slices.Index(order, a.method) - slices.Index(order, b.method)
		}
		return -strings.Compare(a.name, b.name) // what is within a thing before the thing
	})
	return all
}

func (n *town) expand(text string) string {
	return regexp.MustCompile(`<[\w-]+>`).ReplaceAllStringFunc(text, func(name string) string { return n.ids[strings.Trim(name, "<>")] })
}

// TestSEC_RouteTable (A121) asks every route as everybody. The table in
// testdata says of what class each is; a route that is not in it fails.
func TestSEC_RouteTable(t *testing.T) {
	lines, err := os.ReadFile("testdata/routes.txt")
	require.NoError(t, err)
	table := map[string]string{}
	for line := range strings.Lines(string(lines)) {
		if class, route, ok := strings.Cut(strings.TrimSpace(line), " "); ok && class != "#" {
			table[strings.TrimSpace(route)] = class
		}
	}
	through := map[string][]string{}
	codes := map[string][]string{}
	for _, who := range cast {
		n := newTown(t)
		calls := n.routes()
		n.as(who[0], who[1])
		for i, c := range calls {
			if i > 0 && strings.HasPrefix(c.path, "/api/v1.1") != strings.HasPrefix(calls[i-1].path, "/api/v1.1") {
				n = newTown(t) // what one API has deleted the other one wants to, too
				calls = n.routes()
				n.as(who[0], who[1])
				c = calls[i]
			}
			code, text := n.ask(c.method, c.path, c.kind, c.body)
			require.Less(t, code, 500, "%s as %s: %s", c.name, who[0], text)
			if c.path == "/graphql-unstable" && strings.Contains(text, "log in") {
				code = 401
			}
			if code != 401 && code != 403 && code != 404 {
				through[c.name] = append(through[c.name], who[0])
			} else if through[c.name] == nil {
				through[c.name] = []string{}
			}
			codes[c.name] = append(codes[c.name], who[0]+" "+strconv.Itoa(code))
		}
	}
	for name, got := range through {
		class, ok := table[name]
		if !ok {
			t.Errorf("%s has no class in testdata/routes.txt; got through: %s", name, classOf(got))
			continue
		}
		want, ok := classes[class]
		require.True(t, ok, "there is no class %s", class)
		if strings.Join(got, " ") != want {
			t.Errorf("%s is %s, and got through: %v (%s)", name, class, got, strings.Join(codes[name], ", "))
		}
		delete(table, name)
	}
	require.Empty(t, table, "routes of the table that are no more")
}

// classOf names the class of those who got through, for who writes the table.
func classOf(got []string) string {
	for class, who := range classes {
		if strings.Join(got, " ") == who {
			return class
		}
	}
	return strings.Join(got, " ")
}

// bodies are what routes are sent that look at the body before they ask who may.
var bodies = map[string]string{
	"POST /api/v2/context":                  `{"name":"more","owner":{"id":"<org-slug-or-id>","type":"organization"}}`,
	"POST /api/v2/webhook":                  `{"name":"w","url":"https://x.example","events":["job-completed"],"verify-tls":true,"signing-secret":"sesame-open","scope":{"id":"<project-id>","type":"project"}}`,
	"POST /api/v2/rondo/users/{user-id}":    `{"role":"auditor"}`,
	"POST /api/v2/rondo/nodes/{node}/drain": `{"on":true}`,
	"POST /api/v2/rondo/queue/promote":      `{"count":1}`,
	"POST /api/v2/rondo/queue/cancel":       `{"count":1}`,
	"POST /nodes":                           "do=drain&node=0",
	"POST /api/v2/rondo/users/settings":     `{"suspend_new":false}`,
	"POST /admin/ldap":                      "do=test&login=ada",
	"POST /admin/ldap/users":                "do=link&id=<user-id>&login=other",

	"POST /api/v2/rondo/users/{user-id}/identities": `{"directory":"ldap","login":"someone"}`,
	"POST /api/v2/rondo/users/password-reset":       `{"login":"spare"}`,
	"POST /api/v3/runner/resource":                  `{"resource_class":"acme/linux"}`,
	"POST /api/v3/runner/token":                     `{"resource_class":"acme/linux","nickname":"n"}`,
	"POST /projects":                                "slug=gh/acme/shop",
	"POST /admin/users":                             "do=logout&id=<user-id>",
	"POST /orgs/{slug...}":                          "name=third",
	"POST /contexts/{context}":                      "do=set&name=MORE&value=12345678",
	"POST /settings/{section}/{slug...}":            "do=set&name=MORE&value=12345678",
}

// queries likewise.
var queries = map[string]string{
	"GET /api/v2/rondo/queue/explain":                    "?of=1",
	"GET /api/v2/rondo/placements/{placement-id}/output": "?stderr=true",
	"GET /api/v2/context":                                "?owner-id=<org-slug-or-id>",
	"GET /api/v2/webhook":                                "?scope-type=project&scope-id=<project-id>",
	"GET /api/v2/rondo/log":                              "?task=<job-id>.0&step=0",
	"GET /api/v2/rondo/users/migration":                  "?directory=ldap&by=email",
	"DELETE /api/v2/rondo/users/{user-id}/identities":    "?directory=ldap",
	"GET /api/v2/rondo/users/matches":                    "?directory=ldap",
	"DELETE /api/v2/rondo/users":                         "?login=someone&forge=github",
}
