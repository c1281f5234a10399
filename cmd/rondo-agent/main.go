// Rondo-agent is the agent of tasks on machines without a server: what Nomad
// starts for each task. It learns from its environment where the server is and
// which task it has, fetches the rest from there, runs the task, reports and
// ends. A warm agent first waits at the server until there is a task.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/machine"
	"github.com/rondo-ci/rondo/ci/agent/tool"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/cmd/internal/worker"
	"github.com/rondo-ci/rondo/cmd/internal/workshop"
	"github.com/rondo-ci/rondo/proxy/trust"
	"github.com/rondo-ci/rondo/scheduler/nomad/pointer"
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

// errAsked is the reason that people see when whoever runs the machine wants
// the agent to end.
var errAsked = errors.New("its machine asked the agent to end")

// run is main with an exit code: 0 is that the task's outcome, whatever it is,
// was reported, or that the task was not wanted any more.
func run(args []string) int {
	workshop.KeepPrivate()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ends
		cancel(errAsked)
	}()
	var dir string
	var jobs worker.Docker
	root := &cobra.Command{
		Use:   "rondo-agent",
		Short: "Run one task of a Rondo server",
		Long: `Rondo-agent runs one task and ends. It is started by Nomad, for a server that has
nomad in its settings; see rondo-server serve --help. The variable ` + pointer.Env + `,
or the file that ` + pointer.EnvFile + ` names, says which task and where.

The server is reached without a proxy. When its door speaks TLS, the agent trusts
the authorities of the system and those in ` + trust.Folder + `.`,
		Args: cobra.NoArgs, Version: version, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return work(cmd.Context(), dir, jobs) },
	}
	root.Flags().StringVar(&dir, "dir", "", "where scratch folders are made (default: below the folder that Nomad gives)")
	jobs.AddFlags(root.Flags())
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "rondo-agent: %v\n", err)
		return 1
	}
	return 0
}

// work runs the one task.
func work(ctx context.Context, dir string, jobs worker.Docker) error {
	p, err := pointer.Read()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	base, client, err := door.Dial(p.Door)
	if err != nil {
		return err
	}
	roots, err := trust.Open(trust.Config{Log: log})
	if err != nil {
		return err
	}
	if t, ok := client.Transport.(*http.Transport); ok {
		client.Transport = trust.Over(roots, t)
	}
	client.Transport = p.Over(client.Transport)
	following, stop := context.WithCancel(ctx)
	defer stop()
	go func() { _ = roots.Run(following) }() // it returns nil
	if dir == "" {
		dir = os.TempDir()
		if own := os.Getenv("NOMAD_TASK_DIR"); own != "" {
			dir = filepath.Join(own, "work")
		}
	}
	w, err := workshop.Open(dir, jobs, log)
	if err != nil {
		return err
	}
	defer w.Close()
	w.Warm()
	if err := w.Ready(ctx); errors.Is(err, worker.ErrSweep) {
		log.Warn("containers of earlier jobs are left", "err", err)
	} else if err != nil {
		return err
	}
	if p.Warm != "" {
		log.Info("waiting for a task", "agent", p.Warm)
	}
	p, err = p.Await(ctx, client)
	switch {
	case errors.Is(err, ci.ErrConflict), err != nil && ctx.Err() != nil:
		log.Info("no task", "reason", err)
		return nil
	case err != nil:
		return err
	}
	log.Info("task", "task", p.Task, "lease", p.Epoch)
	err = w.Run(ctx, base, p.Token, client, p.Task, p.Epoch)
	if errors.Is(err, ci.ErrConflict) {
		log.Info("superseded: this hand-out of the task is not wanted any more", "reason", err)
		return nil
	}
	return err
}
