package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/metrics/metricstest"
	"github.com/rondo-ci/rondo/metrics/prometheus"
	"github.com/rondo-ci/rondo/scheduler/nomad/nomadtest"
	"github.com/stretchr/testify/require"
)

const datadogKey = "0123456789abcdef0123456789abcdef"

// freeUDP returns a free UDP port of this machine.
func freeUDP(t *testing.T) string {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer c.Close()
	return c.LocalAddr().String()
}

// A server with figures: its own page, what others send by StatsD, a cloud, and
// another cloud after SIGHUP, without a restart.
func TestMET12_ServeWithMetrics(t *testing.T) {
	one, two := metricstest.NewDataDog(datadogKey), metricstest.NewDataDog(datadogKey)
	defer one.Close()
	defer two.Close()
	r := newRepo(t, hello)
	udp := freeUDP(t)
	more := func(url string) string {
		return fmt.Sprintf("folders: [%s]\nmetrics:\n  interval: 1s\n  tags: {Env: production}\n  statsd: {listen: \"%s\"}\n  datadog: {api_key: \"env:DD_KEY\", url: \"%s\"}\n", r.dir, udp, url)
	}
	t.Setenv("DD_KEY", datadogKey)
	s, data := team(t, more(one.URL))
	s.waitEnd(ci.WorkflowEnded, "main")
	out, err := net.Dial("udp", udp)
	require.NoError(t, err)
	defer out.Close()
	_, err = out.Write([]byte("db.connections:17|g|#db:main\nnot a message"))
	require.NoError(t, err)

	page := func() string {
		reply, err := http.Get(s.URL + "/metrics")
		require.NoError(t, err)
		defer reply.Body.Close()
		text, err := io.ReadAll(reply.Body)
		require.NoError(t, err)
		return string(text)
	}
	s.eventually("figures", func() bool {
		text := page()
		for _, want := range []string{
			"circle_nomad_server_agent_poll_failure{Env=\"production\"} 0", "circle_nomad_server_agent_jobs_complete{Env=\"production\"} 1", "circle_nomad_server_agent_jobs_dead{Env=\"production\"} 1",
			"jobs_ended_total{Env=\"production\",status=\"success\"} 1", "queue_wait_seconds_count{", "db_connections{Env=\"production\",db=\"main\"} 17",
			"statsd_malformed_total{Env=\"production\"} 1", "capacity_nodes{Env=\"production\",state=\"ready\"} 1", "http_request_seconds_count{",
		} {
			if !strings.Contains(text, want) {
				return false
			}
		}
		return true
	})
	has := func(d *metricstest.DataDog, name string) bool {
		for _, x := range d.Series() {
			if x.Metric == name && strings.Join(x.Tags, ",") != "" && strings.Contains(strings.Join(x.Tags, ","), "Env:production") {
				return true
			}
		}
		return false
	}
	s.eventually("DataDog has the five", func() bool { return has(one, "circle.nomad.server_agent.jobs.pending") })
	require.False(t, has(two, "circle.nomad.server_agent.jobs.pending"))

	file := filepath.Join(filepath.Dir(data), "rondo.yml")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(string(text)+"  nonsense: 1\n"), 0o600))
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGHUP))
	s.eventually("bad settings are said", func() bool { return strings.Contains(s.errors(), "the ones before stay") })
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(string(text), one.URL, two.URL)), 0o600))
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGHUP))
	s.eventually("the other one has them now", func() bool { return has(two, "circle.nomad.server_agent.jobs.pending") })
	require.NotContains(t, s.errors(), datadogKey)
	require.Equal(t, 0, s.stop(), s.errors())
}

// Whoever asks for the page changes nothing: sinks get what the interval gives,
// here the one at the end.
func TestMET12_AskingForThePageOnlyReads(t *testing.T) {
	cloud := metricstest.NewDataDog(datadogKey)
	defer cloud.Close()
	t.Setenv("DD_KEY", datadogKey)
	s, _ := team(t, fmt.Sprintf("metrics: {interval: 1h, datadog: {api_key: \"env:DD_KEY\", url: %q}}\n", cloud.URL))
	for range 5 {
		code, text := s.call("GET", "/metrics", "")
		require.Equal(t, http.StatusOK, code)
		require.NotContains(t, text, "poll_failure", "the interval is not over")
	}
	require.Equal(t, 0, s.stop(), s.errors())
	n := 0
	for _, x := range cloud.Series() {
		if x.Metric == "circle.nomad.server_agent.jobs.pending" {
			n += len(x.Points)
		}
	}
	require.Equal(t, 1, n)
}

// Each field says what is wrong with it.
func TestMET09_Settings(t *testing.T) {
	for text, want := range map[string]string{
		"metrics: {cloudwatch: {auth: keys, region: us-west-2, namespace: x}}":                                          "metrics.cloudwatch.access_key is missing",
		"metrics: {cloudwatch: {auth: keys, access_key: AKIA, secret_key: \"env:S\", region: us-west-2, namespace: x}}": "metrics.cloudwatch.access_key: write env:NAME",
		"metrics: {cloudwatch: {namespace: AWS/x}}":                                                                     "metrics.cloudwatch.namespace must not begin with AWS/",
		"metrics: {cloudwatch: {namespace: x, region: here}}":                                                           "metrics.cloudwatch.region",
		"metrics: {datadog: {site: datadoghq.eu}}":                                                                      "metrics.datadog.api_key is missing",
		"metrics: {statsd: {}}":                                             "metrics.statsd.listen is missing",
		"metrics: {traces: {endpoint: collector}}":                          "metrics.traces.endpoint",
		"metrics: {traces: {endpoint: \"http://c:4318\", headers: {k: v}}}": "metrics.traces.headers.k: write env:NAME",
		"metrics: {interval: 1ms}":                                          "metrics.interval: at least 1s",
		"metrics: {influx: {}}":                                             "influx is not known",
	} {
		_, err := parseSettings([]byte("url: http://x\ndata: d\n" + text + "\n"))
		require.ErrorContains(t, err, want, text)
	}
}

// The files that are shipped are those that the catalogue makes. To make them
// anew: go run ./cmd/rondo-server metrics catalogue > docs/metrics/README.md
func TestMET_ShippedFiles(t *testing.T) {
	for name, want := range map[string]string{"README.md": prometheus.Markdown(), "grafana.json": prometheus.Dashboard(), "alerts.yml": prometheus.Alerts()} {
		text, err := os.ReadFile("../../docs/metrics/" + name)
		require.NoError(t, err)
		require.Equal(t, want, string(text), name)
	}
}

// Figures are taken from the networks that are named, and from no other: those
// of clients, of servers of Nomad, and of databases are three cases.
func TestPRT03_FiguresFromTheNetworksThatAreNamed(t *testing.T) {
	address := freeUDP(t)
	from := map[string]string{"clients": "127.0.0.2", "nomad": "127.0.0.3", "databases": "127.0.0.4"}
	for _, named := range [][]string{{"clients"}, {"clients", "nomad"}, {"clients", "databases"}} {
		t.Run(strings.Join(named, " and "), func(t *testing.T) {
			var allow []string
			for _, who := range named {
				allow = append(allow, from[who]+"/32")
			}
			s, _ := team(t, fmt.Sprintf("metrics: {interval: 1s, statsd: {listen: %q, allow: [%s]}}\n", address, strings.Join(allow, ", ")))
			seen := func() (all []string) {
				_, body := s.call("GET", "/metrics", "")
				for who, source := range from {
					c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(source)}, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
					require.NoError(t, err)
					_, _ = fmt.Fprintf(c, "seen_%s:1|c", who)
					require.NoError(t, c.Close())
					if strings.Contains(body, "seen_"+who) {
						all = append(all, who)
					}
				}
				slices.Sort(all)
				return all
			}
			want := slices.Sorted(slices.Values(named))
			s.eventually("figures", func() bool { return slices.Equal(want, seen()) })
			for range 3 { // and the others stay away
				require.Equal(t, want, seen())
			}
			require.Equal(t, 0, s.stop(), s.errors())
		})
	}
}

// The five figures of the guide from a cluster with too little room: exact
// counts, of which complete is what of dead ended well; and poll_failure, which
// comes and goes with the cluster.
func TestMET03_MET04_MET05_MET06_MET07_TheFive(t *testing.T) {
	fake, address := fakeNomad(t)
	open, more := filepath.Join(t.TempDir(), "open"), ""
	for n := range 9 {
		more += fmt.Sprintf(", {wait: {name: w%d}}", n)
	}
	r := newRepo(t, fmt.Sprintf(`
version: 2.1
jobs:
  wait: {machine: true, resource_class: small, steps: [{run: 'while [ ! -e %[1]s ]; do sleep 0.1; done'}]}
  bad: {machine: true, resource_class: small, steps: [{run: 'while [ ! -e %[1]s ]; do sleep 0.1; done; exit 1'}]}
workflows: {main: {jobs: [bad%[2]s]}}
`, open, more))
	door := freeAddress(t)
	s, _ := teamAt(t, door, fmt.Sprintf("folders: [%s]\nmetrics: {interval: 1s}\nnomad: {address: %s, door: \"http://%s\", reserve: {cpu: 7}}\n", r.dir, address, door))
	says := func(failure, pending, running, complete, dead int) func() bool {
		return func() bool {
			_, text := s.call("GET", "/metrics", "")
			for name, n := range map[string]int{"poll_failure": failure, "jobs_pending": pending, "jobs_running": running, "jobs_complete": complete, "jobs_dead": dead} {
				if !strings.Contains(text, fmt.Sprintf("circle_nomad_server_agent_%s %d\n", name, n)) && n >= 0 {
					return false
				}
			}
			return true
		}
	}
	s.eventually("3 run and 7 wait", says(0, 7, 3, 0, 0))
	fake.SetFault(func(*http.Request) nomadtest.Fault { return nomadtest.Fault{Status: http.StatusInternalServerError} })
	s.eventually("the poll fails", says(1, -1, -1, -1, -1))
	fake.SetFault(nil)
	s.eventually("it works again", says(0, 7, 3, 0, 0))
	require.NoError(t, os.WriteFile(open, nil, 0o600))
	s.eventually("all have ended", says(0, 0, 0, 9, 10))
	require.Equal(t, 0, s.stop(), s.errors())
}

// The tags of all figures are on every one that leaves the server: its own, and
// those that others send.
func TestMET13_TagsOfAll(t *testing.T) {
	cloud := metricstest.NewDataDog(datadogKey)
	defer cloud.Close()
	t.Setenv("DD_KEY", datadogKey)
	udp := freeUDP(t)
	r := newRepo(t, hello)
	s, _ := team(t, fmt.Sprintf("folders: [%s]\nmetrics: {interval: 1s, tags: {Env: staging, team: ci}, statsd: {listen: %q}, datadog: {api_key: \"env:DD_KEY\", url: %q}}\n", r.dir, udp, cloud.URL))
	s.waitEnd(ci.WorkflowEnded, "main")
	out, err := net.Dial("udp", udp)
	require.NoError(t, err)
	defer out.Close()
	_, err = out.Write([]byte("theirs:1|c|#Env:mine,x:y"))
	require.NoError(t, err)
	names := func() map[string]bool {
		all := map[string]bool{}
		for _, x := range cloud.Series() {
			all[x.Metric] = true
		}
		return all
	}
	s.eventually("figures of all kinds", func() bool {
		n := names()
		return n["theirs"] && n["circle.nomad.server_agent.jobs.pending"] && n["queue.run"] && n["jobs.ended_total"]
	})
	require.Equal(t, 0, s.stop(), s.errors())
	for _, x := range cloud.Series() {
		require.Contains(t, x.Tags, "team:ci", x.Metric)
		if x.Metric != "theirs" { // who says it of themselves knows better
			require.Contains(t, x.Tags, "Env:staging", x.Metric)
		}
	}
}
