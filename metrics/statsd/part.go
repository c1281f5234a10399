package statsd

import (
	"sync"
	"time"

	"github.com/rondo-ci/rondo/metrics"
)

// A part is what one parser has added up. Parsers share nothing, so they never
// wait for each other.
type part struct {
	most int
	mu   sync.Mutex
	all  map[string]*series
}

// A series is one figure between two Gathers.
type series struct {
	name    string
	tags    []metrics.Tag
	kind    Type
	value   float64
	set     bool  // of a gauge: value is absolute, else a change
	at      int64 // of a gauge: when it was set, in nanoseconds
	sketch  *metrics.Sketch
	members map[string]struct{}
}

// maxMembers is how many different members of a set are told apart.
const maxMembers = 10_000

// add adds a message and returns whether there was room for it.
func (p *part) add(m Message) bool {
	id := key(m)
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.all[id]
	if x == nil {
		if len(p.all) >= p.most {
			return false
		}
		if p.all == nil {
			p.all = map[string]*series{}
		}
		x = &series{name: m.Name, tags: m.Tags, kind: m.Type}
		if x.kind == Timing {
			x.kind = Spread
		}
		p.all[id] = x
	}
	switch m.Type {
	case Counter:
		for _, v := range m.Values {
			x.value += v * m.Weight
		}
	case Gauge:
		x.at = time.Now().UnixNano()
		for _, v := range m.Values {
			if m.Delta {
				x.value += v
			} else {
				x.value, x.set = v, true
			}
		}
	case Set:
		if x.members == nil {
			x.members = map[string]struct{}{}
		}
		if len(x.members) < maxMembers {
			x.members[m.Member] = struct{}{}
		}
	default:
		if x.sketch == nil {
			x.sketch = &metrics.Sketch{}
		}
		for _, v := range m.Values {
			x.sketch.Add(v, m.Weight)
		}
	}
	return true
}

// key is the identity of a series: type, name and tags.
func key(m Message) string {
	kind := m.Type
	if kind == Timing {
		kind = Spread
	}
	return metrics.Series(string(rune('0'+kind)), m.Name, m.Tags)
}

// drain moves all series to merged.
func (p *part) drain(merged map[string]*series) {
	p.mu.Lock()
	all := p.all
	p.all = nil
	p.mu.Unlock()
	for id, x := range all {
		have := merged[id]
		if have == nil {
			merged[id] = x
			continue
		}
		switch x.kind {
		case Counter:
			have.value += x.value
		case Gauge:
			switch {
			case !x.set:
				have.value += x.value
			case !have.set:
				have.value, have.set = have.value+x.value, true
			case x.at > have.at:
				have.value, have.at = x.value, x.at
			}
		case Set:
			for m := range x.members {
				have.members[m] = struct{}{}
			}
		default:
			have.sketch.Merge(x.sketch)
		}
	}
}

// sample returns the series as a sample.
func (x *series) sample(now time.Time, interval time.Duration) metrics.Sample {
	s := metrics.Sample{Name: x.name, Tags: x.tags, Value: x.value, Time: now, Interval: interval}
	switch x.kind {
	case Counter:
		s.Kind = metrics.Count
	case Gauge:
		s.Kind = metrics.Gauge
	case Set:
		s.Kind, s.Value = metrics.Gauge, float64(len(x.members))
	default:
		s.Kind, s.Value, s.Sketch = metrics.Dist, 0, x.sketch
	}
	return s
}
