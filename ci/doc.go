// Package ci is the ground of Rondo: the nouns of continuous integration, the
// pure workflow graph, and the [Server] that conducts them.
//
// The nouns, from the outside in: a [Project] is a repository that builds. A
// [Trigger] (a push, a button, a schedule) makes a [Pipeline] in it. A
// compiler turns the pipeline's configuration into a [Plan], and each workflow
// of the plan becomes a [Workflow]: a graph of [Job] values with a status each.
// A job that may start is cut into one [Task] per parallel node; a scheduler
// hands a task to an agent under a [Lease], and the agent runs the job's steps.
//
// All rules of the graph are methods of [Workflow] that touch nothing but the
// value itself; they return the [Event] values that tell what happened. The
// [Server] applies them inside a transaction of a [Store], so state and events
// are written together or not at all, and everything else (the queue, the
// pages, the statuses on a code host) follows the events.
//
// This package imports the standard library only and never starts a process,
// opens a file or listens on a port. Databases, compilers, queues and agents
// live in their own packages, do not know each other, and meet in cmd.
package ci
