package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/rondo-ci/rondo/ci/agent/host"
	"github.com/rondo-ci/rondo/cmd/internal/worker"
)

// executorSettings say where jobs run, besides processes of this machine.
type executorSettings struct {
	Docker *worker.Docker `yaml:"docker"`
}

// docker returns the engine, none if nothing is said about it.
func (s executorSettings) docker() worker.Docker {
	if s.Docker == nil {
		return worker.Docker{}
	}
	d := *s.Docker
	if d.Host == "" {
		d.Host = worker.LocalEngine
	}
	return d
}

func (s executorSettings) check() error {
	if err := s.docker().Check(); err != nil {
		return fmt.Errorf("executor: %w", err)
	}
	return nil
}

// openPlaces looks whether the engine of the jobs is there, and removes what
// agents of an earlier server have left in it. The agents have places of their
// own; this process needs one only to clean up after them.
func (in *installation) openPlaces(ctx context.Context, self string) (err error) {
	jobs := in.jobs
	if in.nomad != nil { // the engines are those of its clients
		jobs = worker.Docker{}
	}
	if in.places, err = worker.New(host.New(host.Config{}), jobs, in.local.Join("work"), self); err != nil {
		return err
	}
	err = in.places.Ready(ctx)
	if errors.Is(err, worker.ErrSweep) {
		in.log.Warn("containers of earlier jobs are left", "err", err)
		return nil
	}
	return err
}
