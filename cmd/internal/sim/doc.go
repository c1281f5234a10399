// Package sim is a simulation of the whole of Rondo among faults: the real
// server, scheduler, leases, door and logs as package engine puts them together,
// over records in memory, a cluster in memory and small agents that speak to
// the real door, in one process and in a time of its own.
//
// It is all tests. It stands under the roof because rooms meet in it: each room
// has tests of its own faults, and this one asks what they promise together.
//
// Its nouns: a world is one run. A seed decides what its people do, which plans
// they build and which faults there are, each by name (of the fault, the task
// and how often it was asked), so that one more call in one place moves no dice
// in another. A life is one process of the server: it ends orderly or as by
// kill -9, after which nothing that it still does reaches the store, the disk,
// the cluster or an agent. A run has three parts: faults; then everything is
// healed, and what was accepted must end in time; then all is compared with what
// was acknowledged.
//
// A seed does not fix the order in which goroutines run, or the identities.
// Calls take times that differ, so little depends on it; a seed that fails once
// in many runs is repeated with RONDO_SIM_AGAIN.
package sim
