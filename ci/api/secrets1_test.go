package api_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

func TestOldVariables(t *testing.T) {
	w, _ := newOldWorld(t)
	require.Equal(t, "[]", w.call("GET", shop1+"/envvar", "").body)
	r := w.call("POST", shop1+"/envvar", `{"name":"KEY","value":"secret-1234"}`)
	require.Equal(t, []any{201, `{"name":"KEY","value":"xxxx1234"}`}, []any{r.StatusCode, r.body})
	require.Equal(t, `[{"name":"KEY","value":"xxxx1234"}]`, w.call("GET", shop1+"/envvar", "").body)
	require.Equal(t, `{"name":"KEY","value":"xxxx1234"}`, w.call("GET", shop1+"/envvar/KEY", "").body)
	require.Equal(t, `{"message":"Environment variable not found."}`, w.call("GET", shop1+"/envvar/NONE", "").body)
	for _, body := range []string{"", `{"value":"x"}`, `{"name":"a b","value":"x"}`, `{"name":1}`, `[]`} {
		require.Equal(t, 400, w.call("POST", shop1+"/envvar", body).StatusCode, body)
	}
	require.Equal(t, `{"message":"ok"}`, w.call("DELETE", shop1+"/envvar/KEY", "").body)
	require.Equal(t, 404, w.call("DELETE", shop1+"/envvar/KEY", "").StatusCode)
}

func TestOldKeys(t *testing.T) {
	w, _ := newOldWorld(t)
	require.Equal(t, "[]", w.call("GET", shop1+"/checkout-key", "").body)
	var key, other map[string]any
	r := w.call("POST", shop1+"/checkout-key", `{"type":"deploy-key"}`)
	require.Equal(t, 201, r.StatusCode, r.body)
	w.decodeInto(r, &key)
	require.Equal(t, []any{"deploy-key", true, nil}, []any{key["type"], key["preferred"], key["login"]})
	require.Regexp(t, `^([0-9a-f]{2}:){15}[0-9a-f]{2}$`, key["fingerprint"])
	require.Equal(t, 201, w.call("POST", shop1+"/checkout-key", `{"type":"user-key"}`).StatusCode)
	require.Equal(t, 400, w.call("POST", shop1+"/checkout-key", `{"type":"x"}`).StatusCode)
	list := w.builds(shop1 + "/checkout-key?digest=sha256")
	require.Equal(t, []any{"github-user-key", "ada"}, []any{list[0]["type"], list[0]["login"]}, "the newest is preferred")
	sha, md5 := list[1]["fingerprint"].(string), key["fingerprint"].(string)
	for _, fingerprint := range []string{md5, url.PathEscape(md5), strings.ReplaceAll(md5, ":", "%3A"), url.PathEscape(sha)} {
		w.old(shop1+"/checkout-key/"+fingerprint, &other)
		require.Equal(t, []any{md5, key["public_key"]}, []any{other["fingerprint"], other["public_key"]}, fingerprint)
	}
	require.Equal(t, `{"message":"ok"}`, w.call("DELETE", shop1+"/checkout-key/"+md5, "").body)
	require.Equal(t, 404, w.call("DELETE", shop1+"/checkout-key/"+md5, "").StatusCode)
}

func TestOldSSHKeys(t *testing.T) {
	w, _ := newOldWorld(t)
	require.Equal(t, 400, w.call("POST", shop1+"/ssh-key", `{"hostname":"h"}`).StatusCode)
	r := w.call("POST", shop1+"/ssh-key", `{"hostname":"h","private_key":"nonsense"}`)
	require.Equal(t, 400, r.StatusCode)
	require.NotContains(t, r.body, "nonsense")
	body, err := json.Marshal(map[string]string{"hostname": "host.example", "private_key": privateKey(t)})
	require.NoError(t, err)
	r = w.call("POST", shop1+"/ssh-key", string(body))
	require.Equal(t, 201, r.StatusCode, r.body)
	require.Empty(t, w.builds(shop1+"/checkout-key"), "it is none for checkout")
	var settings struct {
		Keys []map[string]string `json:"ssh_keys"`
	}
	w.old(shop1+"/settings", &settings)
	added := settings.Keys[0]
	require.Equal(t, "host.example", added["hostname"])
	require.Equal(t, 404, w.call("DELETE", shop1+"/checkout-key/"+added["fingerprint"], "").StatusCode)
	remove := `{"hostname":"host.example","fingerprint":"` + added["fingerprint"] + `"}`
	require.Equal(t, 404, w.call("DELETE", shop1+"/ssh-key", strings.Replace(remove, "host.", "other.", 1)).StatusCode)
	require.Equal(t, 200, w.call("DELETE", shop1+"/ssh-key", remove).StatusCode)
	require.Equal(t, 404, w.call("DELETE", shop1+"/ssh-key", remove).StatusCode)
	require.Equal(t, 400, w.call("DELETE", shop1+"/ssh-key", "").StatusCode)
}

func TestOldSettings(t *testing.T) {
	w, _ := newOldWorld(t)
	read := func() ci.Settings {
		p, err := w.db.Project(t.Context(), w.now.ID)
		require.NoError(t, err)
		return p.Settings
	}
	var s struct {
		Flags map[string]bool `json:"feature_flags"`
	}
	w.old(shop1+"/settings", &s)
	require.True(t, s.Flags["set-github-status"])
	require.False(t, s.Flags["api-trigger-with-config"])
	r := w.call("PUT", shop1+"/settings", `{"feature_flags":{"oss":true,"set-github-status":false,"build-fork-prs":null,"api-trigger-with-config":false}}`)
	require.Equal(t, 200, r.StatusCode, r.body)
	w.decodeInto(r, &s)
	require.True(t, s.Flags["oss"])
	require.Equal(t, ci.Settings{Open: true, NoStatus: true}, read())
	require.Equal(t, 200, w.call("PUT", shop1+"/settings", `{"feature_flags":{"autocancel-builds":true}}`).StatusCode)
	require.Equal(t, ci.Settings{Open: true, NoStatus: true, AutoCancel: true}, read(), "the others stay")
	for _, body := range []string{`{"feature_flags":{"x":true}}`, `{"feature_flags":{"api-trigger-with-config":true}}`, `{"feature_flags":{"oss":"yes"}}`} {
		require.Equal(t, 400, w.call("PUT", shop1+"/settings", body).StatusCode, body)
	}
}

func TestOldTokens(t *testing.T) {
	w, _ := newOldWorld(t)
	var made map[string]any
	r := w.call("POST", shop1+"/token", `{"scope":"status","label":"badge"}`)
	require.Equal(t, 201, r.StatusCode, r.body)
	w.decodeInto(r, &made)
	secret := made["token"].(string)
	require.Equal(t, 200, w.call("GET", "/gh/acme/shop.svg", "", with(secret)).StatusCode)
	list := w.call("GET", shop1+"/token", "")
	require.Contains(t, list.body, `"label":"badge","scope":"status"`)
	require.NotContains(t, list.body, secret)
	for _, body := range []string{`{"scope":"x","label":"a"}`, `{}`, `{"scope":"all","label":"` + strings.Repeat("x", 201) + `"}`} {
		require.Equal(t, 400, w.call("POST", shop1+"/token", body).StatusCode)
	}
	require.Equal(t, 200, w.call("DELETE", shop1+"/token/"+made["id"].(string), "").StatusCode)
	require.Equal(t, 404, w.call("DELETE", shop1+"/token/"+made["id"].(string), "").StatusCode)
	require.Equal(t, 401, w.call("GET", "/gh/acme/shop.svg", "", with(secret)).StatusCode, "at once")
}

func TestFollow(t *testing.T) {
	w, _ := newOldWorld(t)
	require.Len(t, w.builds("/api/v1.1/projects"), 1)
	r := w.call("POST", shop1+"/unfollow", "")
	require.Equal(t, 200, r.StatusCode, r.body)
	require.Empty(t, w.builds("/api/v1.1/projects"))
	var f map[string]any
	w.decodeInto(w.call("POST", shop1+"/follow", ""), &f)
	require.Equal(t, []any{true, true, nil}, []any{f["followed"], f["following"], f["first_build"]})
	require.Equal(t, 200, w.call("POST", "/api/v1.1/project/gh/acme/new/follow", "").StatusCode, "one that was no project yet")
	require.Equal(t, 404, w.call("POST", "/api/v1.1/project/gh/acme/newer/unfollow", "").StatusCode)
	r = w.call("POST", "/api/v1.1/project/gh/other/x/follow", "")
	require.Equal(t, []any{404, `{"message":"Project not found"}`}, []any{r.StatusCode, r.body})

	w.work(w.trigger(ci.Trigger{Branch: "a/b"}), ci.Failed)
	w.trigger(ci.Trigger{Branch: "a/b"})
	for _, p := range w.builds("/api/v1.1/projects") {
		if p["reponame"] != "shop" {
			continue
		}
		b := p["branches"].(map[string]any)["a%2Fb"].(map[string]any)
		require.Len(t, b["recent_builds"], 1)
		require.Len(t, b["running_builds"], 1)
		require.Equal(t, 1.0, b["last_non_success"].(map[string]any)["build_num"])
		require.Equal(t, []any{nil, []any{"grace"}}, []any{b["last_success"], b["pusher_logins"]})
	}
	require.Equal(t, map[string]any{}, w.builds("/api/v1.1/projects?shallow=true")[0]["branches"])

	bare := newWorld(t)
	for _, path := range []string{"/envvar", "/checkout-key", "/token"} {
		r := bare.call("GET", shop1+path, "")
		require.Equal(t, 404, r.StatusCode)
		require.Contains(t, r.body, "This installation has no")
	}
	require.Contains(t, bare.call("POST", shop1+"/follow", "").body, "no code host")
}

func TestPrivate(t *testing.T) {
	w, _ := newOldWorld(t)
	w.work(w.trigger(ci.Trigger{}), ci.Failed)
	for _, repo := range []string{"a", "b", "c"} {
		w.another(repo, false)
	}
	var list struct {
		Items []map[string]string
		Next  *string `json:"next_page_token"`
	}
	w.old("/api/private/me/followed-projects", &list)
	require.Equal(t, map[string]string{"name": "shop", "slug": "gh/acme/shop", "vcs_type": "github"}, list.Items[3])
	require.Nil(t, list.Next)
	org := w.get("/project/gh/acme/shop")["organization_id"].(string)
	w.old("/api/private/project?page-size=3&organization-id="+org, &list)
	require.Len(t, list.Items, 3)
	w.old("/api/private/project?page-size=3&page-token="+*list.Next, &list)
	require.Equal(t, []any{1, "shop", string(w.now.ID)}, []any{len(list.Items), list.Items[0]["name"], list.Items[0]["id"]})
	w.old("/api/private/project?organization-id="+ci.NewID(), &list)
	require.Empty(t, list.Items)

	const raw = "/api/private/output/raw/gh/acme/shop/1/"
	r := w.call("GET", raw+"output/1/1", "")
	require.Equal(t, []any{200, "text/plain; charset=utf-8", strings.Repeat("line of test on node 1\n", 3)}, []any{r.StatusCode, r.Header.Get("Content-Type"), r.body})
	for _, path := range []string{"error/1/1", "output/1/0", "output/1/99"} {
		r := w.call("GET", raw+path, "")
		require.Equal(t, []any{200, ""}, []any{r.StatusCode, r.body}, path)
	}
	for _, path := range []string{"output/2/1", "output/-1/1", "output/x/1", "output/1/x", "other/1/1"} {
		require.Equal(t, 404, w.call("GET", raw+path, "").StatusCode, path)
	}
}
