package web_test

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
)

// browser returns a context that steers a browser, and what the browser has
// complained about.
func browser(t testing.TB) (context.Context, *complaints) {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("no chromium: the pages cannot be tried in a browser")
		}
		t.Skip("no chromium on this machine: the pages are not tried in a browser")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.WSURLReadTimeout(time.Minute))
	alloc, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	seen := &complaints{}
	ctx, cancel := chromedp.NewContext(alloc, chromedp.WithListener(seen.add))
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancel)
	return ctx, seen
}

// complaints is what a browser found wrong with the pages.
type complaints struct {
	mu    sync.Mutex
	texts []string
}

func (c *complaints) add(e any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := e.(type) {
	case *log.EventEntryAdded: // violations of the page's policy too
		c.texts = append(c.texts, e.Entry.Text)
	case *runtime.EventExceptionThrown:
		c.texts = append(c.texts, e.ExceptionDetails.Text)
	case *page.EventJavascriptDialogOpening:
		c.texts = append(c.texts, "dialog: "+e.Message)
	}
}

func (c *complaints) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.texts)
}

// until waits for an expression to become true.
func until(t *testing.T, ctx context.Context, expression string) {
	t.Helper()
	var err error
	for range 400 { // a page may give way to the next one meanwhile
		var is bool
		if is, err = chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")")); is {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	body, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText.slice(-3000)"))
	t.Fatalf("%s: %v; the page says:\n%s", expression, err, body)
}

// A page of a job in a real browser: steps and output come by themselves, go
// on after the server was away, and the page follows the job to its end.
func TestBrowser_LiveJob(t *testing.T) {
	ctx, seen := browser(t)
	w := newWorld(t, flow(build("a"), build("b", "a")))
	_, flows := w.run()
	id := flows[0].ID
	j := w.job(id, "a")
	gate := newGate(w)
	url := gate.URL + web.JobPath(w.project, j.Number)
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(url)))
	until(t, ctx, `document.body.textContent.includes("all 4 places of class small are taken")`)

	l := w.claim(id, j.ID.Task(0))
	w.step(l, ci.Step{Kind: ci.StepRun, Name: "print <b>", Status: ci.Running})
	until(t, ctx, `document.querySelector("h1 .status").textContent == "running" && document.title.startsWith("●")`)
	until(t, ctx, `document.querySelector("#step-0 .stepname").textContent == "print <b>" && document.querySelector("#step-0").open`)
	w.print(l, 0, "\x1b[32mone\x1b[0m\n10%")
	until(t, ctx, `document.querySelector("#step-0 .log").textContent == "one\n10%"`)
	w.print(l, 0, "\r90%")
	until(t, ctx, `document.querySelector("#step-0 .log").textContent == "one\n90%" && document.querySelector(".log .f2").textContent == "one"`)

	gate.shut()
	until(t, ctx, `!document.getElementById("away").hidden`)
	w.print(l, 0, "\r100%\n<img src=x onerror=alert(1)>\n")
	gate.open()
	until(t, ctx, `document.querySelector("#step-0 .log").textContent == "one\n100%\n<img src=x onerror=alert(1)>\n" && document.getElementById("away").hidden`)

	w.print(l, 0, strings.Repeat(strings.Repeat("x", 99)+"\n", 20_000)+"last line\n")
	until(t, ctx, `document.querySelector("#step-0 .log").textContent.endsWith("last line\n")`)
	until(t, ctx, `document.querySelector("#step-0 .log").textContent.length < 600000 && !document.querySelector("#step-0 .more").hidden`)
	before, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.querySelector("#step-0 .log").textContent.length`))
	require.NoError(t, err)
	require.NoError(t, chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](`void document.querySelector("#step-0 .earlier").click()`)))
	until(t, ctx, `document.querySelector("#step-0 .log").textContent.length > 100000 + `+itoa(uint64(before)))

	w.step(l, ci.Step{Kind: ci.StepRun, Name: "print <b>", Status: ci.Failed, ExitCode: 7})
	w.finish(l, ci.Failed)
	until(t, ctx, `document.querySelector("h1 .status").textContent == "failed" && document.querySelector("#step-0 summary").textContent.includes("exit code 7")`)
	until(t, ctx, `document.title.startsWith("✗")`)
	for _, c := range seen.all() {
		require.True(t, strings.Contains(c, "Failed to load resource"), "only of the time when the server was away: %s", c)
	}
}

// A workflow's page in a real browser: its parts change by themselves, a
// button works, and nothing offends the page's own policy.
func TestBrowser_LiveWorkflow(t *testing.T) {
	ctx, seen := browser(t)
	hold := ci.PlannedJob{Name: "hold", Type: ci.JobApproval, Requires: []ci.Requirement{{Job: "a"}}}
	w := newWorld(t, flow(build("a"), hold, build("c", "hold")))
	_, flows := w.run()
	id := flows[0].ID
	srv := w.serve()
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(srv.URL+web.WorkflowPath(id))))
	w.through(id, "a", ci.Success)
	until(t, ctx, `document.querySelector(".ask button") && document.querySelectorAll(".node.ok").length == 1`)
	require.NoError(t, chromedp.Do(ctx, chromedp.Click(".ask button")))
	until(t, ctx, `document.body.textContent.includes("approved by local") && document.querySelectorAll(".node.ok").length == 2`)
	require.Equal(t, ci.Success, w.job(id, "hold").Status)
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(srv.URL+"/")))
	until(t, ctx, `document.querySelector(".chip.run")`)
	require.NoError(t, w.server.Cancel(w.ctx, id, ci.Actor{}))
	until(t, ctx, `document.querySelector(".chip.off")`)
	require.Empty(t, seen.all())
}
