package nomad

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/nomad/api"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
)

// A node is one client of Nomad.
type node struct {
	scheduler.Node
	mhz int // of one CPU; 0 gives away cores
}

// Nodes lists the clients that are ours: of the class, pool and datacenters.
func (c *Cluster) Nodes(ctx context.Context) ([]scheduler.Node, error) {
	all, err := c.lookAtNodes(ctx)
	if err != nil {
		return nil, fmt.Errorf("list nodes of Nomad: %w", err)
	}
	nodes := make([]scheduler.Node, 0, len(all))
	for _, n := range all {
		nodes = append(nodes, n.Node)
	}
	slices.SortFunc(nodes, func(a, b scheduler.Node) int { return strings.Compare(a.Name, b.Name) })
	return nodes, nil
}

// lookAtNodes asks for the nodes, and tells watchers when they have changed.
func (c *Cluster) lookAtNodes(ctx context.Context) (map[string]*node, error) {
	ctx, cancel := context.WithTimeout(ctx, syncTime)
	defer cancel()
	stubs, _, err := c.api.Nodes().List(c.query(ctx, map[string]string{"resources": "true"}))
	if err != nil {
		return nil, c.words(err)
	}
	names := make(map[string]int)
	for _, s := range stubs {
		names[s.Name]++
	}
	all := make(map[string]*node)
	for _, s := range stubs {
		if !c.ours(s) {
			continue
		}
		n := c.node(s)
		if names[s.Name] > 1 { // the queue tells nodes apart by name
			n.Name += "-" + s.ID[:min(len(s.ID), 8)]
		}
		all[s.ID] = n
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := !maps.EqualFunc(c.nodes, all, func(a, b *node) bool { return *a == *b })
	c.nodes = all
	if changed {
		c.feed.Tell(scheduler.Placement{})
		c.retireUnready()
	}
	return all, nil
}

// ours reports whether agents may run on the node.
func (c *Cluster) ours(s *api.NodeListStub) bool {
	in := slices.ContainsFunc(c.cfg.Nodes.Datacenters, func(dc string) bool {
		ok, err := path.Match(dc, s.Datacenter)
		return ok && err == nil
	})
	pool := s.NodePool == c.cfg.Nodes.Pool || c.cfg.Nodes.Pool == api.NodePoolAll || s.NodePool == "" && c.cfg.Nodes.Pool == api.NodePoolDefault
	return in && pool && (c.cfg.Nodes.Class == "" || s.NodeClass == c.cfg.Nodes.Class)
}

// node translates what Nomad says of a node.
func (c *Cluster) node(s *api.NodeListStub) *node {
	n := &node{Node: scheduler.Node{Name: s.Name, ID: s.ID, Class: s.NodeClass, Datacenter: s.Datacenter, State: scheduler.NodeReady}}
	if s.NodeResources != nil {
		c.measure(n, s)
	}
	driver := s.Drivers[c.agent.Driver]
	switch {
	case s.Status != api.NodeStatusReady:
		n.State, n.Reason = scheduler.NodeDown, "Nomad calls it "+s.Status
		if s.StatusDescription != "" {
			n.Reason += ": " + s.StatusDescription
		}
	case s.Drain:
		n.State, n.Reason = scheduler.NodeDraining, "it drains"
	case s.SchedulingEligibility == api.NodeSchedulingIneligible:
		n.State, n.Reason = scheduler.NodeDraining, "it was made ineligible"
	case driver == nil || !driver.Detected:
		n.State, n.Reason = scheduler.NodeDown, "its client has no driver "+c.agent.Driver
	case !driver.Healthy:
		n.State, n.Reason = scheduler.NodeDown, "its driver "+c.agent.Driver+" is not healthy: "+driver.HealthDescription
	}
	return n
}

// measure finds out what tasks may use. What the node keeps for itself is what
// the guide says, unless Nomad reserves more.
func (c *Cluster) measure(n *node, s *api.NodeListStub) {
	cpu, kept := s.NodeResources.Cpu, &api.NodeReservedResources{}
	if s.ReservedResources != nil {
		kept = s.ReservedResources
	}
	total, reserved := float64(cpu.TotalCpuCores), 0.0
	switch {
	case c.cfg.Nodes.MHz > 0:
		n.mhz, total = c.cfg.Nodes.MHz, float64(cpu.CpuShares)/float64(c.cfg.Nodes.MHz)
		reserved = float64(kept.Cpu.CpuShares) / float64(c.cfg.Nodes.MHz)
	case len(cpu.ReservableCpuCores) > 0:
		reserved = total - float64(len(cpu.ReservableCpuCores))
	case cpu.TotalCpuCores > 0:
		n.mhz = int(cpu.CpuShares / int64(cpu.TotalCpuCores))
		if n.mhz > 0 {
			reserved = float64(kept.Cpu.CpuShares) / float64(n.mhz)
		}
	}
	n.Capacity = scheduler.Resources{
		CPU:      max(total-max(reserved, c.cfg.Nodes.Reserve.CPU), 0),
		MemoryMB: max(int(s.NodeResources.Memory.MemoryMB)-max(int(kept.Memory.MemoryMB), c.cfg.Nodes.Reserve.MemoryMB), 0),
	}
}

// Drain lets a node finish what it runs and take nothing new, or ends that. It
// is found by its name or its ID. Warm agents that wait on it are sent away.
func (c *Cluster) Drain(ctx context.Context, name string, d scheduler.Drain) error {
	if err := c.drain(ctx, name, d); err != nil {
		return fmt.Errorf("drain node %q: %w", name, err)
	}
	return nil
}

func (c *Cluster) drain(ctx context.Context, name string, d scheduler.Drain) error {
	all, err := c.lookAtNodes(ctx)
	if err != nil {
		return err
	}
	var n *node
	for id, candidate := range all {
		if candidate.Name == name || id == name {
			n = candidate
		}
	}
	if n == nil {
		return fmt.Errorf("Nomad has no such client: %w", ci.ErrNotFound)
	}
	var spec *api.DrainSpec
	if d.On {
		spec = &api.DrainSpec{Deadline: d.Deadline, IgnoreSystemJobs: true}
	}
	if _, err := c.api.Nodes().UpdateDrain(n.ID, spec, !d.On, c.write(ctx)); err != nil {
		return c.words(err)
	}
	_, err = c.lookAtNodes(ctx)
	return err
}

// nodeNamed returns the node of that name as it was last seen.
func (c *Cluster) nodeNamed(name string) *node {
	for _, n := range c.nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}
