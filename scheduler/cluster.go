package scheduler

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Cluster is what a driver offers: nodes on which agents can be started.
// Suite schedulertest says what it must do. All methods are safe for concurrent
// use.
type Cluster interface {
	// Submit starts an agent for the placement. The same task and epoch twice
	// is one placement, also when it has died in the meantime. It returns when
	// the cluster has taken the placement over, not when the agent runs.
	// [ci.ErrConflict]: not now (the node drains or is full), ask again with a
	// new epoch. [ci.ErrInvalid]: never. Any other error: unknown, the same
	// placement will be submitted again.
	Submit(ctx context.Context, p Placement) error
	// Stop asks the agent to stop by itself and kills it after grace, at once
	// when grace is 0. It returns when the request is made, and with grace 0
	// when the agent and what it started are gone, or the cluster has promised
	// that they will be. A placement that is dead or unknown is no error; with
	// grace 0 a dead one is forgotten. Twice is allowed, the earlier end counts.
	Stop(ctx context.Context, p Placement, grace time.Duration) error
	// Placements yields all placements that the cluster knows, dead ones until
	// they are forgotten. What is missing in it without an error is gone.
	Placements(ctx context.Context) iter.Seq2[Placement, error]
	// Watch yields all placements as they are, and then each one that changes,
	// as soon as it does. A placement without a task says that the nodes have
	// changed. It ends with an error, or with ctx. Changes between two watches
	// are found by the first part, so nothing is lost.
	Watch(ctx context.Context) iter.Seq2[Placement, error]
	// Nodes lists the nodes, also those that are down or draining.
	Nodes(ctx context.Context) ([]Node, error)
	// Drain lets a node finish what it runs and take nothing new, or ends that.
	// An unknown node is [ci.ErrNotFound].
	Drain(ctx context.Context, node string, d Drain) error
	// Output opens what the agent of a placement itself has written (not the
	// output of the steps), its end if it is long. [ci.ErrNotFound] when there
	// is none.
	Output(ctx context.Context, p Placement, stderr bool) (io.ReadCloser, error)
}

// A Placement is one hand-out of a task to a cluster. Task.ID and Epoch are its
// identity. The JSON form is what local agents read; it carries the token.
type Placement struct {
	Task  ci.Task `json:"task"`
	Epoch int64   `json:"epoch"`
	// Resources are reserved for it on Node. A cluster that chooses nodes by
	// itself may take another one and says so in Placements.
	Resources Resources `json:"resources"`
	Node      string    `json:"node,omitempty"`
	// Token lets the agent talk to the server about this hand-out only. A
	// cluster passes it on; it leaves it out of what it lists.
	Token string `json:"token,omitempty"`

	// State and Reason are set by the cluster.
	State  PlacementState `json:"state,omitempty"`
	Reason string         `json:"reason,omitempty"`
}

// LogValue keeps the token out of logs.
func (p Placement) LogValue() slog.Value {
	return slog.GroupValue(slog.String("task", string(p.Task.ID)), slog.Int64("epoch", p.Epoch), slog.String("node", p.Node))
}

// A PlacementState says what a cluster knows of a [Placement].
type PlacementState string

// The states of placements.
const (
	// PlacementPending waits inside the cluster; Reason says for what.
	PlacementPending PlacementState = "pending"
	// PlacementRunning has a living agent.
	PlacementRunning PlacementState = "running"
	// PlacementLost is out of sight: its node does not answer. The agent may
	// live, so a lease that it holds counts until it ends.
	PlacementLost PlacementState = "lost"
	// PlacementDead is over for certain: the agent has ended, well or not.
	// Reason says how.
	PlacementDead PlacementState = "dead"
)

// A Node is a machine that runs agents.
type Node struct {
	Name string `json:"name"`
	// ID is the cluster's own identity of it; "" makes one of the name. Class
	// and Datacenter are what its machine was set up with; "" is what the guide
	// prints.
	ID         string `json:"id,omitempty"`
	Class      string `json:"class,omitempty"`
	Datacenter string `json:"datacenter,omitempty"`

	State NodeState `json:"state"`
	// Reason says why the node is not ready.
	Reason string `json:"reason,omitempty"`
	// Capacity is what tasks may use, after what the node keeps for itself.
	Capacity Resources `json:"capacity"`
	// Clamp says that a class larger than the node gets the whole node.
	Clamp bool `json:"clamp,omitempty"`
}

// A NodeState says whether a [Node] takes tasks.
type NodeState string

// The states of nodes.
const (
	NodeReady    NodeState = "ready"
	NodeDraining NodeState = "draining" // finishes what it has, takes nothing new
	NodeDown     NodeState = "down"     // not heard of, or not able to work
)

// A Drain says how a node is to be drained.
type Drain struct {
	// On starts the drain; false ends it, and the node takes tasks again.
	On bool `json:"on"`
	// Deadline is after how long the cluster stops what still runs; 0 is
	// never. Tasks that are stopped by it are lost.
	Deadline time.Duration `json:"deadline,omitempty"`
}
