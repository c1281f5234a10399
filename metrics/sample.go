package metrics

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

// A Kind says what a figure means when there are several of it.
type Kind string

// The kinds of figures.
const (
	Count Kind = "count" // how many since the last sample: they add up
	Gauge Kind = "gauge" // how it stands: the last one holds
	Dist  Kind = "dist"  // how values are spread since the last sample: sketches merge
)

// A Tag is one dimension of a figure. Values must be few: never the name of a
// build, a branch or a person.
type Tag struct{ Key, Value string }

// A Sample is a figure. Samples are values and are not changed once they were
// handed on; their sketch is neither.
type Sample struct {
	// Name has dots between its parts (circle.nomad.server_agent.jobs.pending).
	// Figures that are fields of one measurement, as those of a host, are named
	// measurement.field (cpu.usage_user).
	Name string
	Kind Kind
	Tags []Tag // by key, each key once
	// Value is the figure, but for Dist.
	Value float64
	// Sketch is the spread, for Dist.
	Sketch *Sketch
	// Time is when it was taken, and Interval how long it counts back; 0 is
	// unknown.
	Time     time.Time
	Interval time.Duration
}

// Tags returns tags from keys and values in turn, by key. Empty keys and values
// are left out, since no platform takes them; of equal keys the last one holds.
func Tags(pairs ...string) []Tag {
	var tags []Tag
	for i := 0; i+1 < len(pairs); i += 2 {
		tags = append(tags, Tag{pairs[i], pairs[i+1]})
	}
	return normal(tags)
}

// normal returns the tags by key, each key once, none empty.
func normal(tags []Tag) []Tag {
	slices.SortStableFunc(tags, func(a, b Tag) int { return cmp.Compare(a.Key, b.Key) })
	out := tags[:0]
	for _, t := range tags {
		if n := len(out); n > 0 && out[n-1].Key == t.Key {
			out = out[:n-1]
		}
		if t.Key != "" && t.Value != "" {
			out = append(out, t)
		}
	}
	return slices.Clip(out)
}

// Join returns both lists of tags; where both have a key, that of more holds.
// Neither is changed.
func Join(tags, more []Tag) []Tag {
	if len(more) == 0 {
		return tags
	}
	if len(tags) == 0 {
		return more
	}
	return normal(slices.Concat(tags, more))
}

// Series returns the identity of a figure: two have the same one when prefix,
// name and tags are the same. prefix tells apart what the name does not, such as
// kinds; it may be empty.
func Series(prefix, name string, tags []Tag) string {
	if len(tags) == 0 {
		return prefix + name
	}
	var b strings.Builder
	b.WriteString(prefix)
	b.WriteString(name)
	for _, t := range tags {
		b.WriteByte(0)
		b.WriteString(t.Key)
		b.WriteByte(1)
		b.WriteString(t.Value)
	}
	return b.String()
}

// finite reports whether platforms can take the value.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
