package vmservice

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Config says what a [Pool] keeps and may use. The zero Config keeps nothing
// ready and makes machines of any class on demand, without a bound.
type Config struct {
	// Install is the tag of the installation; "" is "rondo".
	Install string
	// Floors are how many machines are kept ready.
	Floors []Floor
	// Classes are the resource classes there are; none lets any pass, as one
	// of 2 vCPUs that costs nothing. The first is that of tasks that name none.
	Classes []Class
	// Budgets bound each kind, and that of the kind "" all of them together.
	Budgets map[ci.MachineKind]Budget
	// Layers say how Docker layers are kept.
	Layers LayerConfig
	// Boot says how machines are made, Times how long things may take.
	Boot  BootConfig
	Times Times
	// Live tells whether a task still runs under that epoch. Nil believes those
	// that ask again within the lease.
	Live func(ctx context.Context, task ci.TaskID, epoch int64) (bool, error)
	// Keeper seals the private keys of machines. Nil keeps them in memory: after
	// a restart, machines that were there are ended.
	Keeper Keeper
	// Note puts on record what the pool ends by itself because it belongs to
	// nobody, before it is done: after an error it is not done, and tried again.
	// Nil keeps no record.
	Note func(ctx context.Context, act ci.Act) error
	// Clock is the time; nil is time.Now.
	Clock func() time.Time
	// Log receives what people should know; nil is silent.
	Log *slog.Logger
}

// A Keeper seals what must not be read in the database.
type Keeper interface {
	SealDoc(ctx context.Context, d ci.Doc, plain []byte) (ci.Doc, error)
	OpenDoc(ctx context.Context, d ci.Doc) ([]byte, error)
}

// A Floor is how many machines of a model are kept ready; the forecast may
// keep more.
type Floor struct {
	Model    Model
	Machines int
}

// A Class is a resource class of machines.
type Class struct {
	Name  string
	VCPUs int
	// Price is what an hour costs, in the currency of [Budget].Money.
	Price float64
}

// A Budget is never passed: what is counted is counted before the provider is
// asked, and until it says that the thing is gone. 0 is without a bound.
type Budget struct {
	Machines int
	VCPUs    int
	Volumes  int
	GB       int // of all volumes
	// Money is for one day of UTC. A machine counts with what it has cost today
	// and with what it will if it takes a task that runs into [Times].Leak.
	Money float64
}

// BootConfig says how machines are made.
type BootConfig struct {
	// Provider names where: "ec2 us-west-2". It is in all records, and a pool
	// knows of no others: what one provider has is never taken for gone because
	// another does not list it. "" is that of records without one.
	Provider string
	// Zones are where machines may be made, in order of preference.
	Zones []string
	// User logs in; "" is circleci.
	User string
	// Arch is of the machines; "" is amd64.
	Arch string
	// Images are those that the driver knows by name. A task that asks for
	// another one gets the driver's default, as the guide has it.
	Images []string
	// Report is the address of [Handler] as machines reach it, where they post
	// their host keys, of drivers that do not learn them by themselves.
	Report string
	// AtOnce is how many machines may boot at once for each model; 0 is 5, or
	// a fifth of what there is if that is more.
	AtOnce int
	// Fixed turns the forecast off: the floor is all that is kept ready.
	Fixed bool
	// DryReaper only tells what the reaper would end.
	DryReaper bool
	// Random is where keys and jitter come from; nil is crypto/rand.
	Random io.Reader
}

// Times are how long things may take. Zero is the default.
type Times struct {
	Boot    time.Duration // until a machine must be ready: 10 min
	MaxAge  time.Duration // of a machine that waits: 24 h
	Idle    time.Duration // of one more than wanted: 10 min
	Lease   time.Duration // of a claim until it is asked whether its task lives: 60 s
	Grace   time.Duration // from when its task has ended to the end of the machine: 2 min
	Leak    time.Duration // of one task: 6 h, which is more than a job may take
	Settle  time.Duration // in which a provider may not list what is new: 90 s
	Observe time.Duration // between two looks at the provider: 60 s, 5 s when something changes
	Probe   time.Duration // between two probes of a machine that is ready: 60 s
	Keep    time.Duration // of the records of machines that are gone: 30 days
}

// LayerConfig says how Docker layers are kept.
type LayerConfig struct {
	Off        bool          // keeps none
	GB         int           // size of a volume: 100
	Unused     time.Duration // after which a volume is removed: 72 h
	PerProject int           // most volumes of one project: 50
	Attach     time.Duration // after which a task goes without its layers: 60 s
}

// layerFormat is part of what a volume is looked up by: volumes of a way to
// keep layers that no longer is are not used.
const layerFormat = "ext4-1"

func (c Config) filled() Config {
	c.Install = cmp.Or(c.Install, "rondo")
	c.Boot.User = cmp.Or(c.Boot.User, "circleci")
	c.Boot.Arch = cmp.Or(c.Boot.Arch, "amd64")
	if c.Boot.Random == nil {
		c.Boot.Random = rand.Reader
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if len(c.Boot.Zones) == 0 {
		c.Boot.Zones = []string{""}
	}
	if c.Note == nil {
		c.Note = func(context.Context, ci.Act) error { return nil }
	}
	t := &c.Times
	for _, d := range []struct {
		at *time.Duration
		is time.Duration
	}{
		{&t.Boot, 10 * time.Minute}, {&t.MaxAge, 24 * time.Hour}, {&t.Idle, 10 * time.Minute}, {&t.Lease, time.Minute},
		{&t.Grace, 2 * time.Minute}, {&t.Leak, 6 * time.Hour}, {&t.Settle, 90 * time.Second}, {&t.Observe, time.Minute},
		{&t.Probe, time.Minute}, {&t.Keep, 30 * 24 * time.Hour}, {&c.Layers.Unused, 72 * time.Hour}, {&c.Layers.Attach, time.Minute},
	} {
		*d.at = cmp.Or(max(*d.at, 0), d.is)
	}
	c.Layers.GB = cmp.Or(max(c.Layers.GB, 0), 100)
	c.Layers.PerProject = cmp.Or(max(c.Layers.PerProject, 0), 50)
	return c
}

// class returns what is known of a class. "" is the first there is.
func (c Config) class(name string) (Class, error) {
	if len(c.Classes) == 0 {
		return Class{Name: name, VCPUs: 2}, nil
	}
	if name == "" {
		return c.Classes[0], nil
	}
	i := slices.IndexFunc(c.Classes, func(k Class) bool { return k.Name == name })
	if i < 0 {
		var names []string
		for _, k := range c.Classes {
			names = append(names, k.Name)
		}
		return Class{}, fmt.Errorf("there are no machines of class %q, only of %q: %w", name, names, ci.ErrInvalid)
	}
	return c.Classes[i], nil
}

// model returns the model that serves a need.
func (c Config) model(n ci.MachineNeed) (Model, error) {
	if n.Kind != ci.MachineForJob && n.Kind != ci.MachineForDocker {
		return Model{}, fmt.Errorf("there are no machines of kind %q: %w", n.Kind, ci.ErrInvalid)
	}
	k, err := c.class(n.Class)
	m := Model{Kind: n.Kind, Class: k.Name, Arch: c.Boot.Arch}
	if slices.Contains(c.Boot.Images, n.Image) {
		m.Image = n.Image
	}
	return m, err
}
