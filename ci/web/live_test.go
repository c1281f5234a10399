package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
)

// An event is one server-sent event.
type event struct{ kind, id, data string }

// listen yields the events of an address to f until f returns false, the
// stream ends or max bytes have been read; it returns the last identity.
func listen(t testing.TB, address, last string, limit int, f func(event) bool) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", address, nil)
	require.NoError(t, err)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
	in := bufio.NewScanner(res.Body)
	in.Buffer(nil, 16<<20)
	var e event
	for read := 0; in.Scan() && (limit == 0 || read < limit); read += len(in.Bytes()) {
		name, value, _ := strings.Cut(in.Text(), ": ")
		switch name {
		case "event":
			e.kind = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "":
			if e.kind != "" {
				last = e.id
				if !f(e) {
					return last
				}
			}
			e = event{}
		}
	}
	return last
}

var liveAddress = regexp.MustCompile(`data-live="([^"]*)"`)

// liveOf returns the address of the events of a page.
func liveOf(t testing.TB, base, page string) string {
	t.Helper()
	res, err := http.Get(base + page)
	require.NoError(t, err)
	defer res.Body.Close()
	var b strings.Builder
	_, err = bufio.NewReader(res.Body).WriteTo(&b)
	require.NoError(t, err)
	m := liveAddress.FindStringSubmatch(b.String())
	require.NotNil(t, m, "the page is live")
	return base + html.UnescapeString(m[1])
}

// P8, ask 17: a watcher whose connection is cut again and again, also by a new
// server process, gets every byte of a running step once and in order, and the
// colours with it.
func TestP8_WatcherMissesNothing(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	_, flows := w.run()
	id := flows[0].ID
	j := w.job(id, "a")
	page := web.JobPath(w.project, j.Number)
	var handler atomic.Value
	handler.Store(w.handler())
	srv := w.serveFunc(func(rw http.ResponseWriter, r *http.Request) { handler.Load().(http.Handler).ServeHTTP(rw, r) })
	address := liveOf(t, srv.URL, page) // before the job even starts

	all := long(6000) + "no end of line"
	go func() {
		l := w.claim(id, j.ID.Task(0))
		w.step(l, ci.Step{Kind: ci.StepRun, Name: "print", Status: ci.Running})
		for rest := all; rest != ""; {
			n := min(1+rand.IntN(9000), len(rest))
			w.print(l, 0, rest[:n])
			rest = rest[n:]
			time.Sleep(time.Millisecond)
		}
		w.step(l, ci.Step{Kind: ci.StepRun, Name: "print", Status: ci.Success})
		w.finish(l, ci.Success)
	}()

	var got strings.Builder
	next, tail, last := int64(0), "", ""
	ended, cuts := false, 0
	for ; !ended; cuts++ {
		if cuts%3 == 2 {
			handler.Store(w.handler()) // as after a restart: nothing is remembered
		}
		last = listen(t, address, last, 1+rand.IntN(100_000), func(e event) bool {
			switch e.kind {
			case "end":
				ended = true
				return false
			case "log":
				var m struct {
					Step       int
					From, Next int64
					HTML, Tail string
				}
				require.NoError(t, json.Unmarshal([]byte(e.data), &m))
				require.Equal(t, next, m.From, "no gap and no repeat")
				got.WriteString(m.HTML)
				next, tail = m.Next, m.Tail
			}
			return true
		})
		require.Less(t, cuts, 1000)
	}
	require.Greater(t, cuts, 3)
	require.Empty(t, tail)
	require.Equal(t, int64(len(all)), next)
	_, whole := get(t, w.handler(), page+"/output?task="+string(j.ID.Task(0))+"&step=0&end="+fmt.Sprint(strings.LastIndexByte(all[:120_000], '\n')+1))
	plain := func(s string) string { return html.UnescapeString(markup.ReplaceAllString(s, "")) }
	want := regexp.MustCompile("\x1b\\[[0-9]+m").ReplaceAllString(all, "")
	require.True(t, want == plain(got.String()))
	require.True(t, strings.HasPrefix(got.String(), whole), "as it is painted from the store")
}

// A job that is handed out anew is shown anew.
func TestLive_NewHandOutReloads(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	_, flows := w.run()
	j := w.job(flows[0].ID, "a")
	srv := w.serve()
	l := w.claim(flows[0].ID, j.ID.Task(0))
	w.step(l, ci.Step{Kind: ci.StepRun, Name: "print", Status: ci.Running})
	address := liveOf(t, srv.URL, web.JobPath(w.project, j.Number))
	w.report(l, ci.Queued, "agent lost")
	w.claim(flows[0].ID, j.ID.Task(0))
	reloaded := false
	listen(t, address, "", 0, func(e event) bool {
		reloaded = e.kind == "reload"
		return !reloaded
	})
	require.True(t, reloaded)
}

// Steps come as they begin and end, and several that run at once do not mix.
func TestLive_StepsOfOneJob(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	_, flows := w.run()
	j := w.job(flows[0].ID, "a")
	srv := w.serve()
	l := w.claim(flows[0].ID, j.ID.Task(0))
	w.step(l, ci.Step{Index: 0, Kind: ci.StepRun, Name: "early", Status: ci.Running})
	w.print(l, 0, "before\n")
	address := liveOf(t, srv.URL, web.JobPath(w.project, j.Number))
	w.step(l, ci.Step{Index: 1, Kind: ci.StepRun, Name: "<db>", Background: true, Status: ci.Running})
	w.print(l, 0, "after\n")
	w.print(l, 1, "ready\n")
	output, ended := map[int]string{}, 0
	listen(t, address, "", 0, func(e event) bool {
		var m struct {
			Step       int
			Ended      bool
			HTML, Head string
		}
		require.NoError(t, json.Unmarshal([]byte(e.data), &m))
		switch e.kind {
		case "log":
			output[m.Step] += m.HTML
			if output[0] == "after\n" && output[1] == "ready\n" {
				w.step(l, ci.Step{Index: 0, Kind: ci.StepRun, Name: "early", Status: ci.Failed, ExitCode: 3})
				output[0] = "done"
			}
		case "step":
			if m.Step == 1 {
				require.Contains(t, m.HTML, "&lt;db&gt;")
				require.Contains(t, m.Head, "background")
			}
			if m.Ended {
				require.Contains(t, m.Head, "exit code 3")
				ended++
			}
		}
		return ended == 0
	})
	require.Equal(t, 1, ended)
}

// A page is told of what happened after it was made, even before it listened,
// and of nothing that it does not show.
func TestLive_ChangesOfPages(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	p, flows := w.run()
	srv := w.serve()
	pages := []string{"/", "/projects/local/home/shop", web.PipelinePath(p.ID), web.WorkflowPath(flows[0].ID)}
	var addresses []string
	for _, page := range pages {
		addresses = append(addresses, liveOf(t, srv.URL, page))
	}
	require.NoError(t, w.server.Cancel(w.ctx, flows[0].ID, ci.Actor{}))
	for _, a := range addresses {
		first := event{}
		last := listen(t, a, "", 0, func(e event) bool { first = e; return false })
		require.Equal(t, "change", first.kind, a)
		require.NotEmpty(t, last)
	}
	// Another workflow's events do not wake a workflow's page.
	seq, err := w.db.LastEvent(w.ctx)
	require.NoError(t, err)
	_, others := w.run()
	rec := httptest.NewRecorder()
	ctx, cancel := context.WithTimeout(w.ctx, 150*time.Millisecond)
	defer cancel()
	f := url.Values{"workflow": {string(flows[0].ID)}, "at": {itoa(seq)}}
	w.handler().ServeHTTP(rec, httptest.NewRequestWithContext(ctx, "GET", "/events?"+f.Encode(), nil))
	require.NotContains(t, rec.Body.String(), "change", others[0].ID)
}

// Idle watchers cost one goroutine each (the one of their request) and the
// events are followed once for all of them; when they leave nothing remains (Eventually itself has two).
func TestLive_IdleWatchersCostOneGoroutine(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	h := w.handler()
	w.run() // all of the world's own are there now
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(w.ctx)
	const n = 200
	for range n {
		go h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/events?at=0", nil))
	}
	time.Sleep(100 * time.Millisecond)
	require.LessOrEqual(t, runtime.NumGoroutine(), before+n+2)
	require.GreaterOrEqual(t, runtime.NumGoroutine(), before+n)
	cancel()
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+2 }, 5*time.Second, 5*time.Millisecond)
}

// A flushed closes a channel when an answer begins.
type flushed struct {
	*httptest.ResponseRecorder
	begun chan struct{}
}

func (f flushed) Flush() { close(f.begun) }

// More watchers than there are places for are told to come again; the pages
// themselves are served.
func TestLive_TooManyWatchers(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	w.cfg.Watchers = 1
	h := w.handler()
	ctx, cancel := context.WithCancel(w.ctx)
	done, begun := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		first := flushed{httptest.NewRecorder(), begun}
		h.ServeHTTP(first, httptest.NewRequestWithContext(ctx, "GET", "/events?at=0", nil))
	}()
	<-begun
	res, _ := get(t, h, "/events?at=0")
	require.Equal(t, 503, res.StatusCode)
	require.NotEmpty(t, res.Header.Get("Retry-After"))
	res, _ = get(t, h, "/")
	require.Equal(t, 200, res.StatusCode)
	cancel()
	<-done
}

// A cursor from anywhere is refused or does no harm.
func TestLive_BadCursors(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	_, flows := w.run()
	j := w.job(flows[0].ID, "a")
	l := w.claim(flows[0].ID, j.ID.Task(0))
	w.step(l, ci.Step{Kind: ci.StepRun, Name: "print", Status: ci.Running})
	h := w.handler()
	page := web.JobPath(w.project, j.Number)
	for _, bad := range []string{"", "x", "1.1", "1.1.1_0.-1.", "1.1.1_5.0.", "1.1.1_0.0.zzzzzzzz", strings.Repeat("1.1.1_", 1000)} {
		res, _ := get(t, h, page+"/events?at="+url.QueryEscape(bad))
		require.Equal(t, 400, res.StatusCode, bad)
	}
	srv := w.serve()
	reloaded := false
	listen(t, srv.URL+page+"/events?at=1.1.1_0.99999.", "", 0, func(e event) bool {
		reloaded = e.kind == "reload"
		return !reloaded
	})
	require.True(t, reloaded, "more was seen than there is: the store was set back")
}
