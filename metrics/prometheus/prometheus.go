// Package prometheus shows figures at an address that Prometheus reads.
//
// A [Page] is a sink of package metrics: it remembers what came and shows it in
// the text format or as OpenMetrics, with the figures of the process itself.
// Counts are added up over the life of the page, and spreads become histograms.
// Names are written as Prometheus has them: dots become _, counts end in _total,
// seconds and bytes stand in the name.
//
// The package never asks anybody for figures: it shows what it was given.
package prometheus

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rondo-ci/rondo/metrics"
)

// stale is after how long a gauge that nobody gives any more is not shown.
const stale = 5 * time.Minute

// maxSeries is how many series a page shows at most; later ones are left out.
const maxSeries = 50_000

// A Page is a sink, and a handler that shows what it was given. It is safe for
// concurrent use.
type Page struct {
	now     func() time.Time
	known   map[string]metrics.Metric
	handler http.Handler

	mu  sync.Mutex
	all map[string]*series
}

// A series is one figure with its tags.
type series struct {
	metrics.Sample
	seen time.Time
}

// New returns an empty page. now is the clock; nil is time.Now.
func New(now func() time.Time) *Page {
	if now == nil {
		now = time.Now
	}
	p := &Page{now: now, all: map[string]*series{}, known: map[string]metrics.Metric{}}
	for _, m := range metrics.Catalogue() {
		p.known[m.Name] = m
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(p, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	p.handler = promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError})
	return p
}

// ServeHTTP shows the figures.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

// Write implements metrics.Sink. It takes everything.
func (p *Page) Write(_ context.Context, samples []metrics.Sample) error {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range samples {
		id := metrics.Series(string(s.Kind)+"\x00", s.Name, s.Tags)
		have := p.all[id]
		if have == nil {
			if len(p.all) >= maxSeries {
				continue
			}
			have = &series{Sample: s}
			if s.Sketch != nil { // what was given is not changed
				have.Sketch = s.Sketch.Clone()
			}
			p.all[id], have.seen = have, now
			continue
		}
		have.seen = now
		switch s.Kind {
		case metrics.Count:
			have.Value += s.Value
		case metrics.Gauge:
			have.Value = s.Value
		case metrics.Dist:
			have.Sketch.Merge(s.Sketch)
		}
	}
	return nil
}

// Describe implements prometheus.Collector: which series there are is not known
// beforehand.
func (p *Page) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (p *Page) Collect(out chan<- prometheus.Metric) {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[string]metrics.Kind{} // two kinds under one name would spoil the page
	for _, id := range slices.Sorted(maps.Keys(p.all)) {
		s := p.all[id]
		if s.Kind == metrics.Gauge && now.Sub(s.seen) > stale {
			delete(p.all, id)
			continue
		}
		name := p.Name(s.Name, s.Kind)
		if kind, ok := seen[name]; ok && kind != s.Kind {
			continue
		}
		seen[name] = s.Kind
		if m, err := p.metric(name, s); err == nil {
			out <- m
		}
	}
}

// Name returns the name of a figure as the page shows it.
func (p *Page) Name(name string, kind metrics.Kind) string {
	unit := ""
	if m := p.known[name]; m.Unit != "1" {
		unit = m.Unit
	}
	out := legal(strings.TrimSuffix(name, "_total"), true)
	if unit != "" && !strings.HasSuffix(out, "_"+unit) {
		out += "_" + unit
	}
	if kind == metrics.Count {
		out += "_total"
	}
	return out
}

// legal replaces what Prometheus does not take in a name.
func legal(s string, colon bool) string {
	out := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || colon && r == ':' {
			return r
		}
		return '_'
	}, s)
	if out == "" || out[0] >= '0' && out[0] <= '9' {
		out = "_" + out
	}
	return out
}

// metric writes a series for the library.
func (p *Page) metric(name string, s *series) (prometheus.Metric, error) {
	var keys, values []string
	for _, t := range s.Tags {
		k := legal(t.Key, false)
		if strings.HasPrefix(k, "__") || k == "le" || k == "quantile" || slices.Contains(keys, k) {
			k = "tag_" + strings.TrimLeft(k, "_")
			if slices.Contains(keys, k) {
				continue
			}
		}
		keys, values = append(keys, k), append(values, strings.ToValidUTF8(t.Value, "�"))
	}
	d := prometheus.NewDesc(name, cmp.Or(p.known[s.Name].Help, s.Name), keys, nil)
	switch s.Kind {
	case metrics.Count:
		return prometheus.NewConstMetric(d, prometheus.CounterValue, s.Value, values...)
	case metrics.Gauge:
		return prometheus.NewConstMetric(d, prometheus.GaugeValue, s.Value, values...)
	}
	buckets := map[float64]uint64{}
	for _, le := range bounds() {
		n := 0.0
		for v, c := range s.Sketch.Buckets() {
			if v > le {
				break
			}
			n += c
		}
		buckets[le] = uint64(n + 0.5)
	}
	return prometheus.NewConstHistogram(d, uint64(s.Sketch.Count+0.5), s.Sketch.Sum, buckets, values...)
}

// bounds are the upper ends of the buckets that are shown: 1, 2.5 and 5 times
// the powers of ten, from a millisecond to about a day, and the targets of the
// guide (1 s, 10 s) among them.
func bounds() []float64 {
	var all []float64
	for e := 0.001; e < 1e5; e *= 10 {
		all = append(all, round(e), round(2.5*e), round(5*e))
	}
	return all
}

// round takes away what multiplication added at the 15th place.
func round(v float64) float64 {
	const places = 1e6
	return float64(int64(v*places+0.5)) / places
}
