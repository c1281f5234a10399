package telegraf_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/influxdata/telegraf/plugins/aggregators"
	"github.com/influxdata/telegraf/plugins/inputs"
	"github.com/influxdata/telegraf/plugins/outputs"
	"github.com/influxdata/telegraf/plugins/processors"
	"github.com/rondo-ci/rondo/metrics/doctor"
	"github.com/rondo-ci/rondo/metrics/telegraf"
	"github.com/stretchr/testify/require"
)

// influx takes line protocol, as InfluxDB 1 does.
type influx struct {
	*httptest.Server
	mu   sync.Mutex
	text string
}

func newInflux(t testing.TB) *influx {
	db := &influx{}
	db.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/query" {
			fmt.Fprint(w, `{"results":[{}]}`)
			return
		}
		in := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			in = z
		}
		body, err := io.ReadAll(in)
		if err != nil || r.URL.Path != "/write" || r.URL.Query().Get("db") != "testdb" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		db.mu.Lock()
		defer db.mu.Unlock()
		db.text += string(body)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(db.Close)
	return db
}

func (db *influx) has(parts ...string) func() bool {
	return func() bool {
		db.mu.Lock()
		defer db.mu.Unlock()
		for _, p := range parts {
			if !strings.Contains(db.text, p) {
				return false
			}
		}
		return true
	}
}

// sum adds what a counter has given.
func (db *influx) sum(name string) (n int) {
	db.mu.Lock()
	defer db.mu.Unlock()
	for line := range strings.Lines(db.text) {
		if !strings.HasPrefix(line, name+",") {
			continue
		}
		_, value, _ := strings.Cut(line, " value=")
		digits, _, _ := strings.Cut(value, "i")
		one, err := strconv.Atoi(digits)
		if err != nil {
			return -1
		}
		n += one
	}
	return n
}

// safe is a buffer for two.
type safe struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) { s.mu.Lock(); defer s.mu.Unlock(); return s.b.Write(p) }
func (s *safe) String() string              { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

func write(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func run(t *testing.T, dir string) *safe {
	log := &safe{}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- telegraf.New(telegraf.Config{Paths: []string{dir}, Look: 50 * time.Millisecond, Log: slog.New(slog.NewTextHandler(log, nil))}).Run(ctx)
	}()
	t.Cleanup(func() { stop(); require.NoError(t, <-done) })
	return log
}

const agentPart = "[agent]\n  interval = \"1s\"\n  flush_interval = \"1s\"\n  flush_jitter = \"0s\"\n"

// Each family of the guide, from this host, with the tag of all, to the guide's
// own output as it spells it; a second output in a new file without a restart.
func TestMET02_HostToInflux(t *testing.T) {
	one, two := newInflux(t), newInflux(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "agent.conf"), agentPart+"[tags]\n  Env = \"staging\"\n[[inputs.cpu]]\n[[inputs.disk]]\n  ignore_fs = [\"tmpfs\"]\n[[inputs.mem]]\n[[inputs.net]]\n[[inputs.system]]\n")
	write(t, filepath.Join(dir, "influxdb.conf"), fmt.Sprintf("[[output.influxdb]]\n  url = %q\n  database = \"testdb\"\n", one.URL))
	log := run(t, dir)
	require.Eventually(t, one.has("cpu,Env=staging,cpu=cpu-total,", "usage_idle=", "disk,Env=staging,", "used_percent=", "mem,Env=staging,", "available=", "net,Env=staging,", "bytes_recv="), 30*time.Second, 50*time.Millisecond, "MET-02, MET-11, MET-13")
	require.Contains(t, log.String(), "outputs=influxdb", "MET-12")
	require.Contains(t, log.String(), "influxdb.conf:2: url is not read")

	write(t, filepath.Join(dir, "second.conf"), "[[outputs.influxdb]]\n  nonsense = true\n")
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "goes on with the old ones") }, 10*time.Second, 20*time.Millisecond)
	require.Contains(t, log.String(), "second.conf")
	write(t, filepath.Join(dir, "second.conf"), fmt.Sprintf("[[outputs.influxdb]]\n  urls = [%q]\n  database = \"testdb\"\n", two.URL))
	require.Eventually(t, two.has("cpu,Env=staging,"), 30*time.Second, 50*time.Millisecond)
}

// What Rondo and others send by StatsD comes out.
func TestMET14_StatsD(t *testing.T) {
	db := newInflux(t)
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	address := c.LocalAddr().String()
	require.NoError(t, c.Close())
	dir := t.TempDir()
	write(t, filepath.Join(dir, "all.conf"), fmt.Sprintf("%s[[inputs.statsd]]\n  service_address = %q\n  parse_data_dog_tags = true\n  metric_separator = \".\"\n[[outputs.influxdb]]\n  urls = [%q]\n  database = \"testdb\"\n", agentPart, address, db.URL))
	log := run(t, dir)
	out, err := net.Dial("udp", address)
	require.NoError(t, err)
	defer out.Close()
	require.Eventually(t, func() bool {
		_, _ = fmt.Fprint(out, "circle.nomad.server_agent.jobs.pending:7|g|#class:medium") // nobody may listen yet
		return db.has("circle.nomad.server_agent.jobs.pending,class=medium,", "value=7")()
	}, 30*time.Second, 100*time.Millisecond, "MET-14")
	require.Contains(t, log.String(), "inputs=statsd")
}

// No datagram is lost while other files change, nor what was counted when the
// input itself changes or ends.
func TestMET14_NothingIsLostAtAReload(t *testing.T) {
	db := newInflux(t)
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	address := c.LocalAddr().String()
	require.NoError(t, c.Close())
	dir := t.TempDir()
	input := func(options string) {
		write(t, filepath.Join(dir, "in.conf"), fmt.Sprintf("[[inputs.statsd]]\n  service_address = %q\n%s", address, options))
	}
	tag := func(n int) {
		write(t, filepath.Join(dir, "agent.conf"), fmt.Sprintf("[global_tags]\n  run = \"%d\"\n[agent]\n  interval = \"1h\"\n  flush_interval = \"1h\"\n", n))
	}
	write(t, filepath.Join(dir, "out.conf"), fmt.Sprintf("[[outputs.influxdb]]\n  urls = [%q]\n  database = \"testdb\"\n", db.URL))
	input("")
	tag(0)
	log := &safe{}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- telegraf.New(telegraf.Config{Paths: []string{dir}, Look: 20 * time.Millisecond, Log: slog.New(slog.NewTextHandler(log, nil))}).Run(ctx)
	}()
	out, err := net.Dial("udp", address)
	require.NoError(t, err)
	defer out.Close()
	probe := func() bool { // whether somebody listens; it counts nothing
		_, err := fmt.Fprint(out, "probe:1|g")
		_, again := fmt.Fprint(out, "probe:1|g") // tells what became of the first
		return err == nil && again == nil
	}
	require.Eventually(t, probe, 30*time.Second, 20*time.Millisecond)
	sent := 0
	send := func() {
		_, err := fmt.Fprint(out, "hits:1|c")
		require.NoError(t, err, "somebody listens all the time")
		sent++
	}
	for n := 1; n <= 4; n++ { // every interval is an hour: only the ends of agents give figures
		tag(n)
		require.Eventually(t, func() bool {
			send()
			return strings.Count(log.String(), "telegraf runs") == n+1
		}, 30*time.Second, 100*time.Microsecond)
	}
	require.Equal(t, 0, db.sum("hits"), "the intake goes on")
	first := sent
	input("  number_workers_threads = 2\n") // another one: what the old one has counted is given
	require.Eventually(t, func() bool { return db.sum("hits") == first }, 30*time.Second, 20*time.Millisecond)
	require.Eventually(t, probe, 30*time.Second, 20*time.Millisecond)
	for range 100 {
		send()
	}
	stop()
	require.NoError(t, <-done)
	require.Equal(t, sent, db.sum("hits"))
}

// Wrong files at the start say what and where.
func TestMET11_Errors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "0 inputs and 0 outputs",
		"[[inputs.cpu]]\n":                     "1 inputs and 0 outputs",
		"[[inputs.cpu]]\n[[outputs.influx]]\n": `there is no output "influx" here; the nearest is "influxdb"`,
		"[[inputs.cpu]\n":                      "x.conf",
		"[[inputs.cpu]]\n  what = 1\n[[outputs.discard]]\n": "what",
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "x.conf"), text)
		err := telegraf.New(telegraf.Config{Paths: []string{dir}}).Run(t.Context())
		require.ErrorContains(t, err, want, text)
	}
	require.ErrorContains(t, telegraf.New(telegraf.Config{Paths: []string{t.TempDir()}}).Run(t.Context()), "no file *.conf")
	require.ErrorContains(t, telegraf.New(telegraf.Config{Paths: []string{"/no/such"}}).Run(t.Context()), "/no/such")
}

// The doctor knows what is linked here.
func TestMET11_DoctorKnowsThePlugins(t *testing.T) {
	for kind, names := range doctor.Plugins() {
		for _, n := range names {
			ok := false
			switch kind {
			case "inputs":
				_, ok = inputs.Inputs[n]
			case "outputs":
				_, ok = outputs.Outputs[n]
			case "processors":
				_, ok = processors.Processors[n]
			case "aggregators":
				_, ok = aggregators.Aggregators[n]
			}
			require.True(t, ok, "%s.%s", kind, n)
		}
	}
	require.Len(t, outputs.Outputs, len(doctor.Plugins()["outputs"]))
	require.Len(t, inputs.Inputs, len(doctor.Plugins()["inputs"]))
}

func ExampleNew() {
	err := telegraf.New(telegraf.Config{Paths: []string{"/no/such/folder"}}).Run(context.Background())
	fmt.Println(err)
	// Output: telegraf: stat /no/such/folder: no such file or directory
}
