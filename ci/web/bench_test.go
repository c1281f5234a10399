package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci/web"
	"github.com/rondo-ci/rondo/storage"
)

// Ask 18: the page of a job whose step has printed 200 MB.
func BenchmarkJobPage_200MB(b *testing.B) {
	w := newWorld(b, flow(build("a")))
	logs, err := storage.OpenLogs(b.TempDir(), storage.LogsConfig{})
	require.NoError(b, err)
	w.logs, w.cfg.Logs = logs, logs
	page, _ := w.aStep(strings.Repeat(long(10_000), 440)) // 200 MB
	h := w.handler()
	b.ResetTimer()
	for b.Loop() {
		get(b, h, page)
	}
}

// large returns the handler and the page of a job whose step has printed
// 200 MB in 2 million lines.
func large(b *testing.B) (h http.Handler, page string) {
	w := newWorld(b, flow(build("a")))
	logs, err := storage.OpenLogs(b.TempDir(), storage.LogsConfig{})
	require.NoError(b, err)
	w.logs, w.cfg.Logs = logs, logs
	var text strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&text, "\x1b[32mok\x1b[0m  %06d  github.com/acme/shop/cart/total  %d.%03ds  coverage: 83.1%% of statements  (cached)\n", i, i%9, i%1000)
	}
	page, _ = w.aStep(strings.Repeat(text.String(), 200_000_000/text.Len()))
	return w.handler(), page
}

// Ask 18: a line in the middle of 200 MB, by its number. The first reader
// waits for the output to be looked through once.
func BenchmarkLogView_200MB(b *testing.B) {
	h, page := large(b)
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			fresh, other := large(b)
			b.StartTimer()
			get(b, fresh, other+"/view?step=0&line=1000000")
		}
	})
	b.Run("later", func(b *testing.B) {
		for b.Loop() {
			get(b, h, page+"/view?step=0&line=1000000")
		}
	})
}

// Ask 18: the page of a job with 200 MB of output in a browser, from the click
// until it is loaded and drawn, and a line in the middle of it.
func BenchmarkBrowser_200MB(b *testing.B) {
	ctx, _ := browser(b)
	h, page := large(b)
	srv := httptest.NewServer(h)
	b.Cleanup(srv.Close)
	for _, c := range []struct{ name, path, ready string }{
		{"job", "", `document.querySelector("#step-0 .log").textContent.length > 100000`},
		{"line", "/view?step=0&line=1000000#L1000000", `document.querySelector("#L1000000").getBoundingClientRect().top < innerHeight`},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				require.NoError(b, chromedp.Do(ctx, chromedp.Navigate("about:blank"), chromedp.Navigate(srv.URL+page+c.path)))
				ready, err := chromedp.Run(ctx, chromedp.Evaluate[bool](c.ready))
				require.NoError(b, err)
				require.True(b, ready)
			}
		})
	}
}

// Ask 18: a text that stands nowhere in 200 MB.
func BenchmarkSearch_200MB(b *testing.B) {
	h, page := large(b)
	b.SetBytes(200_000_000)
	for b.Loop() {
		get(b, h, page+"/search?q=panic")
	}
}

// The first page of an installation with 2,000 pipelines.
func BenchmarkHome(b *testing.B) {
	w := newWorld(b, flow(build("a"), build("b", "a")))
	for range 2000 {
		w.run()
	}
	h := w.handler()
	b.ResetTimer()
	for b.Loop() {
		get(b, h, "/")
	}
}

// A workflow of 500 jobs.
func BenchmarkWorkflow_500Jobs(b *testing.B) {
	jobs := demoPlan().Workflows[0].Jobs[:0]
	for i := range 500 {
		j := build("job-" + itoa(uint64(i)))
		for k := max(0, i-20); k < i; k += 7 {
			j.Requires = append(j.Requires, build("x", "job-"+itoa(uint64(k))).Requires...)
		}
		jobs = append(jobs, j)
	}
	w := newWorld(b, flow(jobs...))
	_, flows := w.run()
	h := w.handler()
	b.ResetTimer()
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", web.WorkflowPath(flows[0].ID), nil))
	}
}
