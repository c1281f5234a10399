package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
	"github.com/rondo-ci/rondo/ci/api/graphql"
	"github.com/rondo-ci/rondo/ci/api/runner"
	"github.com/rondo-ci/rondo/ci/config/orb"
	"github.com/rondo-ci/rondo/ci/insights"
	"github.com/rondo-ci/rondo/ci/operator"
	"github.com/rondo-ci/rondo/ci/schedule"
	"github.com/rondo-ci/rondo/ci/secret"
	"github.com/rondo-ci/rondo/ci/web"
	"github.com/rondo-ci/rondo/ci/webhook"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// hub is a code host where subjects are called for what they may do.
type hub struct{}

func (hub) Name() string         { return "github" }
func (hub) Has(slug string) bool { return strings.HasPrefix(slug, "gh/") }

func (hub) Subject(id string) string { return id }

func (hub) Lookup(_ context.Context, subject string) (auth.Identity, error) {
	return auth.Identity{Provider: "github", Subject: subject, Login: subject}, nil
}

func (hub) Permission(_ context.Context, subject string, p ci.Project) (auth.Permission, error) {
	if p.Org != "acme" {
		return auth.NoPermission, nil
	}
	return map[string]auth.Permission{"reader": auth.Pull, "writer": auth.Push, "owner": auth.Administer}[subject], nil
}

func (hub) Orgs(_ context.Context, subject string) (map[string]bool, error) {
	if subject == "reader" || subject == "writer" || subject == "owner" {
		return map[string]bool{"gh/acme": subject == "owner"}, nil
	}
	return nil, nil
}

func (hub) Teams(context.Context, string, string) ([]string, error) { return nil, nil }

// seal seals nothing, but keeps values apart.
type seal struct{}

func (seal) Seal(_ context.Context, place []string, v []byte) (string, error) {
	return strings.Join(place, "|") + "|" + string(v), nil
}

func (seal) Open(_ context.Context, place []string, sealed string) ([]byte, error) {
	v, ok := strings.CutPrefix(sealed, strings.Join(place, "|")+"|")
	if !ok {
		return nil, errors.New("sealed elsewhere")
	}
	return []byte(v), nil
}

// ring is a keyring that takes roles, as rondo-server has it.
type ring struct{ u *auth.Users }

func (r ring) SealingKeys(ctx context.Context, by ci.Actor) ([]ci.SealingKey, error) {
	return nil, r.u.Allowed(ctx, by, auth.RoleRead)
}

func (r ring) RotateKeys(ctx context.Context, by ci.Actor) (ci.SealingKey, error) {
	return ci.SealingKey{}, r.u.Allowed(ctx, by, auth.RoleWrite)
}

// counter is a directory as rondo-server shows it.
type counter struct{ u *auth.Users }

func (c counter) Settings(ctx context.Context, by ci.Actor) ([][2]string, error) {
	return nil, c.u.Allowed(ctx, by, auth.RoleRead)
}

func (c counter) Test(ctx context.Context, _, _ string, by ci.Actor) (web.DirectoryTest, error) {
	return web.DirectoryTest{}, c.u.Allowed(ctx, by, auth.RoleWrite)
}

func (c counter) Matches(ctx context.Context, by ci.Actor) ([]ci.Match, error) {
	return c.u.Matches(ctx, "ldap", by)
}

func (c counter) Link(ctx context.Context, id, login string, by ci.Actor) error {
	_, err := c.u.Link(ctx, id, "ldap", login, by)
	return err
}

func (c counter) Unlink(ctx context.Context, id string, by ci.Actor) error {
	return c.u.Unlink(ctx, id, "ldap", by)
}

// shelf is a directory with everybody in it who is looked for.
type shelf struct{ auth.Provider }

func (shelf) Name() string { return "ldap" }

func (shelf) Find(_ context.Context, _, logins []string) (all []auth.Identity, err error) {
	for _, l := range logins {
		all = append(all, auth.Identity{Provider: "ldap", Subject: l, Login: l})
	}
	return all, nil
}

func (shelf) Lookup(_ context.Context, subject string) (auth.Identity, error) {
	return auth.Identity{Provider: "ldap", Subject: subject, Login: subject}, nil
}

const operatorToken = "rondo_of_the_data_folder"

// A town is all that a server answers, behind a gate.
type town struct {
	t      *testing.T
	users  *auth.Users
	tokens *auth.Tokens
	mux    *http.ServeMux
	token  string // of who asks
	ids    map[string]string
}

func newTown(t *testing.T) *town {
	ctx := t.Context()
	db := memdb.New()
	n := &town{t: t, mux: http.NewServeMux(), tokens: auth.NewTokens(db), ids: map[string]string{}}
	local := auth.NewLocal(db)
	_, err := local.SetPassword(ctx, "spare", "in case of fire")
	require.NoError(t, err)
	n.users = auth.NewUsers(db, auth.Config{Providers: []auth.Provider{local, shelf{}}, Hosts: []auth.Directory{hub{}}})
	orgs := func(context.Context) ([]string, error) { return []string{"gh/acme"}, nil }
	gate := auth.NewGate(n.users, n.tokens, auth.GateConfig{Hosts: []auth.Host{hub{}}, Operator: operatorToken, Orgs: orgs})
	p := ci.Project{ID: ci.ProjectID(ci.NewID()), Slug: "gh/acme/shop", Org: "acme", Repo: "shop", DefaultBranch: "main"}
	require.NoError(t, db.PutProject(ctx, p))
	plan := ci.Plan{Workflows: []ci.PlannedWorkflow{{Name: "main", Jobs: []ci.PlannedJob{
		{Name: "build", JobSpec: ci.JobSpec{Executor: ci.Executor{Kind: ci.ExecutorDocker}, Parallelism: 1}}, {Name: "hold", Type: ci.JobApproval},
	}}}}
	server := ci.New(db, ci.CompilerFunc(func(context.Context, ci.Project, ci.Pipeline) (ci.Plan, error) { return plan, nil }), ci.Config{})
	go func() { _ = server.Run(ctx) }()
	trigger := func(ctx context.Context, t ci.Trigger) (ci.Pipeline, error) {
		t.Revision = strings.Repeat("a", 40)
		return server.Trigger(ctx, t)
	}
	logs, err := storage.OpenLogs("", storage.LogsConfig{})
	require.NoError(t, err)
	bucket := memblob.OpenBucket(nil)
	t.Cleanup(func() { _ = bucket.Close(); _ = logs.Close() })
	files := storage.NewFiles(bucket, storage.FilesConfig{})
	safe := secret.New(db, seal{}, secret.Config{Groups: gate.Groups, Admin: gate.OrgAdmin, May: gate.MayOrg, Project: db.Project})
	clock := schedule.New(db, db, trigger, schedule.Config{May: gate.May})
	courier := webhook.New(db, db, webhook.Config{Keeper: seal{}})
	registry := orb.New(db, orb.Config{})
	signer, err := audit.NewSigner("town", []byte("0123456789abcdef"))
	require.NoError(t, err)
	book := audit.New(db, new(audit.Memory), signer, audit.Config{May: func(ctx context.Context, by ci.Actor) error {
		if n.users.Allowed(ctx, by, auth.RoleAuditor) == nil {
			return nil
		}
		return gate.Admin(ctx, by)
	}})
	yard := &yard{db: db}
	desk := operator.New(yard, yard, db, operator.Config{
		Line: yard.line, May: gate.May, CancelJob: server.CancelJob,
		Operator: func(ctx context.Context, by ci.Actor) error { return n.users.Allowed(ctx, by, auth.RoleOperator) },
	})
	follow := func(context.Context, string, bool, ci.Actor) (ci.Project, error) { return p, nil }
	compile := func(context.Context, api.CompileRequest) (string, error) { return "", nil }
	api.New(server, db, logs, files, api.Config{
		Auth: gate.API, May: gate.May, Trigger: trigger, User: gate.User,
		Chapters: api.Chapters{
			Contexts: safe, Variables: safe, Keys: safe, Schedules: clock, Webhooks: courier, Insights: insights.New(db, db, insights.Config{}),
			Tokens: n.tokens, Keyring: ring{n.users}, Users: n.users, Audit: book, Docs: db, PutProject: db.PutProject, Follow: follow, Orgs: gate.Orgs,
			MayOrg: gate.MayOrg, MaySettings: gate.MaySettings, Compile: compile, Operations: desk,
			Services: func(ctx context.Context, by ci.Actor) ([]ci.Service, error) {
				return nil, n.users.Allowed(ctx, by, auth.RoleOperator)
			},
			Continue: func(context.Context, string, string, map[string]any) error { return ci.ErrNotFound },
		},
	}).Mount(n.mux)
	n.mux.Handle("/graphql-unstable", graphql.New(registry, graphql.Config{
		Auth: gate.API, Orgs: gate.Orgs, MayOrg: gate.MayOrg, Admin: gate.Admin, Compile: compile, Contexts: safe, Variables: safe,
	}))
	n.mux.Handle("/api/v3/", runner.New(db, registry, runner.Config{Auth: gate.API, Orgs: gate.Orgs, MayOrg: gate.MayOrg}))
	n.mux.Handle("/", web.New(server, db, web.Config{
		Authorize: gate.Page, Logs: logs, Artifacts: files,
		Retrigger: func(ctx context.Context, p ci.Project, branch string, by ci.Actor) (ci.Pipeline, error) {
			return trigger(ctx, ci.Trigger{Project: p.ID, Branch: branch, Actor: by, Source: ci.SourceAPI})
		},
		Chapters: web.Chapters{
			Contexts: safe, Variables: safe, Keys: safe, Schedules: clock, Webhooks: courier, Tokens: n.tokens, Users: n.users, Audit: book, Directory: counter{n.users},
			PutProject: db.PutProject, Follow: follow, Orgs: gate.Orgs, May: gate.May, MayOrg: gate.MayOrg, MaySettings: gate.MaySettings,
		},
		Queue: web.Queue{
			Waiting:    func(context.Context, int) ([]ci.Ticket, int, error) { return nil, 0, nil },
			Operations: desk,
		},
	}))
	n.populate(p, func() {
		for e, err := range server.Follow(ctx, 0) {
			require.NoError(t, err)
			if e.Workflow != "" && e.Job != "" {
				return
			}
		}
	})
	return n
}

// as makes the one who asks: a person who is called so at the code host.
func (n *town) as(who, role string) {
	ctx := n.t.Context()
	if who == "stranger" {
		n.token = ""
		return
	}
	u, _, err := n.users.Enter(ctx, auth.Identity{Provider: "github", Subject: who, Login: who}, auth.Visit{})
	require.NoError(n.t, err)
	_, n.token, err = n.tokens.CreatePersonalToken(ctx, ci.Actor{ID: u.ID, Kind: ci.ActorUser, Login: who}, "t", time.Hour)
	require.NoError(n.t, err)
	_, err = n.users.SetRole(ctx, u.ID, role, auth.Operator)
	require.NoError(n.t, err)
	if who == "suspended" {
		_, err = n.users.Suspend(ctx, u.ID, true, auth.Operator)
		require.NoError(n.t, err)
	}
}

// ask makes a request and returns the status and the body. A stream ends by
// itself after a moment.
func (n *town) ask(method, path, kind, body string) (int, string) {
	ctx, cancel := context.WithTimeout(n.t.Context(), 50*time.Millisecond)
	defer cancel()
	if !strings.HasSuffix(path, "events") {
		ctx = n.t.Context()
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body)).WithContext(ctx)
	if body != "" {
		r.Header.Set("Content-Type", kind)
	}
	if n.token != "" {
		r.Header.Set("Circle-Token", n.token)
	}
	w := httptest.NewRecorder()
	n.mux.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Body)
	require.NoError(n.t, err)
	return w.Code, string(text)
}

// populate puts one of each into the town, by the operator.
func (n *town) populate(p ci.Project, started func()) {
	n.token = operatorToken
	say := func(method, path, body string) map[string]any {
		n.t.Helper()
		code, text := n.ask(method, "/api/v2"+path, "application/json", body)
		require.Less(n.t, code, 300, "%s %s: %s", method, path, text)
		var v map[string]any
		_ = json.Unmarshal([]byte(text), &v)
		return v
	}
	id := func(v map[string]any) string { return fmt.Sprint(v["id"]) }
	n.ids["project-id"], n.ids["project-slug"] = string(p.ID), "gh/acme/shop"
	n.ids["org-slug-or-id"] = id(say("GET", "/organization/gh/acme", ""))
	n.ids["context-id"] = id(say("POST", "/context", `{"name":"deploy","owner":{"id":"`+n.ids["org-slug-or-id"]+`","type":"organization"}}`))
	say("PUT", "/context/"+n.ids["context-id"]+"/environment-variable/KEY", `{"value":"abcdefgh"}`)
	n.ids["restriction-id"] = id(say("POST", "/context/"+n.ids["context-id"]+"/restrictions", `{"project_id":"`+n.ids["project-id"]+`"}`))
	say("POST", "/project/gh/acme/shop/envvar", `{"name":"KEY","value":"12345678"}`)
	n.ids["fingerprint"] = say("POST", "/project/gh/acme/shop/checkout-key", `{"type":"deploy-key"}`)["fingerprint"].(string)
	n.ids["schedule-id"] = id(say("POST", "/project/gh/acme/shop/schedule", nightly))
	n.ids["webhook-id"] = id(say("POST", "/webhook", `{"name":"w","url":"https://hooks.example/x","events":["job-completed"],"verify-tls":true,"signing-secret":"sesame-open","scope":{"id":"`+n.ids["project-id"]+`","type":"project"}}`))
	n.ids["pipeline-definition-id"] = id(say("POST", "/projects/"+n.ids["project-id"]+"/pipeline-definitions", `{"name":"other"}`))
	n.ids["trigger-id"] = id(say("POST", "/projects/"+n.ids["project-id"]+"/pipeline-definitions/"+n.ids["pipeline-definition-id"]+"/triggers", `{"event_source":{"provider":"github_app"},"event_preset":"all-pushes"}`))
	n.ids["allow-list-entry-id"] = id(say("POST", "/organization/"+n.ids["org-slug-or-id"]+"/url-orb-allow-list", `{"name":"ours","prefix":"https://orbs.example/"}`))
	n.ids["pipeline-id"] = id(say("POST", "/project/gh/acme/shop/pipeline", `{"branch":"main"}`))
	started()
	items := say("GET", "/pipeline/"+n.ids["pipeline-id"]+"/workflow", "")["items"].([]any)
	n.ids["workflow-id"] = id(items[0].(map[string]any))
	for _, j := range say("GET", "/workflow/"+n.ids["workflow-id"]+"/job", "")["items"].([]any) {
		job := j.(map[string]any)
		if job["type"] == "approval" {
			n.ids["approval-request-id"] = fmt.Sprint(job["approval_request_id"])
		} else {
			n.ids["job-id"] = id(job)
		}
	}
	token, _, err := n.tokens.CreateProjectToken(n.t.Context(), p.ID, ci.ScopeAll, "t", 0, auth.Operator)
	require.NoError(n.t, err)
	n.ids["token-id"] = token.ID
	u, _, err := n.users.Enter(n.t.Context(), auth.Identity{Provider: "github", Subject: "someone", Login: "someone"}, auth.Visit{})
	require.NoError(n.t, err)
	n.ids["user-id"], n.ids["id"] = u.ID, u.ID
	_, _, err = n.users.Enter(n.t.Context(), auth.Identity{Provider: "local", Subject: "spare", Login: "spare"}, auth.Visit{})
	require.NoError(n.t, err)
	first, _, err := n.users.Enter(n.t.Context(), auth.Identity{Provider: "github", Subject: "first", Login: "first"}, auth.Visit{})
	require.NoError(n.t, err)
	_, err = n.users.SetRole(n.t.Context(), first.ID, "all", auth.Operator)
	require.NoError(n.t, err)
}

const nightly = `{"name":"nightly","description":"every night","attribution-actor":"current","parameters":{"branch":"main","n":3},` +
	`"timetable":{"per-hour":1,"hours-of-day":[3],"days-of-week":["MON","TUE"]}}`
