package metrics

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// maxSeries is how many combinations of tags one name may have. What comes
// later is folded into tags whose values are "other".
const maxSeries = 1000

// A Registry counts what happens in this process. Counting is cheap and never
// waits for anything but other counting. It is an [Input]: every Gather takes
// what was counted since the one before. All methods are safe for concurrent
// use. The nil Registry counts nothing, so that nobody has to ask whether there
// is one.
type Registry struct {
	now    func() time.Time
	mu     sync.RWMutex
	all    map[string]*figure
	order  []*figure
	names  map[string]int // series by name
	folded atomic.Int64
	last   time.Time
}

// A figure is one series of a registry.
type figure struct {
	name string
	kind Kind
	tags []Tag

	mu     sync.Mutex
	set    bool
	value  float64
	sketch *Sketch
}

// NewRegistry returns an empty registry. now is the clock; nil is time.Now.
func NewRegistry(now func() time.Time) *Registry {
	if now == nil {
		now = time.Now
	}
	return &Registry{now: now, all: map[string]*figure{}, names: map[string]int{}, last: now()}
}

// Count adds n to what was counted.
func (r *Registry) Count(name string, n float64, tags ...Tag) {
	if f := r.figure(name, Count, tags); f != nil && finite(n) {
		f.mu.Lock()
		f.value, f.set = f.value+n, true
		f.mu.Unlock()
	}
}

// Gauge says how something stands now. It is repeated at every Gather until it
// is set anew or forgotten.
func (r *Registry) Gauge(name string, v float64, tags ...Tag) {
	if f := r.figure(name, Gauge, tags); f != nil && finite(v) {
		f.mu.Lock()
		f.value, f.set = v, true
		f.mu.Unlock()
	}
}

// Forget ends a gauge: a figure that nobody sets any more misleads alarms.
func (r *Registry) Forget(name string, tags ...Tag) {
	if f := r.figure(name, Gauge, tags); f != nil {
		f.mu.Lock()
		f.set = false
		f.mu.Unlock()
	}
}

// Observe adds a value to a spread; of times, seconds.
func (r *Registry) Observe(name string, v float64, tags ...Tag) {
	if f := r.figure(name, Dist, tags); f != nil {
		f.mu.Lock()
		if f.sketch == nil {
			f.sketch = &Sketch{}
		}
		f.sketch.Add(v, 1)
		f.mu.Unlock()
	}
}

// figure returns the series, a new one if need be; nil when the name is in use
// for another kind, which a test of the caller finds.
func (r *Registry) figure(name string, kind Kind, tags []Tag) *figure {
	if r == nil {
		return nil
	}
	id := Series("", name, tags)
	r.mu.RLock()
	f := r.all[id]
	r.mu.RUnlock()
	if f == nil {
		f = r.create(id, name, kind, tags)
	}
	if f.kind != kind {
		return nil
	}
	return f
}

func (r *Registry) create(id, name string, kind Kind, tags []Tag) *figure {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.all[id]; f != nil {
		return f
	}
	tags = normal(append([]Tag(nil), tags...))
	if r.names[name] >= maxSeries && len(tags) > 0 {
		r.folded.Add(1)
		for i := range tags {
			tags[i].Value = "other"
		}
		id = Series("", name, tags)
		if f := r.all[id]; f != nil {
			return f
		}
	}
	f := &figure{name: name, kind: kind, tags: tags}
	r.all[id], r.names[name] = f, r.names[name]+1
	r.order = append(r.order, f)
	return f
}

// Gather implements [Input].
func (r *Registry) Gather(context.Context) ([]Sample, error) {
	if r == nil {
		return nil, nil
	}
	now := r.now()
	r.mu.Lock()
	order, interval := r.order, now.Sub(r.last)
	r.last = now
	r.mu.Unlock()
	samples := make([]Sample, 0, len(order)+1)
	for _, f := range order {
		s := Sample{Name: f.name, Kind: f.kind, Tags: f.tags, Time: now, Interval: interval}
		f.mu.Lock()
		switch {
		case f.kind == Dist && f.sketch != nil:
			s.Sketch, f.sketch = f.sketch, nil
		case f.kind == Gauge && f.set:
			s.Value = f.value
		case f.kind == Count && f.set:
			s.Value, f.value, f.set = f.value, 0, false
		default:
			f.mu.Unlock()
			continue
		}
		f.mu.Unlock()
		samples = append(samples, s)
	}
	if n := r.folded.Swap(0); n > 0 {
		samples = append(samples, Sample{Name: "metrics.series_folded_total", Kind: Count, Value: float64(n), Time: now, Interval: interval})
	}
	return samples, nil
}
