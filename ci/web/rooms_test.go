package web_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/insights"
	"github.com/rondo-ci/rondo/ci/schedule"
	"github.com/rondo-ci/rondo/ci/secret"
	"github.com/rondo-ci/rondo/ci/secret/secrettest"
	"github.com/rondo-ci/rondo/ci/web"
	"github.com/rondo-ci/rondo/ci/webhook"
)

// The chapters as they are wired: the forms of the pages over the real rooms.
func TestRooms(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	w.as("ada")
	safe := secret.New(w.db, secrettest.New(), secret.Config{Project: w.db.Project})
	clock := schedule.New(w.db, w.db, w.server.Trigger, schedule.Config{})
	courier := webhook.New(w.db, w.db, webhook.Config{Keeper: secrettest.New(), Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	memory := insights.New(w.db, w.db, insights.Config{})
	own := auth.NewTokens(w.db)
	w.cfg.Chapters = web.Chapters{
		Tokens: own,
		Account: web.Account{
			List: func(ctx context.Context, owner ci.Actor) ([]web.PersonalToken, error) {
				var all []web.PersonalToken
				kept, err := own.PersonalTokens(ctx, owner)
				for _, one := range kept {
					all = append(all, web.PersonalToken{ID: one.ID, Label: one.Label, Created: one.Created, Expires: one.Expires, Used: one.Used})
				}
				return all, err
			},
			Create: func(ctx context.Context, owner ci.Actor, label string, life time.Duration) (string, error) {
				_, token, err := own.CreatePersonalToken(ctx, owner, label, life)
				return token, err
			},
			Delete: own.DeletePersonalToken,
		},
		Contexts: safe, Variables: safe, Keys: safe, Schedules: clock, Webhooks: courier,
		PutProject: w.db.PutProject, NextRuns: schedule.Preview,
	}
	w.cfg.Insights = memory

	goes := func(path string, fields ...string) string {
		t.Helper()
		code, to, body := sends(t, w, path, fields...)
		require.Equal(t, 303, code, "%s %v: %s", path, fields, text(body))
		res, body := get(t, w.handler(), to)
		require.Equal(t, 200, res.StatusCode, to)
		return body
	}
	refused := func(want, path string, fields ...string) {
		t.Helper()
		code, _, body := sends(t, w, path, fields...)
		require.Contains(t, []int{400, 403, 409}, code, path)
		require.Contains(t, body, want)
	}
	body := goes("/settings/variables"+shop, "do", "set", "name", "NPM_TOKEN", "value", "hunter2hunter2")
	require.Contains(t, body, "xxxxter2")
	refused("Set", "/settings/variables"+shop, "do", "set", "name", "9 lives", "value", "hunter2hunter2")
	goes("/settings/variables"+shop, "do", "import", "lines", "A=1\nB=2")
	goes("/settings/variables"+shop, "do", "delete-variable", "name", "A")

	body = goes("/settings/keys"+shop, "do", "create", "kind", "deploy-key")
	require.Contains(t, body, "used by checkout")
	refused("alert", "/settings/keys"+shop, "do", "add", "private", "-----BEGIN OPENSSH PRIVATE KEY-----\nnonsense\n-----END OPENSSH PRIVATE KEY-----")
	goes("/settings/keys"+shop, "do", "delete", "fingerprint", regexp.MustCompile(`name="fingerprint" value="([^"]+)"`).FindStringSubmatch(body)[1])

	body = goes("/settings/schedules"+shop, "do", "save", "name", "nightly", "ref", "main", "mode", "simple", "per_hour", "1", "hour", "3", "day", "MON", "day", "TUE", "day", "WED", "parameters", "n=3\ndeploy=true", "as", "me")
	require.Contains(t, body, "at 03:00 UTC, on Monday to Wednesday")
	require.Contains(t, body, "as <bdi>ada</bdi>")
	code, _, body := sends(t, w, "/settings/schedules"+shop, "do", "preview", "name", "x", "ref", "main", "mode", "cron", "cron", "0 3 * * 1-5")
	require.Equal(t, 200, code)
	require.Equal(t, 5, strings.Count(body, "03:00 UTC</li>"))
	require.NotContains(t, body, "Sat,")
	refused("alert", "/settings/schedules"+shop, "do", "save", "name", "x", "ref", "main", "mode", "cron", "cron", "every now and then")

	got := make(chan string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- string(b)
	}))
	defer other.Close()
	body = goes("/settings/webhooks"+shop, "do", "save", "name", "board", "url", other.URL, "event", "workflow-completed", "verify", "1", "secret", "s3cr3tvalue")
	require.Contains(t, body, "****alue")
	id := regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(body)[1]
	body = goes("/settings/webhooks"+shop, "do", "ping", "id", id)
	require.Contains(t, <-got, `"ping"`)
	require.Contains(t, body, "delivered")
	other.Close()
	refused("The test message was not taken", "/settings/webhooks"+shop, "do", "ping", "id", id)
	goes("/settings/webhooks"+shop, "do", "delete", "id", id)

	body = goes("/orgs/local/home", "name", "deploy")
	path := regexp.MustCompile(`action="(/contexts/[^"]+)"`).FindStringSubmatch(body)[1]
	refused("exists", "/orgs/local/home", "name", "deploy")
	body = goes(path, "do", "set", "name", "KEY", "value", "canarycanary")
	require.Contains(t, body, "xxxxnary")
	goes(path, "do", "restrict", "kind", "project", "value", string(w.project.ID))
	goes(path, "do", "restrict", "kind", "expression", "value", `pipeline.git.branch == "main"`)
	body = goes(path, "do", "restrict", "kind", "group", "value", "release-team")
	refused("ada is not in the group release-team", path, "do", "delete", "typed", "deploy")
	require.Contains(t, body, "<bdi>local/home/shop</bdi>")
	refused("alert", path, "do", "restrict", "kind", "expression", "value", `pipeline.git.branch ==`)
	refused("ada is not in the group", path, "do", "set", "name", "KEY", "value", "x")
	goes(path, "do", "restrict", "kind", "group", "value", secret.AllMembers)
	goes(path, "do", "unrestrict", "restriction", regexp.MustCompile(`name="restriction" value="([^"]+)"`).FindStringSubmatch(body)[1])
	goes(path, "do", "delete", "typed", "deploy")

	goes("/settings/advanced"+shop, "do", "save", "auto_cancel", "1")
	for _, path := range []string{"/account", "/settings/tokens" + shop} {
		code, _, body := sends(t, w, path, "do", "create", "label", "a robot", "scope", "view-builds")
		require.Equal(t, 200, code)
		require.Contains(t, body, "<b><bdi>a robot</bdi></b>")
		goes(path, "do", "delete", "id", regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(body)[1])
	}
	refused("scope", "/settings/tokens"+shop, "do", "create", "label", "x", "scope", "everything")
	seeInsights(t, w, memory)
}

// seeInsights runs jobs and waits until the pages know what became of them.
func seeInsights(t *testing.T, w *world, memory *insights.Insights) {
	t.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- memory.Run(ctx, w.server.Follow) }()
	defer func() { cancel(); require.NoError(t, <-done) }()
	var page string
	for _, s := range []ci.Status{ci.Success, ci.Failed} { // of one commit: its test is flaky
		_, flows := w.run()
		w.through(flows[0].ID, "a", s)
		page = web.JobPath(w.project, w.job(flows[0].ID, "a").Number)
	}
	require.Eventually(t, func() bool {
		_, body := get(t, w.handler(), "/insights"+shop)
		return strings.Contains(body, "<dt>Runs</dt><dd>2</dd>") && strings.Contains(body, "<dd>50 %</dd>")
	}, 20*time.Second, 50*time.Millisecond)
	_, body := get(t, w.handler(), "/insights"+shop+"?workflow=build-and-ship")
	require.Contains(t, body, "Median duration")
	_, body = get(t, w.handler(), page+"/test?class=shop%2Fcart&name=TestTotal%2Fcoupon")
	require.Contains(t, body, "<b>1 of the 1 newest run</b>")
}

// text is what stands in the main part of a page.
func text(body string) string {
	_, body, _ = strings.Cut(body, "<main")
	return markup.ReplaceAllString(body, " ")
}
