// Package worker is where the jobs of an agent run, put together from flags:
// processes of this machine, and for jobs that name images the containers of a
// Docker engine, if one is configured. All commands that run jobs take the
// same flags, and the server hands its own on to the agents it starts.
package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/docker"
	"github.com/rondo-ci/rondo/ci/agent/ecr"
	"github.com/rondo-ci/rondo/ci/agent/host"
	"github.com/rondo-ci/rondo/ci/agent/place"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/spf13/pflag"
)

// LocalEngine is the usual address of a Docker engine of this machine.
const LocalEngine = "unix:///var/run/docker.sock"

// A Docker says which engine runs jobs that name images. The zero Docker is
// none: they run as processes of this machine.
type Docker struct {
	Host string   `yaml:"host"` // as in unix:///var/run/docker.sock
	Pull string   `yaml:"pull"` // missing (the default) or always
	Deny []string `yaml:"deny"` // networks that jobs do not reach
}

// AddFlags adds the flags --docker, --docker-pull and --docker-deny.
func (d *Docker) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&d.Host, "docker", "", "run jobs that name images in containers of the Docker engine at this address (--docker alone: "+LocalEngine+")")
	flags.Lookup("docker").NoOptDefVal = LocalEngine
	flags.StringVar(&d.Pull, "docker-pull", "", "pull images that are not here (missing), or each time (always)")
	flags.StringSliceVar(&d.Deny, "docker-deny", nil, "networks that containers do not reach, as in 10.0.0.0/8 (repeatable)")
}

// Args returns the flags that say the same, for another process.
func (d Docker) Args() []string {
	var args []string
	if d.Host != "" {
		args = append(args, "--docker="+d.Host)
	}
	if d.Pull != "" {
		args = append(args, "--docker-pull="+d.Pull)
	}
	for _, n := range d.Deny {
		args = append(args, "--docker-deny="+n)
	}
	return args
}

// Check tells what is wrong with what was said, in the words of the settings.
func (d Docker) Check() error {
	if d.Pull != "" && d.Pull != "missing" && d.Pull != "always" {
		return fmt.Errorf("docker pull: %q is neither missing nor always", d.Pull)
	}
	_, err := d.networks()
	return err
}

func (d Docker) networks() ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, text := range d.Deny {
		n, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("docker deny: %q is no network, as in 10.0.0.0/8", text)
		}
		list = append(list, n)
	}
	return list, nil
}

// Engine returns the executor of the engine, nil if there is none.
func (d Docker) Engine(dir, tool string) (*docker.Executor, error) {
	if d.Host == "" {
		return nil, nil
	}
	deny, err := d.networks()
	if err != nil {
		return nil, err
	}
	return docker.New(docker.Config{Host: d.Host, Dir: dir, Tool: tool, Always: d.Pull == "always", Deny: deny, Limits: limits, ECR: ecr.New(ecr.Config{}).Password})
}

// limits are those of the resource class; a class that nobody knows has none,
// and no job of it gets this far.
func limits(j ci.PlannedJob) (docker.Limits, error) {
	classes := scheduler.DefaultClasses()
	name := cmp.Or(j.ResourceClass, "medium")
	r, ok := classes[string(j.Executor.Kind)+"/"+name]
	if !ok {
		r = classes[name]
	}
	return docker.Limits{CPUs: r.CPU, Memory: int64(r.MemoryMB) << 20}, nil
}

// A Worker sends each job to the executor that is for it. It is safe for
// concurrent use.
type Worker struct {
	here *host.Executor
	in   *docker.Executor // nil for none
}

// New returns a worker over processes of this machine and the engine. It does
// not talk to the engine yet. dir is where private files of tasks are, tool
// the executable that steps find as circleci.
func New(here *host.Executor, d Docker, dir, tool string) (*Worker, error) {
	in, err := d.Engine(dir, tool)
	if err != nil {
		return nil, err
	}
	return &Worker{here, in}, nil
}

// Open implements [place.Executor].
func (w *Worker) Open(ctx context.Context, work ci.Work, out io.Writer) (place.Place, error) {
	if w.in != nil && work.Job.Executor.Kind == ci.ExecutorDocker && len(work.Job.Executor.Images) > 0 {
		return w.in.Open(ctx, work, out)
	}
	return w.here.Open(ctx, work, out)
}

// Warm implements [place.Warmer].
func (w *Worker) Warm() (release func()) { return w.here.Warm() }

// sweepTime bounds how long an engine may take to clean up.
const sweepTime = time.Minute

// Ready asks the engine whether it is there and removes what dead agents have
// left in it. Without an engine there is nothing to do. An error that wraps
// [ErrSweep] is that it is there and could not be cleaned.
func (w *Worker) Ready(ctx context.Context) error {
	if w.in == nil {
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, sweepTime)
	defer stop()
	if err := w.in.Ping(ctx); err != nil {
		return err
	}
	if _, err := w.in.Sweep(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrSweep, err)
	}
	return nil
}

// ErrSweep says that what dead agents have left could not be removed.
var ErrSweep = errors.New("clean up containers")
