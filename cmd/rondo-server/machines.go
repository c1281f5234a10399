package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/ci/web"
	"github.com/rondo-ci/rondo/vmservice"
)

// machinesHelp is what the help of serve says of machinesSettings.
const machinesHelp = `  machines:                          # for setup_remote_docker and the machine executor
    provider: none                   # or onhost, ec2: see rondo-server machines preflight --help; without,
                                     # the page /settings#vm_service says it
    listen: 127.0.0.1:3001           # /status and /load, as the guide has them
    prealloc_remote_docker: 2        # machines that are kept ready; 0 makes them on demand
    prealloc_machine: 3
    forecast: false                  # only these; default keeps more while many jobs come
    classes: [{name: medium, vcpus: 2, price: 0.08}] # the first is the default
    zones: [us-east-1a, us-east-1b]  # in order of preference
    budgets:                         # never passed; a job that waits for one says so
      all: {machines: 20, vcpus: 80, volumes: 30, gb: 3000, money: 50} # money a day
      machine: {machines: 10}
    dlc: {size_gb: 100, unused_days: 3, max_per_project: 50} # Docker layers; or {off: true}
    leak_hours: 6                    # after which a job's machine is ended whatever happens
`

// machinesSettings say where machines come from, how many are kept ready and
// what may be spent on them. The names are those of the guide's form.
type machinesSettings struct {
	Provider     string                    `yaml:"provider"` // "" is none
	Listen       string                    `yaml:"listen"`   // "" is 127.0.0.1:3001
	Report       string                    `yaml:"report"`   // how machines reach the server; "" is its url
	User         string                    `yaml:"user"`     // "" is circleci
	RemoteDocker int                       `yaml:"prealloc_remote_docker"`
	Machine      int                       `yaml:"prealloc_machine"`
	Forecast     *bool                     `yaml:"forecast"` // nil is true
	Classes      []classSettings           `yaml:"classes"`
	Zones        []string                  `yaml:"zones"`
	Budgets      map[string]budgetSettings `yaml:"budgets"`
	DLC          dlcSettings               `yaml:"dlc"`
	LeakHours    float64                   `yaml:"leak_hours"` // 0 is 6
	DryReaper    bool                      `yaml:"dry_reaper"` // only tell what leaked

	OnHost onhostSettings `yaml:"onhost"`

	ec2Settings `yaml:",inline"`
}

type classSettings struct {
	Name     string   `yaml:"name"`
	VCPUs    int      `yaml:"vcpus"`
	MemoryMB int      `yaml:"memory_mb"`     // of this host
	Price    float64  `yaml:"price"`         // an hour
	Types    []string `yaml:"types"`         // of EC2, tried in order; none is aws_instance_type
	Image    string   `yaml:"custom_vm_ami"` // of EC2; "" is the common one
}

type budgetSettings struct {
	Machines int     `yaml:"machines"`
	VCPUs    int     `yaml:"vcpus"`
	Volumes  int     `yaml:"volumes"`
	GB       int     `yaml:"gb"`
	Money    float64 `yaml:"money"`
}

// dlcSettings say how Docker layers are kept.
type dlcSettings struct {
	Off           bool    `yaml:"off"`
	SizeGB        int     `yaml:"size_gb"`
	UnusedDays    float64 `yaml:"unused_days"`
	MaxPerProject int     `yaml:"max_per_project"`
}

// on reports whether there are machines at all.
func (s machinesSettings) on() bool { return s.Provider != "" && s.Provider != noMachines }

const noMachines = "none"

// listen is where /status and /load are.
func (s machinesSettings) listen() string { return cmp.Or(s.Listen, "127.0.0.1:3001") }

// provider names where the machines are, so that those of earlier settings are
// told from those of others; "" is nowhere.
func (s machinesSettings) provider() string {
	switch s.Provider {
	case onEC2:
		return onEC2 + " " + s.Region
	case onThisHost:
		return onThisHost + " " + s.OnHost.folder()
	}
	return ""
}

// machineProviders are those that there are.
var machineProviders = []string{noMachines, onEC2, onThisHost}

// budgetKinds are the kinds that a budget may be for.
var budgetKinds = map[string]ci.MachineKind{
	"all": "", string(ci.MachineForJob): ci.MachineForJob, string(ci.MachineForDocker): ci.MachineForDocker,
}

func (s machinesSettings) check() error {
	var wrong []error
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf("machines."+format, args...)) }
	if !slices.Contains(machineProviders, cmp.Or(s.Provider, noMachines)) {
		bad("provider: %q is none of %s", s.Provider, strings.Join(machineProviders, ", "))
	}
	if _, _, err := net.SplitHostPort(s.listen()); err != nil {
		bad("listen: %q is not host:port, as in 127.0.0.1:3001", s.Listen)
	}
	for key, n := range map[string]int{"prealloc_remote_docker": s.RemoteDocker, "prealloc_machine": s.Machine} {
		if n < 0 || n > 1000 {
			bad("%s: %d is not between 0 and 1000", key, n)
		}
	}
	names := map[string]bool{}
	for i, c := range s.Classes {
		switch {
		case c.Name == "" || names[c.Name]:
			bad("classes: number %d has no name of its own", i+1)
		case c.VCPUs < 1 || c.Price < 0:
			bad("classes: %s needs vcpus of at least 1, and a price an hour that is not negative", c.Name)
		}
		names[c.Name] = true
	}
	wrong = append(wrong, s.checkEC2(), s.checkOnHost())
	for name, b := range s.Budgets {
		kind, known := budgetKinds[name]
		if !known {
			bad("budgets: %q is none of all, machine, remote_docker", name)
		}
		if b.Machines < 0 || b.VCPUs < 0 || b.Volumes < 0 || b.GB < 0 || b.Money < 0 {
			bad("budgets.%s: a bound is negative; leave it out for none", name)
		}
		floor := s.RemoteDocker + s.Machine
		switch kind {
		case ci.MachineForJob:
			floor = s.Machine
		case ci.MachineForDocker:
			floor = s.RemoteDocker
		}
		if b.Machines > 0 && b.Machines < floor {
			bad("budgets.%s.machines: %d are fewer than the %d that are to be kept ready", name, b.Machines, floor)
		}
		if size := cmp.Or(s.DLC.SizeGB, 100); b.GB > 0 && b.GB < size && !s.DLC.Off {
			bad("budgets.%s.gb: %d is less than one volume of %d GB; write dlc: {off: true} for none", name, b.GB, size)
		}
	}
	if s.DLC.SizeGB < 0 || s.DLC.UnusedDays < 0 || s.DLC.MaxPerProject < 0 {
		bad("dlc: a number is negative")
	}
	if s.LeakHours < 0 || s.LeakHours > 0 && s.LeakHours < 1 {
		bad("leak_hours: %g is less than 1, and jobs may take longer", s.LeakHours)
	}
	return errors.Join(wrong...)
}

// config is what the pool is told.
func (s machinesSettings) config() vmservice.Config {
	c := vmservice.Config{
		Budgets: map[ci.MachineKind]vmservice.Budget{},
		Boot: vmservice.BootConfig{
			Provider: s.provider(), Zones: s.Zones, Images: slices.Sorted(maps.Keys(s.Images)), User: s.User, Fixed: s.Forecast != nil && !*s.Forecast, DryReaper: s.DryReaper,
		},
		Times: vmservice.Times{Leak: time.Duration(s.LeakHours * float64(time.Hour))},
		Layers: vmservice.LayerConfig{
			Off: s.DLC.Off, GB: s.DLC.SizeGB, PerProject: s.DLC.MaxPerProject,
			Unused: time.Duration(s.DLC.UnusedDays * 24 * float64(time.Hour)),
		},
		Floors: []vmservice.Floor{
			{Model: vmservice.Model{Kind: ci.MachineForDocker}, Machines: s.RemoteDocker},
			{Model: vmservice.Model{Kind: ci.MachineForJob}, Machines: s.Machine},
		},
	}
	for _, k := range s.Classes {
		c.Classes = append(c.Classes, vmservice.Class{Name: k.Name, VCPUs: k.VCPUs, Price: k.Price})
	}
	for name, b := range s.Budgets {
		c.Budgets[budgetKinds[name]] = vmservice.Budget(b)
	}
	return c
}

// machinesAPI is where the API has the verbs of operators.
const machinesAPI = "/api/v2/rondo/machines"

// bySlug lets requests name a project by its slug.
func (in *installation) bySlug(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slug := r.URL.Query().Get("project"); slug != "" {
			if p, err := in.db.ProjectBySlug(r.Context(), slug); err == nil {
				q := r.URL.Query()
				q.Set("project", string(p.ID))
				r.URL.RawQuery = q.Encode()
			}
		}
		next.ServeHTTP(w, r)
	})
}

// machinesForDoor is the fleet as the door asks for it; none is nil.
func (in *installation) machinesForDoor() door.Machines {
	if in.garage == nil {
		return nil
	}
	return in.garage.fleet
}

// mayMachines lets operators do things to machines, by their tokens. A session
// of the pages is not asked: other sites could use it.
func (in *installation) mayMachines(r *http.Request) (ci.Actor, error) {
	token := r.Header.Get("Circle-Token")
	if token == "" {
		token, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	if token == "" {
		return ci.Actor{}, fmt.Errorf("machines: send a token in the header Circle-Token: %w", ci.ErrDenied)
	}
	by, err := in.whoAPI(r, token)
	if err != nil {
		return by, err
	}
	return by, in.mayOperate(r.Context(), by)
}

// webMachines is the fleet as the pages show it.
func (in *installation) webMachines() web.Machines {
	if in.garage == nil {
		return web.Machines{}
	}
	fleet := in.garage.fleet
	operations := vmservice.Operations{Fleet: fleet, May: in.mayOperate, Record: in.recorded}
	return web.Machines{
		View: func(ctx context.Context, by ci.Actor) (web.MachineView, error) {
			if err := in.mayOperate(ctx, by); err != nil {
				return web.MachineView{}, err
			}
			v := machineView(fleet)
			for i := range v.Volumes {
				if p, err := in.db.Project(ctx, ci.ProjectID(v.Volumes[i].Project)); err == nil {
					v.Volumes[i].Slug = p.Slug
				}
			}
			return v, nil
		},
		Drain: operations.Drain,
		End: func(ctx context.Context, key string, by ci.Actor) error {
			_, err := operations.End(ctx, key, by)
			return err
		},
		Purge: func(ctx context.Context, project ci.ProjectID, by ci.Actor) error {
			_, _, err := operations.Purge(ctx, project, by)
			return err
		},
		Reconcile: func(ctx context.Context, by ci.Actor) error {
			_, err := operations.Reconcile(ctx, by)
			return err
		},
	}
}

func machineView(p *vmservice.Fleet) web.MachineView {
	s := p.Status()
	if s.Provider == "" && s.Off == "" {
		s.Alarms = append(s.Alarms, "No provider is chosen: Settings, VM Service, or machines: in the file of settings.")
	}
	v := web.MachineView{
		Drained: s.Drained, Alarms: s.Alarms, Today: s.Today,
		Hits: s.Counts.Hits, Fresh: s.Counts.Fresh, Without: s.Counts.Without,
	}
	for _, m := range p.Machines(0) {
		v.Rows = append(v.Rows, web.MachineRow{
			Key: m.Key, ID: m.ID, Kind: string(m.Model.Kind), Class: m.Model.Class, Zone: m.Zone,
			State: string(m.State), Task: string(m.Task), Why: m.Why, Since: m.Asked,
		})
	}
	for _, d := range p.Layers() {
		v.Volumes = append(v.Volumes, web.VolumeRow{
			Key: d.Key, ID: d.ID, Project: string(d.Project), Trust: d.Trust, State: string(d.State), GB: d.GB, Used: d.Used,
		})
	}
	return v
}
