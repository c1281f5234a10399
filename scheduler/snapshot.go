package scheduler

import (
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Snapshot is the state of the queue at one moment, for pages and metrics.
type Snapshot struct {
	Usage   int // tasks in the usage queue
	Run     int // tasks in the run queue
	Placed  int // handed out, not claimed yet
	Running int // claimed
	Ending  int // ended, being written down
	// Oldest is when the oldest waiting task was queued; zero if none waits.
	Oldest time.Time
	// Orgs counts by organisation.
	Orgs map[string]OrgCount
	// Nodes are the nodes by name, with what tasks hold of them.
	Nodes []NodeUse
	// Missing is how many more nodes, as big as the biggest, would start all
	// that stands in the run queue; it counts only when nothing fits.
	Missing int
	// Paused says why nothing is handed out; "" is that it is.
	Paused string
	// Ready says that the tickets are loaded and Run goes on, Trouble why the
	// cluster does not answer, Unwritten how many writes in a row have failed.
	Ready     bool
	Trouble   string
	Unwritten int
	// Cursor is the number of the last event that was taken in.
	Cursor uint64
}

// An OrgCount counts the tasks of one organisation.
type OrgCount struct {
	Usage, Run, Active int
}

// A NodeUse is a node and what tasks hold of it.
type NodeUse struct {
	Node
	Used       Resources
	Placements int
	// SafeToTerminate says that the node takes nothing new and has nothing.
	SafeToTerminate bool
}

// Snapshot returns the state of the queue. Its cost does not grow with the
// number of waiting tasks of a project.
func (s *Scheduler) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := Snapshot{
		Orgs: make(map[string]OrgCount), Paused: s.paused, Cursor: s.cursor,
		Ready: s.up(), Trouble: s.fleet.trouble, Unwritten: s.lostWrites,
	}
	for name, o := range s.queue.orgs {
		run := o.runnable(s.queue.free(o))
		n.Orgs[name] = OrgCount{Usage: o.waiting - run, Run: run, Active: o.active}
		n.Usage += o.waiting - run
		n.Run += run
	}
	for e := range s.active {
		switch {
		case e.stage == stageSettling:
			n.Ending++
		case e.ticket.State == ci.TicketLeased:
			n.Running++
		default:
			n.Placed++
		}
	}
	for _, p := range s.queue.projects {
		for _, lane := range p.lanes {
			if q := lane.Front().Value.(*entry).ticket.Task.Queued; n.Oldest.IsZero() || q.Before(n.Oldest) {
				n.Oldest = q
			}
		}
	}
	for _, node := range s.fleet.nodes {
		count := s.fleet.count[node.Name]
		n.Nodes = append(n.Nodes, NodeUse{
			Node: node, Used: s.fleet.used[node.Name], Placements: count,
			SafeToTerminate: node.State != NodeReady && count == 0,
		})
	}
	if n.Run > 0 {
		n.Missing = s.missingNodes()
	}
	return n
}
