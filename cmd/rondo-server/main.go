// Rondo-server is the CI/CD server. Try it inside any git repository that has
// a .circleci/config.yml:
//
//	rondo-server dev
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/rondo-ci/rondo/ci/agent/machine"
	"github.com/rondo-ci/rondo/ci/agent/tool"
	"github.com/rondo-ci/rondo/cmd/internal/workshop"
	"github.com/spf13/cobra"
)

// version is set by the build (-ldflags -X main.version=...).
var version = "dev"

func main() {
	if machine.Named(os.Args[0]) { // brought to a job's own machine
		os.Exit(workshop.Attend(os.Stdin, os.Stdout, os.Stderr))
	}
	if tool.Named(os.Args[0]) { // inside a job this executable is linked as circleci
		os.Exit(tool.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
	}
	os.Exit(run(os.Args[1:]))
}

// run is main with an exit code: 0 is a clean stop, 1 a failure, 2 wrong usage.
func run(args []string) int {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
	if len(args) > 0 && args[0] == "serve" { // a daemon has no terminal; there SIGHUP reads settings again
		ends = ends[:2]
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	understood := false
	root := &cobra.Command{
		Use:   "rondo-server",
		Short: "The CI/CD server that a team runs itself",
		Long: `Rondo is a CI/CD server that speaks .circleci/config.yml.

To try it, stand in a git repository and run

  rondo-server dev

It builds every commit of that repository on this machine, with nothing else
to install, and prints the address of its page. For a team with a code host,
see rondo-server serve --help.`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,

		PersistentPreRun: func(*cobra.Command, []string) { understood = true },
	}
	root.SetArgs(args)
	root.AddCommand(devCommand(), serveCommand(), secretsCommand(), auditCommand(), authCommand(), metricsCommand(), machinesCommand(), portsCommand(), doctorCommand(), supportCommand(), fsckCommand(), ldapCommand(), agentCommand(), migrateCommand())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nSee '%s --help'", err, cmd.CommandPath())}
	})
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage), !understood:
		fmt.Fprintf(os.Stderr, "rondo-server: %v\n", err)
		return 2
	}
	fmt.Fprintf(os.Stderr, "rondo-server: %v\n", err)
	return 1
}

// usageError is a mistake in the command line.
type usageError struct{ error }
