package graphql_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

const (
	createNamespace = `mutation($n: String!, $o: UUID!) { do: createNamespace(name: $n, organizationId: $o) { namespace { id } errors { message type } } }`
	createOrb       = `mutation($ns: UUID!, $n: String!) { do: createOrb(registryNamespaceId: $ns, name: $n, isPrivate: true) { orb { id } errors { message type } } }`
	publishOrb      = `mutation($n: String!, $v: String!, $y: String!) { do: publishOrb(namespaceName: "acme", orbName: $n, version: $v, orbYaml: $y) { orb { version } errors { message type } } }`
	unlist          = `mutation($o: UUID!) { do: setOrbListStatus(orbId: $o, list: false) { listed errors { message type } } }`
	rename          = `mutation($ns: UUID!) { do: renameNamespace(namespaceId: $ns, newName: "other") { namespace { name } errors { message type } } }`
	drop            = `mutation($ns: UUID!) { do: deleteNamespaceAndRelatedOrbs(namespaceId: $ns) { deleted errors { message type } } }`
	categorize      = `mutation($o: UUID!, $c: UUID!) { do: addCategorizationToOrb(orbId: $o, categoryId: $c) { orbId errors { message type } } }`
	source          = `query($r: String!) { orbVersion(orbVersionRef: $r) { source } }`
	good            = "commands: {hi: {steps: [run: echo hi]}}"
)

// refused runs a mutation that has to be refused and returns its problem.
func (w *world) refused(who, document string, variables map[string]any) (text, typ string) {
	w.t.Helper()
	v := w.ok(who, document, variables, "do", "errors", 0)
	return dig(w.t, v, "message").(string), dig(w.t, v, "type").(string)
}

// TestA037_Rights: only who may write for the organisation changes its namespace,
// and nobody else learns of its private orbs.
func TestA037_Rights(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	n, err := w.registry.CreateNamespace(ctx, "acme", "gh/acme")
	require.NoError(t, err)
	secret, err := w.registry.CreateOrb(ctx, n.ID, "secret", true)
	require.NoError(t, err)
	public, err := w.registry.CreateOrb(ctx, n.ID, "public", false)
	require.NoError(t, err)
	_, err = w.registry.PublishOrb(ctx, secret.ID, "1.0.0", []byte(good))
	require.NoError(t, err)
	testing := w.ok("ada", `{ orbCategoryByName(name: "Testing") { id } }`, nil, "orbCategoryByName", "id")
	changes := map[string]map[string]any{
		createOrb:  {"ns": n.ID, "n": "x"},
		publishOrb: {"n": "public", "v": "1.0.0", "y": good},
		unlist:     {"o": public.ID},
		categorize: {"o": public.ID, "c": testing},
		rename:     {"ns": n.ID},
		drop:       {"ns": n.ID},
	}
	for _, who := range []string{"bob", "mallory", "root"} {
		for document, variables := range changes {
			_, typ := w.refused(who, document, variables)
			require.Equal(t, "DENIED", typ, "%s: %s", who, document)
		}
		text, _ := w.refused(who, createNamespace, map[string]any{"n": "new", "o": ci.OrgID("gh/acme")})
		if who != "bob" {
			require.Contains(t, text, "you do not belong to it")
		}
		_, typ := w.refused(who, `mutation { do: deleteNamespaceAlias(name: "acme") { deleted errors { message type } } }`, nil)
		require.Equal(t, "DENIED", typ)
	}

	// A private orb and one that does not exist look the same.
	for _, who := range []string{"mallory", "root"} {
		hidden := func(name string) []string {
			published, _ := w.refused(who, publishOrb, map[string]any{"n": name, "v": "1.0.0", "y": good})
			id := secret.ID
			if name == "absent" {
				id = ci.NewID()
			}
			unlisted, _ := w.refused(who, unlist, map[string]any{"o": id})
			promoted, _ := w.refused(who, `mutation($n: String) { do: promoteOrb(namespaceName: "acme", orbName: $n, devVersion: "dev:x", semanticVersion: "1.0.0") { orb { version } errors { message type } } }`, map[string]any{"n": name})
			seen := []string{published, strings.ReplaceAll(unlisted, id, "ID"), promoted}
			seen = append(seen, w.post(who, source, map[string]any{"r": "acme/" + name + "@1"}).text)
			seen = append(seen, w.post(who, `query($n: String!) { orb(name: $n) { id isPrivate } }`, map[string]any{"n": "acme/" + name}).text)
			seen = append(seen, w.post(who, `query($y: String!) { orbConfig(orbYaml: $y) { errors { message } } }`, map[string]any{"y": "orbs: {x: acme/" + name + "@1}\ncommands: {a: {steps: [x/hi]}}"}).text)
			seen = append(seen, w.post(who, `query($y: String!) { buildConfig(configYaml: $y) { valid errors { message } outputYaml } }`, map[string]any{"y": "{version: 2.1, orbs: {x: acme/" + name + "@1}, jobs: {build: {docker: [{image: a}], steps: [x/hi]}}}"}).text)
			for i := range seen {
				seen[i] = strings.ReplaceAll(seen[i], name, "NAME")
			}
			return seen
		}
		require.Equal(t, hidden("absent"), hidden("secret"))
		require.EqualValues(t, 0, w.ok(who, `{ registryNamespace(name: "acme") { orbs(view: PRIVATE_ONLY) { totalCount } } }`, nil, "registryNamespace", "orbs", "totalCount"))
		require.EqualValues(t, 1, w.ok(who, `{ registryNamespace(name: "acme") { orbs(view: ALL) { totalCount } } }`, nil, "registryNamespace", "orbs", "totalCount"))
	}
	for _, who := range []string{"ada", "bob"} {
		require.Equal(t, good, w.ok(who, source, map[string]any{"r": "acme/secret"}, "orbVersion", "source"))
		require.EqualValues(t, 2, w.ok(who, `{ registryNamespace(name: "acme") { orbs(view: ALL) { totalCount } } }`, nil, "registryNamespace", "orbs", "totalCount"))
	}
	require.Equal(t, true, w.ok("ada", `query($y: String!, $o: UUID) { orbConfig(orbYaml: $y, ownerId: $o) { valid } }`,
		map[string]any{"y": "orbs: {x: acme/secret@1}\ncommands: {a: {steps: [x/hi]}}", "o": ci.OrgID("gh/acme")}, "orbConfig", "valid"))
	r := w.post("mallory", `query($y: String!, $o: UUID) { orbConfig(orbYaml: $y, ownerId: $o) { valid } }`, map[string]any{"y": good, "o": ci.OrgID("gh/acme")})
	require.Contains(t, r.Errors[0].Message, "you do not belong to it", "nobody compiles in another's name")

	for document, variables := range changes {
		if document != drop {
			require.Empty(t, w.ok("ada", document, variables, "do", "errors"), document)
		}
	}
	require.Empty(t, w.ok("ada", drop, changes[drop], "do", "errors"))
}

func TestPublish_Refusals(t *testing.T) {
	w := newWorld(t)
	n, err := w.registry.CreateNamespace(t.Context(), "acme", "gh/acme")
	require.NoError(t, err)
	_, err = w.registry.CreateOrb(t.Context(), n.ID, "x", false)
	require.NoError(t, err)
	for _, tc := range []struct{ version, source, want string }{
		{"1.0", good, "write a release like 1.2.3 or a development version like dev:first"},
		{"dev:../x", good, "write a release"},
		{"1.0.0", "", "the orb is empty"},
		{"1.0.0", "commands: [", "CFG"},
		{"1.0.0", "version: 2.1\nworkflows: {}", "an orb has no workflows"},
		{"1.0.0", good + "\n" + strings.Repeat("# long\n", 200_000), "more than the 786432 that are kept"},
	} {
		text, typ := w.refused("ada", publishOrb, map[string]any{"n": "x", "v": tc.version, "y": tc.source})
		require.Contains(t, text, tc.want)
		require.Equal(t, "INVALID", typ)
	}
	text, _ := w.refused("ada", `mutation { do: promoteOrb(namespaceName: "acme", orbName: "x", devVersion: "dev:none", semanticVersion: "1.0.0") { errors { message type } } }`, nil)
	require.Contains(t, text, "acme/x@dev:none")
	text, _ = w.refused("ada", categorize, map[string]any{"o": n.ID, "c": n.ID})
	require.Contains(t, text, "orb list-categories")
}
