// Package agent runs tasks: it claims one, runs its steps, and reports what
// became of it.
//
// An [Agent] asks a server for [ci.Work] through its [Door], keeps files there
// through [Files], and runs the steps in a place that an [Executor] makes. One
// [Agent.Run] is one task, from claim to finish; nothing is kept in between.
//
// What it promises, whatever happens around it:
//
//   - Nothing of a step runs before the server has acknowledged its record, so
//     a server knows of every command that may have run.
//   - Output reaches the server in order and once, by offset; what could not
//     be kept is counted and marked in the output itself. The last record of a
//     step carries length and hash of it all.
//   - Values of secrets are masked before they leave the process.
//   - An agent that cannot renew its lease kills its steps and falls silent
//     before the server may hand the task to another one.
//   - When Run returns, no process of the task is left and its files are gone.
//
// The package decides nothing about workflows, never retries user code unless
// the job asks for it, and never talks to a database.
package agent
