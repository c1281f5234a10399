package autoscale

import (
	"fmt"
	"math"
	"time"
)

// A View is what a policy sees of the cluster. What runs and waits is measured
// in nodes: a task of which seven fit on one counts as a seventh.
type View struct {
	Now time.Time
	// Nodes are those that are ready or boot; those that drain are not among
	// them. Booting is the part that is not ready yet.
	Nodes, Booting int
	Busy, Waiting  float64
	Arrivals       int           // slices that came since the last decision
	MeanRun        time.Duration // of a slice, of late; 0 is unknown
	Share          float64       // of a node that a slice takes, of late; 0 is unknown
}

// Load is what the cluster has to do now, in nodes.
func (v View) Load() float64 { return v.Busy + v.Waiting }

// A Policy says how many nodes there should be. A policy is a value that
// nothing changes; what one has to remember is in what Start returns.
type Policy interface {
	// String is the policy in the form that [Parse] reads.
	String() string
	// Start returns the function to be asked at each decision, in the order of
	// time, by one goroutine.
	Start() func(View) int
}

// Static is always the same number.
type Static int

func (s Static) String() string { return fmt.Sprintf("static:%d", int(s)) }

// Start implements [Policy].
func (s Static) Start() func(View) int { return func(View) int { return int(s) } }

// Target keeps the nodes busy to a share, as target tracking does:
// nodes × (busy + waiting) / nodes / target. Within the dead band of a tenth
// nothing changes.
type Target float64

func (t Target) String() string { return fmt.Sprintf("target:%g%%", float64(t)*100) }

// Start implements [Policy].
func (t Target) Start() func(View) int {
	return func(v View) int {
		factor := v.Load() / max(float64(v.Nodes), 1) / float64(t)
		if v.Nodes > 0 && math.Abs(factor-1) <= 0.1 {
			return v.Nodes
		}
		return up(v.Load() / float64(t))
	}
}

// Headroom keeps nodes free above what there is to do: Spare of them, and Beta
// times the square root of the load, by which chance grows (the square-root
// rule of staffing).
type Headroom struct {
	Spare int
	Beta  float64
}

func (h Headroom) String() string { return fmt.Sprintf("headroom:spare=%d,beta=%g", h.Spare, h.Beta) }

// Start implements [Policy].
func (h Headroom) Start() func(View) int {
	return func(v View) int { return up(v.Load()+h.Beta*math.Sqrt(v.Load())) + h.Spare }
}

// Hybrid is the larger of two: a forecast or a schedule as the floor, and
// reaction for what that did not foresee.
type Hybrid struct{ Floor, Top Policy }

func (h Hybrid) String() string { return "hybrid:" + h.Floor.String() + "+" + h.Top.String() }

// Start implements [Policy].
func (h Hybrid) Start() func(View) int {
	floor, top := h.Floor.Start(), h.Top.Start()
	return func(v View) int { return max(floor(v), top(v)) }
}

// up rounds up, but for what fractions of nodes add up to by rounding.
func up(nodes float64) int { return int(math.Ceil(nodes - 1e-9)) }
