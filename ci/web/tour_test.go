package web_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/apitest"
	"github.com/rondo-ci/rondo/ci/web"
)

// A stop is a page of the tour through all of them.
type stop struct{ name, path string }

// tour fills a world with something of everything and returns one page of each
// kind.
func tour(w *world) []stop {
	c, v, h := furnish(w)
	w.as("ada")
	id := demo(w)
	failed := web.JobPath(w.project, w.workflow(id).Past[0].Number)
	waits := web.JobPath(w.project, w.job(id, "test").Number)
	by := ci.Actor{Kind: ci.ActorUser, Login: "ada"}
	of := ci.Holder{Project: w.project.ID}
	for _, name := range []string{"NPM_TOKEN", "REGISTRY_PASSWORD", "SENTRY_DSN"} {
		_, err := v.SetVariable(w.ctx, of, name, "hunter2hunter2", by)
		require.NoError(w.t, err)
	}
	kept, err := c.CreateContext(w.ctx, "local/home", "deploy-production", by)
	require.NoError(w.t, err)
	_, _ = v.SetVariable(w.ctx, ci.Holder{Context: kept.ID}, "AWS_SECRET_ACCESS_KEY", "hunter2hunter2", by)
	_, _ = c.Restrict(w.ctx, kept.ID, ci.RestrictProject, string(w.project.ID), by)
	_, _ = c.Restrict(w.ctx, kept.ID, ci.RestrictExpression, `pipeline.git.branch == "main"`, by)
	open, _ := c.CreateContext(w.ctx, "local/home", "docs", by)
	_, _ = w.cfg.Chapters.Keys.CreateKey(w.ctx, w.project.ID, ci.KeyDeploy, by)
	_, _ = w.cfg.Chapters.Keys.AddKey(w.ctx, w.project.ID, "deploy.example", "", by)
	night, err := w.cfg.Chapters.Schedules.PutSchedule(w.ctx, ci.ScheduledPipeline{
		Project: w.project.ID, Name: "nightly", Description: "all browsers", Parameters: map[string]any{"branch": "main", "full": true},
		Timetable: ci.Timetable{PerHour: 1, HoursOfDay: []int{3}, DaysOfWeek: []string{"MON", "TUE", "WED", "THU", "FRI"}},
	}, by)
	require.NoError(w.t, err)
	hook, err := h.PutWebhook(w.ctx, ci.Webhook{Project: w.project.ID, Name: "release board", URL: "https://down.example/rondo", Events: []string{"workflow-completed"}, Secret: "s3cr3tvalue"}, by)
	require.NoError(w.t, err)
	_, _ = h.PingWebhook(w.ctx, hook.ID, by)
	h.sent[hook.ID] = append(h.sent[hook.ID],
		ci.Delivery{ID: ci.NewID(), Event: "workflow-completed", State: "pending", Attempts: 3, Status: 503, Error: "503 Service Unavailable", Created: kept.Created, Tried: kept.Created, Next: night.Next},
		ci.Delivery{ID: ci.NewID(), Event: "workflow-completed", State: "delivered", Attempts: 1, Status: 200, Created: kept.Created, Tried: kept.Created})
	_, _, _ = w.cfg.Chapters.Tokens.CreateProjectToken(w.ctx, w.project.ID, ci.ScopeStatus, "badge in the README", 90*24*time.Hour, by)
	_, _ = w.cfg.Chapters.Account.Create(w.ctx, by, "command line on my laptop", 0)
	project, settings := web.ProjectPath(w.project), func(name string) string { return "/settings/" + name + shop }
	empty := ci.Project{ID: ci.ProjectID(ci.NewID()), Slug: "gh/acme/new", Org: "acme", Repo: "new", DefaultBranch: "main", Followed: true}
	require.NoError(w.t, w.db.PutProject(w.ctx, empty))
	pipeline := web.PipelinePath(w.workflow(id).Pipeline)
	return []stop{
		{"home", "/"}, {"projects", "/projects"}, {"project", project}, {"project-filtered", project + "?status=failed&branch=fix%2Fcart-total"},
		{"project-new", web.ProjectPath(empty)}, {"pipeline", pipeline}, {"configuration", pipeline + "?tab=source"}, {"workflow", web.WorkflowPath(id)},
		{"job-failed", failed}, {"job-waits", waits}, {"tests", failed + "?tab=tests"}, {"artifacts", failed + "?tab=artifacts"}, {"no-tests", waits + "?tab=tests"},
		{"lines", failed + "/view?step=3&line=30#L30"}, {"search", failed + "/search?q=cart"}, {"test", failed + "/test?class=shop%2Fcart&name=TestTotal%2Fcoupon"},
		{"general", settings("advanced")}, {"variables", settings("variables") + "?done=variable"}, {"keys", settings("keys")},
		{"schedules", settings("schedules") + "?edit=" + night.ID}, {"webhooks", settings("webhooks") + "?hook=" + hook.ID}, {"badges", settings("badges")}, {"tokens", settings("tokens")}, {"account", "/account"},
		{"orgs", "/orgs"}, {"org", "/orgs/local/home"}, {"context", "/contexts/" + string(kept.ID)}, {"context-open", "/contexts/" + string(open.ID)},
		{"queue", "/queue"}, {"nodes", "/nodes"}, {"node", "/nodes/node-1"}, {"audit", "/audit"}, {"insights", "/insights" + shop}, {"insights-workflow", "/insights" + shop + "?days=90&workflow=build-and-ship"},
		{"problem", "/nothing"},
	}
}

// scheme makes the browser prefer light or dark.
func scheme(name string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		var ignored struct{}
		return t.Call(ctx, emulation.CommandSetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		}, &ignored)
	})
}

// picture keeps a picture of the page in the folder RONDO_SCREENSHOTS, if that
// is set.
func picture(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("RONDO_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644))
}

// audit is what axe finds that is serious: rule, element and what to do. What
// goes by colours is looked at in dark, too; the rest is the same there.
const audit = `axe.run(document, Object.assign({resultTypes: ["violations"]}, %s && {runOnly: %[1]s})).then((r) => r.violations
	.filter((v) => v.impact === "serious" || v.impact === "critical")
	.map((v) => v.id + ": " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + " " + n.failureSummary).join("\n")).join("\n\n"))`

// No page has a fault of accessibility that is serious, in light or in dark;
// none complains, none scrolls sideways on a telephone.
func TestBrowser_EveryPage(t *testing.T) {
	home := apitest.Npm(t, "testdata/npm")
	axe, err := os.ReadFile(filepath.Join(home, "node_modules", "axe-core", "axe.min.js"))
	require.NoError(t, err)
	ctx, seen := browser(t)
	w := newWorld(t, demoPlan())
	stops := tour(w)
	srv := w.serve()
	for _, s := range stops {
		require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(1280, 800), scheme("light"), chromedp.Navigate(srv.URL+s.path)))
		picture(t, ctx, s.name+"-light")
		_, err := chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void](string(axe)+"; void 0"))
		require.NoError(t, err, s.name)
		for look, rules := range map[string]string{"light": "null", "dark": `["color-contrast", "link-in-text-block"]`} {
			require.NoError(t, chromedp.Do(ctx, scheme(look)))
			found, err := chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf(audit, rules), chromedp.EvalAwaitPromise))
			require.NoError(t, err, s.name)
			if found != "" {
				t.Errorf("%s, %s (%s):\n%s", s.name, look, s.path, found)
			}
		}
		require.NoError(t, chromedp.Do(ctx, scheme("dark")))
		picture(t, ctx, s.name+"-dark")
		require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(400, 800), scheme("light")))
		width, err := chromedp.Run(ctx, chromedp.Evaluate[int]("document.documentElement.scrollWidth"))
		require.NoError(t, err)
		require.Equal(t, 400, width, s.path)
		picture(t, ctx, s.name+"-narrow")
	}
	for _, c := range seen.all() {
		require.True(t, strings.Contains(c, "404"), "only of the page that is not there: %s", c)
	}
}
