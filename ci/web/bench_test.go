package web_test

import (
	"net/http/httptest"
	"strings"
	"testing"

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
