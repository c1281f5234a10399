package autoscale

import (
	"math"
	"slices"
	"time"
)

// normal95 is how far above the median 19 of 20 values lie, in standard
// deviations.
const normal95 = 1.6448536269514722

// start starts what has room, oldest first. Of a class only the head counts: if
// it does not fit, nothing behind it does.
func (s *simulation) start() {
	for s.queued > 0 {
		started := false
		tried := 0 // the class with the oldest head that was not tried yet
		for from := -1; ; from = tried {
			c := s.oldest(from)
			if c < 0 {
				break
			}
			tried = s.classes[c].queue[s.classes[c].head].order
			n := s.room(s.classes[c])
			if n != nil {
				s.place(c, n)
				started = true
				break
			}
			s.hold(s.classes[c])
		}
		if !started {
			return
		}
	}
}

// oldest returns the class whose head came first of those after an order; -1
// is none.
func (s *simulation) oldest(after int) int {
	best, order := -1, math.MaxInt
	for i, c := range s.classes {
		if c.head < len(c.queue) && c.queue[c.head].order > after && c.queue[c.head].order < order {
			best, order = i, c.queue[c.head].order
		}
	}
	return best
}

// room returns the fullest node on which a slice of the class fits.
func (s *simulation) room(c *class) *node {
	var best *node
	for _, n := range s.nodes {
		if !n.up || n.left || n.cpu < c.cpu || n.mem < c.mem || len(s.classes) > 1 && s.heldFromOthers(n, c) {
			continue
		}
		if best == nil || n.cpu < best.cpu {
			best = n
			if n.cpu-c.cpu < c.cpu { // nothing fits closer
				break
			}
		}
	}
	return best
}

func (s *simulation) heldFromOthers(n *node, c *class) bool {
	for _, o := range s.classes {
		if o != c && o.held == n {
			return true
		}
	}
	return false
}

// hold keeps the emptiest node for the head of a class that is larger than
// others; with one class there is nobody to keep it from.
func (s *simulation) hold(c *class) {
	if len(s.classes) == 1 || c.held != nil && !c.held.left && !c.held.gone {
		return
	}
	c.held = nil
	for _, n := range s.nodes {
		if n.up && !n.left && !s.heldFromOthers(n, c) && (c.held == nil || n.cpu > c.held.cpu) {
			c.held = n
		}
	}
}

// place starts the head of a class on a node.
func (s *simulation) place(i int, n *node) {
	c := s.classes[i]
	at := c.queue[c.head]
	if c.head++; c.head == len(c.queue) {
		c.queue, c.head = c.queue[:0], 0
	}
	c.held = nil
	n.cpu, n.mem, n.running = n.cpu-c.cpu, n.mem-c.mem, n.running+1
	s.queued--
	s.busy += c.share
	s.waiting -= c.share
	s.progress = s.now
	j := &s.jobs[at.job]
	s.wait[at.job] = max(s.wait[at.job], s.now-j.Queued.Sub(s.begin))
	s.left[at.job]--
	e := s.push(event{at: s.now + j.Run, kind: ends, node: n, class: i, job: at.job})
	if s.fleet.DrainDeadline > 0 {
		n.slices[e] = true
	}
}

// ask takes a decision.
func (s *simulation) ask() int {
	v := View{
		Now: s.begin.Add(s.now), Nodes: s.kept, Booting: s.booting, Busy: max(s.busy, 0), Waiting: max(s.waiting, 0),
		Arrivals: s.arrivals, MeanRun: time.Duration(s.meanRun * float64(time.Second)), Share: s.share,
	}
	s.arrivals = 0
	return s.fleet.bounded(s.decide(v))
}

// apply orders nodes or sends some away. The first ones are there at once.
func (s *simulation) apply(want int, first bool) {
	switch {
	case want > s.kept && !first:
		s.ups++
	case want < s.kept:
		s.downs++
	}
	for s.kept < want {
		n := &node{cpu: s.cpu, mem: s.mem, ordered: s.now}
		if s.fleet.DrainDeadline > 0 {
			n.slices = map[*event]bool{}
		}
		s.nodes = append(s.nodes, n)
		s.kept++
		s.booting++
		if boot := s.boot(); boot > 0 && !first {
			s.push(event{at: s.now + boot, kind: boots, node: n})
		} else {
			s.booted(n)
		}
	}
	for s.kept > want {
		s.dismiss()
	}
}

// boot draws how long a boot takes. A node that does not come up is noticed
// when it is late by as much again.
func (s *simulation) boot() time.Duration {
	total := time.Duration(0)
	for {
		took := float64(s.fleet.Boot)
		if s.fleet.BootP95 > s.fleet.Boot && s.fleet.Boot > 0 {
			sigma := math.Log(float64(s.fleet.BootP95)/float64(s.fleet.Boot)) / normal95
			took *= math.Exp(sigma * s.random.NormFloat64())
		}
		if s.fleet.BootFailure == 0 || s.random.Float64() >= s.fleet.BootFailure {
			return total + time.Duration(took)
		}
		total += 2 * time.Duration(took)
	}
}

func (s *simulation) booted(n *node) {
	if n.gone {
		return
	}
	n.up = true
	s.booting--
	s.start()
}

// dismiss sends away the node that is missed least: one that boots, the newest
// first; else the emptiest, which finishes what it has.
func (s *simulation) dismiss() {
	var who *node
	for _, n := range s.nodes {
		switch {
		case n.left:
		case who == nil, !n.up, who.up && n.running < who.running:
			who = n
		}
	}
	s.kept--
	if !who.up {
		s.booting--
		s.remove(who)
		return
	}
	who.left = true
	if who.running == 0 {
		s.remove(who)
	} else if s.fleet.DrainDeadline > 0 {
		s.push(event{at: s.now + s.fleet.DrainDeadline, kind: kills, node: who})
	}
}

func (s *simulation) remove(n *node) {
	n.gone = true
	s.nodes = slices.DeleteFunc(s.nodes, func(o *node) bool { return o == n })
	s.short += max(0, s.fleet.MinBill-(s.now-n.ordered)).Hours()
}
