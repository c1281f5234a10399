package scheduler

import (
	"container/heap"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

const (
	forecastJobs = 4096 // that many jobs are remembered
	forecastGain = 0.3  // weight of the newest run
	forecastFar  = 5000 // nothing is said about places further back
)

// A forecast remembers how long tasks take, as moving averages: of the job in
// its project, else of the class, else of all.
type forecast struct {
	jobs    map[jobKey]time.Duration
	classes map[string]time.Duration
	all     time.Duration
}

type jobKey struct {
	project ci.ProjectID
	name    string
}

func newForecast() *forecast {
	return &forecast{jobs: make(map[jobKey]time.Duration), classes: make(map[string]time.Duration)}
}

// learn takes a run into account.
func (f *forecast) learn(e *entry, took time.Duration) {
	took = max(took, time.Millisecond)
	k := jobKey{e.ticket.Task.Project, e.ticket.Task.Name}
	if _, known := f.jobs[k]; !known && len(f.jobs) >= forecastJobs {
		for old := range f.jobs { // any one: it is learned again
			delete(f.jobs, old)
			break
		}
	}
	f.jobs[k] = mean(f.jobs[k], took)
	f.classes[e.class] = mean(f.classes[e.class], took)
	f.all = mean(f.all, took)
}

func mean(old, took time.Duration) time.Duration {
	if old == 0 {
		return took
	}
	return old + time.Duration(forecastGain*float64(took-old))
}

// takes returns how long a task is expected to run; 0 is unknown.
func (f *forecast) takes(e *entry) time.Duration {
	if d := f.jobs[jobKey{e.ticket.Task.Project, e.ticket.Task.Name}]; d > 0 {
		return d
	}
	if d := f.classes[e.class]; d > 0 {
		return d
	}
	return f.all
}

// left returns how long an active task will go on. One that is overdue is
// expected to take half as long again.
func (f *forecast) left(e *entry, now time.Time) time.Duration {
	takes := f.takes(e)
	if e.claimed.IsZero() {
		return takes
	}
	if ran := now.Sub(e.claimed); ran < takes {
		return takes - ran
	} else {
		return ran / 2
	}
}

// start predicts when the entry at that position starts, if the places that
// the active ones hold are used again one after the other. Zero is no telling.
func (f *forecast) start(now time.Time, active []*entry, position int, each time.Duration) time.Time {
	if each <= 0 || len(active) == 0 || position < 1 || position > forecastFar {
		return time.Time{}
	}
	ends := make(ends, 0, len(active))
	for _, e := range active {
		ends = append(ends, f.left(e, now))
	}
	heap.Init(&ends)
	for range position - 1 {
		ends[0] += each
		heap.Fix(&ends, 0)
	}
	return now.Add(ends[0]).Round(0)
}

// ends is a heap of what is left of the running tasks.
type ends []time.Duration

func (h ends) Len() int           { return len(h) }
func (h ends) Less(i, j int) bool { return h[i] < h[j] }
func (h ends) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *ends) Push(x any)        { *h = append(*h, x.(time.Duration)) }
func (h *ends) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
