package workshop

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/agent/host"
	"github.com/rondo-ci/rondo/ci/agent/machine"
	"github.com/rondo-ci/rondo/ci/api/door"
)

// Attend is the whole of a process that is the agent on a job's own machine, see
// [machine.Named]. It returns its exit code.
func Attend(in io.Reader, out, errs io.Writer) int {
	KeepPrivate()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(errs, nil))
	code, err := machine.Attend(ctx, in, out, func(ctx context.Context, l machine.Link) error { return attend(ctx, l, log) })
	if err != nil {
		fmt.Fprintf(errs, "%v\n", err)
	}
	return code
}

// attend runs the rest of a task with this machine as the job's own.
func attend(ctx context.Context, l machine.Link, log *slog.Logger) error {
	tool, err := os.Executable()
	if err != nil {
		return err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	dir, err := newWorkDir(filepath.Join(cache, "rondo", "work"))
	if err != nil {
		return err
	}
	defer dir.close()
	here := host.New(host.Config{Dir: dir.path, Adopt: true, Own: true, Fill: agent.Fill(tool)})
	d := door.NewClient(l.Base, l.Token, l.HTTP)
	d.UseBucket(nil, log)
	return agent.New(d, d, agent.Config{Executor: here, Tool: tool, Log: log, MaxTime: l.Rest.MaxTime}).Resume(ctx, l.Rest)
}
