package insights

import (
	"math"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A sample is what one run says about a workflow or a job.
type sample struct {
	name     string
	branch   string
	status   ci.Status
	stopped  time.Time
	duration time.Duration
	waits    []time.Duration
	nodes    int
}

func workflowSample(r ci.Run) sample {
	s := sample{name: r.Name, branch: r.Branch, status: r.Status, stopped: r.Stopped, duration: r.Stopped.Sub(r.Created)}
	for _, j := range r.Jobs {
		s.nodes = max(s.nodes, j.Parallelism)
		if !j.Started.IsZero() {
			s.waits = append(s.waits, j.Started.Sub(j.Queued))
		}
	}
	return s
}

func jobSamples(r ci.Run) []sample {
	var all []sample
	for _, j := range r.Jobs {
		if j.Started.IsZero() {
			continue // it never ran
		}
		all = append(all, sample{
			name: j.Name, branch: r.Branch, status: j.Status, stopped: j.Stopped, duration: j.Stopped.Sub(j.Started),
			waits: []time.Duration{j.Started.Sub(j.Queued)}, nodes: j.Parallelism,
		})
	}
	return all
}

// sum sums up samples of one name, in any order.
func sum(all []sample) ci.Stats {
	slices.SortStableFunc(all, func(a, b sample) int { return a.stopped.Compare(b.stopped) })
	var s ci.Stats
	var durations, waits []time.Duration
	broken := map[string]time.Time{} // by branch, since when
	var recovery time.Duration
	for _, x := range all {
		s.Runs++
		s.Last, s.Parallelism = x.duration, x.nodes
		waits = append(waits, x.waits...)
		since, isBroken := broken[x.branch]
		switch {
		case x.status == ci.Success:
			s.Successes++
			if isBroken {
				s.Recoveries++
				recovery += x.stopped.Sub(since)
				delete(broken, x.branch)
			}
		case x.status.Bad():
			s.Failures++
			if !isBroken {
				broken[x.branch] = x.stopped
			}
		default:
			continue // canceled: its duration says nothing
		}
		durations = append(durations, x.duration)
	}
	if s.Recoveries > 0 {
		s.Recovery = recovery / time.Duration(s.Recoveries)
	}
	s.Duration, s.Wait = spread(durations), spread(waits)
	return s
}

// spread describes the durations; none are all zero.
func spread(d []time.Duration) ci.Spread {
	n := len(d)
	if n == 0 {
		return ci.Spread{}
	}
	slices.Sort(d)
	var total, squares float64
	for _, x := range d {
		total += float64(x)
	}
	mean := total / float64(n)
	for _, x := range d {
		squares += (float64(x) - mean) * (float64(x) - mean)
	}
	median := d[n/2]
	if n%2 == 0 {
		median = d[n/2-1] + (d[n/2]-d[n/2-1])/2
	}
	return ci.Spread{
		Min: d[0], Mean: time.Duration(mean), Median: median, P95: d[(95*n+99)/100-1], Max: d[n-1],
		Deviation: time.Duration(math.Sqrt(squares / float64(n))),
	}
}
