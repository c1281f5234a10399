package web_test

import (
	"fmt"
	"html"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
)

// long returns output of n lines in colour.
func long(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "\x1b[3%dmline %07d of the long output\n", i%7+1, i)
	}
	return b.String()
}

// aStep runs one step of a job to its end with that output, and returns the
// path of the job's page and the address of the step's output.
func (w *world) aStep(text string) (page, query string) {
	w.t.Helper()
	_, flows := w.run()
	j := w.job(flows[0].ID, "a")
	l := w.claim(flows[0].ID, j.ID.Task(0))
	w.step(l, ci.Step{Kind: ci.StepRun, Name: "print", Status: ci.Running})
	w.print(l, 0, text)
	w.step(l, ci.Step{Kind: ci.StepRun, Name: "print", Status: ci.Success})
	w.finish(l, ci.Success)
	return web.JobPath(w.project, j.Number), "task=" + string(l.Task) + "&epoch=1&step=0"
}

var markup = regexp.MustCompile(`<[^>]*>`)

// Ask 18: a page with a long output is small, and going back range by range
// gives exactly the output, without a gap or a repeat.
func TestAsk18_LongOutputInRanges(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	all := long(40_000)
	page, query := w.aStep(all)
	h := w.handler()
	_, body := get(t, h, page)
	require.Less(t, len(body), 1<<20)
	require.Contains(t, body, "line 0039999")
	require.NotContains(t, body, "line 0000000")
	require.Contains(t, body, "Show earlier output")

	text, first := "", ""
	for end := ""; ; {
		res, part := get(t, h, page+"/output?"+query+end)
		require.Equal(t, 200, res.StatusCode)
		require.Less(t, len(part), 1<<20)
		text = html.UnescapeString(markup.ReplaceAllString(part, "")) + text
		from := res.Header.Get("Rondo-Log-From")
		if from == "0" {
			first = part
			break
		}
		end = "&end=" + from
	}
	require.True(t, text == regexp.MustCompile("\x1b\\[[0-9]+m").ReplaceAllString(all, ""))
	require.Contains(t, first, `<span class="f1">line 0000000`)
}

// A colour that was set before the range holds in it.
func TestOutput_ColourOverTheBorder(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	page, _ := w.aStep("\x1b[32m" + strings.Repeat("green all the way\n", 13_000))
	_, body := get(t, w.handler(), page)
	require.Contains(t, body, `<span class="f2">green all the way</span>`)
	require.NotContains(t, body, "\ngreen")
}

// One endless line neither breaks a page nor a rune.
func TestOutput_OneLongLine(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	page, query := w.aStep(strings.Repeat("日本語", 100_000))
	h := w.handler()
	_, body := get(t, h, page)
	require.Less(t, len(body), 300<<10)
	require.NotContains(t, body, "\ufffd")
	res, earlier := get(t, h, page+"/output?"+query+"&end=500001")
	require.NotContains(t, strings.TrimSuffix(earlier, "\ufffd"), "\ufffd")
	require.NotEmpty(t, res.Header.Get("Rondo-Log-From"))
}

func TestRawLog(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	all := "\x1b[31mred\x1b[0m\r\n\xff\x00<script>\n"
	page, query := w.aStep(all)
	h := w.handler()
	for _, c := range []struct {
		extra, want string
	}{
		{"", all}, {"&offset=0", all}, {"&offset=5&limit=3", "red"}, {"&offset=999", ""}, {"&limit=0", ""}, {"&limit=99999999999", all},
	} {
		res, body := get(t, h, page+"/log?"+query+c.extra)
		require.Equal(t, 200, res.StatusCode, c.extra)
		require.Equal(t, c.want, body, c.extra)
		require.Equal(t, "text/plain; charset=utf-8", res.Header.Get("Content-Type"))
		require.Equal(t, fmt.Sprint(len(all)), res.Header.Get("Rondo-Log-Size"))
		require.Contains(t, res.Header.Get("Content-Disposition"), "attachment")
		require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
		require.Contains(t, res.Header.Get("Content-Security-Policy"), "sandbox")
	}
	for extra, code := range map[string]int{"&offset=-1": 400, "&offset=x": 400, "&limit=-1": 400} {
		res, _ := get(t, h, page+"/log?"+query+extra)
		require.Equal(t, code, res.StatusCode, extra)
	}
	res, body := get(t, h, page+"/log")
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, "==> print (success, exit code 0)\n"+all+"\n", body)
	res, body = ask(t, h, httptest.NewRequest("HEAD", page+"/log", nil))
	require.Equal(t, 200, res.StatusCode)
	require.Empty(t, body)
	for _, bad := range []string{"task=x.0&step=0", "task=" + ci.NewID() + ".0&step=0", "task=&node=7&step=0", "node=0&epoch=9&step=0", "step=-1", "node=0&step=x"} {
		res, _ := get(t, h, page+"/log?"+bad)
		require.Equal(t, 404, res.StatusCode, bad)
	}
}

// The output of a job does not open with the address of another (a task must
// be one of the job's own).
func TestRawLog_OnlyOfTheJob(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	_, other := w.aStep("theirs")
	page, _ := w.aStep("ours")
	res, body := get(t, w.handler(), page+"/log?"+other)
	require.Equal(t, 404, res.StatusCode)
	require.NotContains(t, body, "theirs")
}

// Ask 19: the output of each attempt and of each hand-out stays.
func TestAsk19_AttemptsAndHandOutsStay(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	_, flows := w.run()
	id := flows[0].ID
	task := w.job(id, "a").ID.Task(0)
	for i, text := range []string{"first hand-out", "second hand-out"} {
		l := w.claim(id, task)
		w.step(l, ci.Step{Kind: ci.StepRun, Name: "print", Status: ci.Running})
		w.print(l, 0, text)
		if i == 0 {
			require.NoError(t, w.logs.End(w.ctx, l.Task, l.Epoch))
			w.report(l, ci.Queued, "agent lost")
			continue
		}
		w.step(l, ci.Step{Kind: ci.StepRun, Name: "print", Status: ci.Failed, ExitCode: 2})
		w.finish(l, ci.Failed)
	}
	h := w.handler()
	page := web.JobPath(w.project, w.job(id, "a").Number)
	_, body := get(t, h, page)
	require.Contains(t, body, "second hand-out")
	require.Contains(t, body, "exit code 2")
	_, body = get(t, h, page+"?node=0&epoch=1")
	require.Contains(t, body, "first hand-out")
	again, err := w.server.Rerun(w.ctx, id, ci.Rerun{}, ci.Actor{})
	require.NoError(t, err)
	require.NotEqual(t, page, web.JobPath(w.project, w.job(again, "a").Number))
	_, body = get(t, h, page)
	require.Contains(t, body, "second hand-out")
}

// Asks 29 and A070, A071: artifacts are served as what they are and can do
// nothing.
func TestA070_Artifacts(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	_, flows := w.run()
	l := w.claim(flows[0].ID, w.job(flows[0].ID, "a").ID.Task(0))
	const active = `<script>fetch("/")</script>`
	names := []string{"report/index.html", "a.svg", "x.xhtml", "sw.js", "plain", "a b/ä%2F?#.txt", `"><img src=x onerror=1>.txt`, "shot.png", "-rf", "x.pdf"}
	for _, n := range names {
		w.store(l, n, active)
	}
	w.finish(l, ci.Success)
	h := w.handler()
	_, body := get(t, h, web.JobPath(w.project, w.job(flows[0].ID, "a").Number)+"?tab=artifacts")
	links := regexp.MustCompile(`href="(/artifacts/[^"]*)"`).FindAllStringSubmatch(body, -1)
	gets := 0
	for _, m := range links {
		path := html.UnescapeString(m[1])
		res, content := get(t, h, path)
		require.Equal(t, 200, res.StatusCode, path)
		require.Equal(t, active, content)
		require.Contains(t, res.Header.Get("Content-Security-Policy"), "sandbox;")
		require.NotContains(t, res.Header.Get("Content-Security-Policy"), "allow-")
		require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
		require.NotContains(t, res.Header.Get("Content-Type"), "javascript")
		require.NotContains(t, res.Header.Get("Content-Type"), "xhtml")
		disposition := res.Header.Get("Content-Disposition")
		require.NotContains(t, disposition, "\n")
		if strings.HasPrefix(path, "/artifacts/get/") {
			gets++
			require.True(t, strings.HasPrefix(disposition, "attachment"), disposition)
		}
	}
	require.Equal(t, len(names), gets)
	base := "/artifacts/open/" + string(w.job(flows[0].ID, "a").ID) + "/0/"
	res, _ := get(t, h, base+"sw.js")
	require.True(t, strings.HasPrefix(res.Header.Get("Content-Disposition"), "attachment"))
	r := httptest.NewRequest("GET", base+"sw.js", nil)
	r.Header.Set("Service-Worker", "script")
	res, _ = ask(t, h, r)
	require.Equal(t, 403, res.StatusCode)
	for _, bad := range []string{base + "nothing", base + "report", base + "..%2f..%2fetc/passwd", strings.Replace(base, "/0/", "/1/", 1) + "plain", "/artifacts/run" + base[len("/artifacts/open"):] + "plain"} {
		res, _ := get(t, h, bad)
		require.Equal(t, 404, res.StatusCode, bad)
	}
}

func TestTests_FailuresFirstAndBounded(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	_, flows := w.run()
	l := w.claim(flows[0].ID, w.job(flows[0].ID, "a").ID.Task(0))
	tests := make([]ci.Test, 3000)
	for i := range tests {
		tests[i] = ci.Test{Name: fmt.Sprint("test", i), Result: "success", Seconds: 0.5}
	}
	tests[2999] = ci.Test{Name: "the one", Result: "failure", Message: strings.Repeat("x", 1<<20)}
	require.NoError(t, w.db.PutTests(w.ctx, l, tests))
	w.finish(l, ci.Failed)
	page := web.JobPath(w.project, w.job(flows[0].ID, "a").Number)
	_, body := get(t, w.handler(), page+"?tab=tests")
	require.Contains(t, body, "<b>3000 tests</b>")
	require.Contains(t, body, "Only the first 500 of 3000")
	require.Less(t, strings.Index(body, "the one"), strings.Index(body, "test0<"))
	require.Less(t, len(body), 1<<20)
	_, body = get(t, w.handler(), page)
	require.Contains(t, body, "1 test of 3000 failed.")
}
