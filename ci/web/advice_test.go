package web_test

import (
	"html"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
)

// Every failure says what to do next.
func TestAdvice(t *testing.T) {
	for _, c := range []struct {
		name   string
		step   ci.Step
		job    ci.Status
		reason string
		want   string
	}{
		{"a command", ci.Step{Kind: ci.StepRun, Name: "go test", Status: ci.Failed, ExitCode: 2}, ci.Failed, "", "The step “go test” ended with exit code 2."},
		{"killed", ci.Step{Kind: ci.StepRun, Name: "link", Status: ci.Failed, ExitCode: 137}, ci.Failed, "", "larger resource_class"},
		{"not there", ci.Step{Kind: ci.StepRun, Name: "link", Status: ci.Failed, ExitCode: 127}, ci.Failed, "", "is not there"},
		{"not executable", ci.Step{Kind: ci.StepRun, Name: "link", Status: ci.Failed, ExitCode: 126}, ci.Failed, "", "Make the file executable"},
		{"silent", ci.Step{Kind: ci.StepRun, Name: "wait", Status: ci.TimedOut}, ci.TimedOut, "", "no_output_timeout"},
		{"checkout", ci.Step{Kind: ci.StepCheckout, Name: "Checkout code", Status: ci.Failed, ExitCode: 128}, ci.Failed, "", "a key that may read the repository"},
		{"a cache", ci.Step{Kind: ci.StepRestoreCache, Name: "Restore", Status: ci.Failed}, ci.Failed, "", "The step “Restore” failed."},
		{"machinery", ci.Step{}, ci.InfraFailed, "the agent was lost", "Rerun it"},
		{"too long", ci.Step{}, ci.TimedOut, "", "Split it with parallelism"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, flow(build("a"), build("b", "a")))
			_, flows := w.run()
			l := w.claim(flows[0].ID, w.job(flows[0].ID, "a").ID.Task(0))
			if c.step.Name != "" {
				w.step(l, c.step)
			}
			w.report(l, c.job, c.reason)
			_, body := get(t, w.handler(), web.JobPath(w.project, w.job(flows[0].ID, "a").Number))
			require.Contains(t, html.UnescapeString(body), "What next?")
			require.Contains(t, html.UnescapeString(body), c.want)
			_, body = get(t, w.handler(), web.JobPath(w.project, w.job(flows[0].ID, "b").Number))
			require.Contains(t, body, "It was not run, since a job before it")
		})
	}
}

// Ask 2: whatever waits says for what and since when.
func TestAsk2_WaitsSince(t *testing.T) {
	hold := ci.PlannedJob{Name: "hold", Type: ci.JobApproval, Requires: []ci.Requirement{{Job: "a"}}}
	w := newWorld(t, flow(build("a"), hold, build("b", "hold")))
	furnish(w)
	_, flows := w.run()
	id := flows[0].ID
	_, body := get(t, w.handler(), web.WorkflowPath(id))
	require.Contains(t, body, "all 4 places of class small are taken · since <time")
	require.Contains(t, body, "waits for a · since <time")
	_, body = get(t, w.handler(), web.JobPath(w.project, w.job(id, "a").Number))
	require.Contains(t, body, "Waits since <time")
	require.Contains(t, body, "Position 3 in the queue. Expected to start <time")
	_, body = get(t, w.handler(), web.JobPath(w.project, w.job(id, "b").Number))
	require.Contains(t, body, "<b>waits for hold</b> since <time")
	_, body = get(t, w.handler(), "/queue")
	require.Contains(t, body, "1 task waits for a place to run")
	require.Contains(t, body, "all 4 places of class small are taken")
	w.through(id, "a", ci.Success)
	_, body = get(t, w.handler(), web.WorkflowPath(id))
	require.Contains(t, body, "waits for a person since <time")
	_, body = get(t, w.handler(), "/queue")
	require.Contains(t, body, "Nothing waits.")
}

// A listing is filtered by branch, status and who asks, without a script, and
// goes on where it stopped to look.
func TestFilter(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	w.as("ada")
	me := func(tr *ci.Trigger) {
		tr.Actor = ci.Actor{ID: "ada", Kind: ci.ActorUser, Login: "ada"}
		tr.Branch = "mine"
	}
	w.run(me)
	_, flows := w.run(me)
	w.through(flows[0].ID, "a", ci.Failed)
	for range 130 {
		w.run()
	}
	h := w.handler()
	rows := func(path string) (string, int) {
		res, body := get(t, h, path)
		require.Equal(t, http.StatusOK, res.StatusCode, path)
		return body, strings.Count(body, `<li class="row"`)
	}
	project := web.ProjectPath(w.project)
	body, n := rows(project + "?mine=1")
	require.Equal(t, 2, n)
	require.Contains(t, body, `name="mine" value="1" checked`)
	body, n = rows(project + "?status=failed")
	require.Equal(t, 1, n)
	require.Contains(t, body, `<option value="failed" selected>`)
	_, n = rows(project + "?status=failed&mine=1&branch=mine")
	require.Equal(t, 1, n)
	_, n = rows(project + "?branch=nowhere")
	require.Zero(t, n)
	_, n = rows(project + "?status=success")
	require.Zero(t, n)
	_, n = rows(project + "?status=moon")
	require.Equal(t, 20, n, "what does not exist selects nothing")
	total, path := 0, project+"?status=running"
	for path != "" {
		body, n = rows(path)
		total += n
		path = ""
		if i := strings.Index(body, `rel="next"`); i >= 0 {
			from := strings.LastIndex(body[:i], `href="`) + 6
			path = html.UnescapeString(body[from : from+strings.IndexByte(body[from:], '"')])
		}
	}
	require.Equal(t, 131, total)

	for range 600 {
		w.run()
	}
	body, n = rows(project + "?mine=1")
	require.Zero(t, n)
	require.Contains(t, body, "None of the 600 newest pipelines here fits.")
	require.Contains(t, body, "Look at older ones")
}

func TestInsights(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	furnish(w)
	_, body := get(t, w.handler(), "/insights"+shop)
	require.Contains(t, body, "<dd>460</dd>")
	require.Contains(t, body, "<dd>90.7 %</dd>")
	require.NotContains(t, body, "Median duration", "of several workflows there is none")
	require.Contains(t, body, "17 times")
	require.Contains(t, body, time.Now().UTC().Format(time.DateOnly))
	_, body = get(t, w.handler(), "/insights"+shop+"?workflow=build-and-ship&days=7")
	require.Contains(t, body, "<dd>4m 12s</dd>")
	require.Contains(t, body, "<td><bdi>test</bdi></td>")
	_, body = get(t, w.handler(), "/insights"+shop+"?branch=quiet")
	require.Contains(t, body, "No workflow ended in these 30 days")
}

// A flaky test is marked among the results of a job, and its history is one
// click away.
func TestTests_Flaky(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	furnish(w)
	_, flows := w.run()
	w.through(flows[0].ID, "a", ci.Failed)
	_, flows = w.run()
	w.through(flows[0].ID, "a", ci.Failed)
	page := web.JobPath(w.project, w.job(flows[0].ID, "a").Number)
	_, body := get(t, w.handler(), page+"?tab=tests")
	require.Equal(t, 1, strings.Count(body, ">flaky<"))
	require.Contains(t, body, page+"/test?class=shop%2Fcart&amp;name=TestTotal%2Fcoupon")
	_, body = get(t, w.handler(), page+"/test?class=shop%2Fcart&name=TestTotal%2Fcoupon")
	require.Contains(t, body, "<b>2 of the 2 newest runs</b> of <bdi>a</bdi> failed")
	require.Contains(t, body, "want 1799, got 1800")
	res, _ := get(t, w.handler(), page+"/test?class=x&name=unheard-of")
	require.Equal(t, 404, res.StatusCode)
}
