package ci

import (
	"context"
	"io"
	"time"
)

// A Node is a machine that runs tasks, as operators see it.
type Node struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Class      string `json:"class"`
	Datacenter string `json:"datacenter"`
	// State is "ready", "draining" or "down"; Reason says why it is not ready.
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
	Drain  bool   `json:"drain"`
	// CPU and MemoryMB (MiB) are what tasks may use of it, UsedCPU and
	// UsedMemoryMB what they hold.
	CPU          float64 `json:"cpu"`
	UsedCPU      float64 `json:"used_cpu"`
	MemoryMB     int     `json:"memory_mb"`
	UsedMemoryMB int     `json:"used_memory_mb"`
	// Tasks is how many hand-outs it has (the guide's Running Allocs).
	Tasks int `json:"allocations"`
	// Safe says that it takes nothing new and has nothing: it may be ended.
	Safe bool `json:"safe_to_terminate"`
}

// A Trace is how a task has come through the queue in one of its hand-outs. A
// time that is zero has not come, or is not known any more.
type Trace struct {
	// ID is the documented name of the hand-out, Allocation that of its place
	// on a node.
	ID         string `json:"id"`
	Allocation string `json:"allocation"`
	Task       Task   `json:"task"`
	Epoch      int64  `json:"epoch"`
	// State is "pending" (it waits for room or starts), "running" or "dead".
	State  string `json:"status"`
	Node   string `json:"node,omitempty"`
	Reason string `json:"reason,omitempty"` // why it does not start, or how it ended

	Queued   time.Time `json:"queued_at,omitzero"`   // entered the queue
	Runnable time.Time `json:"runnable_at,omitzero"` // left the usage queue
	Placed   time.Time `json:"placed_at,omitzero"`   // left the run queue: handed to a node
	Alive    time.Time `json:"alive_at,omitzero"`    // the cluster said that its agent runs
	Claimed  time.Time `json:"claimed_at,omitzero"`  // the agent asked for it and got it
	Ended    time.Time `json:"ended_at,omitzero"`
}

// A Hop is a part of the way of a task, and how long it took, or has so far.
type Hop struct {
	Name    string    `json:"name"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until,omitzero"` // zero: it is there
	Seconds float64   `json:"seconds"`
}

// A Diagnosis names what keeps tasks from running, with what shows it and what
// to do.
type Diagnosis struct {
	// Code is stable, for programs: "capacity_exhausted", "agents_door_blocked",
	// "dispatcher_down", ...
	Code     string   `json:"code"`
	Text     string   `json:"text"`
	Fix      string   `json:"fix"`
	Evidence []string `json:"evidence,omitempty"`
}

// An Explanation is all that is to be said about where a task is.
type Explanation struct {
	Trace
	BuildURL string `json:"build_url,omitempty"`
	// Why says why it is not running, or that it is: with its position and when
	// it is expected to start.
	Why  Reason `json:"why"`
	Hops []Hop  `json:"hops"`
	// Diagnosis is nil while all is as it should be.
	Diagnosis *Diagnosis `json:"diagnosis,omitempty"`
	// Advice is what capacity would help, as in "2 more nodes of 8 CPUs".
	Advice string `json:"advice,omitempty"`
}

// A QueueState is how the queue stands at one moment.
type QueueState struct {
	// Ready says that the scheduler has its tickets and goes on; Trouble is why
	// the cluster does not answer, Unwritten how many times in a row tickets
	// could not be written, Paused why nothing is handed out.
	Ready     bool
	Trouble   string
	Unwritten int
	Paused    string
	// Cursor is the number of the last event that was taken in.
	Cursor                      uint64
	Usage, Run, Placed, Running int
	Oldest                      time.Time // when the oldest task that waits was queued
	Nodes                       []Node
	// Missing is how many more nodes would start all that stands in the run
	// queue, Advice the same in words; 0 and "" when there is room.
	Missing int
	Advice  string
}

// A QueuePart is the head and the tail of one of the two queues.
type QueuePart struct {
	Name  string       `json:"queue"` // "usage" or "run"
	Total int          `json:"total"`
	First []QueuePlace `json:"first"`
	Last  []QueuePlace `json:"last"` // what is not among the first
}

// A QueuePlace is a task that waits. One that the reader may not know of is
// there without its task.
type QueuePlace struct {
	Position int    `json:"position"`
	Task     TaskID `json:"task,omitempty"`
	Project  string `json:"project,omitempty"` // slug
	Job      string `json:"job,omitempty"`
	Number   int64  `json:"number,omitempty"`
	BuildURL string `json:"build_url,omitempty"`
	Queued   string `json:"queued_at,omitempty"` // RFC 3339
}

// A QueueMove says what was moved or taken out of a queue, and what is left.
type QueueMove struct {
	Moved int `json:"moved"`
	Left  int `json:"left"`
}

// Operations are what operators ask about the queue and the machines, and do.
// Whether the actor may is for it to say, with [ErrDenied].
type Operations interface {
	// State says how queue and nodes stand.
	State(ctx context.Context, by Actor) (QueueState, error)
	// DrainNode lets a node, by name, identity or the beginning of one, finish
	// what it has and take nothing new; with on false that ends. After the
	// deadline what still runs is stopped; 0 is never.
	DrainNode(ctx context.Context, node string, on bool, deadline time.Duration, by Actor) (Node, error)
	// Traces lists the hand-outs there are, the first so many that wait for
	// room, and the latest that have ended, by time of queueing.
	Traces(ctx context.Context, waiting int, by Actor) ([]Trace, error)
	// AgentOutput opens what the agent of a hand-out itself has written.
	AgentOutput(ctx context.Context, t Trace, stderr bool, by Actor) (io.ReadCloser, error)
	// Explain says where a task is and why.
	Explain(ctx context.Context, task TaskID, by Actor) (Explanation, error)
	QueueSurgery
}

// QueueSurgery looks into the queues and changes them by hand.
type QueueSurgery interface {
	// Part returns the first and last n of the "usage" or the "run" queue.
	Part(ctx context.Context, queue string, n int, by Actor) (QueuePart, error)
	// Promote moves tasks from the usage queue to the run queue, past the limit
	// of their organisation: of one, or of all when org is "". More than 100 at
	// once, or all that wait when that is more than 10, is [ErrConflict] without force.
	Promote(ctx context.Context, org string, n int, force bool, by Actor) (QueueMove, error)
	// CancelWaiting cancels the jobs of up to n tasks, at most 100, that have
	// waited in the run queue for at least that long.
	CancelWaiting(ctx context.Context, n int, older time.Duration, by Actor) (QueueMove, error)
}

// A Service is a part of the installation, as operators know them.
type Service struct {
	Role    string   `json:"role"` // as the guide calls it
	Here    string   `json:"here"` // what does that here
	Version string   `json:"version"`
	Up      int64    `json:"uptime_seconds"`
	Ports   []string `json:"ports"`
	State   string   `json:"state"` // "up", "down" or "not needed"
}
