package scheduler

import (
	"container/list"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// An entry is a ticket in memory, with what only this process needs to know.
// All fields but order and calls are guarded by the scheduler's lock.
type entry struct {
	ticket ci.Ticket
	seq    uint64 // order of arrival
	class  string
	need   Resources
	stage  stage

	// While it waits.
	lane      *list.Element
	project   *project
	notBefore time.Time // a cluster said: not now
	lined     time.Time // when it came into the queue
	runnable  time.Time // when it left the usage queue, if it has
	promoted  bool      // exempt from the limit of its organisation
	reserved  time.Time // when it first had a reservation

	// While it is with the cluster.
	held      Resources // reserved on ticket.Node
	submitted bool      // the cluster has it
	running   bool      // the cluster says that its agent lives
	silent    bool      // the cluster does not know where it is
	trouble   string    // why it does not start, in the cluster's words
	since     time.Time // of the hand-out
	sent      time.Time // when the cluster took it over
	alive     time.Time // when the cluster first said so
	claimed   time.Time
	renewed   time.Time
	expires   time.Time // of the lease; ticket.Expires is the one last stored
	claimBy   time.Time // when an agent that lives should have claimed it
	killAt    time.Time // end of the grace of a cancel
	interrupt string    // why all is being stopped

	losses  int
	outcome string // how it ended, for people
	faults  int    // writes of the ticket that failed while others succeeded
	dirty   bool
	fresh   bool // its event is not covered by the stored cursor

	returns  bool          // its hand-out ends, and it may go back to the queue
	finisher hold          // who reported the end
	settled  chan struct{} // closed when the end of the hand-out is durable
	result   error         // of the final report, once settled is closed

	order gate // held while the state of the task is reported
	calls gate // held while the cluster is asked about the placement
}

// A stage says who decides about an entry.
type stage int

const (
	stageWaiting  stage = iota // in the queue
	stageActive                // with the cluster
	stageSettling              // its hand-out has ended, the report is on its way
	stageGone                  // no longer known
)

// id returns the identity of the task.
func (e *entry) id() ci.TaskID { return e.ticket.Task.ID }

// leased reports whether an agent holds the entry.
func (e *entry) leased() bool {
	return e.stage == stageActive && e.ticket.State == ci.TicketLeased
}

// is reports whether the lease is the one that counts now.
func (e *entry) is(l ci.Lease) bool {
	return e.leased() && e.ticket.Epoch == l.Epoch && e.ticket.Worker == l.Worker
}

// placement returns the hand-out that the entry is in, without a token.
func (e *entry) placement() Placement {
	return Placement{Task: e.ticket.Task, Epoch: e.ticket.Epoch, Resources: e.held, Node: e.ticket.Node}
}

// handedOver starts the life of a hand-out that begins or goes on now.
func (e *entry) handedOver(now time.Time) {
	e.stage, e.since = stageActive, now
	e.submitted, e.running, e.silent, e.trouble, e.interrupt = false, false, false, "", ""
	e.returns, e.sent = false, now
	e.alive, e.claimed, e.renewed, e.expires, e.claimBy, e.killAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	e.finisher, e.settled, e.result = hold{}, make(chan struct{}), nil
}
