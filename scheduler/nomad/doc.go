// Package nomad runs agents on a cluster of HashiCorp Nomad: a driver of
// [scheduler.Cluster].
//
// Its nouns are the [Cluster], the [Server] at which it reaches Nomad and the
// [Agent] that Nomad starts. Each task is one batch job of priority 50 with one
// allocation, which Nomad neither restarts nor replaces: whether a task runs
// again is the queue's business. A job holds a pointer to the task and a token,
// see package pointer; the agent fetches the rest from the server's door. Who may
// read jobs at Nomad reads that too, so it opens the door only together with the
// [Identity] that Nomad (1.7) signs for the agent itself, and only once.
//
// What Nomad says is a second opinion. That a task has ended is known from its
// agent's own report; Nomad's word counts when an agent is silent, for its
// client tells the server what happened only once a second. The lists of Nomad
// are the truth about what there is, its events only a hint that makes changes
// seen sooner: they may have gaps, begin anew, or be switched off. What Nomad
// forgets after some hours (the exit code, the last words of an agent) is kept
// in [ci.Docs].
//
// With [Warm], agents of a size are placed before there is a task for them and
// wait at the door. Each is a job of its own and runs one task. Which task it
// was given is written down before it is told, so that a restart of the server
// neither loses nor doubles a hand-out. They make room when a task needs it.
//
// The package never decides which task is next, never parses a job's
// configuration, and touches no job of Nomad's that it has not made.
package nomad
