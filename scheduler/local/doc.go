// Package local is the embedded cluster: one node, this machine, whose agents
// are child processes or, for offline runs and embedding, functions of this
// process.
//
// Its nouns: a [Start] says what an agent is ([Exec] or [Func]). A [Cluster]
// starts agents and watches them; it is a driver for the scheduler.
//
// A child process speaks a protocol of lines. It reads one placement per line
// (JSON) from its standard input, works on it, writes "done" to its standard
// output and may then read the next one; when its standard input ends, it
// finishes the task that it has and exits. SIGTERM asks it to stop its task by
// itself and exit. What it writes to standard error is its log. It runs in a
// process group of its own, so a Ctrl-C in the server's terminal does not reach
// it.
//
// Agents outlive the server. What runs is kept in small files, so a new server
// finds the agents of the one before it and sees them end. The files are not
// synced: what a loss of power takes away, it takes from the agents too.
//
// The package never looks at what an agent does, and never touches a process
// that it cannot tell apart from a stranger with the same number. It runs on
// Unix systems and needs golang.org/x/sys for macOS.
package local
