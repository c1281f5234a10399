package local

import (
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
)

// Config holds what a [Cluster] can do without. The zero Config works.
type Config struct {
	// Log receives what operators should know; nil is silent.
	Log *slog.Logger
	// Dir keeps the records and the logs of the agents; it is made if it does
	// not exist. "" is a temporary directory: agents are not found again by the
	// next server.
	Dir string
	// Node is the name of the node; "" is the host's name.
	Node string
	// Capacity is what tasks may use; a zero field is what the machine has. CPU
	// then counts four times: jobs on a host seldom use their whole class, and
	// the kernel shares fairly when they do. Memory is not overcommitted.
	Capacity scheduler.Resources
	// Reserve is taken off the capacity: what the machine keeps for itself.
	Reserve scheduler.Resources
	// Strict refuses a class larger than the machine; otherwise such a task
	// gets the whole machine.
	Strict bool
	// Warm is how many idle agents are kept ready, so that a task need not wait
	// for the start of a process; 0 is 1, negative is none.
	Warm int
	// Idle is how long an idle agent beyond Warm is kept; 0 is 10s.
	Idle time.Duration
	// Sweep is called when an agent has died, to kill what it left behind.
	// Until it returns the task is not reported dead. nil does nothing.
	Sweep func(task ci.TaskID, epoch int64)
}

// withDefaults returns the configuration with every zero replaced.
func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Node == "" {
		if c.Node, _ = os.Hostname(); c.Node == "" {
			c.Node = "local"
		}
	}
	if c.Capacity.CPU <= 0 {
		c.Capacity.CPU = 4 * float64(runtime.NumCPU())
	}
	if c.Capacity.MemoryMB <= 0 {
		c.Capacity.MemoryMB = machineMemoryMB()
	}
	switch {
	case c.Warm == 0:
		c.Warm = 1
	case c.Warm < 0:
		c.Warm = 0
	}
	if c.Idle <= 0 {
		c.Idle = 10 * time.Second
	}
	if c.Sweep == nil {
		c.Sweep = func(ci.TaskID, int64) {}
	}
	return c
}

// node returns the one node.
func (c *Config) node() scheduler.Node {
	return scheduler.Node{
		Name: c.Node, State: scheduler.NodeReady, Clamp: !c.Strict,
		Capacity: scheduler.Resources{
			CPU:      max(c.Capacity.CPU-c.Reserve.CPU, 0),
			MemoryMB: max(c.Capacity.MemoryMB-c.Reserve.MemoryMB, 0),
		},
	}
}
