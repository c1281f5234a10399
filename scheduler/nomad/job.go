package nomad

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/nomad/pointer"
)

// The one task of the one group of a job.
const taskName = "agent"

// What stands in the Meta of a job, so that a server finds its placements
// again. Organisation and repository are never parsed out of an ID.
const (
	metaOwner = "rondo"      // Config.Name
	metaTask  = "rondo_task" // the task as JSON, without anything secret
	metaEpoch = "rondo_epoch"
	metaNode  = "rondo_node"  // that the queue had in mind
	metaID    = "rondo_id"    // the documented form, also of a dispatched job
	metaWarm  = "rondo_warm"  // the name of a warm agent
	metaNeed  = "rondo_needs" // resources as JSON
	// and metaSigned
)

// lostAfter is how long Nomad waits for a client out of sight before it calls
// its allocations lost. Leases are what counts; so this is long.
const lostAfter = 5 * time.Minute

// killTime is how long an agent may take that Nomad itself asks to end: a drain
// at its deadline, an operator.
const killTime = 30 * time.Second

// meta is what the job of a placement says about it.
func (c *Cluster) meta(p scheduler.Placement, signed bool) (map[string]string, error) {
	task, err := json.Marshal(p.Task)
	if err != nil {
		return nil, fmt.Errorf("task: %w: %w", err, ci.ErrInvalid)
	}
	need, err := json.Marshal(p.Resources)
	if err != nil {
		return nil, fmt.Errorf("resources: %w: %w", err, ci.ErrInvalid)
	}
	return map[string]string{
		metaOwner: c.cfg.Name, metaTask: string(task), metaEpoch: strconv.FormatInt(p.Epoch, 10),
		metaNode: p.Node, metaID: scheduler.JobIDOf(p.Task, p.Epoch).String(), metaNeed: string(need), metaSigned: signature(signed),
	}, nil
}

// signature is the value of metaSigned.
func signature(signed bool) string {
	if signed {
		return "1"
	}
	return ""
}

// ofMeta is the placement that a job stands for; false is a job of others.
func (c *Cluster) ofMeta(meta map[string]string) (scheduler.Placement, bool) {
	var p scheduler.Placement
	if meta[metaOwner] != c.cfg.Name || json.Unmarshal([]byte(meta[metaTask]), &p.Task) != nil || p.Task.ID == "" {
		return p, false
	}
	var err error
	if p.Epoch, err = strconv.ParseInt(meta[metaEpoch], 10, 64); err != nil || p.Epoch < 1 {
		return p, false
	}
	_ = json.Unmarshal([]byte(meta[metaNeed]), &p.Resources)
	p.Node = meta[metaNode]
	return p, true
}

// pointTo is what the agent of a placement is told.
func (c *Cluster) pointTo(p scheduler.Placement) ([]byte, error) {
	text, err := json.Marshal(pointer.Pointer{Door: c.agent.Door, Task: p.Task.ID, Epoch: p.Epoch, Token: p.Token})
	if err == nil && len(text) > pointer.MaxSize {
		err = fmt.Errorf("it is told %d bytes, more than %d: %w", len(text), pointer.MaxSize, ci.ErrInvalid)
	}
	return text, err
}

// job is a job with one agent. Everything that Nomad would do by itself when an
// agent ends, dies or is out of sight is off: each of these would start a task
// a second time, and the queue decides about that. node is the ID of the node to
// prefer, "" is none; text what the agent is told.
// Its agent has an identity if signed.
func (c *Cluster) job(id string, meta map[string]string, need scheduler.Resources, node string, text []byte, signed bool) *api.Job {
	env := maps.Clone(c.agent.Env)
	if env == nil {
		env = make(map[string]string)
	}
	if text != nil {
		env[pointer.Env] = string(text)
	}
	config := map[string]any{"command": c.agent.Command, "args": slices.Clone(c.agent.Args)}
	if c.agent.Driver == Docker {
		config["image"] = c.agent.Image
	}
	task := &api.Task{
		Name: taskName, Driver: c.agent.Driver, Config: config, Env: env, Resources: c.ask(need, node),
		KillTimeout: new(killTime), KillSignal: "SIGTERM",
		RestartPolicy: noRestart(),
		LogConfig:     &api.LogConfig{MaxFiles: new(2), MaxFileSizeMB: new(5)},
	}
	if signed {
		task.Identities = []*api.WorkloadIdentity{c.identity()}
	}
	group := &api.TaskGroup{
		Name: new(taskName), Count: new(1), Tasks: []*api.Task{task},
		RestartPolicy:    noRestart(),
		ReschedulePolicy: &api.ReschedulePolicy{Attempts: new(0), Unlimited: new(false), Interval: new(time.Duration(0))},
		Disconnect:       &api.DisconnectStrategy{LostAfter: new(lostAfter), Replace: new(false)},
		EphemeralDisk:    &api.EphemeralDisk{SizeMB: new(c.agent.DiskMB), Migrate: new(false), Sticky: new(false)},
	}
	j := &api.Job{
		ID: new(id), Name: new(id), Type: new(scheduler.JobType), Priority: new(scheduler.JobPriority),
		Datacenters: c.cfg.Nodes.Datacenters, NodePool: new(c.cfg.Nodes.Pool), Meta: meta, TaskGroups: []*api.TaskGroup{group},
		Constraints: []*api.Constraint{{LTarget: "${attr.kernel.name}", Operand: "=", RTarget: "linux"}},
	}
	if c.cfg.Nodes.Class != "" {
		j.Constraints = append(j.Constraints, &api.Constraint{LTarget: "${node.class}", Operand: "=", RTarget: c.cfg.Nodes.Class})
	}
	if signed { // an older client gives its agents none
		j.Constraints = append(j.Constraints, &api.Constraint{LTarget: "${attr.nomad.version}", Operand: "semver", RTarget: ">= " + firstSigned})
	}
	if node != "" {
		j.Affinities = []*api.Affinity{{LTarget: "${node.unique.id}", Operand: "=", RTarget: node, Weight: new(int8(100))}}
	}
	return j
}

func noRestart() *api.RestartPolicy {
	return &api.RestartPolicy{Attempts: new(0), Mode: new("fail"), Interval: new(24 * time.Hour), Delay: new(time.Second)}
}

// ask is the need in Nomad's units: whole cores, or a share of the clock where
// nodes have no cores to give away.
func (c *Cluster) ask(need scheduler.Resources, node string) *api.Resources {
	r := &api.Resources{MemoryMB: new(max(need.MemoryMB, 10))}
	if mhz := c.mhz(node); mhz > 0 {
		r.CPU = new(max(int(math.Ceil(need.CPU*float64(mhz))), 1))
	} else {
		r.Cores = new(max(int(math.Ceil(need.CPU)), 1))
	}
	return r
}

// mhz is what counts as a CPU on the node, or on all nodes if it is ""; 0 asks
// for cores.
func (c *Cluster) mhz(node string) int {
	if c.cfg.Nodes.MHz > 0 {
		return c.cfg.Nodes.MHz
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.nodes[node]; n != nil {
		return n.mhz
	}
	least := 0
	for _, n := range c.nodes {
		if n.mhz > 0 && (least == 0 || n.mhz < least) {
			least = n.mhz
		}
	}
	return least
}
