// Package nomadtest is a Nomad for tests: a [Server] that speaks the part of
// Nomad's HTTP API that drivers of the scheduler use, places jobs on virtual
// nodes and runs their agents as functions of the test. It does what Nomad does
// when a job leaves its defaults on: it restarts, reschedules and replaces.
//
// And it fails on demand: calls that are refused, get lost, or are done without
// an answer; events that are missing; an index that goes back; nodes that die
// or drain; garbage that is collected.
//
// Where the machine has a real Nomad, [StartReal] starts it, so that a test can say
// whether the fake tells the truth.
//
// It is for tests only; the fake keeps all in memory and starts no process.
package nomadtest
