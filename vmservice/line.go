package vmservice

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// A line is what the pool has of one model.
type line struct {
	model   Model
	floor   int
	coming  int        // asked and booting
	working int        // claimed
	ready   []*machine // the longest ready first
	waiting []*waiter  // the longest waiting first
	idle    time.Time  // since when there are more ready than wanted; zero is not
	boots   []time.Duration
	arrivals
	cold map[string]time.Time // zones without room, until when
}

// arrivals is how often tasks come, forgotten by half every ten minutes.
type arrivals struct {
	rate float64 // a second
	at   time.Time
}

const halfLife = 10 * time.Minute

func (a *arrivals) add(now time.Time) {
	a.rate = a.now(now) + math.Ln2/halfLife.Seconds()
	a.at = now
}

func (a *arrivals) now(now time.Time) float64 {
	return a.rate * math.Exp2(-now.Sub(a.at).Seconds()/halfLife.Seconds())
}

// defaultBoot is what a machine is expected to take before one has booted.
const defaultBoot = 2 * time.Minute

// boot95 is what 95 of 100 machines take at most to be ready.
func (l *line) boot95() time.Duration {
	if len(l.boots) == 0 {
		return defaultBoot
	}
	sorted := slices.Sorted(slices.Values(l.boots))
	return sorted[(len(sorted)-1)*95/100]
}

// booted remembers how long the last 50 took.
func (l *line) booted(d time.Duration) {
	if l.boots = append(l.boots, d); len(l.boots) > 50 {
		l.boots = l.boots[1:]
	}
}

// average is what a machine takes to be ready.
func (l *line) average() time.Duration {
	if len(l.boots) == 0 {
		return 0
	}
	var sum time.Duration
	for _, b := range l.boots {
		sum += b
	}
	return sum / time.Duration(len(l.boots))
}

// spare is how many machines should be ready: the floor, or as many as it
// takes that at most one of twenty tasks that come while a machine boots finds
// none.
func (l *line) spare(now time.Time, fixed bool) int {
	if fixed {
		return l.floor
	}
	load := l.arrivals.now(now) * l.boot95().Seconds()
	if load < 0.05 { // fewer than one in twenty boots
		return l.floor
	}
	return max(l.floor, servers(load, 0.05))
}

// servers returns the least number of servers with which a customer has to
// wait with at most that probability (Erlang C), for a load in erlangs.
func servers(load, wait float64) int {
	blocked := 1.0 // Erlang B of no servers
	for n := 1; n < 10_000; n++ {
		blocked = load * blocked / (float64(n) + load*blocked)
		busy := load / float64(n)
		if busy < 1 && blocked/(1-busy*(1-blocked)) <= wait {
			return n
		}
	}
	return 10_000
}

// line returns that of a model.
func (p *Pool) line(m Model) *line {
	l := p.lines[m]
	if l == nil {
		l = &line{model: m, cold: map[string]time.Time{}}
		p.lines[m] = l
	}
	return l
}

// set gives a machine its record and keeps all counts by it. The caller holds
// the lock.
func (p *Pool) set(m *machine, r Record) {
	p.count(m, -1)
	m.rec = r
	p.count(m, +1)
}

// count adds a machine to the counts, or takes it out.
func (p *Pool) count(m *machine, sign int) {
	r := m.rec
	if r.State == "" || r.State == Gone {
		return
	}
	for _, kind := range []string{"", string(r.Model.Kind)} {
		p.spend(kind, use{machines: sign, vcpus: sign * r.VCPUs})
	}
	l := p.line(r.Model)
	switch r.State {
	case Asked, Booting:
		l.coming += sign
	case Ready:
		i := slices.IndexFunc(l.ready, func(o *machine) bool { return o == m })
		switch {
		case sign < 0 && i >= 0:
			l.ready = slices.Delete(l.ready, i, i+1)
		case sign > 0 && i < 0:
			at, _ := slices.BinarySearchFunc(l.ready, m, func(a, b *machine) int {
				return cmp.Or(a.rec.Ready.Compare(b.rec.Ready), cmp.Compare(a.rec.Key, b.rec.Key))
			})
			l.ready = slices.Insert(l.ready, at, m)
		}
	case Claimed:
		l.working += sign
		if sign > 0 {
			p.byTask[r.Task] = m
		} else if p.byTask[r.Task] == m {
			delete(p.byTask, r.Task)
		}
	case Ending:
		if last := p.leaving[r.Task]; sign > 0 && r.Task != "" && (last == nil || last.rec.Epoch <= r.Epoch) {
			p.leaving[r.Task] = m
		} else if sign < 0 && last == m {
			delete(p.leaving, r.Task)
		}
	}
}
