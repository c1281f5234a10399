package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/metrics"
	"github.com/rondo-ci/rondo/metrics/cloudwatch"
	"github.com/rondo-ci/rondo/metrics/datadog"
	"github.com/rondo-ci/rondo/metrics/otel"
	"github.com/rondo-ci/rondo/metrics/prometheus"
	"github.com/rondo-ci/rondo/metrics/statsd"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/spf13/cobra"
)

// metricsHelp is what the help of serve says of metricsSettings.
const metricsHelp = `  metrics:                           # SIGHUP reads this part again; /metrics is always there
    token: file:/etc/rondo/metrics-token # for /metrics; without, it answers this machine only
    interval: 10s
    tags: {Env: production}          # on all figures
    datadog: {api_key: "file:/etc/rondo/datadog-key", site: datadoghq.eu}
    # or an agent of DataDog: {agent: "127.0.0.1:8125"}
    cloudwatch:
      auth: instance_profile         # or keys, with access_key and secret_key
      region: us-west-2
      namespace: ci_metrics
      dimensions: [class, status]    # tags that become dimensions, and cost; default all
    statsd: {listen: "0.0.0.0:8125", allow: [10.0.0.0/8]} # figures of others
    traces: {endpoint: "http://collector:4318", headers: {api-key: "env:TRACES_KEY"}}`

// metricsSettings say where figures go.
type metricsSettings struct {
	Token      secretRef           `yaml:"token"`
	Interval   time.Duration       `yaml:"interval"`
	Tags       map[string]string   `yaml:"tags"`
	DataDog    *datadogSettings    `yaml:"datadog"`
	CloudWatch *cloudwatchSettings `yaml:"cloudwatch"`
	StatsD     *statsdSettings     `yaml:"statsd"`
	Traces     *tracesSettings     `yaml:"traces"`
}

// datadogSettings name DataDog's API, or an agent of theirs.
type datadogSettings struct {
	APIKey secretRef `yaml:"api_key"`
	Site   string    `yaml:"site"`
	URL    string    `yaml:"url"` // instead of that of the site
	Agent  string    `yaml:"agent"`
}

// cloudwatchSettings are the fields of the guide's form.
type cloudwatchSettings struct {
	Auth       string    `yaml:"auth"`
	AccessKey  secretRef `yaml:"access_key"`
	SecretKey  secretRef `yaml:"secret_key"`
	Region     string    `yaml:"region"`
	Namespace  string    `yaml:"namespace"`
	Dimensions []string  `yaml:"dimensions"`
	Endpoint   string    `yaml:"endpoint"`
}

// statsdSettings say where figures of others come in.
type statsdSettings struct {
	Listen string   `yaml:"listen"`
	Allow  networks `yaml:"allow"`
}

// tracesSettings name a receiver of OpenTelemetry.
type tracesSettings struct {
	Endpoint string               `yaml:"endpoint"`
	Headers  map[string]secretRef `yaml:"headers"`
}

// check names what is wrong, by field.
func (m metricsSettings) check() error {
	wrong := []error{m.Token.check("metrics.token", false)}
	if m.Interval < 0 || m.Interval > 0 && m.Interval < time.Second {
		wrong = append(wrong, errors.New("metrics.interval: at least 1s"))
	}
	if d := m.DataDog; d != nil && d.Agent == "" {
		wrong = append(wrong, d.APIKey.check("metrics.datadog.api_key", true))
	}
	if c := m.CloudWatch; c != nil {
		keys := c.Auth == string(cloudwatch.Keys)
		wrong = append(wrong, c.AccessKey.check("metrics.cloudwatch.access_key", keys), c.SecretKey.check("metrics.cloudwatch.secret_key", keys))
		full := c.config()
		if keys { // the secrets themselves are read at the start
			full.AccessKey, full.SecretKey = "set", "set"
		} else if c.AccessKey != "" || c.SecretKey != "" {
			full.AccessKey = "set"
		}
		if err := full.Check(); err != nil {
			wrong = append(wrong, fieldsOf("metrics", err))
		}
	}
	if t := m.Traces; t != nil {
		if u, err := url.Parse(t.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			wrong = append(wrong, fmt.Errorf("metrics.traces.endpoint: %q is no address such as http://collector:4318", t.Endpoint))
		}
		for name, ref := range t.Headers {
			wrong = append(wrong, ref.check("metrics.traces.headers."+name, true))
		}
	}
	if s := m.StatsD; s != nil && s.Listen == "" {
		wrong = append(wrong, errors.New("metrics.statsd.listen is missing, as in 0.0.0.0:8125"))
	}
	return errors.Join(wrong...)
}

// fieldsOf names the fields that a package finds wrong with a part of the
// settings by their place in the file: chapter.part.field.
func fieldsOf(chapter string, err error) error {
	var all []error
	for part, rest := range faults(err) {
		all = append(all, errors.New(chapter+"."+part+"."+rest))
	}
	return errors.Join(all...)
}

// faults are what a package finds wrong with its settings: the part, and the
// field with what is wrong, of each line of its error.
func faults(err error) iter.Seq2[string, string] {
	return func(yield func(part, rest string) bool) {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			part, rest, _ := strings.Cut(strings.TrimPrefix(line, "invalid: "), ": ")
			if !yield(part, rest) {
				return
			}
		}
	}
}

func (c *cloudwatchSettings) config() cloudwatch.Config {
	return cloudwatch.Config{Auth: cloudwatch.Auth(c.Auth), Region: c.Region, Namespace: c.Namespace, Dimensions: c.Dimensions, Endpoint: c.Endpoint}
}

// metricsCommand prints what is made from the catalogue.
func metricsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "metrics", Short: "The figures that the server gives: catalogue, dashboard, alerts"}
	for _, c := range []struct {
		name, short string
		text        func() string
	}{
		{"catalogue", "Print all figures as a table in Markdown", prometheus.Markdown},
		{"dashboard", "Print a dashboard for Grafana", prometheus.Dashboard},
		{"alerts", "Print rules of alerts for Prometheus", prometheus.Alerts},
	} {
		cmd.AddCommand(&cobra.Command{Use: c.name, Short: c.short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), c.text())
			return err
		}})
	}
	return cmd
}

// figures are what a server tells of itself.
type figures struct {
	registry *metrics.Registry
	flow     *metrics.Flow
	hub      *metrics.Hub
	page     *prometheus.Page
	token    string
	client   *http.Client // nil is Go's own
	// saved are the sinks of the page of settings.
	saved func(context.Context, metricsSettings) []metrics.Named[metrics.Sink]

	mu  sync.Mutex
	set metricsSettings // in force
}

// openMetrics makes the figures of a server, over an engine that is there.
func (in *installation) openMetrics(ctx context.Context, set metricsSettings) error {
	f := &figures{registry: metrics.NewRegistry(nil), page: prometheus.New(nil), client: in.reach.client(30 * time.Second), saved: in.savedSinks}
	f.flow = metrics.NewFlow(f.registry, nil)
	in.figures = f
	var err error
	if f.token, err = set.Token.read(); err != nil {
		return fmt.Errorf("metrics.token: %w", err)
	}
	inputs := []metrics.Named[metrics.Input]{
		{Name: "server", T: f.registry},
		{Name: "cluster", T: metrics.Poller{Poll: in.countJobs}},
		{Name: "queue", T: metrics.InputFunc(in.queueFigures)},
	}
	if in.garage != nil {
		inputs = append(inputs, metrics.Named[metrics.Input]{Name: "machines", T: newMachineFigures(in.garage.fleet, in.machining.config().Times.Leak)})
	}
	if in.shown != nil {
		inputs = append(inputs, metrics.Named[metrics.Input]{Name: "certificate", T: metrics.InputFunc(in.certificateFigures)})
	}
	if s := set.StatsD; s != nil {
		intake, err := statsd.Listen(s.Listen, statsd.Config{Allow: []netip.Prefix(s.Allow)})
		if err != nil {
			return fmt.Errorf("metrics.statsd: %w", err)
		}
		in.parts = append(in.parts, intake.Run)
		inputs = append(inputs, metrics.Named[metrics.Input]{Name: "statsd", T: intake})
	}
	if t := set.Traces; t != nil {
		if err := in.openTraces(ctx, *t); err != nil {
			return err
		}
	}
	f.hub = metrics.NewHub(inputs, metrics.Config{Log: in.log, Interval: set.Interval, Tags: pairs(set.Tags)})
	if err := f.use(ctx, set); err != nil {
		return err
	}
	in.parts = append(in.parts, f.hub.Run, func(ctx context.Context) error {
		after, err := in.db.LastEvent(ctx)
		if err != nil {
			return err
		}
		return f.flow.Follow(ctx, after, in.engine.Server.Follow)
	})
	return nil
}

func (in *installation) openTraces(ctx context.Context, t tracesSettings) error {
	headers := map[string]string{}
	for name, ref := range t.Headers {
		value, err := ref.read()
		if err != nil {
			return fmt.Errorf("metrics.traces.headers.%s: %w", name, err)
		}
		headers[name] = value
	}
	tracer, err := otel.New(ctx, in.db, in.db, otel.Config{Endpoint: t.Endpoint, Headers: headers, HTTP: in.reach.client(30 * time.Second), Version: version, Log: in.log})
	if err != nil {
		return fmt.Errorf("metrics.%w", err)
	}
	in.parts = append(in.parts, func(ctx context.Context) error { return tracer.Follow(ctx, in.engine.Server.Follow) })
	return nil
}

func pairs(tags map[string]string) []metrics.Tag {
	var all []string
	for k, v := range tags {
		all = append(all, k, v)
	}
	return metrics.Tags(all...)
}

// use makes the sinks of the settings those of the hub.
func (f *figures) use(ctx context.Context, set metricsSettings) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	sinks, err := f.sinks(ctx, set)
	if err != nil {
		for _, s := range sinks { // those that were opened
			if c, ok := s.T.(io.Closer); ok {
				_ = c.Close() // nothing was written
			}
		}
		return fmt.Errorf("metrics: %w", err)
	}
	f.hub.Use(sinks...)
	f.set = set
	return nil
}

// inForce are the settings in force, which SIGHUP may have changed.
func (f *figures) inForce() metricsSettings {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.set
}

// sinks opens the sinks of the settings; those that were opened come also with
// an error.
func (f *figures) sinks(ctx context.Context, set metricsSettings) ([]metrics.Named[metrics.Sink], error) {
	sinks := []metrics.Named[metrics.Sink]{{Name: "prometheus", T: f.page}}
	if d := set.DataDog; d != nil {
		sink, err := d.open(f.client)
		if err != nil {
			return sinks, err
		}
		sinks = append(sinks, metrics.Named[metrics.Sink]{Name: "datadog", T: sink})
	}
	if c := set.CloudWatch; c != nil {
		cfg := c.config()
		cfg.HTTP = f.client
		var err, err2 error
		cfg.AccessKey, err = c.AccessKey.read()
		cfg.SecretKey, err2 = c.SecretKey.read()
		if err := errors.Join(err, err2); err != nil {
			return sinks, fmt.Errorf("cloudwatch: %w", err)
		}
		sink, err := cloudwatch.New(ctx, cfg)
		if err != nil {
			return sinks, err
		}
		sinks = append(sinks, metrics.Named[metrics.Sink]{Name: "cloudwatch", T: sink})
	}
	return append(sinks, f.saved(ctx, set)...), nil
}

// again makes the sinks of the settings in force anew, with what is saved now.
func (f *figures) again(ctx context.Context) error {
	return f.use(ctx, f.inForce())
}

func (d *datadogSettings) open(client *http.Client) (metrics.Sink, error) {
	if d.Agent != "" {
		return datadog.NewStatsD(d.Agent)
	}
	key, err := d.APIKey.read()
	if err != nil {
		return nil, fmt.Errorf("datadog.api_key: %w", err)
	}
	host, _ := os.Hostname() // without, figures have no host
	return datadog.New(datadog.Config{Key: key, Site: d.Site, URL: d.URL, Host: host, HTTP: client})
}

// reload reads the settings again. Wrong ones change nothing. Inputs keep their
// sockets.
func (f *figures) reload(ctx context.Context, load func() (metricsSettings, error)) error {
	set, err := load()
	if err != nil {
		return err
	}
	return f.use(ctx, set)
}

// reread reads the part about figures from the file again.
func (s settings) reread() (metricsSettings, error) {
	now, err := loadSettings(s.file)
	return now.Metrics, err
}

// reloaded says what came of reading the settings again.
func (in *installation) reloaded(err error) {
	if err != nil {
		in.log.Error("settings of metrics are not good, the ones before stay", "err", err)
		return
	}
	in.log.Info("settings of metrics were read again")
}

// countJobs counts the jobs of the cluster as the operations guide does. What is
// over is counted from the events of the last hours, so that it is the same with
// every cluster.
func (in *installation) countJobs(ctx context.Context) (metrics.JobCounts, error) {
	if _, err := in.engine.Cluster.Nodes(ctx); err != nil {
		return metrics.JobCounts{}, err
	}
	now := in.engine.Scheduler.Snapshot()
	n := metrics.JobCounts{Pending: now.Usage + now.Run + now.Placed, Running: now.Running + now.Ending}
	n.Complete, n.Dead = in.figures.flow.Ended()
	return n, nil
}

// queueFigures tell of the queue and of the nodes.
func (in *installation) queueFigures(context.Context) ([]metrics.Sample, error) {
	now, at := in.engine.Scheduler.Snapshot(), time.Now()
	var all []metrics.Sample
	gauge := func(name string, v float64, tags ...string) {
		all = append(all, metrics.Sample{Name: name, Kind: metrics.Gauge, Value: v, Tags: metrics.Tags(tags...), Time: at})
	}
	gauge("queue.usage", float64(now.Usage))
	gauge("queue.run", float64(now.Run))
	gauge("queue.placed", float64(now.Placed))
	gauge("queue.running", float64(now.Running))
	gauge("queue.missing_nodes", float64(now.Missing))
	oldest := 0.0
	if !now.Oldest.IsZero() {
		oldest = max(0, at.Sub(now.Oldest).Seconds())
	}
	gauge("queue.oldest", oldest)
	const mb = 1 << 20
	var used, free, draining, down scheduler.Resources
	count, workers := map[scheduler.NodeState]int{}, map[string]int{"available": 0, "busy": 0, "offline": 0}
	for _, n := range now.Nodes {
		count[n.State]++
		switch state := "available"; n.State {
		case scheduler.NodeReady:
			if n.Placements > 0 {
				state = "busy"
			}
			workers[state]++
			used.CPU, used.MemoryMB = used.CPU+n.Used.CPU, used.MemoryMB+n.Used.MemoryMB
			free.CPU, free.MemoryMB = free.CPU+n.Capacity.CPU-n.Used.CPU, free.MemoryMB+n.Capacity.MemoryMB-n.Used.MemoryMB
		case scheduler.NodeDraining:
			workers["offline"]++
			draining.CPU, draining.MemoryMB = draining.CPU+n.Capacity.CPU, draining.MemoryMB+n.Capacity.MemoryMB
		default:
			workers["offline"]++
			down.CPU, down.MemoryMB = down.CPU+n.Capacity.CPU, down.MemoryMB+n.Capacity.MemoryMB
		}
	}
	for _, p := range []struct {
		state string
		r     scheduler.Resources
	}{{"used", used}, {"free", free}, {"draining", draining}, {"down", down}} {
		gauge("capacity.cpu", p.r.CPU, "state", p.state)
		gauge("capacity.memory", float64(p.r.MemoryMB)*mb, "state", p.state)
	}
	for _, s := range []scheduler.NodeState{scheduler.NodeReady, scheduler.NodeDraining, scheduler.NodeDown} {
		gauge("capacity.nodes", float64(count[s]), "state", string(s))
	}
	for state, n := range workers {
		gauge("cicd.worker.count", float64(n), "state", state)
	}
	if total := used.CPU + free.CPU; total > 0 {
		gauge("capacity.utilisation", used.CPU/total)
	}
	pending, executing := in.figures.flow.Active()
	gauge("cicd.pipeline.run.active", float64(pending), "cicd.pipeline.run.state", "pending")
	gauge("cicd.pipeline.run.active", float64(executing), "cicd.pipeline.run.state", "executing")
	return all, nil
}

// metricsPage shows the figures to who has the token, or without one to this
// machine: those of the last interval, since asking changes none.
func (in *installation) metricsPage(w http.ResponseWriter, r *http.Request) {
	f := in.figures
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case f.token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(f.token)) == 1:
	case f.token == "" && fromHere(r):
	default:
		w.Header().Set("WWW-Authenticate", `Bearer realm="metrics"`)
		http.Error(w, "metrics.token of the settings is wanted as a bearer token; without that setting only this machine is answered", http.StatusUnauthorized)
		return
	}
	f.page.ServeHTTP(w, r)
}

// fromHere reports whether a request comes from this machine, and was not
// passed on by a proxy.
func fromHere(r *http.Request) bool {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && at.Addr().IsLoopback() && r.Header.Get("X-Forwarded-For") == "" && r.Header.Get("Forwarded") == ""
}

// counted counts the requests that a handler answers.
func (in *installation) counted(h http.Handler) http.Handler {
	if in.figures == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen, start := &seenWriter{ResponseWriter: w, code: http.StatusOK}, time.Now()
		h.ServeHTTP(seen, r)
		if w.Header().Get("Content-Type") == "text/event-stream" || r.Header.Get("Upgrade") != "" {
			return // it took as long as somebody watched
		}
		in.figures.registry.Observe("http.request", time.Since(start).Seconds(), metrics.Tag{Key: "status", Value: strconv.Itoa(seen.code/100) + "xx"})
	})
}

// seenWriter remembers the status of an answer.
type seenWriter struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (s *seenWriter) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController find what the writer can do.
func (s *seenWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }
