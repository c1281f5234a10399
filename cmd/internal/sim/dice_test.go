package sim

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Dice are random numbers by name: the n-th throw of a name is the same for the
// same seed, whatever else is thrown. They are safe for concurrent use.
type dice struct {
	seed  uint64
	rates map[string]int // of faults, in a thousand

	mu     sync.Mutex
	thrown map[string]uint64
	healed bool
}

// faults are all faults there are, with how often they strike in a world that
// has them, in a thousand.
var faults = map[string]int{
	"store: fails": 30, "store: answer lost": 30, "store: slow": 15, "server: dies": 2, "logs: fail": 30, "logs: answer lost": 30,
	"door: request lost": 40, "door: answer lost": 40, "door: twice": 40, "door: late": 15,
	"cluster: fails": 60, "cluster: answer lost": 40, "cluster: starts two": 100,
	"agent: dies": 30, "agent: pauses": 15, "agent: is deaf": 100, "agent: hangs": 20, "agent: loses output": 60, "compiler: fails": 100,
}

// newDice decides which faults the world has: about half of them, some rare,
// some frequent, since those that are always there hide each other.
func newDice(seed uint64) *dice {
	d := &dice{seed: seed, rates: map[string]int{}, thrown: map[string]uint64{}}
	for name, often := range faults {
		switch d.n(6, "has", name) {
		case 0:
			d.rates[name] = often / 4
		case 1:
			d.rates[name] = often
		case 2:
			d.rates[name] = min(often*4, 500)
		}
	}
	return d
}

// n throws a number in [0, n).
func (d *dice) n(n int, name ...string) int {
	key := strings.Join(name, "\x00")
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	d.mu.Lock()
	d.thrown[key]++
	count := d.thrown[key]
	d.mu.Unlock()
	return rand.New(rand.NewPCG(d.seed, h.Sum64()+count*0x9e3779b97f4a7c15)).IntN(n)
}

// strikes reports whether a fault happens now.
func (d *dice) strikes(fault string, name ...string) bool {
	d.mu.Lock()
	rate := d.rates[fault]
	if d.healed {
		rate = 0
	}
	d.mu.Unlock()
	return rate > 0 && d.n(1000, append(name, fault)...) < rate
}

// heal ends all faults.
func (d *dice) heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.healed = true
}

// between throws a time in [a, b).
func (d *dice) between(a, b time.Duration, name ...string) time.Duration {
	return a + time.Duration(d.n(int((b-a)/time.Microsecond), name...))*time.Microsecond
}

// A trace is what happened, for whoever looks into a failure.
type trace struct {
	began time.Time
	mu    sync.Mutex
	lines []string
	wrong []string
}

// say adds a line.
func (t *trace) say(format string, args ...any) {
	at := time.Since(t.began)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, fmt.Sprintf("%12.3f  ", at.Seconds())+fmt.Sprintf(format, args...))
}

// breaks adds a line about something that must not be.
func (t *trace) breaks(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.say("WRONG: %s", text)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wrong = append(t.wrong, text)
}

// text returns the lines, at most so many from the end.
func (t *trace) text(limit int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := max(len(t.lines)-limit, 0)
	out := strings.Join(t.lines[from:], "\n")
	if from > 0 {
		out = fmt.Sprintf("(%d lines before)\n", from) + out
	}
	return out
}
