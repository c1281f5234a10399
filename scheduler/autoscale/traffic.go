package autoscale

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Traffic is made-up builds: they come by chance (a Poisson process), at a rate
// that changes over the day as Shape says.
type Traffic struct {
	Start time.Time     // in whose zone the day is; zero is Monday, 5 January 2026, UTC
	Span  time.Duration // 0 is a week
	Peak  float64       // builds an hour when it is busiest
	Shape Shape         // "" is Steady
	Run   time.Duration // mean of a build; 0 is five minutes
	// Spread is how different builds are: 0 all take Run, 1 is about what real
	// ones are like (a log-normal distribution with that sigma).
	Spread float64
	Class  string
	// Batch is the number of builds that come at once, as when one push sets off
	// several; 0 is 1. Peak counts them all. Parallelism is that of each.
	Batch, Parallelism int
}

// Shape is how traffic changes over time.
type Shape string

// The shapes.
const (
	Steady Shape = "steady" // always at its peak
	Sine   Shape = "sine"   // from nothing at midnight to the peak at noon, every day
	Office Shape = "office" // the peak from 9 to 18 o'clock on workdays with a dip at noon, a tenth at night, a twentieth at weekends
)

// rate returns the share of the peak at an instant.
func (s Shape) rate(t time.Time) float64 {
	h, m, _ := t.Clock()
	hour := float64(h) + float64(m)/60
	switch s {
	case Sine:
		return 0.5 - 0.5*math.Cos(2*math.Pi*hour/24)
	case Office:
		if d := t.Weekday(); d == time.Saturday || d == time.Sunday {
			return 0.05
		}
		day := ramp(hour, 7.5, 10) * ramp(24-hour, 24-20, 24-16.5)
		lunch := 1 - 0.3*math.Exp(-(hour-12.75)*(hour-12.75))
		return 0.1 + 0.9*day*lunch
	}
	return 1
}

// ramp climbs from 0 to 1 between two hours.
func ramp(x, from, to float64) float64 {
	u := min(max((x-from)/(to-from), 0), 1)
	return u * u * (3 - 2*u)
}

// Jobs returns the builds, in order. The same seed gives the same ones.
func (t Traffic) Jobs(seed uint64) ([]Job, error) {
	if t.Start.IsZero() {
		t.Start = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	}
	if t.Span == 0 {
		t.Span = 7 * 24 * time.Hour
	}
	if t.Run == 0 {
		t.Run = 5 * time.Minute
	}
	if t.Shape == "" {
		t.Shape = Steady
	}
	batch := max(t.Batch, 1)
	switch expected := t.Peak * t.Span.Hours(); {
	case t.Peak <= 0 || t.Span < 0 || t.Run < 0 || t.Spread < 0 || t.Spread > 5:
		return nil, fmt.Errorf("%w: traffic: builds an hour must be more than 0, times not negative, and the spread from 0 to 5", ci.ErrInvalid)
	case expected > 1e7:
		return nil, fmt.Errorf("%w: traffic: that would be %.0f builds; ten million is the most", ci.ErrInvalid, expected)
	case t.Shape != Steady && t.Shape != Sine && t.Shape != Office:
		return nil, fmt.Errorf("%w: traffic: there is no shape %q; there are steady, sine and office", ci.ErrInvalid, t.Shape)
	}
	r := rand.New(rand.NewPCG(seed, 0x74726166666963))
	var out []Job
	at, end := t.Start, t.Start.Add(t.Span)
	for {
		// Candidates come at the rate of the peak, and so many are left out that
		// the rest come at the rate of the hour (thinning).
		at = at.Add(time.Duration(r.ExpFloat64() / t.Peak * float64(batch) * float64(time.Hour)))
		if !at.Before(end) {
			return out, nil
		}
		if r.Float64() >= t.Shape.rate(at) {
			continue
		}
		for range batch {
			run := float64(t.Run)
			if t.Spread > 0 {
				run *= math.Exp(t.Spread*r.NormFloat64() - t.Spread*t.Spread/2) // so that the mean stays
			}
			out = append(out, Job{Queued: at, Run: time.Duration(run), Class: t.Class, Parallelism: t.Parallelism})
		}
	}
}
