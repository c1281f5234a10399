// Package place says what an agent needs of the place where a job's steps run:
// processes of this machine, or containers. A machine of a job's own is no place:
// the agent itself goes there, see package machine.
//
// An [Executor] opens a [Place] for one task; the agent starts each step there
// as a [Process] and closes the place when the task has ended. The package has
// no code of its own: it never runs anything.
package place

import (
	"context"
	"io"
	"os"

	"github.com/rondo-ci/rondo/ci"
)

// An Executor makes places. It is safe for concurrent use.
type Executor interface {
	// Open makes the place for one hand-out of a task. What takes its time (a
	// pull of an image) is told to out, for people. An error that wraps
	// [ci.ErrInvalid] means that the job asks for something that does not
	// exist here: its text is shown to people and the job fails. Any other
	// error is a fault of the machinery.
	Open(ctx context.Context, w ci.Work, out io.Writer) (Place, error)
}

// A Warmer is an [Executor] that can do a part of its work before it knows the
// task, while the agent still waits for the server.
type Warmer interface {
	// Warm prepares one place ahead. The next Open takes it. Release undoes
	// what no Open has taken; it must be called.
	Warm() (release func())
}

// A Place is where the steps of one task run. Start, Within and Kill are safe
// for concurrent use.
type Place interface {
	// Layout says how the place looks. It is the same at every call.
	Layout() Layout
	// Within calls f where files are what the steps see, at their paths and
	// with the rights of the steps: whatever links a job has made, f cannot be
	// led to a file of this machine that the steps do not have. Files that f
	// opens may be used, and closed, after it. f must not start processes, nor
	// goroutines that look for files, nor call Within. An error says that the
	// place is gone and that f was not called.
	Within(f func()) error
	// Start starts a process. It fails once Kill was called for good.
	Start(c Command) (Process, error)
	// Kill ends every process of the task at once, also those that left their
	// process group, and returns when they are gone. More can be started
	// afterwards. Twice is allowed.
	Kill() error
	// Close kills what still runs and removes all that the place has made.
	// Twice is allowed.
	Close() error
}

// A Layout describes a place.
type Layout struct {
	// Home is the home directory of the steps. It exists.
	Home string
	// Scratch is a directory outside Home that the steps and Within see. It
	// exists, and it ends with the place.
	Scratch string
	// Private is a directory of this process, which it sees without Within:
	// for files that the steps need not have. It exists, and it ends with the
	// place. Where steps have the rights of the agent it may be Scratch.
	Private string
	// Tool is where the steps find the agent's tool, see package tool; "" is
	// the path that this process has for it.
	Tool string
	// Shell is the shell of run steps that name none, ready to take the
	// command as its last argument.
	Shell []string
	// Environ is the environment that every process starts with, as
	// NAME=value, the weakest of all.
	Environ []string
	// Borrowed says that the steps see another file system than that of the
	// image that the job names, so paths of the image may not exist.
	Borrowed bool
	// Apart says that the steps do not see the files of this machine.
	Apart bool
	// Notes are what people should know about the place, one line each.
	Notes []string
}

// A Command is what to start. Its standard input is empty.
type Command struct {
	// Args are the program, looked up in the PATH of Env if it has no slash,
	// and its arguments.
	Args []string
	Env  []string // the whole environment, NAME=value
	Dir  string   // must exist
	// Output takes standard output and standard error. The caller closes it
	// after Start.
	Output *os.File
}

// A Process is a running step. Its methods are safe for concurrent use.
type Process interface {
	// Done is closed when the process itself has ended. What it started may
	// still run.
	Done() <-chan struct{}
	// Code is the exit code once Done is closed; 128 and the number of the
	// signal when a signal ended it.
	Code() int
	// Alive reports whether anything of the process's group still runs, the
	// process itself or what it started. It may be slow.
	Alive() bool
	// Stop asks the process and its group to end (TERM).
	Stop()
	// Kill ends the process and its group (KILL).
	Kill()
	// Why says for people what the place knows of the cause of the end, once
	// Done is closed: that the memory was used up. "" is nothing.
	Why() string
}
