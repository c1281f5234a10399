package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/nomad"
	"github.com/rondo-ci/rondo/scheduler/nomad/pointer"
)

// nomadHelp is what the help of serve says of nomadSettings.
const nomadHelp = `  nomad:                             # jobs run on its clients; leave out for this machine
    address: https://nomad.example.com:4646
    token: file:/etc/rondo/nomad-token # of the ACL, if there is one; read again when it changes
    region: eu                       # and namespace; leave out for the default
    ca: /etc/rondo/nomad-ca.pem      # and cert, key: files in PEM; read again when they change
    server_name: server.eu.nomad     # what the certificate of Nomad names, if not its address
    datacenters: ["*"]               # where agents may run
    class: linux-64bit               # of the clients; leave out for all
    pool: default                    # of nodes
    driver: raw_exec                 # or exec, docker (with image)
    agent: /usr/local/bin/rondo-agent # on every client
    door: http://10.0.0.5:8585       # how clients reach what agents listens at
    mode: register                   # a job for each task, or dispatch
    reserve: {cpu: 2, memory_mb: 4096} # of each client, for itself
    mhz: 2500                        # that count as a CPU; leave out for whole cores
    identity: require                # agents show who Nomad (1.7) says they are; leave out: where it can; or off
    warm: {medium: 2}                # agents that wait for tasks, by resource class`

// nomadSettings say at which Nomad agents are started, and how.
type nomadSettings struct {
	Address    string    `yaml:"address"`
	Token      secretRef `yaml:"token"`
	Region     string    `yaml:"region"`
	Namespace  string    `yaml:"namespace"`
	CA         string    `yaml:"ca"`
	Cert       string    `yaml:"cert"`
	Key        string    `yaml:"key"`
	ServerName string    `yaml:"server_name"`
	nomadNodes `yaml:",inline"`
	nomadAgent `yaml:",inline"`
}

// nomadNodes are the clients that are ours.
type nomadNodes struct {
	Datacenters []string `yaml:"datacenters"`
	Class       string   `yaml:"class"`
	Pool        string   `yaml:"pool"`
	MHz         int      `yaml:"mhz"`
	Reserve     struct {
		CPU      *float64 `yaml:"cpu"`
		MemoryMB *int     `yaml:"memory_mb"`
	} `yaml:"reserve"`
}

// nomadAgent is what they run.
type nomadAgent struct {
	Driver string `yaml:"driver"`
	Image  string `yaml:"image"`
	Agent  string `yaml:"agent"`
	Door   string `yaml:"door"`
	// Identity is one of package nomad.
	Identity string         `yaml:"identity"`
	Mode     string         `yaml:"mode"`
	Warm     map[string]int `yaml:"warm"`
}

const (
	modeRegister = "register"
	modeDispatch = "dispatch"
)

// check names everything that is wrong.
func (n *nomadSettings) check() error {
	if n == nil {
		return nil
	}
	wrong := []error{n.Token.check("nomad.token", false)}
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf("nomad."+format, args...)) }
	for key, value := range map[string]string{"address": n.Address, "door": n.Door} {
		u, err := url.Parse(value)
		switch {
		case value == "" && key == "address":
			add("address is missing, as in https://nomad.example.com:4646")
		case value == "":
			add("door is missing: how clients reach the address of agents, as in http://10.0.0.5:8585")
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "":
			add("%s: %q is no address of a server, as in http://10.0.0.5:8585", key, value)
		}
	}
	if (n.Cert == "") != (n.Key == "") {
		add("cert and nomad.key belong together")
	}
	for key, file := range map[string]string{"ca": n.CA, "cert": n.Cert, "key": n.Key} {
		if file == "" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			add("%s: %w", key, err)
		}
	}
	switch n.Driver {
	case "", nomad.RawExec, nomad.Exec:
	case nomad.Docker:
		if n.Image == "" {
			add("image is missing: the docker driver starts the agent in one that has it")
		}
	default:
		add("driver: %q is none of raw_exec, exec and docker", n.Driver)
	}
	if n.Mode != "" && n.Mode != modeRegister && n.Mode != modeDispatch {
		add("mode: %q is neither register nor dispatch", n.Mode)
	}
	if n.Identity != "" && n.Identity != string(nomad.IdentityRequire) && n.Identity != string(nomad.IdentityOff) {
		add("identity: %q is neither %s nor %s", n.Identity, nomad.IdentityRequire, nomad.IdentityOff)
	}
	if n.MHz < 0 || n.Reserve.CPU != nil && *n.Reserve.CPU < 0 || n.Reserve.MemoryMB != nil && *n.Reserve.MemoryMB < 0 {
		add("mhz and nomad.reserve are not negative")
	}
	_, err := n.warm()
	return errors.Join(append(wrong, err)...)
}

// warm returns the agents that wait, by size.
func (n *nomadSettings) warm() ([]nomad.Warm, error) {
	classes := scheduler.DefaultClasses()
	var all []nomad.Warm
	for _, name := range slices.Sorted(maps.Keys(n.Warm)) {
		size, ok := classes[name]
		switch {
		case !ok:
			return nil, fmt.Errorf("nomad.warm: there is no resource class %q; there are: %s", name, strings.Join(slices.Sorted(maps.Keys(classes)), ", "))
		case n.Warm[name] < 0:
			return nil, fmt.Errorf("nomad.warm: %s is negative", name)
		}
		all = append(all, nomad.Warm{Resources: size, Count: n.Warm[name]})
	}
	return all, nil
}

// reserve is what nodes keep for themselves; what is not said is the guide's.
func (n *nomadSettings) reserve() scheduler.Resources {
	var r scheduler.Resources
	if n.Reserve.CPU != nil {
		r.CPU = cmp.Or(*n.Reserve.CPU, -1)
	}
	if n.Reserve.MemoryMB != nil {
		r.MemoryMB = cmp.Or(*n.Reserve.MemoryMB, -1)
	}
	return r
}

// openNomad returns the clients of Nomad.
func (in *installation) openNomad(n *nomadSettings) (*nomad.Cluster, error) {
	if _, err := n.Token.read(); err != nil {
		return nil, fmt.Errorf("nomad.token: %w", err)
	}
	warm, err := n.warm()
	if err != nil {
		return nil, err
	}
	secret, err := in.folder.Secret("warm.key", "")
	if err != nil {
		return nil, err
	}
	return nomad.New(n.server(in.reach), nomad.Agent{
		Driver: n.Driver, Image: n.Image, Command: cmp.Or(n.Agent, "/usr/local/bin/rondo-agent"), Args: in.jobs.Args(), Door: n.Door,
	}, nomad.Config{
		Log: in.log, Dispatch: n.Mode == modeDispatch, Warm: warm, Docs: in.db, Secret: []byte(secret), Ended: in.ended,
		Identity: nomad.Identity(n.Identity),
		Nodes:    nomad.Nodes{Datacenters: n.Datacenters, Class: n.Class, Pool: n.Pool, MHz: n.MHz, Reserve: n.reserve()},
	})
}

// server is where Nomad is and what we show there.
func (n *nomadSettings) server(r *reach) nomad.Server {
	return nomad.Server{
		Address: n.Address, Token: n.Token.read, Region: n.Region, Namespace: n.Namespace,
		CA: n.CA, Cert: n.Cert, Key: n.Key, ServerName: n.ServerName, Wrap: r.wrap,
	}
}

// try asks Nomad whether we may do there what is needed.
func (n *nomadSettings) try(ctx context.Context, r *reach) error {
	if n == nil {
		return nil
	}
	c, err := nomad.New(n.server(r), nomad.Agent{Command: "rondo-agent", Door: n.Door}, nomad.Config{Identity: nomad.Identity(n.Identity)})
	if err == nil {
		err = c.Check(ctx)
	}
	if err != nil {
		return fmt.Errorf("nomad: %w", err)
	}
	return nil
}

// ended closes the output of an agent that is gone.
func (in *installation) ended(task ci.TaskID, epoch int64) {
	if err := in.logs.End(context.Background(), task, epoch); err != nil {
		in.log.Error("close output of an agent that has ended", "task", task, "lease", epoch, "err", err)
	}
}

// doorHandler serves agents, also those that wait for a task.
func (in *installation) doorHandler() http.Handler {
	tasks := door.Handler(in.engine.Door, in.key)
	waiting, ok := in.engine.Cluster.(http.Handler)
	if !ok {
		return tasks
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, pointer.Path) {
			waiting.ServeHTTP(w, r)
			return
		}
		tasks.ServeHTTP(w, r)
	})
}
