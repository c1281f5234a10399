package operator

import (
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// The hops of a task, as the guide follows one: usage queue, dispatcher,
// picard-dispatcher, scheduler, agent.
const (
	HopUsage = "usage-queue" // waits for the limit of its organisation
	HopRun   = "run-queue"   // waits for room
	HopPlace = "placed"      // handed to a node: its agent starts
	HopClaim = "claimed"     // the agent has it and prepares
	HopSteps = "running"     // from the first step on
)

// Hops returns the way of a task so far, each hop with the time in it. The last
// one has no end while the task is in it.
func Hops(t ci.Trace, steps []ci.Step, now time.Time) []ci.Hop {
	var first time.Time
	for _, s := range steps {
		if s.Kind != ci.StepEnvironment && (first.IsZero() || s.Started.Before(first)) {
			first = s.Started
		}
	}
	if first.Before(t.Claimed) && !first.IsZero() {
		first = t.Claimed // clocks of two machines
	}
	begins := []struct {
		name string
		at   time.Time
	}{{HopUsage, t.Queued}, {HopRun, t.Runnable}, {HopPlace, t.Placed}, {HopClaim, t.Claimed}, {HopSteps, first}}
	hops := []ci.Hop{}
	for _, b := range begins {
		if b.at.IsZero() {
			continue
		}
		if n := len(hops); n > 0 {
			hops[n-1].Until = b.at
		}
		hops = append(hops, ci.Hop{Name: b.name, Since: b.at})
	}
	if n := len(hops); n > 0 && !t.Ended.IsZero() {
		hops[n-1].Until = t.Ended
	}
	for i := range hops {
		until := hops[i].Until
		if until.IsZero() {
			until = now
		}
		hops[i].Seconds = max(0, until.Sub(hops[i].Since).Round(time.Millisecond).Seconds())
	}
	return hops
}
