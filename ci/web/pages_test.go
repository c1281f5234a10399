package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
)

var hrefs = regexp.MustCompile(`(?:href|src|action)="([^"]*)"`)

// A visited is a page that was reached.
type visited struct {
	http.Header
	body string
}

// isPage reports whether it is one of ours, and not a file.
func (v visited) isPage() bool {
	return strings.HasPrefix(v.Get("Content-Type"), "text/html") && v.Get("Content-Disposition") == ""
}

// crawl visits every page that can be reached and returns them by address.
func crawl(t *testing.T, h http.Handler, start string) map[string]visited {
	t.Helper()
	pages := map[string]visited{}
	for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
		path, _, _ := strings.Cut(unescape(queue[0]), "#")
		if _, seen := pages[path]; seen || path == "" {
			continue
		}
		res, body := get(t, h, path)
		require.Contains(t, []int{200, 302}, res.StatusCode, path)
		pages[path] = visited{res.Header, body}
		if !pages[path].isPage() {
			continue
		}
		for _, m := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(body, -1) {
			if strings.HasPrefix(m[1], "/") {
				queue = append(queue, m[1])
			}
		}
	}
	return pages
}

func unescape(s string) string { return strings.NewReplacer("&amp;", "&", "&#43;", "+").Replace(s) }

// Every page that a link leads to is there, sends the headers, and asks for
// nothing from elsewhere (A077, A078).
func TestA077_EveryPage(t *testing.T) {
	w := newWorld(t, demoPlan())
	tour(w)
	h := w.handler()
	pages := crawl(t, h, "/")
	require.Greater(t, len(pages), 300)
	for path, head := range pages {
		body := head.body
		require.Contains(t, head.Get("Content-Security-Policy"), "frame-ancestors 'none'", path)
		require.NotContains(t, head.Get("Content-Security-Policy"), "unsafe-eval", path)
		require.Equal(t, "nosniff", head.Get("X-Content-Type-Options"), path)
		require.Equal(t, "no-referrer", head.Get("Referrer-Policy"), path)
		require.Equal(t, "DENY", head.Get("X-Frame-Options"), path)
		if strings.HasPrefix(path, "/assets/") || strings.HasPrefix(path, "/artifacts/") {
			continue
		}
		require.Equal(t, "no-store", head.Get("Cache-Control"), path)
		require.NotContains(t, body, "hunter2hunter2", "%s: the password of the clone address", path)
		if !head.isPage() {
			continue
		}
		for _, m := range hrefs.FindAllStringSubmatch(body, -1) {
			require.Regexp(t, `^(/[^/\\]?|#|https://git\.example/)`, m[1], path)
		}
		require.NotRegexp(t, `<[^>]+\s(style|on[a-z]+)=`, body, path)
		require.NotRegexp(t, `<script[^>]*>[^<]`, body, path)
		require.NotContains(t, body, "<style", path)
		require.Equal(t, 1, strings.Count(body, "<h1"), path)
		require.Contains(t, body, "<title>", path)
	}
}

// hostile is text that must never become markup.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'><svg/onload=alert(1)>`, `"><iframe srcdoc=x>`,
	`javascript:alert(1)`, `</title><script>alert(1)</script>`, `{{.}}`, "a\u202egpj.exe", "line\nbreak\x00\x1b[31m",
	"\xff\xfe", `--><script>alert(1)</script>`, strings.Repeat("A", 5000), `../../x`, `]]>`, "`${alert(1)}`",
}

// Whatever people and jobs put into names, messages and output stays text on
// every page (A067, A071, A072, A049, A013).
func TestA067_HostileTextOnEveryPage(t *testing.T) {
	for _, evil := range hostile {
		t.Run(fmt.Sprintf("%.30q", evil), func(t *testing.T) {
			job := build(evil+"-job", "up "+evil)
			job.ResourceClass = evil
			job.Requires[0].Statuses = []ci.Status{ci.Success, ci.Failed}
			plan := ci.Plan{
				Workflows: []ci.PlannedWorkflow{{Name: evil, Jobs: []ci.PlannedJob{
					build("up " + evil), job, {Name: "hold " + evil, Type: ci.JobApproval, Requires: []ci.Requirement{{Job: "up " + evil}}},
				}}},
				Source: evil, Expanded: evil, Warnings: []string{evil, "a.yml:1:2: " + evil},
			}
			w := newWorld(t, plan)
			// A slug and an artifact have rules of their own.
			w.project.DefaultBranch = evil
			w.project.CloneURL = evil
			require.NoError(t, w.db.PutProject(w.ctx, w.project))
			_, flows := w.run(func(tr *ci.Trigger) {
				tr.Branch, tr.Subject, tr.Body, tr.Author, tr.Fork, tr.Schedule = evil, evil, evil, evil, evil, evil
				tr.Actor = ci.Actor{Kind: ci.ActorUser, Login: evil}
				tr.PullRequests = []string{evil, "https://git.example/?q=" + evil}
				tr.Parameters = map[string]any{"p" + evil: evil}
				tr.Source = ci.SourceSchedule
			})
			id := flows[0].ID
			l := w.claim(id, w.workflow(id).Jobs[0].ID.Task(0))
			w.step(l, ci.Step{Kind: ci.StepRun, Name: evil, Command: evil, Status: ci.Running})
			w.print(l, 0, evil+"\n"+evil)
			w.step(l, ci.Step{Kind: ci.StepRun, Name: evil, Command: evil, Status: ci.Failed, ExitCode: 1, Reason: evil})
			require.NoError(t, w.db.PutTests(w.ctx, l, []ci.Test{{Name: evil, Classname: evil, File: evil, Result: "failure", Message: evil}, {Name: evil, Result: evil}}))
			name := strings.Map(func(r rune) rune {
				if r < ' ' || r == '\ufffd' {
					return -1
				}
				return r
			}, "d/"+strings.Trim(strings.ReplaceAll(evil, "..", ""), "/")+".html")
			if len(name) < 300 {
				w.store(l, strings.ReplaceAll(name, "//", "/"), evil)
			}
			require.NoError(t, w.logs.End(w.ctx, l.Task, l.Epoch))
			w.report(l, ci.Failed, evil)
			require.NoError(t, w.server.CancelJob(w.ctx, id, w.workflow(id).Jobs[1].ID, ci.Actor{Kind: ci.ActorUser, Login: evil}))
			infest(w, evil)
			h := w.handler()
			pages := crawl(t, h, "/")
			require.Greater(t, len(pages), 25)
			for path, page := range pages {
				if page.isPage() {
					checkText(t, path, page.body)
				}
			}
			for _, path := range []string{"/?branch=" + esc(evil), "/projects?q=" + esc(evil), "/orgs/" + esc(evil), "/?done=" + esc(evil), "/projects/" + esc(evil), "/jobs/" + esc(evil), "/pipelines/" + esc(evil), "/" + esc(evil)} {
				_, body := get(t, h, path)
				checkText(t, path, body)
			}
		})
	}
}

func esc(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

var (
	quoted   = regexp.MustCompile(`"[^"]*"`)
	handlers = regexp.MustCompile(`<[a-z]+[^>]*\son[a-z]+=`)
	schemes  = regexp.MustCompile(`(href|src|action)="\s*(javascript|data|vbscript):`)
)

// checkText reports markup, turned text and control characters on a page.
func checkText(t *testing.T, path, body string) {
	t.Helper()
	for _, bad := range []string{"<script>", "<img", "<iframe", "<svg/", "\u202e", "\x00", "\x1b"} {
		if strings.Contains(body, bad) {
			t.Errorf("%s: has %q", path, bad)
		}
	}
	if handlers.MatchString(quoted.ReplaceAllString(body, `""`)) || schemes.MatchString(body) {
		t.Errorf("%s: has a handler or a scheme that acts", path)
	}
	if n := strings.Count(body, "<script"); n != 1 {
		t.Errorf("%s: has %d scripts", path, n)
	}
}

func TestHome_PagesByKeyAndFilters(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	for i := range 45 {
		w.run(func(tr *ci.Trigger) { tr.Branch = []string{"main", "dev"}[i%2] })
	}
	h := w.handler()
	older := regexp.MustCompile(`href="([^"]*)" rel="next"`)
	for _, start := range []string{"/", "/projects/local/home/shop"} {
		seen, path := map[string]bool{}, start
		for pages := 0; ; pages++ {
			require.Less(t, pages, 4)
			_, body := get(t, h, path)
			for _, m := range regexp.MustCompile(`<li class="row" id="(p-[^"]+)"`).FindAllStringSubmatch(body, -1) {
				require.False(t, seen[m[1]])
				seen[m[1]] = true
			}
			m := older.FindStringSubmatch(body)
			if m == nil {
				break
			}
			path = unescape(m[1])
		}
		require.Len(t, seen, 45)
	}
	_, body := get(t, h, "/?branch=dev&project="+string(w.project.ID))
	require.Equal(t, 20, strings.Count(body, `<li class="row"`))
	require.NotContains(t, body, `<bdi>main</bdi></span> <code`)
	_, body = get(t, h, "/?branch=nothing")
	require.Contains(t, body, "No pipelines here")
}

// The cost of a listing does not grow with what is not on it.
func TestListing_AsksForOnePage(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	for range 30 {
		w.run()
	}
	counted := &countingReader{Reader: w.db}
	h := web.New(w.server, counted, w.cfg)
	get(t, h, "/")
	few := counted.calls
	for range 60 {
		w.run()
	}
	counted.calls = 0
	get(t, h, "/")
	require.Equal(t, few, counted.calls)
	require.LessOrEqual(t, few, 20+4)
}

func TestPipeline_ErrorsShowTheirPlace(t *testing.T) {
	w := newWorld(t, ci.Plan{})
	w.refuse = errors.Join(
		fmt.Errorf(".circleci/config.yml:12:7: unknown key \"stepz\"; did you mean \"steps\"?: %w", ci.ErrInvalid),
		fmt.Errorf("no workflow: %w", ci.ErrInvalid),
	)
	h := w.handler()
	p, flows := w.run()
	require.Empty(t, flows)
	res, body := get(t, h, web.PipelinePath(p.ID))
	require.Equal(t, 200, res.StatusCode)
	require.Contains(t, body, `<code class="place">.circleci/config.yml:12:7</code> <span class="said">unknown key`)
	require.Contains(t, body, "2 problems in the configuration")
	require.Contains(t, body, "<title>✗ local/home/shop #1")
	_, body = get(t, h, web.PipelinePath(p.ID)+"?tab=source")
	require.Contains(t, body, "could not be compiled")
}

func TestPipeline_ShowsItsConfiguration(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	p, _ := w.run()
	_, body := get(t, w.handler(), web.PipelinePath(p.ID)+"?tab=source")
	require.Contains(t, body, `id="L3"`)
	require.Contains(t, body, "build: {}")
	_, body = get(t, w.handler(), web.PipelinePath(p.ID)+"?tab=expanded")
	require.NotContains(t, body, `id="L3"`)
}

// SCH-12, ask 2: a job's page says why it waits, where in the queue, and when
// it is expected to start.
func TestSCH12_JobSaysWhyItWaits(t *testing.T) {
	w := newWorld(t, flow(build("a"), build("b", "a")))
	_, flows := w.run()
	h := w.handler()
	_, body := get(t, h, web.JobPath(w.project, w.job(flows[0].ID, "a").Number))
	require.Contains(t, body, "all 4 places of class small are taken")
	require.Contains(t, body, "Position 3 in the queue.")
	require.Contains(t, body, "Expected to start <time")
	require.Contains(t, body, `data-refresh=`)
	_, body = get(t, h, web.JobPath(w.project, w.job(flows[0].ID, "b").Number))
	require.Contains(t, body, "waits for a")
	_, body = get(t, h, web.WorkflowPath(flows[0].ID))
	require.Contains(t, body, "all 4 places of class small are taken")
}

func TestJob_AddressesLeadToTheCanonicalOne(t *testing.T) {
	w := newWorld(t, flow(build("a"), ci.PlannedJob{Name: "ok?", Type: ci.JobApproval}))
	_, flows := w.run()
	j := w.job(flows[0].ID, "a")
	h := w.handler()
	want := "/jobs/local/home/shop/" + number(j)
	require.Equal(t, want, web.JobPath(w.project, j.Number))
	for _, from := range []string{"/jobs/" + string(j.ID), "/local/home/shop/" + number(j)} {
		res, _ := get(t, h, from)
		require.Equal(t, 302, res.StatusCode)
		require.Equal(t, want, res.Header.Get("Location"))
	}
	res, _ := get(t, h, "/jobs/"+string(w.job(flows[0].ID, "ok?").ID))
	require.Equal(t, web.WorkflowPath(flows[0].ID), res.Header.Get("Location"))
}

// Errors are pages with words, and tell no more than they should.
func TestErrors_ArePages(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	h := w.handler()
	for path, code := range map[string]int{
		"/nothing": 404, "/pipelines/x": 404, "/workflows/x": 404, "/jobs/x": 404, "/jobs/local/home/shop/99": 404,
		"/jobs/local/home/shop/99/log": 404, "/projects/x": 404, "/artifacts/get/x/0/a": 404, "/assets/x": 404, "/events": 400, "/events?at=-1": 400,
	} {
		res, body := get(t, h, path)
		require.Equal(t, code, res.StatusCode, path)
		if path != "/assets/x" {
			require.Contains(t, body, "<h1>", path)
			require.Contains(t, res.Header.Get("Content-Security-Policy"), "default-src 'none'", path)
		}
	}
	res, body := ask(t, h, httptest.NewRequest("DELETE", "/pipelines/x", nil))
	require.Equal(t, 405, res.StatusCode)
	require.NotEmpty(t, res.Header.Get("Allow"))
	require.Contains(t, body, "<h1>")

	broken := web.New(w.server, brokenReader{w.db}, web.Config{})
	res, body = get(t, broken, "/")
	require.Equal(t, 500, res.StatusCode)
	require.NotContains(t, body, "secret-dsn")
}

func TestAuthorize_IsAskedForEveryPage(t *testing.T) {
	w := newWorld(t, flow(build("a"), build("b", "a")))
	_, flows := w.run()
	w.through(flows[0].ID, "a", ci.Failed)
	paths := crawl(t, w.handler(), "/")
	w.cfg.Authorize = func(*http.Request) (ci.Actor, error) {
		return ci.Actor{}, fmt.Errorf("sign in first: %w", ci.ErrDenied)
	}
	h := w.handler()
	for path := range paths {
		if strings.HasPrefix(path, "/assets/") {
			continue
		}
		res, body := get(t, h, path)
		require.Equal(t, 403, res.StatusCode, path)
		require.NotContains(t, body, "shop", path)
	}
	res, _ := get(t, h, "/events?at=0")
	require.Equal(t, 403, res.StatusCode)
}

// A075: no address makes the browser go to another site.
func TestA075_NoOpenRedirect(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	h := w.handler()
	for _, path := range []string{
		"//evil.example/", "//evil.example/../x", "/\\evil.example", "/%2Fevil.example/", "/%2F%2Fevil.example/1", "/login/../..//evil.example", "/jobs//evil.example/1",
		"/jobs/%2F%2Fevil.example/1", "/projects//evil.example/", "/%09/evil.example/1",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path, r.URL.RawPath, r.RequestURI = path, path, path
		res, _ := ask(t, h, r)
		if to := res.Header.Get("Location"); to != "" {
			require.Regexp(t, `^/([^/\\]|$)`, to, path)
		}
	}
}

func TestAssets(t *testing.T) {
	h := newWorld(t, ci.Plan{}).handler()
	for _, name := range []string{"rondo.css", "rondo.js", "favicon.svg"} {
		res, body := get(t, h, "/assets/"+name)
		require.Equal(t, 200, res.StatusCode)
		require.NotContains(t, body, "http://e", name)
		require.NotContains(t, strings.ReplaceAll(body, "http://www.w3.org/2000/svg", ""), "://", "%s loads nothing from elsewhere", name)
	}
	_, css := get(t, h, "/assets/rondo.css")
	require.Contains(t, css, ".f255{")
	res, _ := get(t, h, "/favicon.ico")
	require.Equal(t, "image/svg+xml", res.Header.Get("Content-Type"))
}
