package metrics

import (
	"iter"
	"math"
	"slices"
)

// sketchError is how far a value that a sketch returns may be from the true one,
// as a part of it.
const sketchError = 0.01

// gamma is the logarithm of how many times the beginning of a bucket its end is:
// ln((1+e)/(1-e)).
const gamma = 0.020000666706669435

// A Sketch is how values are spread: buckets whose width grows with the value,
// so that any quantile is exact within 1 % (the idea of DDSketch, VLDB 2019).
// Sketches of two places or intervals merge without loss. The zero Sketch is
// empty. It is not safe for concurrent use.
type Sketch struct {
	Count    float64
	Sum      float64
	Min, Max float64 // exact; 0 when empty

	pos, neg map[int]float64 // counts by bucket, of values above and below 0
	zero     float64
}

// Add adds n values of v; n is 1/rate for what was sampled. A value that is no
// number, and n that is not above 0, are ignored.
func (s *Sketch) Add(v, n float64) {
	if !finite(v) || !finite(n) || n <= 0 {
		return
	}
	if s.Count == 0 || v < s.Min {
		s.Min = v
	}
	if s.Count == 0 || v > s.Max {
		s.Max = v
	}
	s.Count += n
	s.Sum += v * n
	switch {
	case v > tiny:
		s.pos = add(s.pos, bucket(v), n)
	case v < -tiny:
		s.neg = add(s.neg, bucket(-v), n)
	default:
		s.zero += n
	}
}

// tiny is below what is counted as 0.
const tiny = 1e-9

func bucket(v float64) int { return int(math.Ceil(math.Log(v) / gamma)) }

// middle is the value that stands for all of a bucket.
func middle(i int) float64 { return math.Exp(float64(i)*gamma) * (1 - sketchError) }

func add(m map[int]float64, i int, n float64) map[int]float64 {
	if m == nil {
		m = map[int]float64{}
	}
	m[i] += n
	return m
}

// Merge adds all that o holds. o is not changed.
func (s *Sketch) Merge(o *Sketch) {
	if o == nil || o.Count == 0 {
		return
	}
	if s.Count == 0 || o.Min < s.Min {
		s.Min = o.Min
	}
	if s.Count == 0 || o.Max > s.Max {
		s.Max = o.Max
	}
	s.Count, s.Sum, s.zero = s.Count+o.Count, s.Sum+o.Sum, s.zero+o.zero
	for i, n := range o.pos {
		s.pos = add(s.pos, i, n)
	}
	for i, n := range o.neg {
		s.neg = add(s.neg, i, n)
	}
}

// Buckets yields values in rising order, each with how many it stands for.
func (s *Sketch) Buckets() iter.Seq2[float64, float64] {
	return func(yield func(float64, float64) bool) {
		clamp := func(v float64) float64 { return min(max(v, s.Min), s.Max) }
		for _, i := range slices.Backward(keys(s.neg)) {
			if !yield(clamp(-middle(i)), s.neg[i]) {
				return
			}
		}
		if s.zero > 0 && !yield(0, s.zero) {
			return
		}
		for _, i := range keys(s.pos) {
			if !yield(clamp(middle(i)), s.pos[i]) {
				return
			}
		}
	}
}

func keys(m map[int]float64) []int {
	all := make([]int, 0, len(m))
	for i := range m {
		all = append(all, i)
	}
	slices.Sort(all)
	return all
}

// Quantile returns the value below which the part q of all values is, within
// 1 %: 0.99 for p99. q is taken between 0 and 1. An empty sketch has 0.
func (s *Sketch) Quantile(q float64) float64 {
	if s.Count == 0 {
		return 0
	}
	if q <= 0 {
		return s.Min
	}
	if q >= 1 {
		return s.Max
	}
	rank, seen := q*(s.Count-1), 0.0
	for v, n := range s.Buckets() {
		if seen += n; seen > rank {
			return v
		}
	}
	return s.Max
}

// Mean returns the average, 0 of none.
func (s *Sketch) Mean() float64 {
	if s.Count == 0 {
		return 0
	}
	return s.Sum / s.Count
}

// Clone returns a copy.
func (s *Sketch) Clone() *Sketch {
	var c Sketch
	c.Merge(s)
	return &c
}
