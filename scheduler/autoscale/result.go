package autoscale

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// points is how many points a [Result] has for its chart, about.
const points = 600

// A Result is what came of a simulation. Waits are in seconds.
type Result struct {
	Policy string `json:"policy"`
	// All is about every build; Usual about most work and Heavy about what is
	// expensive or highly parallel (more than 8 CPUs, all slices together): the
	// two for which the guide names a target. Classes are by resource class.
	All     Waits   `json:"all"`
	Usual   Waits   `json:"usual"`
	Heavy   Waits   `json:"heavy"`
	Classes []Waits `json:"classes"`

	Hours         float64 `json:"hours"`          // from the first build to the last end
	Utilisation   float64 `json:"utilisation"`    // share of the nodes' time in which they worked
	NodeHours     float64 `json:"node_hours"`     // ordered until gone, with what is paid at least
	IdleHours     float64 `json:"idle_hours"`     // of those, without work
	MachineCost   float64 `json:"machine_cost"`   // dollars
	DeveloperCost float64 `json:"developer_cost"` // dollars
	Cost          float64 `json:"cost"`           // the sum of both
	MeanWaiting   float64 `json:"mean_waiting"`   // slices in the queue, over time
	Ups           int     `json:"scale_ups"`
	Downs         int     `json:"scale_downs"`
	Killed        int     `json:"killed"` // slices, by the deadline of a drain
	Most          int     `json:"most_nodes"`

	Points []Point `json:"points,omitempty"`

	within [2]func(time.Duration) float64 // share of the usual and of the heavy
}

// Waits is how long builds waited, in seconds.
type Waits struct {
	Name   string  `json:"name"`
	Builds int     `json:"builds"`
	Mean   float64 `json:"mean"`
	P50    float64 `json:"p50"`
	P95    float64 `json:"p95"`
	P99    float64 `json:"p99"`
	Max    float64 `json:"max"`
	Over1  float64 `json:"share_over_1s"`
	Over10 float64 `json:"share_over_10s"`
}

// A Point is how things stood at an instant, in nodes.
type Point struct {
	At      time.Time `json:"at"`
	Nodes   int       `json:"nodes"`   // ready and booting
	Paid    int       `json:"paid"`    // those that drain as well
	Busy    float64   `json:"busy"`    // what runs
	Waiting float64   `json:"waiting"` // what waits
}

// sums are the integrals of a run over time.
type sums struct {
	nodeHours, busyHours, readyHours, queueHours float64
	short                                        float64 // hours paid for nodes that went too soon
	ups, downs, killed, most                     int
	points                                       []Point
}

// pass adds what a while has cost.
func (u *sums) pass(d time.Duration, s *simulation) {
	if d <= 0 {
		return
	}
	h := d.Hours()
	u.nodeHours += h * float64(len(s.nodes))
	u.readyHours += h * float64(len(s.nodes)-s.booting)
	u.busyHours += h * s.busy
	u.queueHours += h * float64(s.queued)
	u.most = max(u.most, len(s.nodes))
}

func (s *simulation) point(at time.Duration) {
	s.points = append(s.points, Point{
		At: s.begin.Add(at), Nodes: s.kept, Paid: len(s.nodes), Busy: max(s.busy, 0), Waiting: max(s.waiting, 0),
	})
}

// result adds up.
func (s *simulation) result(p Policy) Result {
	r := Result{
		Policy: p.String(), Hours: s.now.Hours(), NodeHours: s.nodeHours + s.short, IdleHours: s.nodeHours + s.short - s.busyHours,
		Ups: s.ups, Downs: s.downs, Killed: s.killed, Most: s.most, Points: s.points, Classes: []Waits{},
	}
	for _, n := range s.nodes {
		if paid := s.fleet.MinBill - (s.now - n.ordered); paid > 0 {
			r.NodeHours, r.IdleHours = r.NodeHours+paid.Hours(), r.IdleHours+paid.Hours()
		}
	}
	byClass := map[string][]float64{}
	var all, usual, heavy []float64
	for i, j := range s.jobs {
		w := s.wait[i].Seconds()
		all = append(all, w)
		byClass[j.Class] = append(byClass[j.Class], w)
		if size, _ := s.fleet.class(j.Class); size.CPU*float64(max(j.Parallelism, 1)) > heavyCPU {
			heavy = append(heavy, w)
		} else {
			usual = append(usual, w)
		}
		r.DeveloperCost += w / 3600 * s.fleet.DeveloperHour
	}
	r.within = [2]func(time.Duration) float64{within(usual), within(heavy)}
	r.All, r.Usual, r.Heavy = waits("all", all), waits("usual", usual), waits("heavy", heavy)
	for _, name := range slices.Sorted(maps.Keys(byClass)) {
		r.Classes = append(r.Classes, waits(cmp.Or(name, "default"), byClass[name]))
	}
	r.MachineCost = r.NodeHours * s.fleet.Price
	r.Cost = r.MachineCost + r.DeveloperCost
	if s.readyHours > 0 {
		r.Utilisation = s.busyHours / s.readyHours
	}
	if r.Hours > 0 {
		r.MeanWaiting = s.queueHours / r.Hours
	}
	return r
}

// waits sorts its argument.
func waits(name string, all []float64) Waits {
	w := Waits{Name: name, Builds: len(all)}
	if len(all) == 0 {
		return w
	}
	slices.Sort(all)
	at := func(p float64) float64 { return all[min(int(p*float64(len(all))), len(all)-1)] }
	for _, v := range all {
		w.Mean += v / float64(len(all))
	}
	w.P50, w.P95, w.P99, w.Max = at(0.5), at(0.95), at(0.99), all[len(all)-1]
	w.Over1, w.Over10 = 1-within(all)(time.Second), 1-within(all)(10*time.Second)
	return w
}

// within returns the share of waits that is no longer than a limit, once waits
// has sorted them. Of none it is 1.
func within(all []float64) func(time.Duration) float64 {
	return func(limit time.Duration) float64 {
		if len(all) == 0 {
			return 1
		}
		i, _ := slices.BinarySearch(all, limit.Seconds()+1e-9)
		return float64(i) / float64(len(all))
	}
}
