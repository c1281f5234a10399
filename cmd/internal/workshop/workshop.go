// Package workshop is where an agent's process runs tasks: a folder of its own
// for scratch, the executors, and the way to the server's door. The agents that
// the server starts and those that Nomad starts are this workshop.
package workshop

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/agent/host"
	"github.com/rondo-ci/rondo/ci/agent/machine"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/cmd/internal/worker"
	"github.com/rondo-ci/rondo/vmservice/guest"
)

// A Workshop runs one task after the other.
type Workshop struct {
	tool    string
	program *machine.Program
	dir     *workDir
	log     *slog.Logger
	here    *host.Executor
	places  *worker.Worker
}

// Open makes a work folder below dir, which nobody else may use. This process
// must start no other children than steps.
func Open(dir string, jobs worker.Docker, log *slog.Logger) (*Workshop, error) {
	tool, err := os.Executable()
	if err != nil {
		return nil, err
	}
	w := &Workshop{tool: tool, program: machine.NewProgram(tool), log: log}
	if w.dir, err = newWorkDir(dir); err != nil {
		return nil, err
	}
	w.here = host.New(host.Config{Dir: w.dir.path, Adopt: true, Keep: true, Fill: agent.Fill(tool)})
	if w.places, err = worker.New(w.here, jobs, w.dir.path, tool); err != nil {
		w.dir.close()
		return nil, err
	}
	return w, nil
}

// Close removes the work folder as a whole.
func (w *Workshop) Close() { w.dir.close() }

// Warm does what can be done before the task is known.
func (w *Workshop) Warm() { w.here.Warm() }

// Ready is [worker.Worker.Ready].
func (w *Workshop) Ready(ctx context.Context) error { return w.places.Ready(ctx) }

// Run runs a hand-out of a task to its end, see [agent.Agent.Run]. base and
// client are what [door.Dial] gives.
func (w *Workshop) Run(ctx context.Context, base, token string, client *http.Client, task ci.TaskID, epoch int64) error {
	d := door.NewClient(base, token, client)
	d.UseBucket(nil, w.log.With("task", task, "lease", epoch))
	remote := machine.New(machine.Config{Login: login, Base: base, HTTP: client, Token: d.Token, Program: w.program, Log: w.log})
	a := agent.New(d, d, agent.Config{Executor: w.places, Tool: w.tool, Log: w.log, Machines: d, Remote: remote})
	if err := a.Run(ctx, task, epoch); err != nil {
		return fmt.Errorf("task %s: %w", task, err)
	}
	return nil
}

// login logs in to the machine of a task.
func login(ctx context.Context, m ci.Machine) (machine.Visit, error) {
	v, err := guest.Enter(ctx, m)
	if err != nil {
		return nil, err // not a nil *guest.Visit
	}
	return v, nil
}
