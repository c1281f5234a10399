// Package machine runs jobs on machines of their own.
//
// The steps of a job, and the agent that runs them, want the same files: caches
// are packed there, secrets are written there, results are read there. So the
// agent that has claimed a task does not run its steps over SSH one by one. It
// enters the machine with the machine's own key, brings the program that it is
// itself, and has that run the rest of the task there. A [Remote] is the side of
// the agent that claimed, a [Link] that of the agent on the machine.
//
// The two have one connection, the standard input and output of the SSH session,
// and speak HTTP/2 on it. The agent on the machine asks for the task, is told
// when the task is to stop, and reaches the server's door for its own task and
// for nothing else. So a machine needs no way to the server. What the task is,
// with its secrets, never stands in a command line or a file.
//
// When the connection ends, the agent on the machine ends everything at once:
// it could not report any more. The other side reports that then.
//
// The package never makes machines, never trusts what a machine says about
// another task, and keeps nothing on a machine but the program.
package machine
