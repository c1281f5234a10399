package autoscale

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"golang.org/x/sync/errgroup"
)

// A Goal is how long builds may wait. The zero value is the guide's: most work
// starts within a second, what is expensive or highly parallel within ten.
type Goal struct {
	Wait      time.Duration // of most work; 0 is a second
	HeavyWait time.Duration // of what is heavy; 0 is ten seconds
	Share     float64       // of builds that must stay within; 0 is 0.95
}

func (g Goal) whole() Goal {
	g.Wait = cmp.Or(g.Wait, time.Second)
	g.HeavyWait = cmp.Or(g.HeavyWait, 10*time.Second)
	g.Share = cmp.Or(g.Share, 0.95)
	return g
}

// A Candidate is a policy with what would have come of it.
type Candidate struct {
	Policy Policy `json:"-"`
	Result
	// Meets says that it keeps to the goal; UsualShare and HeavyShare are the
	// shares of builds that waited no longer than the goal allows.
	Meets      bool    `json:"meets_goal"`
	UsualShare float64 `json:"usual_share"`
	HeavyShare float64 `json:"heavy_share"`
	// Saves is the share of the cost of the cheapest static fleet that meets
	// the goal that this policy does without; 0 where there is none.
	Saves float64 `json:"saves"`
}

// Recommend plays the trace under many policies: static fleets, headroom, step
// alarms, targets, the forecast of the week, a schedule made of it, and those
// with a reaction on top. It returns all that could be played, the ones that
// meet the goal first, cheapest first. The forecast learns from the trace
// itself, so on a trace of days it knows more than one of real life.
//
// extra is played as well. The context ends it early.
func Recommend(ctx context.Context, jobs []Job, f Fleet, g Goal, zone *time.Location, seed uint64, extra ...Policy) ([]Candidate, error) {
	g = g.whole()
	jobs = sorted(jobs)
	week, err := Learn(jobs, f, zone)
	if err != nil {
		return nil, err
	}
	if len(jobs) == 0 {
		return nil, fmt.Errorf("%w: recommend: there are no builds to learn from", ci.ErrInvalid)
	}
	all := append(sweep(week, f, g), extra...)
	played := make([]*Candidate, len(all))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, p := range all {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r, err := Simulate(jobs, f, p, seed)
			if err != nil {
				return nil // under this one the queue never empties
			}
			c := judge(r, g)
			c.Policy = p
			played[i] = &c
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var out []Candidate
	for _, c := range played {
		if c != nil {
			out = append(out, *c)
		}
	}
	slices.SortStableFunc(out, func(a, b Candidate) int {
		if a.Meets != b.Meets {
			return map[bool]int{true: -1, false: 1}[a.Meets]
		}
		return cmp.Compare(a.Cost, b.Cost)
	})
	compare(out)
	return out, nil
}

// judge holds a result against the goal.
func judge(r Result, g Goal) Candidate {
	c := Candidate{Result: r, UsualShare: r.within[0](g.Wait), HeavyShare: r.within[1](g.HeavyWait)}
	c.Meets = c.UsualShare >= g.Share && c.HeavyShare >= g.Share && r.Killed == 0
	return c
}

// compare notes what each saves against a fleet that never changes.
func compare(all []Candidate) {
	best := math.Inf(1)
	for _, c := range all {
		if _, static := c.Policy.(Static); static && c.Meets {
			best = min(best, c.Cost)
		}
	}
	for i := range all {
		if !math.IsInf(best, 1) && best > 0 {
			all[i].Saves = 1 - all[i].Cost/best
		}
	}
}

// sweep returns the policies that are worth playing.
func sweep(week *Profile, f Fleet, g Goal) []Policy {
	most, mean := 0.0, 0.0
	for _, load := range week.load {
		most, mean = max(most, load), mean+load/float64(slots)
	}
	most, mean = most*week.share, mean*week.share
	var out []Policy
	last := 0
	for factor := 0.75; factor <= 2.5; factor *= 1.06 { // around what the busiest half hour takes
		n := max(up(most*factor), 1)
		if n != last {
			out = append(out, Static(n))
		}
		last = n
	}
	for n := range 3 {
		out = append(out, Static(last+1+n))
	}
	spares := []int{1, 2, 3, 5, 8}
	for _, spare := range spares {
		for _, beta := range []float64{0, 1, 2} {
			out = append(out, Headroom{Spare: spare, Beta: beta})
		}
		for _, period := range []time.Duration{time.Minute, 5 * time.Minute} {
			s := Step{
				Low: float64(spare), High: float64(2*spare + 1), Period: period, UpAfter: 1, DownAfter: 4,
				Up: max(spare/2, 1), Down: 1, Cooldown: f.Boot + period, From: max(up(mean), 1),
			}
			out = append(out, s)
		}
	}
	for _, share := range []float64{0.3, 0.5, 0.7} {
		out = append(out, Target(share))
	}
	for _, p := range []float64{0.95, 0.99, 0.999, 0.9999} {
		ahead := max(f.Boot, f.BootP95) + slot
		fc := Forecast{Profile: week, Ahead: ahead, Wait: g.Wait, P: p}
		table := week.Table(fc)
		for _, floor := range []Policy{fc, table} {
			out = append(out, floor, Hybrid{Floor: floor, Top: Headroom{Spare: 1}}, Hybrid{Floor: floor, Top: Headroom{Spare: 1, Beta: 1}})
		}
	}
	return append(out, Forecast{Wait: g.Wait, P: 0.99}.whole())
}

// Table makes a schedule of a forecast, simple enough for people and for
// scheduled actions: one table for workdays and one for weekends, by the hour.
func (p *Profile) Table(f Forecast) Schedule {
	f = f.whole()
	s := Schedule{Zone: p.zone}
	monday := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC) // of a week in which no clock changes
	for _, part := range []struct{ from, to int }{{0, 5}, {5, 7}} {
		var days []time.Weekday
		for d := part.from; d < part.to; d++ {
			days = append(days, time.Weekday((d+1)%7))
		}
		last := -1
		for hour := range 24 {
			load := 0.0
			for d := part.from; d < part.to; d++ {
				at := monday.AddDate(0, 0, d).Add(time.Duration(hour) * time.Hour)
				local := time.Date(at.Year(), at.Month(), at.Day(), hour, 0, 0, 0, p.zone)
				load = max(load, p.most(local, local.Add(time.Hour-time.Second+f.Ahead)))
			}
			if n := f.nodes(load, p.share, p.run); n != last {
				s.Rules = append(s.Rules, Rule{Days: days, Hour: hour, Nodes: n})
				last = n
			}
		}
	}
	return s
}
