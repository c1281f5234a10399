package web_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
)

// sends sends a form and returns the answer's page.
func sends(t *testing.T, w *world, path string, fields ...string) (code int, location, body string) {
	t.Helper()
	f := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		f.Add(fields[i], fields[i+1])
	}
	r := httptest.NewRequest("POST", path, strings.NewReader(f.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	res, body := ask(t, w.handler(), r)
	return res.StatusCode, res.Header.Get("Location"), body
}

const shop = "/local/home/shop"

func TestSettings_General(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	furnish(w)
	code, to, _ := sends(t, w, "/settings/advanced"+shop, "do", "save", "auto_cancel", "1", "no_ssh", "1", "pull_request_exempt", " release  next ")
	require.Equal(t, 303, code)
	require.Equal(t, "/settings/advanced"+shop+"?done=settings", to)
	p, err := w.db.Project(w.ctx, w.project.ID)
	require.NoError(t, err)
	require.Equal(t, ci.Settings{AutoCancel: true, NoSSH: true, PullRequestExempt: []string{"release", "next"}}, p.Settings)
	require.Equal(t, w.project.CloneURL, p.CloneURL, "the rest stays")
	_, body := get(t, w.handler(), to)
	require.Contains(t, body, "The settings are saved.")
	require.Contains(t, body, `name="auto_cancel" value="1" checked`)
	require.NotContains(t, body, `name="open" value="1" checked`)

	code, _, _ = sends(t, w, "/settings/advanced"+shop, "do", "follow")
	require.Equal(t, 303, code)
	p, _ = w.db.Project(w.ctx, w.project.ID)
	require.True(t, p.Followed)
	code, to, _ = sends(t, w, "/settings/advanced"+shop, "do", "unfollow")
	require.Equal(t, 303, code)
	require.Contains(t, to, "done=unfollowed")
	code, _, _ = sends(t, w, "/settings/advanced"+shop, "do", "explode")
	require.Equal(t, 404, code)
}

// Whoever saves settings that somebody else has changed meanwhile is told, and
// undoes nothing.
func TestSettings_NoLostUpdate(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	furnish(w)
	const path = "/settings/advanced" + shop
	seen := func() string {
		_, body := get(t, w.handler(), path)
		return regexp.MustCompile(`name="seen" value="([0-9a-f]+)"`).FindStringSubmatch(body)[1]
	}
	one := seen()
	code, _, _ := sends(t, w, path, "do", "save", "seen", one, "no_ssh", "1")
	require.Equal(t, 303, code)
	code, _, body := sends(t, w, path, "do", "save", "seen", one, "auto_cancel", "1")
	require.Equal(t, 409, code)
	require.Contains(t, body, "omebody else has saved others")
	require.Contains(t, body, `name="no_ssh" value="1" checked`, "it shows theirs")
	p, err := w.db.Project(w.ctx, w.project.ID)
	require.NoError(t, err)
	require.True(t, p.NoSSH)
	require.False(t, p.AutoCancel)
	code, _, _ = sends(t, w, path, "do", "save", "seen", seen(), "no_ssh", "1", "auto_cancel", "1")
	require.Equal(t, 303, code)
}

// SEC-02: a value is never shown again, not even to who has just typed it.
func TestSEC02_Variables(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	_, kept, _ := furnish(w)
	path := "/settings/variables" + shop
	code, to, _ := sends(t, w, path, "do", "set", "name", " NPM_TOKEN ", "value", "hunter2hunter2")
	require.Equal(t, 303, code)
	require.Equal(t, "hunter2hunter2", kept.values["NPM_TOKEN"])
	_, body := get(t, w.handler(), to)
	require.Contains(t, body, "NPM_TOKEN")
	require.Contains(t, body, "xxxxter2")
	require.NotContains(t, body, "hunter2hunter2")

	code, _, body = sends(t, w, path, "do", "set", "name", "CIRCLE_BRANCH", "value", "hunter2hunter2")
	require.Equal(t, 400, code)
	require.Contains(t, body, "choose another name")
	require.Contains(t, body, `value="CIRCLE_BRANCH"`, "what was typed is there for another try")
	require.NotContains(t, body, "hunter2hunter2")

	code, _, _ = sends(t, w, path, "do", "import", "lines", "# all\r\nexport A=1\r\nB = \"x y\"\r\n\r\nC='q=='\r\nD=")
	require.Equal(t, 303, code)
	require.Equal(t, "1|x y|q==|", strings.Join([]string{kept.values["A"], kept.values["B"], kept.values["C"], kept.values["D"]}, "|"))
	code, _, body = sends(t, w, path, "do", "import", "lines", "E=1\nsecret hunter3hunter3")
	require.Equal(t, 400, code)
	require.Contains(t, body, "Import variables: line 2 is not NAME=value; nothing was set.")
	require.NotContains(t, body, "hunter3")
	require.NotContains(t, kept.values, "E")
	code, _, body = sends(t, w, path, "do", "import", "lines", "F=1\nCIRCLE_X=1")
	require.Equal(t, 400, code)
	require.Contains(t, body, "1 of 2 variables are set")

	code, _, _ = sends(t, w, path, "do", "delete-variable", "name", "NPM_TOKEN")
	require.Equal(t, 303, code)
	_, body = get(t, w.handler(), path)
	require.NotContains(t, body, "NPM_TOKEN</bdi>")
	code, _, _ = sends(t, w, path, "do", "set", "name", "BIG", "value", strings.Repeat("v", 32_000))
	require.Equal(t, 303, code, "as large as a value may be")
}

func TestSettings_Keys(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	furnish(w)
	path := "/settings/keys" + shop
	code, _, _ := sends(t, w, path, "do", "create", "kind", "deploy-key")
	require.Equal(t, 303, code)
	code, _, _ = sends(t, w, path, "do", "create", "kind", "master-key")
	require.Equal(t, 400, code)
	code, _, body := sends(t, w, path, "do", "add", "host", "deploy.example", "private", "ssh-ed25519 AAAA canary")
	require.Equal(t, 400, code)
	require.Contains(t, body, "paste the whole private key")
	require.Contains(t, body, "deploy.example")
	require.NotContains(t, body, "canary")
	code, _, _ = sends(t, w, path, "do", "add", "host", "deploy.example", "private", "-----BEGIN OPENSSH PRIVATE KEY-----\r\nAAAA\r\n-----END OPENSSH PRIVATE KEY-----")
	require.Equal(t, 303, code)
	_, body = get(t, w.handler(), path)
	require.Contains(t, body, "used by checkout")
	require.Contains(t, body, "For <bdi>deploy.example</bdi>")
	code, _, _ = sends(t, w, path, "do", "delete", "fingerprint", strings.Repeat("01:", 15)+"01")
	require.Equal(t, 303, code)
}

func TestSettings_Schedules(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	furnish(w)
	w.as("ada")
	path := "/settings/schedules" + shop
	good := []string{"name", "nightly", "ref", "main", "ref_kind", "branch", "mode", "simple", "per_hour", "1", "hour", "3", "hour", "4", "day", "FRI", "day", "MON", "day", "TUE", "parameters", "deploy=true\nn=3\ns=x", "as", "me"}
	code, _, body := sends(t, w, path, append([]string{"do", "preview"}, good...)...)
	require.Equal(t, 200, code)
	require.Contains(t, body, "It runs at 03:00 and 04:00 UTC, on Monday, Tuesday and Friday.")
	require.Contains(t, body, "03:00 UTC</li>")
	code, to, _ := sends(t, w, path, append([]string{"do", "save"}, good...)...)
	require.Equal(t, 303, code, body)
	_, body = get(t, w.handler(), to)
	require.Contains(t, body, "The schedule is saved.")
	all, _ := w.cfg.Chapters.Schedules.Schedules(w.ctx, w.project.ID)
	require.Equal(t, map[string]any{"branch": "main", "deploy": true, "n": int64(3), "s": "x"}, all[0].Parameters)
	require.Equal(t, "ada", all[0].Actor.Login)
	_, body = get(t, w.handler(), path+"?edit="+all[0].ID)
	require.Contains(t, body, "deploy=true\nn=3\ns=x")
	require.Contains(t, body, `value="nightly"`)

	for _, bad := range [][]string{
		{"name", "x", "mode", "simple", "per_hour", "1", "day", "MON"},
		{"name", "x", "mode", "simple", "per_hour", "1", "hour", "3"},
		{"name", "x", "mode", "simple", "per_hour", "often"},
		{"name", "x", "mode", "simple", "per_hour", "1", "hour", "99"},
		{"mode", "cron", "cron", "0 3 * * *"},
		{"name", "x", "mode", "cron", "cron", "0 3 * * *", "parameters", "nonsense"},
	} {
		code, _, body = sends(t, w, path, append([]string{"do", "save", "ref", "main"}, bad...)...)
		require.Equal(t, 400, code, bad)
		require.Contains(t, body, `role="alert"`)
	}
	code, _, body = sends(t, w, path, "do", "preview", "name", "x", "mode", "cron", "cron", "0 3", "ref", "main")
	require.Equal(t, 200, code)
	require.Contains(t, body, "A cron line has five fields.")
	code, _, _ = sends(t, w, path, "do", "delete", "id", all[0].ID)
	require.Equal(t, 303, code)
	code, _, _ = sends(t, w, path, "do", "delete", "id", all[0].ID)
	require.Equal(t, 404, code)
}

func TestSettings_Webhooks(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	_, _, hooks := furnish(w)
	path := "/settings/webhooks" + shop
	code, to, _ := sends(t, w, path, "do", "save", "name", "board", "url", "https://hooks.example/x", "event", "job-completed", "verify", "1", "secret", "s3cretvalue")
	require.Equal(t, 303, code)
	id := hooks.all[0].ID
	require.Equal(t, path+"?hook="+id+"&done=webhook", to)
	_, body := get(t, w.handler(), to)
	require.Contains(t, body, "****alue")
	require.NotContains(t, body, "s3cretvalue")
	code, to, _ = sends(t, w, path, "do", "ping", "id", id)
	require.Equal(t, 303, code)
	_, body = get(t, w.handler(), to)
	require.Contains(t, body, "The test message was delivered.")
	code, _, _ = sends(t, w, path, "do", "save", "id", id, "name", "board", "url", "https://down.example/", "event", "job-completed")
	require.Equal(t, 303, code)
	require.Equal(t, "****alue", hooks.all[0].Secret, "an empty secret leaves it")
	require.True(t, hooks.all[0].NoVerify)
	code, _, body = sends(t, w, path, "do", "ping", "id", id)
	require.Equal(t, 400, code)
	require.Contains(t, body, "connection refused. Look at the address")
	require.Contains(t, body, "given up")
	for _, bad := range [][]string{
		{"name", "x", "url", "javascript:alert(1)", "event", "job-completed"}, {"name", "x", "url", "https://a.example"},
		{"url", "https://a.example", "event", "job-completed"},
	} {
		code, _, _ = sends(t, w, path, append([]string{"do", "save"}, bad...)...)
		require.Equal(t, 400, code, bad)
	}
	hooks.all[0].Project = "another"
	for _, verb := range []string{"ping", "delete", "save"} {
		code, _, _ = sends(t, w, path, "do", verb, "id", id)
		require.Equal(t, 404, code, "one of another project")
	}
	res, _ := get(t, w.handler(), path+"?hook="+id)
	require.Equal(t, 404, res.StatusCode)
}

// A token is shown once, on the answer to the form that made it, and is in no
// address.
func TestTokens(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	furnish(w)
	w.as("ada")
	for path, token := range map[string]string{"/settings/tokens" + shop: "rondo_project_0123456789abcdef", "/account": "rondo_own_0123456789abcdef"} {
		code, _, body := sends(t, w, path, "do", "create", "label", " a robot ", "scope", "status")
		require.Equal(t, 200, code)
		require.Contains(t, body, token)
		require.Contains(t, body, "<b><bdi>a robot</bdi></b>")
		_, body = get(t, w.handler(), path)
		require.NotContains(t, body, token)
		code, _, body = sends(t, w, path, "do", "create", "label", " ")
		require.Equal(t, 400, code)
		require.Contains(t, body, "say in a few words what it is for")
		id := regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(body)[1]
		code, to, _ := sends(t, w, path, "do", "delete", "id", id)
		require.Equal(t, 303, code)
		_, body = get(t, w.handler(), to)
		require.Contains(t, body, "The token is deleted.")
		require.NotContains(t, body, "a robot")
		code, _, _ = sends(t, w, path, "do", "explode")
		require.Equal(t, 404, code)
	}
}

func TestContexts(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	kept, values, _ := furnish(w)
	code, to, _ := sends(t, w, "/orgs/local/home", "name", "deploy")
	require.Equal(t, 303, code)
	code, _, body := sends(t, w, "/orgs/local/home", "name", "deploy")
	require.Equal(t, 409, code)
	require.Contains(t, body, "is taken")
	code, _, _ = sends(t, w, "/orgs/local/home", "name", " ")
	require.Equal(t, 400, code)
	path, _, _ := strings.Cut(to, "?")
	require.Equal(t, "/contexts/"+string(kept.all[0].ID), path)
	_, body = get(t, w.handler(), to)
	require.Contains(t, body, "every job of every project of")
	code, _, _ = sends(t, w, path, "do", "set", "name", "KEY", "value", "canarycanary")
	require.Equal(t, 303, code)
	require.Equal(t, "canarycanary", values.values["KEY"])
	code, _, _ = sends(t, w, path, "do", "restrict", "kind", "project", "value", string(w.project.ID))
	require.Equal(t, 303, code)
	code, _, body = sends(t, w, path, "do", "restrict", "kind", "expression", "value", `nonsense == "main"`)
	require.Equal(t, 400, code)
	require.Contains(t, body, "there is no value nonsense")
	require.Contains(t, body, `value="nonsense == &#34;main&#34;"`)
	code, _, _ = sends(t, w, path, "do", "restrict", "kind", "moon", "value", "x")
	require.Equal(t, 400, code)
	_, body = get(t, w.handler(), path)
	require.Contains(t, body, "<bdi>local/home/shop</bdi>", "a restriction to a project shows its name")
	require.NotContains(t, body, "every job of every project of")
	require.NotContains(t, body, "canarycanary")
	code, _, _ = sends(t, w, path, "do", "unrestrict", "restriction", kept.limits[0].ID)
	require.Equal(t, 303, code)

	code, _, body = sends(t, w, path, "do", "delete", "typed", "deplo")
	require.Equal(t, 400, code)
	require.Contains(t, body, "nothing was deleted")
	require.Len(t, kept.all, 1)
	code, to, _ = sends(t, w, path, "do", "delete", "typed", "deploy")
	require.Equal(t, 303, code)
	require.Equal(t, "/orgs/local/home?done=context-gone", to)
	require.Empty(t, kept.all)
	res, _ := get(t, w.handler(), "/orgs/local/elsewhere")
	require.Equal(t, 404, res.StatusCode)
}

func TestProjects_SearchAndFollow(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	furnish(w)
	for i := range 60 {
		slug := fmt.Sprintf("gh/acme/repo-%02d", i)
		require.NoError(t, w.db.PutProject(w.ctx, ci.Project{ID: ci.ProjectID(ci.NewID()), Slug: slug, Org: "acme", Repo: "r"}))
	}
	w.run()
	_, body := get(t, w.handler(), "/projects")
	require.Contains(t, body, "repo-49")
	require.NotContains(t, body, "repo-50")
	_, body = get(t, w.handler(), "/projects?after=gh%2Facme%2Frepo-49")
	require.Contains(t, body, "repo-50")
	require.Contains(t, body, "local/home/shop")
	_, body = get(t, w.handler(), "/projects?q=SHOP")
	require.Contains(t, body, "local/home/shop")
	require.Contains(t, body, "#1 ")
	require.NotContains(t, body, "repo-")
	code, to, _ := sends(t, w, "/projects", "slug", "/gh/acme/new/")
	require.Equal(t, 303, code)
	require.Equal(t, "/projects/gh/acme/new?done=followed", to)
	_, body = get(t, w.handler(), to)
	require.Contains(t, body, "No pipelines yet")
	require.Contains(t, body, "version: 2.1")
	code, _, body = sends(t, w, "/projects", "slug", "acme")
	require.Equal(t, 400, code)
	require.Contains(t, body, "host/organisation/name")
	code, _, body = sends(t, w, "/projects", "slug", "gh/forbidden/x")
	require.Equal(t, 403, code)
	require.Contains(t, body, "you do not administer it")
	w.cfg.Chapters.Follow = nil
	code, _, _ = sends(t, w, "/projects", "slug", "gh/acme/new")
	require.Equal(t, 404, code)
}

// What this installation does not have is not linked, and says why it is not
// there.
func TestChapters_Absent(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	p, flows := w.run()
	_ = p
	job := web.JobPath(w.project, w.job(flows[0].ID, "a").Number)
	for path, what := range map[string]string{
		"/settings/advanced": "project settings", "/settings/variables": "variables of projects", "/settings/keys": "SSH keys",
		"/settings/schedules": "schedules", "/settings/webhooks": "webhooks", "/settings/badges": "status badges", "/insights": "insights", "/settings/tokens": "tokens of projects",
	} {
		res, body := get(t, w.handler(), path+shop)
		require.Equal(t, 404, res.StatusCode, path)
		require.Contains(t, body, "This installation has no "+what, path)
	}
	for _, path := range []string{"/queue", "/nodes", "/audit", "/contexts/x", "/account", job + "/test?name=x"} {
		res, body := get(t, w.handler(), path)
		require.Equal(t, 404, res.StatusCode, path)
		require.Contains(t, body, "This installation has no", path)
	}
	res, _ := get(t, w.handler(), "/settings/moon"+shop)
	require.Equal(t, 404, res.StatusCode)
	_, body := get(t, w.handler(), "/projects"+shop)
	for _, word := range []string{"Settings", "Insights", "Queue", "Nodes", "Audit log", "Organisations", "Follow"} {
		require.NotContains(t, body, ">"+word+"<")
	}
}

// Who may not read a project finds nothing of it on any page, and who may not
// change it changes nothing.
func TestChapters_May(t *testing.T) {
	w := newWorld(t, demoPlan())
	furnish(w)
	id := demo(w)
	var refuse error
	writes := false
	w.cfg.Chapters.May = func(_ context.Context, _ ci.Actor, _ ci.Project, write bool) error {
		if writes && !write {
			return nil
		}
		return refuse
	}
	h := w.handler()
	pages := crawl(t, h, "/")
	refuse = ci.ErrNotFound
	for path, page := range pages {
		if !page.isPage() || strings.HasPrefix(path, "/assets/") {
			continue
		}
		_, body := get(t, h, path)
		require.NotContains(t, body, "home/shop", path)
		require.NotContains(t, body, "coupon was refused", path)
	}
	writes, refuse = true, ci.ErrDenied
	for path, want := range map[string]int{
		web.WorkflowPath(id) + "/cancel": 403, "/projects" + shop: 403, "/settings/advanced" + shop: 403, "/settings/variables" + shop: 403,
		web.PipelinePath(w.workflow(id).Pipeline) + "/again": 403,
	} {
		require.Equal(t, want, post(t, h, path, "do=save").StatusCode, path)
	}
	require.Equal(t, ci.Running, w.workflow(id).Status)
	res, _ := get(t, h, "/projects"+shop)
	require.Equal(t, 200, res.StatusCode)
	w.cfg.Chapters.MayOrg = func(_ context.Context, _ ci.Actor, org string, _ bool) error {
		return fmt.Errorf("read %s: you are no member: %w", org, ci.ErrDenied)
	}
	res, body := get(t, w.handler(), "/orgs/local/home")
	require.Equal(t, 403, res.StatusCode)
	require.Contains(t, body, "you are no member")
}

// A form of another site changes no setting.
func TestSettings_RefuseOtherSites(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	c, v, _ := furnish(w)
	for _, path := range []string{"/settings/variables" + shop, "/orgs/local/home", "/contexts/x", "/projects"} {
		r := httptest.NewRequest("POST", path, strings.NewReader("do=set&name=A&value=b"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		res, _ := ask(t, w.handler(), r)
		require.Equal(t, 403, res.StatusCode, path)
	}
	require.Empty(t, v.values)
	require.Empty(t, c.all)
}
