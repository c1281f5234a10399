// Rondo is the tool for people: it runs a repository's whole workflow on this
// machine, without a server, and checks configurations; and it shows operators
// the nodes and the queue of a server.
//
//	rondo run
//	rondo config validate
//	rondo queue explain 12
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/rondo-ci/rondo/ci/agent/tool"
	"github.com/spf13/cobra"
)

// version is set by the build (-ldflags -X main.version=...).
var version = "dev"

// Exit codes, as every command's help says.
const (
	exitSuccess  = 0
	exitFailed   = 1   // a job failed, or something broke
	exitUsage    = 2   // wrong usage, or a configuration with mistakes
	exitHolding  = 3   // an approval job waits
	exitCanceled = 130 // canceled with Ctrl-C
)

func main() {
	if tool.Named(os.Args[0]) { // inside a job this executable is linked as circleci
		os.Exit(tool.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
	}
	os.Exit(run(os.Args[1:]))
}

// run is main with an exit code.
func run(args []string) int {
	understood := false
	root := &cobra.Command{
		Use:   "rondo",
		Short: "Run and check .circleci/config.yml on this machine",
		Long: `Rondo runs the workflows of a repository on this machine, with the engine of
the Rondo server and without one, and checks configurations. On the machine of
a server, and with its address and a token elsewhere, it shows operators nodes
and queue.`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,

		PersistentPreRun: func(*cobra.Command, []string) { understood = true },
	}
	root.SetArgs(args)
	root.AddCommand(runCommand(), configCommand(), proxyCommand(), tlsCommand(), metricsCommand(), nomadCommand(), nodeCommand(), queueCommand(), servicesCommand(), autoscaleCommand(), asgCommand(), sizingCommand(), fsckCommand(), vmCommand(), dlcCommand())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return codeError{exitUsage, fmt.Errorf("%w\nSee '%s --help'", err, cmd.CommandPath())}
	})
	err := root.ExecuteContext(context.Background())
	var code codeError
	switch {
	case err == nil:
		return exitSuccess
	case errors.As(err, &code):
		if code.error != nil {
			fmt.Fprintf(os.Stderr, "rondo: %v\n", code.error)
		}
		return code.code
	}
	fmt.Fprintf(os.Stderr, "rondo: %v\n", err)
	if !understood { // an error of the command line
		return exitUsage
	}
	return exitFailed
}

// codeError ends the program with a code of its own; without an error there is
// nothing left to say.
type codeError struct {
	code int
	error
}

func (e codeError) Unwrap() error { return e.error }
