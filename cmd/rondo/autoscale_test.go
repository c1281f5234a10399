package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/rondo-ci/rondo/scheduler/autoscale"
	"github.com/stretchr/testify/require"
)

// The builds of an organisation come from the server's usage exports; the
// result is a table, CSV, and a chart.
func TestASC03_SimulateOnTheServersHistory(t *testing.T) {
	mux := http.NewServeMux()
	const at = "/api/v2/organizations/gh/acme/usage_export_job"
	mux.HandleFunc("POST "+at, func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Start, End string }
		require.NoError(t, json.NewDecoder(r.Body).Decode(&asked))
		require.Less(t, asked.Start, asked.End)
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"usage_export_job_id":"x"}`))
	})
	mux.HandleFunc("GET "+at+"/x", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"usage_export_job_id":"x","download_urls":["https://ci.example.com/file?signature=s"]}`))
	})
	mux.HandleFunc("GET /file", func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "s", r.URL.Query().Get("signature"))
		_, _ = w.Write([]byte("JOB_RUN_QUEUED_AT,JOB_RUN_SECONDS,RESOURCE_CLASS,PARALLELISM\r\n2026-11-20T10:00:00.000Z,60.000,default,2\r\n2026-11-20T10:00:10.000Z,,large,1\r\n"))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	t.Setenv("RONDO_URL", server.URL)
	t.Setenv("RONDO_TOKEN", "t")
	dir := t.TempDir()
	csv, svg := filepath.Join(dir, "a.csv"), filepath.Join(dir, "a.svg")
	require.Zero(t, run([]string{"autoscale", "simulate", "--org", "gh/acme", "--policy", "static:1", "--csv", csv, "--svg", svg}))
	text, err := os.ReadFile(csv)
	require.NoError(t, err)
	require.Contains(t, string(text), "static:1,all,1,0.0000,")
	chart, err := os.ReadFile(svg)
	require.NoError(t, err)
	require.Contains(t, string(chart), "<svg")
	require.Equal(t, exitUsage, run([]string{"autoscale", "simulate", "--org", "gh/acme"}))
	require.Equal(t, exitUsage, run([]string{"autoscale", "recommend"}))
	require.NotEmpty(t, autoscale.Forms())
}
