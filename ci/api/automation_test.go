package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
)

func TestSchedules(t *testing.T) {
	n := newTown(t)
	of := "/project/" + slug + "/schedule"
	made := n.say(201, "POST", of, nightly)
	at := "/schedule/" + made["id"].(string)
	require.Equal(t, slug, made["project-slug"])
	require.Equal(t, "ada", made["actor"].(map[string]any)["login"])
	require.Equal(t, map[string]any{"branch": "main", "n": 3.0}, made["parameters"])
	require.Equal(t, map[string]any{"per-hour": 1.0, "hours-of-day": []any{3.0}, "days-of-week": []any{"MON", "TUE"}}, made["timetable"])
	require.Contains(t, made, "next-run-at")
	require.Nil(t, made["next-run-at"])
	require.Equal(t, made, n.get(at))
	require.Equal(t, []map[string]any{made}, items(n.get(of)))

	changed := n.say(200, "PATCH", at, `{"description":"","attribution-actor":"system"}`)
	require.Equal(t, "system", changed["actor"].(map[string]any)["login"])
	require.Equal(t, "nightly", changed["name"])
	require.Equal(t, made["timetable"], changed["timetable"])
	require.Equal(t, made["created-at"], changed["created-at"])
	require.NotEqual(t, made["updated-at"], changed["updated-at"])
	n.say(200, "PATCH", at, `{"timetable":{"per-hour":2,"hours-of-day":[1],"days-of-month":[1]},"parameters":{"tag":"v1"}}`)
	require.Equal(t, map[string]any{"tag": "v1"}, n.get(at)["parameters"])

	for name, body := range map[string]string{
		"empty": ``, "no name": strings.Replace(nightly, `"nightly"`, `" "`, 1), "no branch": strings.Replace(nightly, `"branch"`, `"bronch"`, 1),
		"no timetable": `{"name":"x","parameters":{"branch":"main"}}`, "actor": strings.Replace(nightly, "current", "ada", 1),
		"both": strings.Replace(nightly, `"n":3`, `"tag":"v1"`, 1), "not text": strings.Replace(nightly, `"main"`, `7`, 1),
		"fraction": strings.Replace(nightly, `3`, `3.5`, 1), "days": strings.Replace(nightly, `"days-of-week"`, `"days"`, 1),
	} {
		require.NotEmpty(t, n.say(400, "POST", of, body)["message"], name)
	}
	n.say(400, "PATCH", at, `{"parameters":{}}`)
	n.say(200, "DELETE", at, "")
	require.Equal(t, "Schedule not found", n.say(404, "GET", at, "")["message"])
}

func TestWebhooks(t *testing.T) {
	n := newTown(t)
	at := n.populate()
	path := "/webhook/" + at.webhook
	w := n.get(path)
	require.Equal(t, "****open", w["signing-secret"])
	require.Equal(t, map[string]any{"id": at.project, "type": "project"}, w["scope"])
	require.Equal(t, w["created-at"], w["created_at"])
	require.Equal(t, w["updated-at"], w["updated_at"])
	require.Equal(t, []map[string]any{w}, items(n.get("/webhook?scope-id="+at.project+"&scope-type=project&page-token=")))

	w = n.say(200, "PUT", path, `{"name":"renamed","verify-tls":false,"signing-secret":"****open"}`)
	require.Equal(t, "renamed", w["name"])
	require.Equal(t, false, w["verify-tls"])
	require.Equal(t, []any{"job-completed"}, w["events"])
	require.Equal(t, "sesame-open", n.secrets[at.webhook], "what we showed is no new secret")
	n.say(200, "PUT", path, `{"signing-secret":"a-new-one"}`)
	require.Equal(t, "a-new-one", n.secrets[at.webhook])
	require.Equal(t, "****-one", n.get(path)["signing-secret"])

	scope := `,"scope":{"id":"` + at.project + `","type":"project"}}`
	for _, body := range []string{
		``, `{"url":"https://x","events":["job-completed"]` + scope, `{"name":"x","events":["job-completed"]` + scope,
		`{"name":"x","url":"https://x"` + scope, `{"name":"x","url":"https://x","events":["ping"]` + scope,
		`{"name":"x","url":"ftp","events":["job-completed"]` + scope, `{"name":"x","url":"https://x","events":["job-completed"]}`,
		`{"name":"x","url":"https://x","events":["job-completed"],"scope":{"id":"` + at.project + `","type":"org"}}`,
	} {
		n.say(400, "POST", "/webhook", body)
	}
	n.say(404, "POST", "/webhook", `{"name":"x","url":"https://x","events":["job-completed"],"scope":{"id":"`+ci.NewID()+`","type":"project"}}`)
	n.say(400, "GET", "/webhook?scope-type=project", "")
	n.say(400, "GET", "/webhook?scope-id="+at.project, "")

	first := n.say(200, "POST", "/rondo"+path+"/ping", "")
	second := n.say(200, "POST", "/rondo"+path+"/ping", "")
	require.Equal(t, 204.0, first["status"])
	require.Nil(t, first["next_attempt_at"])
	require.Equal(t, []map[string]any{second, first}, items(n.get("/rondo"+path+"/deliveries")))
	n.say(200, "DELETE", path, "")
	for _, gone := range []string{path, "/rondo" + path + "/deliveries"} {
		require.Equal(t, "Webhook not found", n.say(404, "GET", gone, "")["message"])
	}
}

// Who may only read a project sees nothing of what was put into it in
// confidence, though it be masked.
func TestReadersSeeNoSecrets(t *testing.T) {
	var reader bool
	n := newTown(t, func(c *api.Config) {
		c.May = func(_ context.Context, _ ci.Actor, _ ci.Project, write bool) error {
			if reader && write {
				return ci.ErrDenied
			}
			return nil
		}
	})
	at := n.populate()
	reader = true
	for _, path := range []string{"/project/" + slug + "/envvar", "/project/" + slug + "/envvar/KEY", "/webhook/" + at.webhook,
		"/webhook?scope-type=project&scope-id=" + at.project, "/rondo/webhook/" + at.webhook + "/deliveries"} {
		n.say(403, "GET", path, "")
	}
	for _, path := range []string{"/project/" + slug + "/settings", "/project/" + slug + "/schedule", "/schedule/" + at.schedule,
		"/project/" + slug + "/checkout-key", "/projects/" + at.project + "/pipeline-definitions"} {
		n.get(path)
	}
	for path, method := range map[string]string{
		"/project/" + slug: "DELETE", "/project/" + slug + "/settings": "PATCH", "/schedule/" + at.schedule: "DELETE", "/project/" + slug + "/pipeline/run": "POST",
		"/projects/" + at.project + "/pipeline-definitions": "POST", "/projects/" + at.project + "/triggers/" + at.trigger: "DELETE",
		"/project/" + slug + "/checkout-key": "POST", "/project/" + slug + "/schedule": "POST",
	} {
		n.say(403, method, path, "")
	}
}

// TestA095_ManyDefinitions: what is read as a whole does not grow without end.
func TestA095_ManyDefinitions(t *testing.T) {
	n := newTown(t)
	project := string(n.world.now.ID)
	of := "/projects/" + project + "/pipeline-definitions"
	for i := range 200 {
		d := ci.Doc{Kind: "pipeline-definition", ID: ci.NewID(), Scope: project, Name: fmt.Sprint(i), Body: []byte(`{"name":"` + fmt.Sprint(i) + `"}`)}
		_, err := n.world.db.WriteDocs(t.Context(), ci.DocChange{Doc: d})
		require.NoError(t, err)
	}
	require.Contains(t, n.say(409, "POST", of, `{"name":"more"}`)["message"], "There are 200 already")
	all := items(n.get(of))
	require.Len(t, all, 201)
	n.say(200, "PATCH", of+"/"+all[200]["id"].(string), `{"description":"those that are there can be changed"}`)
}

func TestDefinitions(t *testing.T) {
	n := newTown(t)
	id := string(n.world.now.ID)
	of := "/projects/" + id + "/pipeline-definitions"
	first := items(n.get(of))[0]
	repo := map[string]any{"external_id": "acme/shop", "full_name": "acme/shop"}
	require.Empty(t, cmp.Diff(map[string]any{
		"id": first["id"], "name": "build", "description": "", "created_at": nil,
		"config_source":   map[string]any{"provider": "github_oauth", "file_path": ".circleci/config.yml", "repo": repo},
		"checkout_source": map[string]any{"provider": "github_oauth", "repo": repo},
	}, first))
	n.say(400, "PATCH", of+"/"+first["id"].(string), `{"name":"x"}`)
	n.say(400, "DELETE", of+"/"+first["id"].(string), "")

	source := `{"provider":"github_app","repo":{"external_id":"acme/shop"},"file_path":".circleci/config.yml"}`
	made := n.say(201, "POST", of, `{"name":"app","description":"d","config_source":`+source+`,"checkout_source":`+source+`}`)
	at := of + "/" + made["id"].(string)
	require.Equal(t, "github_app", made["checkout_source"].(map[string]any)["provider"])
	require.Equal(t, made, n.get(at))
	require.Equal(t, []map[string]any{first, made}, items(n.get(of)))
	made["description"] = "e"
	require.Equal(t, made, n.say(200, "PATCH", at, `{"description":"e","config_source":{"file_path":".circleci/config.yml"}}`))
	n.say(409, "POST", of, `{"name":"app"}`)
	for body, says := range map[string]string{
		``: "name is required",
		`{"name":"x","config_source":{"repo":{"external_id":"123"}}}`:   "config_source must be the project's own repository, with the external_id acme/shop.",
		`{"name":"x","checkout_source":{"repo":{"external_id":"123"}}}`: "checkout_source must be",
		`{"name":"x","config_source":{"file_path":"ci.yml"}}`:           "this server reads no other file",
		`{"name":"x","config_source":{"provider":"svn"}}`:               "github_app or github_server",
	} {
		require.Contains(t, n.say(400, "POST", of, body)["message"], says)
	}
	n.say(200, "DELETE", at, "")
	require.Equal(t, "Pipeline definition not found", n.say(404, "GET", at, "")["message"])
	n.say(404, "GET", "/projects/"+ci.NewID()+"/pipeline-definitions", "")

	// The code host's own number is known.
	p := n.world.now
	p.RepoID, p.CloneURL = "4711", "git@ghe.example:acme/shop.git"
	require.NoError(t, n.world.db.PutProject(t.Context(), p))
	config := items(n.get(of))[0]["config_source"].(map[string]any)
	require.Equal(t, "github_server", config["provider"])
	require.Equal(t, map[string]any{"external_id": "4711", "full_name": "acme/shop"}, config["repo"])
}

func TestTriggers(t *testing.T) {
	n := newTown(t)
	id := string(n.world.now.ID)
	of := "/projects/" + id + "/pipeline-definitions/" + natural(n) + "/triggers"
	at := func(v map[string]any) string { return "/projects/" + id + "/triggers/" + v["id"].(string) }
	require.Empty(t, n.get(of)["items"], "nobody follows it")

	// To be followed is to have a trigger, and the other way around.
	n.say(201, "POST", "/project/"+slug, "")
	byNature := items(n.get(of))[0]
	require.Equal(t, "all-pushes", byNature["event_preset"])
	n.say(200, "DELETE", at(byNature), "")
	require.Empty(t, n.get(of)["items"])
	push := n.say(201, "POST", of, `{"event_source":{"provider":"github_app","repo":{"external_id":"acme/shop"}},"event_preset":"all-pushes","disabled":false}`)
	require.Equal(t, []bool{true, false, true}, n.followed)
	require.Equal(t, false, push["disabled"])
	require.Equal(t, push, n.get(at(push)))
	require.Equal(t, true, n.say(200, "PATCH", at(push), `{"disabled":true}`)["disabled"])
	require.False(t, n.followed[len(n.followed)-1])
	n.say(200, "PATCH", at(push), `{"disabled":false}`)
	second := n.say(201, "POST", of, `{"event_source":{"provider":"github_server"}}`)
	require.Len(t, n.followed, 5, "it is followed already")
	n.say(200, "DELETE", at(push), "")
	require.Len(t, n.followed, 5, "the other one still stands")
	n.say(200, "DELETE", at(second), "")
	require.False(t, n.followed[len(n.followed)-1])

	// A schedule is a scheduled pipeline.
	cron := n.say(201, "POST", of, `{"event_source":{"provider":"schedule","schedule":{"cron_expression":"0 3 * * *","attribution_actor":"current"}},`+
		`"event_name":"night","checkout_ref":"refs/heads/main","config_ref":"refs/heads/main","parameters":{"n":3,"branch":"x"}}`)
	require.Equal(t, map[string]any{"cron_expression": "0 3 * * *", "attribution_actor": map[string]any{"id": ada.ID}}, cron["event_source"].(map[string]any)["schedule"])
	s := items(n.get("/project/" + slug + "/schedule"))[0]
	require.Equal(t, "night", s["name"])
	require.Equal(t, map[string]any{"cron": "0 3 * * *"}, s["timetable"])
	require.Equal(t, map[string]any{"branch": "main", "n": 3.0}, s["parameters"])
	n.say(200, "PATCH", at(cron), `{"checkout_ref":"refs/tags/v1","config_ref":"","event_name":"tagged"}`)
	s = items(n.get("/project/" + slug + "/schedule"))[0]
	require.Equal(t, "tagged", s["name"])
	require.Equal(t, map[string]any{"tag": "v1", "n": 3.0}, s["parameters"])
	n.say(200, "PATCH", at(cron), `{"disabled":true}`)
	require.Empty(t, n.get("/project/" + slug + "/schedule")["items"])
	n.say(200, "PATCH", at(cron), `{"disabled":false}`)
	require.Len(t, n.get("/project/" + slug + "/schedule")["items"], 1)
	n.say(200, "DELETE", "/schedule/"+items(n.get("/project/" + slug + "/schedule"))[0]["id"].(string), "")
	require.Equal(t, true, n.get(at(cron))["disabled"], "it was deleted under its other name")
	n.say(200, "PATCH", at(cron), `{"disabled":false}`)
	require.Len(t, n.get("/project/" + slug + "/schedule")["items"], 1)

	for body, says := range map[string]string{
		``: "The provider of event_source", `{"event_source":{"provider":"webhook"}}`: "takes no other events",
		`{"event_source":{"provider":"github_app"},"event_preset":"only-tags"}`:                                                                    "must be all-pushes",
		`{"event_source":{"provider":"github_app","repo":{"external_id":"1"}}}`:                                                                    "own repository",
		`{"event_source":{"provider":"github_app"},"checkout_ref":"main"}`:                                                                         "its own commit",
		`{"event_source":{"provider":"github_app"},"parameters":{"a":1}}`:                                                                          "no parameters",
		`{"event_source":{"provider":"schedule"}}`:                                                                                                 "cron_expression",
		`{"event_source":{"provider":"schedule","schedule":{"cron_expression":"* * * * *"}}}`:                                                      "event_name",
		`{"event_source":{"provider":"schedule","schedule":{"cron_expression":"* * * * *"}},"event_name":"x"}`:                                     "checkout_ref",
		`{"event_source":{"provider":"schedule","schedule":{"attribution_actor":"bob"}}}`:                                                          "attribution_actor",
		`{"event_source":{"provider":"schedule","schedule":{"cron_expression":"* * * * *"}},"event_name":"x","checkout_ref":"a","config_ref":"b"}`: "config_ref must be checkout_ref",
	} {
		require.Contains(t, n.say(400, "POST", of, body)["message"], says)
	}
	n.say(200, "DELETE", at(cron), "")
	require.Empty(t, n.get("/project/" + slug + "/schedule")["items"])
	require.Equal(t, "Trigger not found", n.say(404, "GET", at(cron), "")["message"])

	// A definition takes its triggers along.
	other := n.say(201, "POST", "/projects/"+id+"/pipeline-definitions", `{"name":"other"}`)["id"].(string)
	push = n.say(201, "POST", "/projects/"+id+"/pipeline-definitions/"+other+"/triggers", `{"event_source":{"provider":"github_app"}}`)
	require.Empty(t, n.get(of)["items"])
	n.say(200, "DELETE", "/projects/"+id+"/pipeline-definitions/"+other, "")
	n.say(404, "GET", at(push), "")
	require.False(t, n.followed[len(n.followed)-1])
}

func TestPipelineRun(t *testing.T) {
	n := newTown(t)
	of := "/project/circleci/acme/" + string(n.world.now.ID) + "/pipeline/run"
	run := n.say(201, "POST", of, `{"definition_id":"`+natural(n)+`","config":{"branch":"dev"},"checkout":{"branch":"dev"},"parameters":{"a":"b"}}`)
	require.Equal(t, "pending", run["state"])
	p := n.compiledPipeline(run)
	require.Equal(t, "dev", p.Trigger.Branch)
	require.Equal(t, map[string]any{"a": "b"}, p.Trigger.Parameters)
	require.Equal(t, "v1", n.compiledPipeline(n.say(201, "POST", of, `{"config":{"tag":"v1"}}`)).Trigger.Tag)
	require.Equal(t, "main", n.compiledPipeline(n.say(201, "POST", "/project/"+slug+"/pipeline/run", "")).Trigger.Branch)
	for _, body := range []string{
		`{"config":{"branch":"a"},"checkout":{"branch":"b"}}`, `{"config":{"content":"version: 2.1"}}`, `{"checkout":{"branch":"a","tag":"b"}}`,
		`{"checkout":{"branch":"--x"}}`, `{"parameters":{"a":{}}}`, `{"checkout":{"branch":"none"}}`,
	} {
		n.say(400, "POST", of, body)
	}
	n.say(404, "POST", of, `{"definition_id":"`+ci.NewID()+`"}`)
	n.say(404, "POST", "/project/circleci/acme/"+ci.NewID()+"/pipeline/run", "")
}

// compiledPipeline waits for the pipeline of a reply.
func (n *town) compiledPipeline(v map[string]any) ci.Pipeline {
	return n.world.compiled(ci.PipelineID(v["id"].(string)))
}

// TestA037_ForeignOrbs: who does not belong to an organisation compiles nothing
// with its private orbs.
func TestA037_ForeignOrbs(t *testing.T) {
	n := newTown(t)
	org := n.get("/organization/gh/acme")["id"].(string)
	for _, refuse := range []error{ci.ErrDenied, ci.ErrNotFound} {
		n.refuse = refuse
		for _, owner := range []string{org, "gh/acme", "github/acme"} {
			r := n.call("POST", "/api/v2/compile-config-with-defaults", `{"config_yaml":"version: 2.1","options":{"owner_id":"`+owner+`"}}`)
			require.Contains(t, []int{403, 404}, r.StatusCode, owner)
		}
	}
	require.Empty(t, n.compiled.Source, "nothing was compiled")
}

// TestA037_CompilesAreFew: nobody has more than a few texts compiled at once.
func TestA037_CompilesAreFew(t *testing.T) {
	began, end := make(chan struct{}), make(chan struct{})
	n := newTown(t, func(c *api.Config) {
		c.Chapters.Compile = func(context.Context, api.CompileRequest) (string, error) {
			began <- struct{}{}
			<-end
			return "", nil
		}
	})
	send := func() int {
		return n.call("POST", "/api/v2/compile-config-with-defaults", `{"config_yaml":"version: 2.1"}`).StatusCode
	}
	statuses := make(chan int, 4)
	for range 4 {
		go func() { statuses <- send() }()
		<-began
	}
	require.Equal(t, 429, send())
	close(end)
	for range 4 {
		require.Equal(t, 200, <-statuses)
	}
}

// TestA121_ClaimsOfAnotherOrg: the address of an organisation leads to its own
// projects only.
func TestA121_ClaimsOfAnotherOrg(t *testing.T) {
	n := newTown(t)
	project := string(n.world.now.ID)
	n.say(200, "GET", "/org/gh%2Facme/project/"+project+"/oidc-custom-claims", "")
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		n.say(404, method, "/org/gh%2Fempty/project/"+project+"/oidc-custom-claims", `{"ttl":"1h"}`)
	}
}

func TestCompile(t *testing.T) {
	n := newTown(t)
	const path = "/compile-config-with-defaults"
	org := n.get("/organization/gh/acme")["id"].(string)

	// By the answer to an empty request the classic command line goes.
	for _, body := range []string{``, `{}`, `null`, `{"config_yaml":""}`, `{`} {
		n.say(400, "POST", path, body)
	}
	r := n.call("POST", "/api/v2"+path, "", func(r *http.Request) { r.Header.Set("Content-Type", "application/json") })
	require.Equal(t, 400, r.StatusCode)

	got := n.say(200, "POST", path, `{"config_yaml":"version: 2.1","options":{"owner_id":"`+org+`","next":true,"unknown":[1],`+
		`"pipeline_parameters":{"n":7,"l":[1,1.5]},"pipeline_values":{"pipeline.git.branch":"main","pipeline.number":1,"pipeline.git.branch.is_default":true,"big":1e300}}}`)
	require.Equal(t, map[string]any{"valid": true, "source-yaml": "version: 2.1", "output-yaml": "version: 2\n", "errors": []any{}}, got)
	require.Empty(t, cmp.Diff(api.CompileRequest{
		Source: "version: 2.1", Org: orgSlug, Parameters: map[string]any{"n": int64(7), "l": []any{int64(1), 1.5}},
		Values: map[string]any{"pipeline.git.branch": "main", "pipeline.number": int64(1), "pipeline.git.branch.is_default": true, "big": 1e300},
	}, n.compiled))
	n.say(200, "POST", path, `{"config_yaml":"version: 2.1","options":{"owner_id":"github/acme"}}`)
	require.Equal(t, orgSlug, n.compiled.Org)
	n.say(404, "POST", path, `{"config_yaml":"version: 2.1","options":{"owner_id":"`+ci.NewID()+`"}}`)

	got = n.say(200, "POST", path, `{"config_yaml":"broken"}`)
	require.Equal(t, map[string]any{"valid": false, "source-yaml": "broken", "output-yaml": "", "errors": []any{
		map[string]any{"message": "config.yml:1:1: no such thing"}, map[string]any{"message": "config.yml:2:1: nor this"},
	}}, got)
	n.say(200, "POST", path, `{"config_yaml":"`+strings.Repeat("x", 2<<20)+`"}`)

	down := newTown(t, func(c *api.Config) {
		c.Chapters.Compile = func(context.Context, api.CompileRequest) (string, error) { return "", errors.New("disk") }
	})
	require.Equal(t, "Internal server error", down.say(500, "POST", path, `{"config_yaml":"x"}`)["message"])
}

func TestContinue(t *testing.T) {
	n := newTown(t)
	post := func(status int, body string) {
		t.Helper()
		r := n.call("POST", "/api/v2/pipeline/continue", body, func(r *http.Request) { r.Header.Del("Circle-Token") })
		require.Equal(t, status, r.StatusCode, r.body)
		require.NotEmpty(t, n.decode(r)["message"])
	}
	for _, body := range []string{
		``, `{"continuation-key":"the-key"}`, `{"configuration":"x"}`, `{"continuation-key":"the-key","configuration":"x","parameters":{"a":[]}}`,
	} {
		post(400, body)
	}
	post(404, `{"continuation-key":"another","configuration":"version: 2.1"}`)
	post(200, `{"continuation-key":"the-key","configuration":"version: 2.1","parameters":{"a":true}}`)
	post(409, `{"continuation-key":"the-key","configuration":"version: 2.1"}`)
}
