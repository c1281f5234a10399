package scheduler

import (
	"slices"
	"strings"
)

// A fleet is what is known of the nodes, and what is reserved on them.
type fleet struct {
	nodes   []Node // by name
	used    map[string]Resources
	count   map[string]int // placements by node
	known   bool           // the cluster has answered once
	trouble string         // why it does not answer now
}

func newFleet() *fleet {
	return &fleet{used: make(map[string]Resources), count: make(map[string]int)}
}

// set takes over a new list of nodes.
func (f *fleet) set(nodes []Node) {
	f.nodes = slices.SortedFunc(slices.Values(nodes), func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	f.known, f.trouble = true, ""
}

// node returns the node of that name, or nil.
func (f *fleet) node(name string) *Node {
	for i := range f.nodes {
		if f.nodes[i].Name == name {
			return &f.nodes[i]
		}
	}
	return nil
}

// hold reserves resources on a node; release gives them back.
func (f *fleet) hold(node string, r Resources) {
	f.used[node] = f.used[node].plus(r)
	f.count[node]++
}

func (f *fleet) release(node string, r Resources) {
	f.used[node] = f.used[node].minus(r)
	if f.count[node]--; f.count[node] <= 0 {
		delete(f.count, node)
		delete(f.used, node)
	}
}

// free returns what is not reserved on the node.
func (f *fleet) free(n *Node) Resources { return n.Capacity.minus(f.used[n.Name]) }

// wants returns what a class gets on the node.
func (n *Node) wants(need Resources) Resources {
	if n.Clamp {
		return need.within(n.Capacity)
	}
	return need
}

// holds reports whether the node could hold the class if it were empty.
func (n *Node) holds(need Resources) bool { return n.Capacity.fits(n.wants(need)) }

// best returns the ready node on which the class leaves the least room (so that
// large classes find room elsewhere), or nil. May is asked about each that has
// room.
func (f *fleet) best(need Resources, may func(*Node, Resources) bool) *Node {
	var best *Node
	var rest Resources
	for i := range f.nodes {
		n := &f.nodes[i]
		got := n.wants(need)
		if n.State != NodeReady || !f.free(n).fits(got) || !may(n, got) {
			continue
		}
		left := f.free(n).minus(got)
		if best == nil || left.share() < rest.share() {
			best, rest = n, left
		}
	}
	return best
}

// soonest returns the ready node with the most room free that could hold the
// class, or nil: where a reservation is best placed.
func (f *fleet) soonest(need Resources) *Node {
	var best *Node
	for i := range f.nodes {
		n := &f.nodes[i]
		if n.State == NodeReady && n.holds(need) && (best == nil || f.free(n).share() > f.free(best).share()) {
			best = n
		}
	}
	return best
}

// biggest returns the node with the largest capacity, in any state, or nil.
func (f *fleet) biggest() *Node {
	var best *Node
	for i := range f.nodes {
		n := &f.nodes[i]
		if best == nil || n.Capacity.share() > best.Capacity.share() {
			best = n
		}
	}
	return best
}

// tooBig reports whether no node, empty and in any state, could hold the class.
// Without any node nothing is known, and nothing is too big.
func (f *fleet) tooBig(need Resources) bool {
	for i := range f.nodes {
		if f.nodes[i].holds(need) {
			return false
		}
	}
	return len(f.nodes) > 0
}

// in counts the nodes in a state.
func (f *fleet) in(s NodeState) int {
	n := 0
	for i := range f.nodes {
		if f.nodes[i].State == s {
			n++
		}
	}
	return n
}
