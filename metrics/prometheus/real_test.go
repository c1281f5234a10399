package prometheus_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/metrics/metricstest"
	"github.com/rondo-ci/rondo/metrics/prometheus"
	"github.com/stretchr/testify/require"
)

func tool(t *testing.T, name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
	return path
}

// A real Prometheus reads the page, with names that its own checks like, and
// takes the rules of alerts.
func TestMET_RealPrometheus(t *testing.T) {
	server, promtool := tool(t, "prometheus"), tool(t, "promtool")
	page := prometheus.New(nil)
	require.NoError(t, page.Write(t.Context(), metricstest.Figures(time.Now())))
	site := httptest.NewServer(page)
	defer site.Close()

	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(show(page))
	out, err := check.CombinedOutput()
	var exit *exec.ExitError
	if err != nil { // 3 is that names of others could be nicer
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 3, exit.ExitCode(), string(out))
	}
	require.NotContains(t, string(out), "error while linting")

	dir := t.TempDir()
	rules := filepath.Join(dir, "alerts.yml")
	require.NoError(t, os.WriteFile(rules, []byte(prometheus.Alerts()), 0o600))
	out, err = exec.Command(promtool, "check", "rules", rules).CombinedOutput()
	require.NoError(t, err, string(out))

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	at := l.Addr().String()
	require.NoError(t, l.Close())
	file := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s]\nscrape_configs:\n  - job_name: rondo\n    static_configs: [{targets: [%q]}]\n", rules, site.Listener.Addr())
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	p := exec.Command(server, "--config.file="+file, "--storage.tsdb.path="+dir+"/data", "--web.listen-address="+at)
	require.NoError(t, p.Start())
	t.Cleanup(func() { _ = p.Process.Kill(); _ = p.Wait() }) // it was killed
	value := func(query string) string {
		r, err := http.Get("http://" + at + "/api/v1/query?query=" + url.QueryEscape(query))
		if err != nil {
			return ""
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		var got struct {
			Data struct{ Result []struct{ Value [2]any } }
		}
		if err != nil || json.Unmarshal(body, &got) != nil || len(got.Data.Result) != 1 {
			return ""
		}
		return fmt.Sprint(got.Data.Result[0].Value[1])
	}
	require.Eventually(t, func() bool { return value("circle_nomad_server_agent_jobs_pending") == "7" }, 30*time.Second, 100*time.Millisecond)
	require.Equal(t, "3", value(`jobs_ended_total{status="success"}`))
	require.Equal(t, "2004", value("queue_wait_seconds_count"))
}
