package api_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
)

func TestOrganizations(t *testing.T) {
	n := newTown(t)
	r := n.call("GET", "/api/v2/me/collaborations", "")
	require.Equal(t, 200, r.StatusCode)
	id := n.get("/organization/gh/acme")["id"].(string)
	require.JSONEq(t, `{"id":"`+id+`","name":"acme","slug":"gh/acme","vcs_type":"github","vcs-type":"github","avatar_url":null}`,
		n.call("GET", "/api/v2/organization/"+strings.ToUpper(id), "").body)
	require.True(t, strings.HasPrefix(r.body, `[{"id":"`+id+`"`), r.body)
	require.Contains(t, r.body, `"vcs_type":"bitbucket"`)
	require.Equal(t, id, n.get("/project/" + slug)["organization_id"])
	for _, same := range []string{"gh%2Facme", "github/acme", "github%2Facme", "gh/acme"} {
		require.Equal(t, id, n.get("/organization/" + same)["id"], same)
		require.Equal(t, []any{}, n.get("/organizations/" + same + "/groups")["items"])
	}
	for _, none := range []string{"gh/none", "acme", "gh%2F", ci.NewID(), "gh%2Facme%2Fshop"} {
		require.Equal(t, "Organization not found", n.say(404, "GET", "/organization/"+none, "")["message"], none)
	}

	// Without knowledge of membership there are the organisations of projects.
	alone := newTown(t, func(c *api.Config) { c.Chapters.Orgs = nil })
	require.JSONEq(t, `[{"id":"`+id+`","name":"acme","slug":"gh/acme","vcs_type":"github","vcs-type":"github","avatar_url":null}]`,
		alone.call("GET", "/api/v2/me/collaborations", "").body)
	require.Equal(t, id, alone.get("/organization/" + id)["id"])

	// Without a word on who may see them there are no others either.
	free := newTown(t, func(c *api.Config) { c.Chapters.Orgs, c.Chapters.MayOrg = nil, nil })
	require.Equal(t, id, free.get("/organization/github/acme")["id"])
	free.say(404, "GET", "/organization/gh/empty", "")

	require.Equal(t, "ada", n.get("/user/" + strings.ToUpper(ada.ID))["login"])
	require.Equal(t, "grace", n.get("/user/" + grace.ID)["login"])
	require.Equal(t, "User not found", n.say(404, "GET", "/user/"+ci.NewID(), "")["message"])
}

func TestProjectOfOrganization(t *testing.T) {
	n := newTown(t)
	org := n.get("/organization/gh/acme")["id"].(string)
	made := n.say(201, "POST", "/organization/github/acme/project", `{"name":"till"}`)
	require.Equal(t, "gh/acme/till", made["slug"])
	require.Equal(t, "acme", made["organization_name"])
	again := n.say(201, "POST", "/organization/"+org+"/project", `{"name":"till"}`)
	require.Equal(t, made["id"], again["id"])
	require.Equal(t, again, n.say(201, "POST", "/organization/circleci/"+org+"/project", `{"name":"till"}`), "the classic CLI says it so")
	require.Equal(t, "gh/acme", n.get("/organization/circleci/" + org)["slug"])
	n.say(404, "GET", "/organization/circleci/"+ci.NewID(), "")
	standalone := "circleci/" + org + "/" + made["id"].(string)
	require.Equal(t, standalone, again["slug"], "in the form of those who say identities")
	for _, path := range []string{standalone, url.PathEscape(standalone)} {
		same := n.get("/project/" + path)
		require.Equal(t, standalone, same["slug"])
		require.Equal(t, made["id"], same["id"])
	}
	n.get("/project/" + standalone + "/settings")

	for _, body := range []string{`{}`, `{"name":""}`, `{"name":"a/b"}`, `{"name":".."}`, `{"name":"-x"}`} {
		n.say(400, "POST", "/organization/"+org+"/project", body)
	}
	n.say(404, "POST", "/organization/"+org+"/project", `{"name":"nowhere"}`)

	require.Equal(t, true, n.say(201, "POST", "/project/github/acme/shop", "")["advanced"].(map[string]any)["set_github_status"])
	n.say(201, "POST", "/project/gh/acme/brand-new", "")
	n.say(405, "POST", "/project/circleci/x/y", "")
	n.say(404, "POST", "/project/"+ci.NewID(), "")
	n.say(404, "POST", "/project/gh/none/x", "")
}

func TestDeleteProject(t *testing.T) {
	n := newTown(t)
	at := n.populate()
	p := n.trigger(ci.Trigger{})
	n.refuse = ci.ErrDenied
	n.say(403, "DELETE", "/project/"+slug, "")
	n.refuse = nil
	n.say(200, "DELETE", "/project/"+slug, "")
	n.say(200, "DELETE", "/project/"+slug, "")
	require.False(t, n.followed[len(n.followed)-1])
	for _, list := range []string{"/project/" + slug + "/envvar", "/project/" + slug + "/schedule", "/project/" + slug + "/checkout-key",
		"/webhook?scope-type=project&scope-id=" + at.project, "/projects/" + at.project + "/pipeline-definitions/" + natural(n) + "/triggers"} {
		require.Empty(t, n.get(list)["items"], list)
	}
	require.Len(t, n.get("/projects/" + at.project + "/pipeline-definitions")["items"], 1)
	require.Equal(t, string(p.ID), n.get("/pipeline/" + string(p.ID))["id"], "what was built stays")
	n.say(200, "GET", "/context/"+at.context, "")
}

// natural returns the definition that the project has by nature.
func natural(n *town) string {
	return items(n.get("/projects/" + string(n.world.now.ID) + "/pipeline-definitions"))[0]["id"].(string)
}

// TestA122_ForkSettings: who may write in a project does not decide what the
// code of strangers may do there; an administrator of the organisation does.
func TestA122_ForkSettings(t *testing.T) {
	n := newTown(t)
	path, old := "/project/"+slug+"/settings", "/api/v1.1/project/"+slug+"/settings"
	n.refuse, n.writes = ci.ErrDenied, true
	for _, body := range []string{`{"advanced":{"build_fork_prs":true}}`, `{"advanced":{"forks_receive_secret_env_vars":true,"autocancel_builds":true}}`} {
		n.say(403, "PATCH", path, body)
	}
	for _, name := range []string{"build-fork-prs", "forks-receive-secret-env-vars"} {
		require.Equal(t, 403, n.call("PUT", old, `{"feature_flags":{"`+name+`":true}}`).StatusCode)
	}
	is := n.say(200, "PATCH", path, `{"advanced":{"build_fork_prs":false,"build_prs_only":true}}`)["advanced"].(map[string]any)
	require.Equal(t, []any{false, false, false, true},
		[]any{is["build_fork_prs"], is["forks_receive_secret_env_vars"], is["autocancel_builds"], is["build_prs_only"]})
	n.refuse = nil
	n.say(200, "PATCH", path, `{"advanced":{"build_fork_prs":true,"write_settings_requires_admin":true}}`)
	n.refuse = ci.ErrDenied
	n.say(403, "PATCH", path, `{"advanced":{"autocancel_builds":true}}`)
	n.say(403, "PATCH", path, `{"advanced":{"write_settings_requires_admin":false}}`)
	require.Equal(t, 403, n.call("PUT", old, `{"feature_flags":{"write-settings-requires-admin":false}}`).StatusCode)
	// What is no setting is not set.
	n.refuse = nil
	n.say(200, "PATCH", path, `{"advanced":{},"id":"x","slug":"gh/evil/x","org":"evil","followed":false,"clone_url":"file:///etc","repo_id":"1"}`)
	require.Equal(t, slug, n.get("/project/" + slug)["slug"])
}

// TestA122_SlowSettings: who began to send before an administrator took
// something back does not write it back.
func TestA122_SlowSettings(t *testing.T) {
	for path, body := range map[string]string{
		"PATCH /api/v2/project/" + slug + "/settings": `{"advanced":{"autocancel_builds":true}}`,
		"PUT /api/v1.1/project/" + slug + "/settings": `{"feature_flags":{"autocancel-builds":true}}`,
	} {
		asked := make(chan struct{}, 10)
		n := newTown(t, func(c *api.Config) {
			c.May = func(context.Context, ci.Actor, ci.Project, bool) error { asked <- struct{}{}; return nil }
		})
		p := n.world.now
		put := func(secrets bool) error {
			p.ForkSecrets = secrets
			return n.world.db.PutProject(t.Context(), p)
		}
		require.NoError(t, put(true))
		from, to := io.Pipe()
		go func() {
			<-asked
			_ = put(false) // shows in the end
			_, _ = io.WriteString(to, body)
			_ = to.Close()
		}()
		method, path, _ := strings.Cut(path, " ")
		r := n.call(method, path, body, func(r *http.Request) { r.Body, r.ContentLength = from, -1 })
		require.Equal(t, 200, r.StatusCode, r.body)
		is, err := n.world.db.Project(t.Context(), p.ID)
		require.NoError(t, err)
		require.Equal(t, []bool{false, true}, []bool{is.ForkSecrets, is.AutoCancel})
	}
}

func TestSettings(t *testing.T) {
	n := newTown(t)
	path := "/project/" + slug + "/settings"
	want := map[string]any{
		"autocancel_builds": false, "build_fork_prs": false, "build_prs_only": false, "disable_ssh": false, "forks_receive_secret_env_vars": false,
		"oss": false, "set_github_status": true, "setup_workflows": true, "write_settings_requires_admin": false, "pr_only_branch_overrides": []any{},
	}
	require.Equal(t, want, n.get(path)["advanced"])
	for key, is := range want {
		value := `["main","release/1"]`
		want[key] = []any{"main", "release/1"}
		if b, ok := is.(bool); ok {
			want[key] = !b
			value = map[bool]string{true: "false", false: "true"}[b]
		}
		require.Equal(t, want, n.say(200, "PATCH", path, `{"advanced":{"`+key+`":`+value+`}}`)["advanced"], key)
		require.Equal(t, want, n.get(path)["advanced"], key)
	}
	require.Equal(t, want, n.say(200, "PATCH", path, `{"advanced":{"oss":null,"unknown":7}}`)["advanced"])
	n.say(400, "PATCH", path, `{"advanced":{"oss":"yes"}}`)
	n.say(400, "PATCH", path, `{"advanced":{"pr_only_branch_overrides":["a b"]}}`)

	// Now only administrators may.
	n.refuse, n.writes = ci.ErrDenied, true
	n.say(403, "PATCH", path, `{"advanced":{"oss":false}}`)
	require.Equal(t, want, n.get(path)["advanced"])
}

func TestContexts(t *testing.T) {
	n := newTown(t)
	org := n.get("/organization/gh/acme")["id"].(string)
	made := n.say(200, "POST", "/context", `{"name":"deploy","owner":{"slug":"github/acme","type":"organization"}}`)
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, made["created_at"])
	require.Contains(t, n.say(409, "POST", "/context", `{"name":"deploy","owner":{"id":"`+org+`"}}`)["message"], "A context named deploy already exists")
	for _, body := range []string{
		``, `{}`, `{"name":"x"}`, `{"owner":{"slug":"gh/acme"}}`, `{"name":"x","owner":{"slug":"gh/acme","type":"team"}}`, `{"name":" x","owner":{"slug":"gh/acme"}}`,
	} {
		n.say(400, "POST", "/context", body)
	}
	n.say(404, "POST", "/context", `{"name":"x","owner":{"slug":"gh/none"}}`)
	n.say(404, "POST", "/context", `{"name":"x","owner":{"id":"`+ci.NewID()+`"}}`)
	n.say(200, "POST", "/context", `{"name":"another","owner":{"id":"`+org+`","type":"account"}}`)
	n.say(200, "POST", "/context", `{"name":"elsewhere","owner":{"slug":"bb/acme"}}`)

	for _, q := range []string{"owner-id=" + org, "owner-slug=gh/acme", "owner-slug=github%2Facme&owner-type=organization&page-token="} {
		list := items(n.get("/context?" + q))
		require.Len(t, list, 2, q)
		require.Equal(t, "another", list[0]["name"])
		require.Equal(t, made, list[1])
	}
	require.Equal(t, made, items(n.get("/context?name=deploy&owner-slug=gh/acme"))[0])
	n.say(400, "GET", "/context", "")
	n.say(400, "GET", "/context?owner-slug=gh/acme&page-token=%21", "")
	n.say(404, "GET", "/context?owner-slug=gh/none", "")
	id := made["id"].(string)
	one := n.get("/context/" + strings.ToUpper(id))
	require.Equal(t, []any{made["id"], made["name"], made["created_at"]}, []any{one["id"], one["name"], one["created_at"]})
	require.Equal(t, n.get("/organization/gh/acme")["id"], one["org_id"])
	require.Equal(t, []any{[]any{}, []any{}}, []any{one["environment_variables"], one["restrictions"]})
	require.Equal(t, "Context not found", n.say(404, "GET", "/context/x", "")["message"])

	n.refuse = ci.ErrNotFound
	require.Equal(t, "Context not found", n.say(404, "GET", "/context/"+id, "")["message"], "who may not know")
	n.refuse, n.writes = ci.ErrDenied, true
	n.get("/context/" + id)
	n.say(403, "DELETE", "/context/"+id, "")
	n.say(403, "PUT", "/context/"+id+"/environment-variable/A", `{"value":"x"}`)
	n.say(403, "POST", "/context", `{"name":"x","owner":{"slug":"gh/acme"}}`)
	n.refuse = nil
	require.Equal(t, "Context deleted.", n.say(200, "DELETE", "/context/"+id, "")["message"])
	n.say(404, "DELETE", "/context/"+id, "")
}

func TestContextPages(t *testing.T) {
	n := newTown(t)
	of := "/context/" + n.say(200, "POST", "/context", `{"name":"deploy","owner":{"slug":"gh/acme"}}`)["id"].(string) + "/environment-variable"
	for i := range 250 {
		n.say(200, "PUT", of+"/V"+strings.Repeat("A", i), `{"value":"12345678"}`)
	}
	var got []string
	for next := ""; ; {
		v := n.get(of + "?page-token=" + next)
		for _, i := range items(v) {
			got = append(got, i["variable"].(string))
		}
		if v["next_page_token"] == nil {
			break
		}
		require.NotEqual(t, next, v["next_page_token"])
		next = v["next_page_token"].(string)
		n.say(200, "DELETE", of+"/"+got[len(got)-1], "") // the key need not be there any more
	}
	require.Len(t, got, 250)
}

func TestContextVariables(t *testing.T) {
	n := newTown(t)
	at := n.populate()
	of := "/context/" + at.context + "/environment-variable"
	put := n.say(200, "PUT", of+"/TOKEN", `{"value":"secret-1234"}`)
	require.Equal(t, "TOKEN", put["variable"])
	require.Equal(t, at.context, put["context_id"])
	require.NotEqual(t, put["created_at"], put["updated_at"])
	require.Equal(t, []map[string]any{put}, items(n.get(of)))
	require.Equal(t, "1234", put["truncated_value"], "clients write the mask themselves")
	whole := n.get("/context/" + at.context)
	require.Equal(t, []any{put}, whole["environment_variables"])
	require.Equal(t, at.restriction, whole["restrictions"].([]any)[0].(map[string]any)["id"])
	n.say(400, "PUT", of+"/TOKEN", ``)
	n.say(400, "PUT", of+"/TOKEN", `{"value":null}`)
	n.say(400, "PUT", of+"/a%20b", `{"value":"x"}`)
	n.say(200, "DELETE", of+"/TOKEN", "")
	require.Equal(t, "Environment variable not found.", n.say(404, "DELETE", of+"/TOKEN", "")["message"])

	of = "/project/" + slug + "/envvar"
	made := n.say(201, "POST", of, `{"name":"PASS","value":"hunter2-long"}`)
	require.Equal(t, "xxxxlong", made["value"])
	require.Equal(t, made["created-at"], made["created_at"])
	require.Equal(t, made["created_at"], n.say(201, "POST", of, `{"name":"PASS","value":"other"}`)["created_at"])
	require.Equal(t, "xxxxther", n.get(of + "/PASS")["value"])
	require.Len(t, n.get(of)["items"], 2)
	for _, body := range []string{``, `{"name":"A"}`, `{"value":"x"}`, `{"name":"a b","value":"x"}`} {
		n.say(400, "POST", of, body)
	}
	require.Equal(t, "Environment variable not found.", n.say(404, "GET", of+"/NONE", "")["message"])
	n.say(200, "DELETE", of+"/PASS", "")
	n.say(404, "DELETE", of+"/PASS", "")
}

func TestRestrictions(t *testing.T) {
	n := newTown(t)
	at := n.populate()
	of := "/context/" + at.context + "/restrictions"
	require.Equal(t, []map[string]any{{
		"id": at.restriction, "context_id": at.context, "project_id": at.project, "name": slug, "restriction_type": "project", "restriction_value": at.project,
	}}, items(n.get(of)))
	n.say(409, "POST", of, `{"restriction_type":"project","restriction_value":"`+strings.ToUpper(at.project)+`"}`)
	made := n.say(201, "POST", of, `{"restriction_type":"expression","restriction_value":"pipeline.git.branch == \"main\""}`)
	require.Nil(t, made["project_id"])
	require.Equal(t, `pipeline.git.branch == "main"`, made["name"])
	other := ci.Project{ID: ci.ProjectID(ci.NewID()), Slug: "gh/other/x", Org: "other", Repo: "x", CloneURL: "/x"}
	require.NoError(t, n.world.db.PutProject(t.Context(), other))
	for _, body := range []string{
		``, `{"restriction_type":"project","restriction_value":"gh/acme/shop"}`, `{"restriction_type":"project","restriction_value":"` + ci.NewID() + `"}`,
		`{"restriction_type":"project","restriction_value":"` + string(other.ID) + `"}`, `{"restriction_type":"team","restriction_value":"x"}`,
		`{"restriction_type":"group"}`,
	} {
		n.say(400, "POST", of, body)
	}
	n.say(200, "DELETE", of+"/"+at.restriction, "")
	require.Equal(t, "Restriction not found", n.say(404, "DELETE", of+"/"+at.restriction, "")["message"])
}

func TestCheckoutKeys(t *testing.T) {
	n := newTown(t)
	of := "/project/github%2Facme%2Fshop/checkout-key"
	made := n.say(201, "POST", of+"?digest=sha256", `{"type":"deploy-key"}`)
	sha := made["fingerprint"].(string)
	require.Contains(t, sha, "/")
	require.Equal(t, made["public-key"], made["public_key"])
	require.Equal(t, "deploy-key", made["type"])
	md5 := items(n.get(of))[0]["fingerprint"].(string)
	for _, f := range []string{sha, "SHA256:" + sha, sha + "=", md5, "MD5:" + strings.ToUpper(md5)} {
		require.Equal(t, made, n.get(of+"/"+url.PathEscape(f)+"?digest=sha256"), f)
	}
	require.Equal(t, "github-user-key", n.say(201, "POST", of, `{"type":"user-key"}`)["type"])
	k, err := n.AddKey(t.Context(), n.world.now.ID, "ghe.example", "", ada)
	require.NoError(t, err)
	require.Len(t, n.get(of)["items"], 2, "other keys are not for checkout")
	n.say(404, "DELETE", of+"/"+url.PathEscape(k.MD5), "")
	n.say(400, "POST", of, `{"type":"ssh-key"}`)
	n.say(400, "GET", of+"?digest=sha1", "")
	n.say(200, "DELETE", of+"/"+url.PathEscape(sha), "")
	require.Equal(t, "Checkout key not found", n.say(404, "GET", of+"/"+url.PathEscape(md5), "")["message"])
}

func TestAbsentChapters(t *testing.T) {
	w := newWorld(t)
	for what, path := range map[string]string{
		"contexts": "/context?owner-slug=gh/acme", "stored variables": "/project/" + slug + "/envvar", "keys": "/project/" + slug + "/checkout-key",
		"schedules": "/project/" + slug + "/schedule", "webhooks": "/webhook?scope-type=project&scope-id=" + string(w.now.ID),
	} {
		r := w.call("GET", "/api/v2"+path, "")
		require.Equal(t, http.StatusNotFound, r.StatusCode)
		require.Equal(t, "This installation has no "+what+".", w.decode(r)["message"])
	}
	require.Equal(t, 404, w.call("POST", "/api/v2/compile-config-with-defaults", "").StatusCode, "so that clients ask elsewhere")
	require.Equal(t, 404, w.call("PATCH", "/api/v2/project/"+slug+"/settings", "").StatusCode)
	require.Equal(t, 404, w.call("POST", "/api/v2/project/"+slug, "").StatusCode)
	require.Len(t, items(w.get("/projects/"+string(w.now.ID)+"/pipeline-definitions")), 1)
}
