package prometheus_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/metrics"
	"github.com/rondo-ci/rondo/metrics/metricstest"
	"github.com/rondo-ci/rondo/metrics/prometheus"
	"github.com/stretchr/testify/require"
)

func show(p *prometheus.Page) string {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestMET_PrometheusSuite(t *testing.T) {
	metricstest.TestSink(t, func(t *testing.T) (metrics.Sink, func(bool)) { return prometheus.New(nil), nil })
}

func TestMET_PrometheusPage(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	p := prometheus.New(func() time.Time { return now })
	figures := metricstest.Figures(now)
	require.NoError(t, p.Write(t.Context(), figures))
	require.NoError(t, p.Write(t.Context(), figures))
	text := show(p)
	for _, want := range []string{
		"# HELP circle_nomad_server_agent_jobs_pending jobs of the cluster that wait for room\n# TYPE circle_nomad_server_agent_jobs_pending gauge\ncircle_nomad_server_agent_jobs_pending 7\n",
		"jobs_ended_total{Env=\"Produktion – Süd\",status=\"success\"} 6\n",
		"cpu_usage_user{cpu=\"cpu-total\",host=\"ci-1\"} 12.5\n",
		"odd_name_with_all__of__it_{a_b=\"c,d=e f\\\"g\\\\\"} -1.5\n",
		"queue_wait_seconds_count{class=\"medium\"} 4008\n",
		"queue_wait_seconds_bucket{class=\"medium\",le=\"+Inf\"} 4008\n",
		"go_goroutines ", "process_resident_memory_bytes ",
	} {
		require.Contains(t, text, want)
	}
	now = now.Add(10 * time.Minute)
	text = show(p)
	require.NotContains(t, text, "jobs_pending 7", "a gauge that nobody gives any more")
	require.Contains(t, text, "jobs_ended_total")
}

// Two kinds or shapes under one name spoil neither the page nor each other.
func TestMET_PrometheusClashes(t *testing.T) {
	p := prometheus.New(nil)
	at := time.Now()
	require.NoError(t, p.Write(t.Context(), []metrics.Sample{
		{Name: "x.y", Kind: metrics.Gauge, Value: 1, Time: at}, {Name: "x_y", Kind: metrics.Gauge, Value: 2, Time: at},
		{Name: "x.y", Kind: metrics.Gauge, Value: 3, Time: at, Tags: metrics.Tags("le", "1", "__x", "2", "a-b", "3", "a.b", "4")},
		{Name: "bad\xff", Kind: metrics.Gauge, Value: 4, Time: at, Tags: metrics.Tags("k", "v\xff")},
		{Name: "fine", Kind: metrics.Gauge, Value: 5, Time: at},
	}))
	text := show(p)
	require.Contains(t, text, "fine 5")
	require.True(t, strings.Contains(text, "x_y 1") || strings.Contains(text, "x_y 2"))
}

func ExamplePage() {
	p := prometheus.New(nil)
	err := p.Write(context.Background(), []metrics.Sample{{Name: "queue.run", Kind: metrics.Gauge, Value: 7, Time: time.Now()}})
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	fmt.Println(err, strings.Contains(w.Body.String(), "\nqueue_run 7\n"))
	// Output: <nil> true
}
