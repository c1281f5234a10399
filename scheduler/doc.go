// Package scheduler is the queue of Rondo: it decides which task runs next and
// where, hands it to a cluster under a lease, and sees to it that every task
// ends exactly once.
//
// Its nouns: a [Scheduler] follows the events of the server and keeps one
// ticket ([ci.Ticket]) for every task that has not ended. A [Cluster] is what a
// driver offers: nodes, and a way to start an agent on them. A [Placement] is
// one hand-out of one task to the cluster. A [Backlog] is the part of the
// database that keeps the tickets.
//
// # The two queues
//
// A task first stands in the usage queue, where the concurrency limit of its
// organisation applies, and then in the run queue, where it waits for room.
// Both are views of one structure: of the waiting tasks of an organisation, as
// many as its limit leaves free stand in the run queue, the others in the usage
// queue.
//
// The order is fair between projects: next is the project that holds the
// smallest share of the cluster (by its weight), among equals the one that was
// served least so far (start-time fair queueing), and within a project the task
// that came first. So a burst of one project costs the others nothing but the
// wait for the next free place.
//
// A task that is next and fits nowhere gets a reservation on one node. Later
// tasks may still start there, but only in the room that the reserved task will
// not need; so it starts at the latest when what ran there before has ended,
// whatever comes behind it.
//
// # Hand-outs
//
// Before a task is submitted its ticket is written as placed, with an epoch one
// higher than ever before. An agent claims that epoch, once, and holds a lease
// that it renews. Every call under another epoch or by another worker is
// [ci.ErrConflict]. A task whose agent died before a step began goes back to
// the queue, at most three times; one whose agent died later ends as
// [ci.InfraFailed], because its commands must not run twice in silence.
//
// Memory leads and the database follows within the same call: nothing is
// submitted, and no lease is granted, before the ticket that says so is
// durable. All writes go through one loop, which takes everything that
// gathered during the last write into the next, so a burst costs few
// transactions.
//
// The package never runs a command, never looks into a configuration, and
// knows nothing of the database or the cluster but the two interfaces. It needs
// no third parties.
package scheduler
