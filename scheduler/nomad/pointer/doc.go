// Package pointer is the little that an agent is told when Nomad starts it: a
// [Pointer] to a task behind the door of the server, and the token that opens
// it. Everything else the agent fetches from there, so nothing of a job's
// configuration or secrets goes through Nomad.
//
// A warm agent is told less: it waits with [Pointer.Await] until the server has
// a task for it.
//
// The package imports nothing of Nomad, so that agents stay small.
package pointer
