package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

func TestClaims(t *testing.T) {
	n := newTown(t)
	org := n.get("/organization/gh/acme")["id"].(string)
	id := string(n.world.now.ID)
	ofOrg, ofProject := "/org/"+org+"/oidc-custom-claims", "/org/"+org+"/project/"+id+"/oidc-custom-claims"
	require.Equal(t, map[string]any{"org_id": org}, n.get(ofOrg))
	require.Equal(t, map[string]any{"org_id": org, "project_id": id}, n.get(ofProject))
	got := n.say(200, "PATCH", ofOrg, `{"audience":["aws","gcp"]}`)
	require.Equal(t, []any{"aws", "gcp"}, got["audience"])
	require.Regexp(t, `^\d{4}-`, got["audience_updated_at"])
	require.NotContains(t, got, "ttl")
	require.Equal(t, "1h30m", n.say(200, "PATCH", ofOrg, `{"ttl":"1h30m"}`)["ttl"])
	require.Equal(t, []any{"aws", "gcp"}, n.get(ofOrg)["audience"])
	require.Equal(t, map[string]any{"org_id": org, "project_id": id}, n.get(ofProject), "it has its own")
	n.say(200, "PATCH", ofProject, `{"ttl":"5m"}`)
	require.NotContains(t, n.say(200, "DELETE", ofOrg+"?claims=audience", ""), "audience")
	require.Equal(t, "1h30m", n.get(ofOrg)["ttl"])
	n.say(200, "DELETE", ofProject+"?claims=audience,ttl", "")
	require.Equal(t, map[string]any{"org_id": org, "project_id": id}, n.get(ofProject))
	for _, body := range []string{`{"ttl":"soon"}`, `{"ttl":""}`, `{"audience":[]}`, `{"audience":[" "]}`} {
		v := n.say(400, "PATCH", ofOrg, body)
		require.Equal(t, v["message"], v["error"], "clients look for it there")
	}
	n.say(400, "DELETE", ofOrg, "")
	n.say(404, "GET", "/org/"+ci.NewID()+"/oidc-custom-claims", "")
	n.say(404, "GET", "/org/"+org+"/project/"+ci.NewID()+"/oidc-custom-claims", "")
}

func TestOrbPrefixes(t *testing.T) {
	n := newTown(t)
	of := "/organization/gh/acme/url-orb-allow-list"
	made := n.say(201, "POST", of, `{"name":"ours","prefix":"https://orbs.example/ci/","auth":"none"}`)
	require.Equal(t, []map[string]any{made}, items(n.get(of)))
	require.Empty(t, n.get("/organization/gh/empty/url-orb-allow-list")["items"])
	n.say(409, "POST", of, `{"name":"ours","prefix":"https://orbs.example/"}`)
	for _, prefix := range []string{"", "https://orbs.example", "http://orbs.example/", "https://u:p@orbs.example/", "https://orbs.example/../", "https://orbs.example/?a=/"} {
		n.say(400, "POST", of, `{"name":"x","prefix":"`+prefix+`"}`)
	}
	n.say(400, "POST", of, `{"name":"x","prefix":"https://orbs.example/","auth":"github_app"}`)
	n.say(404, "DELETE", "/organization/gh/empty/url-orb-allow-list/"+made["id"].(string), "")
	n.say(200, "DELETE", of+"/"+made["id"].(string), "")
	n.say(404, "DELETE", of+"/"+made["id"].(string), "")
}

// What is not evaluated is not taken, so that nobody relies on it.
func TestPolicies(t *testing.T) {
	n := newTown(t)
	at := "/owner/" + n.get("/organization/gh/acme")["id"].(string) + "/context/config"
	for _, path := range []string{"/policy-bundle", "/policy-bundle/"} {
		require.Empty(t, n.get(at+path))
	}
	n.say(404, "GET", at+"/policy-bundle/p.rego", "")
	refused := n.say(422, "POST", at+"/policy-bundle?dry=true", `{"policies":{"p.rego":"package org"}}`)
	require.Equal(t, refused["message"], refused["error"])
	require.Contains(t, refused["error"], "not evaluated by this server")
	require.Equal(t, map[string]any{"created": []any{}, "deleted": []any{}, "modified": []any{}}, n.say(200, "POST", at+"/policy-bundle", `{"policies":{}}`))
	d := n.say(200, "POST", at+"/decision", `{"input":"version: 2.1","metadata":{"project_id":"x"}}`)
	require.Equal(t, "PASS", d["status"])
	require.Equal(t, []any{}, d["enabled_rules"])
	n.say(400, "POST", at+"/decision", `{}`)
	require.Equal(t, "[]", n.call("GET", "/api/v2"+at+"/decision?offset=0", "").body)
	n.say(404, "GET", at+"/decision/"+ci.NewID(), "")
	require.Equal(t, map[string]any{"enabled": false}, n.get(at+"/decision/settings"))
	require.Equal(t, map[string]any{"enabled": true}, n.say(200, "PATCH", at+"/decision/settings", `{"enabled":true}`))
	require.Equal(t, map[string]any{"enabled": true}, n.say(200, "PATCH", at+"/decision/settings", `{}`))
	require.Equal(t, map[string]any{"enabled": true}, n.get(at+"/decision/settings"))
	n.say(404, "GET", "/owner/"+ci.NewID()+"/context/config/policy-bundle", "")
	n.say(404, "GET", "/owner/gh/acme/context/other/policy-bundle", "")
}
