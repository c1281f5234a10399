package vmservice

import (
	"maps"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Counts are what has happened since the start.
type Counts struct {
	Created int `json:"created"`
	Claimed int `json:"claimed"`
	Ended   int `json:"ended"`
	Leaks   int `json:"leaks"` // findings of the reaper
	// Hits, Fresh and Without say how builds that wanted their Docker layers
	// fared.
	Hits    int `json:"layer_hits"`
	Fresh   int `json:"layer_fresh"`
	Without int `json:"layer_without"`
	// Faults are errors of the provider by their codes.
	Faults map[string]int `json:"faults,omitempty"`
	// Wait95 is what 95 of 100 of the last tasks waited at most, in seconds.
	Wait95 float64 `json:"wait_p95_seconds"`

	waits  []time.Duration
	day    time.Time
	spent  map[ci.MachineKind]float64
	tidied time.Time
	sweep  bool
}

func (c *Counts) fault(f *Fault) {
	if c.Faults == nil {
		c.Faults = map[string]int{}
	}
	code := f.Code
	if code == "" {
		code = string(f.Class)
	}
	c.Faults[code]++
}

func (c *Counts) waited(d time.Duration) {
	if c.waits = append(c.waits, d); len(c.waits) > 200 {
		c.waits = c.waits[1:]
	}
}

// Counts returns what has happened since the start.
func (p *Pool) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.counts
	c.Faults = maps.Clone(c.Faults)
	if sorted := slices.Sorted(slices.Values(c.waits)); len(sorted) > 0 {
		c.Wait95 = sorted[(len(sorted)-1)*95/100].Seconds()
	}
	c.waits, c.spent = nil, nil
	return c
}
