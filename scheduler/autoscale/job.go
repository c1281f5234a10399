package autoscale

import (
	"fmt"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
)

// A Job is one build of a trace: when it entered the queue and what it took.
type Job struct {
	Queued time.Time
	Run    time.Duration // of each slice
	Class  string        // resource class; "" is medium
	// Parallelism is the number of slices, each of which starts alone; 0 is 1.
	// The build has waited as long as the last of them.
	Parallelism int
	Project     string
}

// sorted returns the jobs in the order in which they enter the queue, without
// changing the argument.
func sorted(jobs []Job) []Job {
	byTime := func(a, b Job) int { return a.Queued.Compare(b.Queued) }
	if slices.IsSortedFunc(jobs, byTime) {
		return jobs
	}
	jobs = slices.Clone(jobs)
	slices.SortStableFunc(jobs, byTime)
	return jobs
}

// A Fleet says what the nodes are like, and what things cost. The zero value of
// a field is its default.
type Fleet struct {
	Node    scheduler.Resources            // what tasks may use of each; 6 CPU, 28 GiB
	Classes map[string]scheduler.Resources // nil is scheduler.DefaultClasses

	Price   float64       // dollars for an hour of a node
	MinBill time.Duration // that long is paid at least
	// Boot is how long it takes from the order to a ready node, half of the
	// time; BootP95 is what 19 of 20 boots stay below (a log-normal
	// distribution; 0 is always Boot). BootFailure is the share of nodes that
	// never come up and are ordered again when they should have.
	Boot, BootP95 time.Duration
	BootFailure   float64

	DeveloperHour float64 // what an hour of waiting costs
	Min, Max      int     // bounds for any policy; a Max of 0 is none

	Every         time.Duration // between decisions; 0 is a minute, [Always] is at every change
	DrainDeadline time.Duration // what still runs then is killed; 0 is never
}

// Always is the time between decisions of a policy that is asked whenever a
// build comes or a slice ends.
const Always time.Duration = -1

// heavyCPU is from when on a build counts as expensive or highly parallel, all
// its slices taken together: more than the largest documented class below
// 2xlarge.
const heavyCPU = 8

// DefaultFleet is a machine with 8 CPUs and 32 GiB, of which a Nomad client
// keeps 2 CPUs and 4 GiB for itself, at 0.30 dollars an hour, that boots in
// five minutes; an hour of a developer costs 200 dollars, as in the blog series
// that the guide cites.
func DefaultFleet() Fleet {
	return Fleet{
		Node: scheduler.Resources{CPU: 6, MemoryMB: 28 << 10}, Price: 0.30, MinBill: time.Minute,
		Boot: 5 * time.Minute, DeveloperHour: 200, Min: 1,
	}
}

// Slots returns how many tasks of a class fit on one node.
func (f Fleet) Slots(class string) int {
	r, ok := f.class(class)
	if !ok {
		return 0
	}
	n := int(f.Node.CPU/max(r.CPU, 1e-6) + 1e-9)
	if r.MemoryMB > 0 {
		n = min(n, f.Node.MemoryMB/r.MemoryMB)
	}
	return n
}

// class finds the resources of a class, by its whole name, with the executor
// before a slash or without.
func (f Fleet) class(name string) (scheduler.Resources, bool) {
	if name == "" || name == "default" {
		name = "medium"
	}
	r, ok := f.Classes[name]
	return r, ok
}

// whole fills in the defaults and says what cannot be.
func (f Fleet) whole() (Fleet, error) {
	d := DefaultFleet()
	if f.Node == (scheduler.Resources{}) {
		f.Node = d.Node
	}
	if f.Classes == nil {
		f.Classes = scheduler.DefaultClasses()
	}
	if f.Every == 0 {
		f.Every = time.Minute
	}
	switch {
	case f.Node.CPU <= 0 || f.Node.MemoryMB < 0:
		return f, fmt.Errorf("%w: fleet: a node has no room for tasks: %v", ci.ErrInvalid, f.Node)
	case f.Price < 0 || f.DeveloperHour < 0 || f.MinBill < 0:
		return f, fmt.Errorf("%w: fleet: a price or the least time paid is negative", ci.ErrInvalid)
	case f.Boot < 0 || f.BootP95 != 0 && f.BootP95 < f.Boot:
		return f, fmt.Errorf("%w: fleet: boot is negative, or 19 of 20 boots take less than half of them: %v, %v", ci.ErrInvalid, f.Boot, f.BootP95)
	case f.BootFailure < 0 || f.BootFailure > 0.9:
		return f, fmt.Errorf("%w: fleet: the share of boots that fail is %g; it is from 0 to 0.9", ci.ErrInvalid, f.BootFailure)
	case f.Min < 0 || f.Max != 0 && f.Max < f.Min:
		return f, fmt.Errorf("%w: fleet: at least %d and at most %d nodes cannot be", ci.ErrInvalid, f.Min, f.Max)
	case f.Every < 0 && f.Every != Always:
		return f, fmt.Errorf("%w: fleet: the time between decisions is negative", ci.ErrInvalid)
	}
	return f, nil
}

// bounded returns the number within the bounds.
func (f Fleet) bounded(n int) int {
	n = max(n, f.Min, 0)
	if f.Max > 0 {
		n = min(n, f.Max)
	}
	return n
}
