package vmservicetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/vmservice"
)

// An Op is a call that a [Script] may spoil.
type Op string

// The calls of a [Cloud].
const (
	OpCreate        Op = "create"
	OpList          Op = "list"
	OpDestroy       Op = "destroy"
	OpCreateVolume  Op = "create volume"
	OpVolumes       Op = "volumes"
	OpAttach        Op = "attach"
	OpDetach        Op = "detach"
	OpDestroyVolume Op = "destroy volume"
)

// An Answer is how a call ends in place of its usual course. The zero one
// changes nothing.
type Answer struct {
	// Err is what the caller gets.
	Err error
	// Done lets the call take effect although it answers Err: a request that
	// was served and whose answer was lost.
	Done bool
	// After is how much longer the effect takes than usual: a machine that
	// boots or ends slowly, a volume that is not let go (force lets it go).
	After time.Duration
}

// A Script is asked at each call, with the key or the ID that the call is
// about.
type Script func(op Op, about string) Answer

// CloudConfig says how a [Cloud] behaves when nothing is wrong.
type CloudConfig struct {
	// Install is the installation whose machines List returns.
	Install string
	// Zones are where machines are made in turn when nobody asks for one; none
	// is "a".
	Zones []string
	// Boot is how long a machine boots, End how long it takes to end.
	Boot, End time.Duration
	// Keep is for how long a machine that is gone is still listed.
	Keep time.Duration
	// Lag is for how long List and Volumes do not know of what is new.
	Lag time.Duration
	// Script spoils calls; nil spoils none.
	Script Script
}

// A Cloud is a provider in memory: a [vmservice.Driver] with
// [vmservice.Volumes]. Its time is [time.Now], which is virtual in a bubble of
// testing/synctest. It is safe for concurrent use.
type Cloud struct {
	cfg      CloudConfig
	mu       sync.Mutex
	machines map[string]*machine // by key
	volumes  map[string]*volume  // by key
	calls    map[Op]int
	peak     int
	peakGB   int
}

type machine struct {
	vmservice.Machine
	boot  vmservice.Boot
	ready time.Time // when it runs
	ends  time.Time // when it is gone; zero is never
}

type volume struct {
	vmservice.Volume
	free  time.Time // when it is free, while it is detached
	gone  bool
	users []string // the machines that had it
}

// NewCloud returns a provider without machines.
func NewCloud(cfg CloudConfig) *Cloud {
	if len(cfg.Zones) == 0 {
		cfg.Zones = []string{"a"}
	}
	return &Cloud{cfg: cfg, machines: map[string]*machine{}, volumes: map[string]*volume{}, calls: map[Op]int{}}
}

// SetScript replaces the script.
func (c *Cloud) SetScript(s Script) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg.Script = s
}

// call counts a call and asks the script. The caller holds no lock.
func (c *Cloud) call(ctx context.Context, op Op, about string) (Answer, error) {
	if err := ctx.Err(); err != nil {
		return Answer{}, fmt.Errorf("%s %s: %w", op, about, err)
	}
	c.mu.Lock()
	c.calls[op]++
	script := c.cfg.Script
	c.mu.Unlock()
	if script == nil {
		return Answer{}, nil
	}
	a := script(op, about)
	if a.Err != nil && !a.Done {
		return a, a.Err
	}
	return a, nil
}

// Create is that of [vmservice.Driver].
func (c *Cloud) Create(ctx context.Context, key string, m vmservice.Model, b vmservice.Boot) (vmservice.Machine, error) {
	a, err := c.call(ctx, OpCreate, key)
	if err != nil {
		return vmservice.Machine{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.machines[key]
	if one == nil {
		now := time.Now()
		n := len(c.machines)
		one = &machine{boot: b, ready: now.Add(c.cfg.Boot + a.After), Machine: vmservice.Machine{
			ID: fmt.Sprintf("m-%06d", n+1), Key: key, Model: m, Created: now, Tags: maps.Clone(b.Tags),
			Zone: cmp.Or(b.Zone, c.cfg.Zones[n%len(c.cfg.Zones)]),
		}}
		c.machines[key] = one
		c.peak = max(c.peak, c.alive(now))
	}
	if a.Err != nil {
		return vmservice.Machine{}, a.Err
	}
	return one.at(time.Now()), nil
}

// at returns the machine as it is seen at a time.
func (m *machine) at(now time.Time) vmservice.Machine {
	out := m.Machine
	out.Tags = maps.Clone(m.Tags)
	if life := m.boot.Life; life > 0 && m.ends.IsZero() && !now.Before(m.Created.Add(life)) {
		m.ends, m.Why = m.Created.Add(life), "its time was over"
	}
	switch {
	case !m.ends.IsZero() && !now.Before(m.ends):
		out.State = vmservice.MachineGone
	case !m.ends.IsZero():
		out.State = vmservice.MachineEnding
	case now.Before(m.ready):
		out.State = vmservice.MachineBooting
		return out
	default:
		out.State = vmservice.MachineRunning
	}
	out.Address, out.HostKey = "127.0.0.1:22", "ssh-ed25519 host-of-"+m.ID
	return out
}

// alive counts the machines that cost money.
func (c *Cloud) alive(now time.Time) int {
	n := 0
	for _, m := range c.machines {
		if m.at(now).State != vmservice.MachineGone {
			n++
		}
	}
	return n
}

// List is that of [vmservice.Driver].
func (c *Cloud) List(ctx context.Context) ([]vmservice.Machine, error) {
	a, err := c.call(ctx, OpList, "")
	if err != nil || a.Err != nil {
		return nil, cmp.Or(err, a.Err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	var all []vmservice.Machine
	for _, m := range c.machines {
		one := m.at(now)
		hidden := now.Before(m.Created.Add(c.cfg.Lag)) || m.Tags[vmservice.TagInstall] != c.cfg.Install ||
			one.State == vmservice.MachineGone && now.After(m.ends.Add(c.cfg.Keep))
		if !hidden {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b vmservice.Machine) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// Destroy is that of [vmservice.Driver].
func (c *Cloud) Destroy(ctx context.Context, id string) error {
	a, err := c.call(ctx, OpDestroy, id)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.byID(id); m != nil && m.ends.IsZero() {
		m.ends = time.Now().Add(c.cfg.End + a.After)
	}
	return a.Err
}

func (c *Cloud) byID(id string) *machine {
	for _, m := range c.machines {
		if m.ID == id {
			return m
		}
	}
	return nil
}

var (
	_ vmservice.Driver  = (*Cloud)(nil)
	_ vmservice.Volumes = (*Cloud)(nil)
)
