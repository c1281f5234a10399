package vmservicetest

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/vmservice"
)

// A Ledger is what a [Cloud] was asked for and what it has, counted at the
// provider and not by whoever uses it.
type Ledger struct {
	// Machines and Volumes are all that ever were, those that are gone among
	// them, in the order in which they were made.
	Machines []vmservice.Machine
	Volumes  []vmservice.Volume
	// Users are the machines that a volume was attached to, by its ID.
	Users map[string][]string
	// Alive and GB are what there is now, Peak and PeakGB the most there were.
	Alive, Peak int
	GB, PeakGB  int
	// Calls counts the calls, those that were spoiled among them.
	Calls map[Op]int
}

// Ledger returns the counts until now.
func (c *Cloud) Ledger() Ledger {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.letGo(now)
	l := Ledger{
		Users: map[string][]string{}, Calls: maps.Clone(c.calls),
		Alive: c.alive(now), Peak: c.peak, GB: c.gigabytes(), PeakGB: c.peakGB,
	}
	for _, m := range c.machines {
		l.Machines = append(l.Machines, m.at(now))
	}
	for _, v := range c.volumes {
		l.Volumes = append(l.Volumes, v.at(now))
		l.Users[v.ID] = slices.Clone(v.users)
	}
	slices.SortFunc(l.Machines, func(a, b vmservice.Machine) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(l.Volumes, func(a, b vmservice.Volume) int { return cmp.Compare(a.ID, b.ID) })
	return l
}

// Kill ends a machine behind everybody's back, as a provider does that has no
// room any more. An unknown one is left alone.
func (c *Cloud) Kill(id, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.byID(id); m != nil && m.ends.IsZero() {
		m.ends, m.Why = time.Now(), why
	}
}

// Retag changes a tag of a volume, as somebody might by hand.
func (c *Cloud) Retag(volume, tag, value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.volumeByID(volume); v != nil {
		v.Tags[tag] = value
	}
}
