package autoscale

import (
	"fmt"
	"time"
)

// slot is how finely a [Profile] looks at the week.
const slot = 30 * time.Minute

const slots = int(7 * 24 * time.Hour / slot)

// A Profile is what a week looks like: how much work comes in each half hour of
// it, by the clock of a place, as the mean of the weeks of a trace.
type Profile struct {
	zone  *time.Location
	load  [slots]float64 // slices in service on average
	share float64        // of a node that a slice takes
	run   time.Duration  // mean of a slice
}

// Learn returns the profile of a trace. Of less than two weeks it takes all
// days for equal, as there is no saying what belongs to the day of the week.
func Learn(jobs []Job, f Fleet, zone *time.Location) (*Profile, error) {
	f, err := f.whole()
	if err != nil {
		return nil, err
	}
	jobs = sorted(jobs)
	if zone == nil {
		zone = time.UTC
	}
	p := &Profile{zone: zone, share: 1}
	if len(jobs) == 0 {
		return p, nil
	}
	from, to := jobs[0].Queued, jobs[len(jobs)-1].Queued
	weekly := to.Sub(from) >= 13*24*time.Hour
	var work [slots]float64 // hours of slices that came
	var seen [slots]float64 // how often the slot was there
	for t := from.Truncate(slot); !t.After(to); t = t.Add(slot) {
		seen[p.slot(t)]++
	}
	total, shares, n := 0.0, 0.0, 0
	for _, j := range jobs {
		fit := f.Slots(j.Class)
		if fit == 0 {
			return nil, unfit(j, f)
		}
		k := max(j.Parallelism, 1)
		hours := j.Run.Hours() * float64(k)
		work[p.slot(j.Queued)] += hours
		total, shares, n = total+hours, shares+hours/float64(fit), n+k
	}
	if total > 0 {
		p.share = shares / total
	}
	p.run = time.Duration(total / float64(n) * float64(time.Hour))
	for i := range slots {
		if weekly {
			p.load[i] = work[i] / max(seen[i], 1) / slot.Hours()
			continue
		}
		var sum, times float64
		for d := range 7 {
			at := (i + d*slots/7) % slots
			sum, times = sum+work[at], times+seen[at]
		}
		p.load[i] = sum / max(times, 1) / slot.Hours()
	}
	return p, nil
}

// slot returns the half hour of the week, from Sunday on, by the local clock.
func (p *Profile) slot(t time.Time) int {
	t = t.In(p.zone)
	h, m, _ := t.Clock()
	return int(t.Weekday())*48 + h*2 + m/30
}

// Load returns the most nodes' worth of work that is expected between two
// instants.
func (p *Profile) Load(from, to time.Time) float64 {
	return p.most(from, to) * p.share
}

func (p *Profile) most(from, to time.Time) float64 {
	most := 0.0
	for t := from; ; t = t.Add(slot) {
		if t.After(to) {
			t = to
		}
		most = max(most, p.load[p.slot(t)])
		if !t.Before(to) {
			return most
		}
	}
}

// Forecast orders what Erlang's formula asks for: as many slots that the share
// P of builds waits no longer than Wait, for the most load that is expected
// from now to Ahead. Ahead should be longer than a boot.
type Forecast struct {
	// Profile is the week; nil looks at the last Trailing only, and so comes
	// late by as much as a boot takes.
	Profile  *Profile
	Trailing time.Duration // 0 is 20 minutes
	Ahead    time.Duration // 0 is 35 minutes
	Wait     time.Duration // 0 is a second
	P        float64       // 0 is 0.95
}

func (f Forecast) whole() Forecast {
	if f.Trailing == 0 {
		f.Trailing = 20 * time.Minute
	}
	if f.Ahead == 0 {
		f.Ahead = 35 * time.Minute
	}
	if f.Wait == 0 {
		f.Wait = time.Second
	}
	if f.P == 0 {
		f.P = 0.95
	}
	return f
}

func (f Forecast) String() string {
	f = f.whole()
	if f.Profile == nil {
		return fmt.Sprintf("trailing:window=%v,wait=%v,p=%g", f.Trailing, f.Wait, f.P)
	}
	return fmt.Sprintf("forecast:ahead=%v,wait=%v,p=%g", f.Ahead, f.Wait, f.P)
}

// Start implements [Policy].
func (f Forecast) Start() func(View) int {
	f = f.whole()
	if f.Profile != nil {
		return func(v View) int { return f.At(v.Now) }
	}
	type count struct {
		at time.Time
		n  int
	}
	var past []count
	var began time.Time
	return func(v View) int {
		if began.IsZero() {
			began = v.Now
		}
		past = append(past, count{v.Now, v.Arrivals})
		for v.Now.Sub(past[0].at) >= f.Trailing {
			past = past[1:]
		}
		n := 0
		for _, c := range past {
			n += c.n
		}
		window := min(f.Trailing, max(v.Now.Sub(began), time.Minute))
		if v.MeanRun == 0 || v.Share == 0 {
			return up(v.Load())
		}
		load := float64(n) * v.MeanRun.Seconds() / window.Seconds()
		return f.nodes(load, v.Share, v.MeanRun)
	}
}

// At returns what the forecast of a profile orders at an instant; 0 without one.
func (f Forecast) At(now time.Time) int {
	f = f.whole()
	if f.Profile == nil {
		return 0
	}
	return f.nodes(f.Profile.most(now, now.Add(f.Ahead)), f.Profile.share, f.Profile.run)
}

// nodes returns what a load of slices takes.
func (f Forecast) nodes(load, share float64, run time.Duration) int {
	return up(float64(Servers(load, f.Wait.Seconds()/max(run.Seconds(), 1e-3), f.P)) * share)
}
