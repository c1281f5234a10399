// Package docker runs the steps of a job in a container of the image that the
// job names, as the docker executor of the configuration language has it.
//
// An [Executor] opens one sandbox per task: a network of its own, the primary
// container whose steps run as the image's user, and the service containers,
// which share the primary's network and so answer at localhost and at their
// names. All of it carries [LabelTask], [LabelEpoch] and [LabelOwner], ends
// with the place, and what a dead agent has left is removed by [Executor.Sweep].
//
// The first process of the primary is the agent's own (package warden), which
// starts the steps: the job's processes live no longer than the agent. Files
// are read and written by a thread that enters the container's file system with
// the rights of the image's user (see [place.Place.Within]). Both need an agent
// that is root on the machine of the engine, and that machine to run Linux; an
// engine elsewhere is refused. Jobs get the engine's default privileges and
// nothing of a job's configuration can ask for more. They reach neither the
// engine's socket, nor files of the agent, nor link-local addresses, where
// clouds tell machines their credentials.
//
// The package never builds images, and never changes the engine's settings.
package docker

import (
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"

	"github.com/moby/moby/client"
	"github.com/rondo-ci/rondo/ci"
)

// Labels of all that the executor makes in the engine.
const (
	LabelTask  = "ci.rondo.task"
	LabelEpoch = "ci.rondo.epoch"
	// LabelOwner names the process that made it; see [Executor.Sweep].
	LabelOwner = "ci.rondo.owner"
)

// Limits bound what the containers of a task may use. 0 is no limit.
type Limits struct {
	CPUs   float64
	Memory int64 // bytes; there is no swap beyond it
}

// Config adjusts an [Executor].
type Config struct {
	// Host is the engine's address; "" is unix:///var/run/docker.sock. Only
	// sockets of this machine are possible.
	Host string
	// Dir is where private files of tasks are; "" is the system's temporary
	// directory. The engine has to see it at the same path.
	Dir string
	// Tool is the executable that steps find as circleci, and that is each
	// container's first process: its main calls [tool.Main] when it is named
	// circleci. It has to be statically linked, because images differ in
	// their libraries. Required.
	Tool string
	// Limits says what a task may use; nil is no limit. An error that wraps
	// [ci.ErrInvalid] fails the job.
	Limits func(ci.PlannedJob) (Limits, error)
	// Always pulls images that are here already, so that a tag which moved is
	// followed, and a job cannot use what another one pulled with credentials
	// that it does not have.
	Always bool
	// ECR returns the password for a registry of AWS (user AWS), with the
	// job's aws_auth; nil: there are none for jobs with aws_auth.
	ECR func(ctx context.Context, registry string, auth map[string]string) (password string, err error)
	// Deny are further networks that jobs do not reach.
	Deny []netip.Prefix
	// Processes is how many a task may have at a time; 0 is 16384.
	Processes int64
}

// An Executor opens places in an engine. It is safe for concurrent use.
type Executor struct {
	cfg    Config
	engine *client.Client
	owner  string
}

// New returns an executor. It does not talk to the engine yet. An address that
// is not of this machine, and a tool that cannot run in every image, are
// [ci.ErrInvalid].
func New(cfg Config) (*Executor, error) {
	cfg.Host = cmp.Or(cfg.Host, "unix:///var/run/docker.sock")
	cfg.Dir = cmp.Or(cfg.Dir, os.TempDir())
	cfg.Processes = cmp.Or(cfg.Processes, 16384)
	if u, err := client.ParseHostURL(cfg.Host); err != nil || u.Scheme != "unix" {
		return nil, fmt.Errorf("docker engine %q: the address has to be unix:///path of a socket of this machine: %w", cfg.Host, ci.ErrInvalid)
	}
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("docker engine %s: jobs in containers need an agent on Linux: %w", cfg.Host, ci.ErrInvalid)
	}
	if err := checkTool(cfg.Tool); err != nil {
		return nil, err
	}
	for _, path := range []*string{&cfg.Dir, &cfg.Tool} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return nil, err
		}
		*path = abs
	}
	engine, err := client.New(client.WithHost(cfg.Host))
	if err != nil {
		return nil, fmt.Errorf("docker engine %s: %w", cfg.Host, err)
	}
	return &Executor{cfg: cfg, engine: engine, owner: ownerName(os.Getpid())}, nil
}

// checkTool looks whether an executable runs without the libraries of an image.
func checkTool(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("the agent's tool %q: %w: %w", path, err, ci.ErrInvalid)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("the agent's tool %s needs shared libraries, which images may not have; build it with CGO_ENABLED=0: %w", path, ci.ErrInvalid)
		}
	}
	return nil
}

// Ping asks the engine whether it is there.
func (e *Executor) Ping(ctx context.Context) error {
	if _, err := e.engine.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return fmt.Errorf("docker engine %s: %w", e.cfg.Host, err)
	}
	return nil
}

// Close ends the connections to the engine. Places that are open stay.
func (e *Executor) Close() error { return e.engine.Close() }

// invalid makes an error of the job's, for people.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", fmt.Errorf(format, args...), ci.ErrInvalid)
}

// isUser reports whether an error is the job's.
func isUser(err error) bool { return errors.Is(err, ci.ErrInvalid) }
