package nomad

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
)

// A Server says where Nomad answers.
type Server struct {
	// Address is a URL, as in https://nomad.example.com:4646.
	Address string
	// Token returns the secret of an ACL token; nil or "" is none. It is asked
	// before each call, so another token counts at once. In the namespace it
	// needs list-jobs, read-job, submit-job, dispatch-job, read-logs and
	// alloc-lifecycle, and besides node write, for drains.
	Token func() (string, error)
	// Region and Namespace are where jobs go; "" is the server's default.
	Region, Namespace string
	// CA, Cert and Key are files in PEM: whom to trust, and who we are. They
	// are read again when they change.
	CA, Cert, Key string
	// ServerName is what the server's certificate must name, as in
	// server.global.nomad; "" is the host of Address.
	ServerName string
	// HTTP makes the calls instead, if it is set; CA, Cert, Key and ServerName
	// are not read then, and Wrap is not asked. It must not have a Timeout.
	HTTP *http.Client
	// Wrap is given the transport that would make the calls, with Cert and CA,
	// and returns what does; nil is that transport.
	Wrap func(*http.Transport) http.RoundTripper
}

// An Agent says what Nomad starts for each task.
type Agent struct {
	// Driver is raw_exec, exec or docker; "" is raw_exec.
	Driver string
	// Command is the path of the agent on the clients, or in Image.
	Command string
	Args    []string
	// Image is that of the docker driver.
	Image string
	// Door is the URL of the agents' door, as clients reach it.
	Door string
	// Env are further variables that the agent sees.
	Env map[string]string
	// DiskMB is what an agent may write to its folder; 0 is 1024.
	DiskMB int
}

// A Warm says how many agents of a size wait for tasks.
type Warm struct {
	Resources scheduler.Resources
	Count     int
}

// Nodes say which clients of Nomad are ours and how they are measured. The zero
// Nodes are all of the default pool.
type Nodes struct {
	// Datacenters are where agents may run; nil is everywhere ("*").
	Datacenters []string
	// Class and Pool are those of the nodes that are ours; "" is any class and
	// the default pool.
	Class, Pool string
	// Reserve is what each node keeps for itself, unless Nomad reserves more.
	// A zero field is 2 CPUs and 4096 MB (operator's guide); negative is none.
	Reserve scheduler.Resources
	// MHz is what counts as one CPU; 0 asks for whole cores, and on nodes
	// without that, for what a core of them has.
	MHz int
}

// Config holds what a [Cluster] can do without. The zero Config works.
type Config struct {
	// Log receives what operators should know; nil is silent.
	Log *slog.Logger
	// Name is that of the installation: jobs of others are left alone. "" is
	// rondo.
	Name string
	// Nodes are the clients that are ours.
	Nodes Nodes
	// Dispatch uses one parameterized job for each size instead of one
	// registered job for each task. It is easier on large servers; the IDs of
	// the jobs are Nomad's then.
	Dispatch bool
	// Warm are the agents that wait. They need Docs and Secret.
	Warm []Warm
	// Identity says whether agents show who Nomad says they are.
	Identity Identity
	// Docs keeps what Nomad forgets, and who was given to which warm agent;
	// nil keeps it in memory.
	Docs ci.Docs
	// Secret makes the tokens of warm agents: at least 20 bytes that cannot be
	// guessed, the same over restarts.
	Secret []byte
	// Poll is how often everything is asked for, whatever the events say; 0 is
	// 5s.
	Poll time.Duration
	// Ended is called when an agent has died or ended, before the placement is
	// told dead: nothing more of it will come. nil does nothing.
	Ended func(task ci.TaskID, epoch int64)
}

// The drivers of Nomad that can start agents.
const (
	RawExec = "raw_exec"
	Exec    = "exec"
	Docker  = "docker"
)

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Name == "" {
		c.Name = "rondo"
	}
	n := &c.Nodes
	if len(n.Datacenters) == 0 {
		n.Datacenters = []string{"*"}
	}
	if n.Pool == "" {
		n.Pool = api.NodePoolDefault
	}
	if n.Reserve.CPU == 0 {
		n.Reserve.CPU = 2
	}
	if n.Reserve.MemoryMB == 0 {
		n.Reserve.MemoryMB = 4096
	}
	n.Reserve = scheduler.Resources{CPU: max(n.Reserve.CPU, 0), MemoryMB: max(n.Reserve.MemoryMB, 0)}
	if c.Ended == nil {
		c.Ended = func(ci.TaskID, int64) {}
	}
	if c.Poll <= 0 {
		c.Poll = 5 * time.Second
	}
	return c
}

// check says what is wrong, and fills in what was left out.
func (a Agent) check() (Agent, error) {
	if a.Driver == "" {
		a.Driver = RawExec
	}
	if a.DiskMB <= 0 {
		a.DiskMB = 1024
	}
	switch {
	case a.Driver != RawExec && a.Driver != Exec && a.Driver != Docker:
		return a, fmt.Errorf("driver %q is none of raw_exec, exec and docker: %w", a.Driver, ci.ErrInvalid)
	case a.Command == "":
		return a, fmt.Errorf("the command of the agent is missing: %w", ci.ErrInvalid)
	case a.Driver == Docker && a.Image == "":
		return a, fmt.Errorf("the docker driver needs an image: %w", ci.ErrInvalid)
	case a.Door == "":
		return a, fmt.Errorf("the door of the agents is missing: %w", ci.ErrInvalid)
	}
	return a, nil
}

// maxConns is how many connections to Nomad are open at once. It refuses more
// than 100 of one address (http_max_conns_per_client), whoever else is there.
const maxConns = 64

// client makes the client of Nomad, and what closes connections that are not
// used. It calls nobody.
func (s Server) client(log *slog.Logger) (*api.Client, func(), error) {
	if s.Address == "" {
		return nil, nil, fmt.Errorf("the address of Nomad is missing: %w", ci.ErrInvalid)
	}
	way := &access{s: s, log: log}
	if _, err := way.way(); err != nil {
		return nil, nil, err
	}
	client, err := api.NewClient(&api.Config{
		Address: s.Address, Region: s.Region, Namespace: s.Namespace, HttpClient: &http.Client{Transport: way},
	})
	return client, way.closeIdle, err
}
