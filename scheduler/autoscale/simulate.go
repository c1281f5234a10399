package autoscale

import (
	"cmp"
	"container/heap"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// maxIdle is how long a simulation goes on after the last build came, when
// nothing starts any more.
const maxIdle = 14 * 24 * time.Hour

// Simulate plays a trace against a fleet under a policy. The first decision is
// taken before the first build comes, and its nodes are ready at once. A slice
// starts on the fullest node that has room for it; slices start in the order in
// which they came, but for those that fit beside one that does not, as in the
// scheduler: for that one the emptiest node is kept.
//
// The result depends on the arguments alone. Errors wrap [ci.ErrInvalid]: a
// fleet that cannot be, a class that fits on no node, a policy under which the
// queue never empties.
func Simulate(jobs []Job, f Fleet, p Policy, seed uint64) (Result, error) {
	f, err := f.whole()
	if err != nil {
		return Result{}, err
	}
	jobs = sorted(jobs)
	s := &simulation{
		fleet: f, jobs: jobs, decide: p.Start(), classOf: map[string]int{},
		random: rand.New(rand.NewPCG(seed, 0x726f6e646f)),
	}
	if len(jobs) == 0 {
		return s.result(p), nil
	}
	s.begin = jobs[0].Queued
	span := jobs[len(jobs)-1].Queued.Sub(s.begin)
	s.grid = max(span/points, time.Second)
	if err := s.prepare(); err != nil {
		return Result{}, err
	}
	if err := s.run(); err != nil {
		return Result{}, fmt.Errorf("%w: simulate %v: %w", ci.ErrInvalid, p, err)
	}
	return s.result(p), nil
}

func unfit(j Job, f Fleet) error {
	r, ok := f.class(j.Class)
	if !ok {
		return fmt.Errorf("%w: there is no resource class %q in the fleet", ci.ErrInvalid, j.Class)
	}
	return fmt.Errorf("%w: class %q takes %v, and a node has %v for tasks: no node ever has room for it", ci.ErrInvalid, j.Class, r, f.Node)
}

// A class of the trace, in the units of the simulation.
type class struct {
	name     string
	cpu, mem int     // thousandths of a CPU, MiB
	share    float64 // of a node
	queue    []slice
	head     int
	held     *node // kept for the head, which fits nowhere
}

type slice struct {
	job   int
	order int // of arrival, over all classes
}

type node struct {
	cpu, mem int // free
	running  int
	up, left bool // ready; draining
	gone     bool
	ordered  time.Duration
	slices   map[*event]bool // only where a drain may kill
}

// An event is the end of a slice, of a boot or of a drain's patience, or a
// decision.
type event struct {
	at    time.Duration
	order int
	kind  kind
	node  *node
	class int
	job   int
	void  bool // it was killed
}

type kind int

const (
	ends kind = iota
	boots
	tick
	kills
)

type events []*event

func (h events) Len() int { return len(h) }
func (h events) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h events) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *events) Push(x any)   { *h = append(*h, x.(*event)) }
func (h *events) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// simulation is one run. Time is counted from the first build.
type simulation struct {
	fleet   Fleet
	jobs    []Job
	decide  func(View) int
	random  *rand.Rand
	begin   time.Time
	now     time.Duration
	heap    events
	free    []*event // to be used again
	ordinal int

	classes []*class
	classOf map[string]int
	cpu     int // of a whole node
	mem     int
	nodes   []*node
	kept    int // nodes that do not drain
	booting int
	busy    float64 // nodes
	waiting float64
	queued  int // slices

	wait     []time.Duration // of each job so far
	left     []int32         // slices that have not started
	arrivals int
	meanRun  float64 // seconds
	share    float64
	progress time.Duration

	sums
	grid time.Duration
	next time.Duration // of the next point
}

func (s *simulation) prepare() error {
	s.cpu, s.mem = int(s.fleet.Node.CPU*1000+0.5), s.fleet.Node.MemoryMB
	s.wait, s.left = make([]time.Duration, len(s.jobs)), make([]int32, len(s.jobs))
	for i, j := range s.jobs {
		if j.Run < 0 {
			return fmt.Errorf("%w: a build of %v ran for %v", ci.ErrInvalid, j.Queued, j.Run)
		}
		if _, known := s.classOf[j.Class]; known {
			continue
		}
		fit := s.fleet.Slots(j.Class)
		if fit == 0 {
			return unfit(s.jobs[i], s.fleet)
		}
		r, _ := s.fleet.class(j.Class)
		s.classOf[j.Class] = len(s.classes)
		s.classes = append(s.classes, &class{name: j.Class, cpu: int(r.CPU*1000 + 0.5), mem: r.MemoryMB, share: 1 / float64(fit)})
	}
	return nil
}

// run plays all events.
func (s *simulation) run() error {
	s.apply(s.ask(), true)
	if s.fleet.Every != Always {
		s.push(event{at: s.fleet.Every, kind: tick})
	}
	next := 0
	for next < len(s.jobs) || s.busy > 1e-9 || s.queued > 0 {
		arrive := time.Duration(math.MaxInt64)
		if next < len(s.jobs) {
			arrive = s.jobs[next].Queued.Sub(s.begin)
		}
		if len(s.heap) > 0 && s.heap[0].at <= arrive {
			e := heap.Pop(&s.heap).(*event)
			s.move(e.at)
			s.happen(e)
			*e = event{}
			s.free = append(s.free, e)
		} else if next < len(s.jobs) {
			s.move(arrive)
			s.arrive(next)
			next++
		} else {
			return fmt.Errorf("%d slices wait for nodes that nobody orders", s.queued)
		}
		if s.fleet.Every == Always {
			s.apply(s.ask(), false)
		}
		if next == len(s.jobs) && s.queued > 0 && s.now-s.progress > maxIdle {
			return fmt.Errorf("%d slices have waited for %v, and it orders no node for them", s.queued, maxIdle)
		}
	}
	return nil
}

// move lets time pass.
func (s *simulation) move(to time.Duration) {
	for s.next <= to {
		s.point(s.next)
		s.next += s.grid
	}
	s.pass(to-s.now, s)
	s.now = to
}

func (s *simulation) push(e event) *event {
	var p *event
	if n := len(s.free); n > 0 && s.fleet.DrainDeadline == 0 { // else somebody may still point at it
		p, s.free = s.free[n-1], s.free[:n-1]
	} else {
		p = new(event)
	}
	s.ordinal++
	*p = e
	p.order = s.ordinal
	heap.Push(&s.heap, p)
	return p
}

func (s *simulation) arrive(i int) {
	j := &s.jobs[i]
	c := s.classes[s.classOf[j.Class]]
	n := max(j.Parallelism, 1)
	s.left[i] = int32(n)
	for range n {
		s.ordinal++
		c.queue = append(c.queue, slice{i, s.ordinal})
	}
	s.queued += n
	s.arrivals += n
	s.waiting += c.share * float64(n)
	s.start()
}

func (s *simulation) happen(e *event) {
	switch e.kind {
	case ends:
		if !e.void {
			s.end(e)
		}
	case boots:
		s.booted(e.node)
	case tick:
		s.apply(s.ask(), false)
		s.push(event{at: s.now + s.fleet.Every, kind: tick})
	case kills:
		if !e.node.gone {
			byOrder := func(a, b *event) int { return cmp.Compare(a.order, b.order) }
			for _, running := range slices.SortedFunc(maps.Keys(e.node.slices), byOrder) {
				s.killed++
				running.void = true
				s.end(running)
			}
		}
	}
}

// end takes a slice off its node.
func (s *simulation) end(e *event) {
	c := s.classes[e.class]
	n := e.node
	n.cpu, n.mem, n.running = n.cpu+c.cpu, n.mem+c.mem, n.running-1
	delete(n.slices, e)
	s.busy -= c.share
	s.progress = s.now
	run := s.jobs[e.job].Run.Seconds()
	const gain = 0.01 // a moving mean over about a hundred slices
	if s.meanRun == 0 {
		s.meanRun, s.share = run, c.share
	}
	s.meanRun += gain * (run - s.meanRun)
	s.share += gain * (c.share - s.share)
	if n.left && n.running == 0 {
		s.remove(n)
	}
	s.start()
}
