package local

import (
	"context"

	"github.com/rondo-ci/rondo/scheduler"
)

// A Start says what an agent is and how it starts. Use [Exec] or [Func].
type Start struct {
	argv, env []string
	call      func(context.Context, scheduler.Placement) error
}

// Exec makes agents of a command that speaks the protocol of the package, most
// often the server's own executable started again. env is its whole
// environment; nil is the server's own.
func Exec(argv, env []string) Start { return Start{argv: argv, env: env} }

// Func makes agents of a function. Its context ends when the agent is asked to
// stop; one that does not return in time cannot be killed, but counts as dead.
// A panic is a dead agent too.
func Func(f func(context.Context, scheduler.Placement) error) Start { return Start{call: f} }
