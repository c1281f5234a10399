package web_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
)

// A person goes through the pages by clicks and keys.
type person struct {
	t   *testing.T
	ctx context.Context
}

// clicks clicks what the selector names, or the link or button with that text,
// and waits for the page that this leads to.
func (p person) clicks(what string) {
	p.t.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll("a, button, summary")].find((e) => e.textContent.trim() === %q && e.checkVisibility())`, what)
	if strings.ContainsAny(what, "#.[>") {
		find = fmt.Sprintf("document.querySelector(%q)", what)
	}
	p.sees(find)
	leaves, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](`(() => {
		for (const e of document.querySelectorAll("[data-mine]")) e.removeAttribute("data-mine");
		const e = `+find+`;
		e.setAttribute("data-mine", "");
		return window.before = e.matches("a:not(.ln), form button");
	})()`))
	require.NoError(p.t, err)
	require.NoError(p.t, chromedp.Do(p.ctx, chromedp.Click("[data-mine]")), what)
	if leaves {
		p.sees(`!window.before && document.readyState === "complete"`)
	}
}

// types writes into a field.
func (p person) types(field, text string) {
	p.t.Helper()
	p.sees(fmt.Sprintf("document.querySelector(%q)", field))
	require.NoError(p.t, chromedp.Do(p.ctx,
		chromedp.Evaluate[chromedp.Void](fmt.Sprintf("void (document.querySelector(%q).value = '')", field)), chromedp.SendKeys(field, text)), field)
}

// sees waits for an expression to become true, reads for a text on the page.
func (p person) sees(expression string) { p.t.Helper(); until(p.t, p.ctx, expression) }

func (p person) reads(text string) {
	p.t.Helper()
	p.sees(fmt.Sprintf("document.querySelector('main').innerText.includes(%q)", text))
}

// The main journeys click by click, in one browser and one installation.
func TestBrowser_Journeys(t *testing.T) {
	ctx, seen := browser(t)
	w := newWorld(t, demoPlan())
	_, values, _ := furnish(w)
	w.as("ada")
	id := demo(w)
	srv := w.serve()
	require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(1280, 800)))
	p := person{t, ctx}
	goes := func(path string) {
		p.t.Helper()
		require.NoError(p.t, chromedp.Do(ctx, chromedp.Navigate(srv.URL+path)))
	}
	for _, one := range []struct {
		name string
		do   func()
	}{
		{"find a pipeline", func() {
			goes("/")
			p.clicks("Projects")
			p.types("[name=q]", "SHO")
			p.clicks("Search")
			p.clicks(".row-title")
			p.types(".strip [name=branch]", "main")
			require.NoError(t, chromedp.Do(ctx, chromedp.SetValue(".strip [name=status]", "failed")))
			p.clicks("Filter")
			p.sees(`location.search.includes("status=failed") && document.querySelectorAll(".row").length > 0`)
			p.sees(`[...document.querySelectorAll(".row-status")].every((e) => e.textContent === "failed")`)
			p.clicks("Clear")
			p.sees(`document.querySelectorAll(".row").length == 20`)
			p.clicks(".row-title")
			p.reads("Ship on Fridays too")
		}},
		{"find a line", func() {
			p.clicks("build-and-ship")
			p.sees(`document.querySelector("#past")`)
			p.clicks("#past a")
			p.reads("1 test of 3 failed.")
			p.types("[name=q]", "coupon")
			p.clicks("Search")
			p.reads("14 lines")
			p.clicks(".hits li:last-child a")
			p.sees(`document.querySelector("#L42.marked")`)
			p.clicks("#L7 .ln")
			p.sees(`location.search.includes("line=7") && document.querySelector("#L7.marked") && !document.querySelector("#L42.marked")`)
		}},
		{"variables", func() {
			goes("/projects" + shop)
			p.clicks("Settings")
			p.clicks("Environment variables")
			p.reads("No variables yet")
			p.types(".field > [name=name]", "NPM_TOKEN")
			p.types("[name=value]", "hunter2hunter2")
			p.clicks("Set variable")
			p.reads("The variable is set.")
			p.sees(`!location.search`)
			p.reads("xxxxter2")
			p.types("[name=lines]", "A=1\nB=2\n")
			p.clicks("Import variables")
			p.reads("The variables are set.")
			p.types(".field > [name=name]", "CIRCLE_TAG")
			p.clicks("Set variable")
			p.reads("choose another name")
			picture(t, ctx, "journey-refused")
			p.clicks(`summary[aria-label="Delete A"]`)
			picture(t, ctx, "journey-confirm")
			p.clicks("Delete A")
			p.reads("The variable is deleted.")
			require.Equal(t, "hunter2hunter2", values.values["NPM_TOKEN"])
			all, _ := values.Variables(ctx, ci.Holder{Project: w.project.ID})
			require.Len(t, all, 2)
		}},
		{"general settings", func() {
			p.clicks("General")
			p.clicks("[name=auto_cancel]")
			p.clicks("Save settings")
			p.reads("The settings are saved.")
			p.sees(`document.querySelector("[name=auto_cancel]").checked`)
		}},
		{"schedule", func() {
			p.clicks("Schedules")
			p.types(".field > [name=name]", "nightly")
			p.clicks("[name=hour][value='4']")
			p.clicks("Preview next runs")
			p.reads("It runs at 03:00 and 04:00 UTC, on Monday to Friday.")
			p.clicks("Save schedule")
			p.reads("The schedule is saved.")
			p.reads("at 03:00 and 04:00 UTC, on Monday to Friday")
		}},
		{"webhook", func() {
			p.clicks("Webhooks")
			p.types(".field > [name=name]", "board")
			p.types("[name=url]", "https://hooks.example/rondo")
			p.types("[name=secret]", "s3cr3tvalue")
			p.clicks("Save webhook")
			p.reads("The webhook is saved.")
			p.clicks("Test")
			p.reads("The test message was delivered.")
			p.sees(`document.querySelector("#log tbody").innerText.includes("ping")`)
		}},
		{"context", func() {
			p.clicks("Organisations")
			p.clicks("local/home")
			p.types("[name=name]", "deploy")
			p.clicks("Create context")
			p.reads("every job of every project of")
			p.types(".field > [name=name]", "KEY")
			p.types("[name=value]", "canarycanary")
			p.clicks("Set variable")
			p.reads("xxxxnary")
			p.clicks("Restrict to project")
			p.reads("The restriction is added.")
			p.types(`[placeholder='pipeline.git.branch == "main"']`, `pipeline.git.branch == "main"`)
			p.clicks("Restrict by expression")
			p.sees(`document.querySelectorAll("section:nth-of-type(2) tbody tr").length == 2`)
			p.clicks("Delete context")
			p.types("[name=typed]", "deploy")
			require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(400, 800)))
			picture(t, ctx, "journey-typed-narrow")
			require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(1280, 800)))
			p.clicks("Delete this context")
			p.reads("The context is deleted")
			p.reads("No contexts yet")
		}},
		{"approve, rerun, cancel", func() {
			goes(web.WorkflowPath(id))
			p.clicks(`.ask button`)
			p.reads("approved by ada")
			p.clicks("Cancel")
			p.reads("Canceled by")
			require.Equal(t, ci.Canceled, w.workflow(id).Status)
			p.clicks("Rerun from failed")
			p.reads("kept from the run before")
			p.clicks("the run before")
			p.reads("Rerun as")
			goes(web.JobPath(w.project, w.job(id, "lint").Number))
			p.clicks("Rerun this job")
			p.sees(`location.pathname.startsWith("/workflows/")`)
			p.clicks(`button[aria-label="Cancel lint"]`)
			p.sees(`[...document.querySelectorAll("#jobs tr")].some((r) => r.innerText.includes("lint") && r.innerText.includes("canceled"))`)
		}},
		{"queue and figures", func() {
			p.clicks("Queue")
			p.reads("all 4 places of class small are taken")
			p.clicks("Nodes")
			p.reads("an operator drains it")
			goes("/projects" + shop)
			p.clicks("Insights")
			p.reads("90.7 %")
			p.clicks("build-and-ship")
			p.reads("4m 12s")
		}},
	} {
		t.Run(one.name, func(t *testing.T) { p.t = t; one.do() })
		if t.Failed() {
			return
		}
	}
	for _, c := range seen.all() {
		require.Contains(t, c, "400", "only of the form that was refused")
	}
	t.Run("keyboard", func(t *testing.T) { p.t = t; byKeys(p, goes) })
	t.Run("artifact", func(t *testing.T) {
		p.t = t
		goes(web.JobPath(w.project, w.workflow(id).Past[0].Number) + "?tab=artifacts")
		p.clicks(".file a")
		p.sees(`document.querySelector("h1").innerText === "83 %" && getComputedStyle(document.querySelector("h1")).color === "rgb(0, 128, 0)"`)
		p.sees(`self.origin === "null" && document.images[0].naturalWidth > 0`)
		blocked := 0
		for _, c := range seen.all() {
			require.NotContains(t, c, "dialog")
			require.NotContains(t, c, "NotSameOrigin")
			blocked += strings.Count(c, "Blocked script execution")
		}
		require.Equal(t, 1, blocked)
	})
}

// byKeys goes through the frame and a question with keys alone.
func byKeys(p person, goes func(string)) {
	p.t.Helper()
	press := func(keys string) { p.t.Helper(); require.NoError(p.t, chromedp.Do(p.ctx, chromedp.KeyEvent(keys))) }
	goes("/settings/variables" + shop)
	press(kb.Tab)
	p.sees(`document.activeElement.matches(".skip") && document.activeElement.getBoundingClientRect().left >= 0`)
	press(kb.Enter)
	p.sees(`document.activeElement.id === "main"`)
	press(kb.Tab)
	p.sees(`document.activeElement.matches(".menu a") && getComputedStyle(document.activeElement).outlineStyle === "solid"`)
	require.NoError(p.t, chromedp.Do(p.ctx, chromedp.Evaluate[chromedp.Void](`void document.querySelector(".confirm summary").focus()`)))
	press(kb.Enter)
	p.sees(`document.querySelector(".confirm").open`)
	press(kb.Tab)
	p.sees(`document.activeElement.matches(".panel button")`)
	press(kb.Escape)
	p.sees(`!document.querySelector(".confirm").open && document.activeElement.matches(".confirm summary")`)
}

// Ask 18: a reader goes through an output of 100,000 lines, of which only some
// thousand are on the page at any time, and none is missing or doubled.
func TestBrowser_ScrollLines(t *testing.T) {
	ctx, seen := browser(t)
	w := newWorld(t, flow(build("a")))
	var text strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&text, "line %d\n", i+1)
	}
	page, _ := w.aStep(text.String())
	srv := w.serve()
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(srv.URL+page+"/view?step=0&line=50000#L50000")))
	p := person{t, ctx}
	p.sees(`document.querySelector("#L50000.marked") && Math.abs(document.querySelector("#L50000").getBoundingClientRect().top - innerHeight / 2) < innerHeight / 2`)
	whole := `[...document.querySelectorAll(".l")].every((l, i, all) => i == 0 || Number(l.id.slice(1)) == Number(all[i-1].id.slice(1)) + 1) && document.querySelectorAll(".l").length <= 3000`
	for _, to := range []int{51_500, 53_000, 55_000} {
		for range 40 {
			before, err := chromedp.Run(ctx, chromedp.Evaluate[string](`(() => {
				const id = document.querySelector("#lines").lastElementChild.id;
				scrollTo(0, document.documentElement.scrollHeight);
				return id;
			})()`))
			require.NoError(t, err)
			p.sees(fmt.Sprintf(`document.querySelector("#lines").lastElementChild.id != %q || document.getElementById("L%d")`, before, to))
			if there, _ := chromedp.Run(ctx, chromedp.Evaluate[bool](fmt.Sprintf(`!!document.getElementById("L%d")`, to))); there {
				break
			}
		}
		p.sees(fmt.Sprintf(`document.getElementById("L%d") && `+whole, to))
	}
	for range 60 {
		before, err := chromedp.Run(ctx, chromedp.Evaluate[string](`(() => {
			const id = document.querySelector("#lines").firstElementChild.id;
			scrollTo(0, 0);
			return id;
		})()`))
		require.NoError(t, err)
		p.sees(fmt.Sprintf(`document.querySelector("#lines").firstElementChild.id != %q`, before))
		if there, _ := chromedp.Run(ctx, chromedp.Evaluate[bool](`!!document.getElementById("L50000")`)); there {
			break
		}
	}
	p.sees(`document.getElementById("L50000") && ` + whole)
	require.Empty(t, seen.all())
}
