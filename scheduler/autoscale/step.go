package autoscale

import (
	"fmt"
	"time"
)

// Step is a pair of alarms on the number of free nodes, as CloudWatch and step
// scaling of an Auto Scaling group work: when the mean of a period is below Low
// for UpAfter periods in a row, Up nodes are ordered; when it is above High for
// DownAfter periods, Down nodes go. After a change nothing happens for Cooldown.
type Step struct {
	Low, High          float64 // free nodes
	Period             time.Duration
	UpAfter, DownAfter int // periods; 0 is 1
	Up, Down           int // nodes; 0 is 1
	Cooldown           time.Duration
	From               int // nodes at the beginning
}

func (s Step) String() string {
	return fmt.Sprintf("step:low=%g,high=%g,period=%v,up-after=%d,down-after=%d,up=%d,down=%d,cooldown=%v,from=%d",
		s.Low, s.High, s.Period, s.UpAfter, s.DownAfter, s.Up, s.Down, s.Cooldown, s.From)
}

// Start implements [Policy].
func (s Step) Start() func(View) int {
	period := max(s.Period, time.Minute)
	upAfter, downAfter := max(s.UpAfter, 1), max(s.DownAfter, 1)
	var began, changed time.Time
	var sum float64
	var seen, below, above int
	want := -1
	return func(v View) int {
		if want < 0 {
			want, began, changed = max(s.From, 1), v.Now, v.Now.Add(-s.Cooldown)
		}
		sum += float64(v.Nodes-v.Booting) - v.Load()
		seen++
		if v.Now.Sub(began) < period {
			return want
		}
		mean := sum / float64(seen)
		began, sum, seen = v.Now, 0, 0
		if below++; mean >= s.Low {
			below = 0
		}
		if above++; mean <= s.High {
			above = 0
		}
		if v.Now.Sub(changed) < s.Cooldown {
			return want
		}
		switch {
		case below >= upAfter:
			want, below, changed = want+max(s.Up, 1), 0, v.Now
		case above >= downAfter && want > 0:
			want, above, changed = max(want-max(s.Down, 1), 0), 0, v.Now
		}
		return want
	}
}
