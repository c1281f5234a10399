package main

import (
	"github.com/rondo-ci/rondo/cmd/internal/engine"
	"github.com/rondo-ci/rondo/scheduler/local"
)

// openNodes returns where agents are started: on the clients of a Nomad, or on
// this machine.
func (in *installation) openNodes(self string) (engine.Cluster, error) {
	if in.nomad != nil {
		return in.openNomad(in.nomad)
	}
	argv := append([]string{self, "agent", "--door", "unix:" + in.agents.Addr().String(), "--dir", in.local.Join("work")}, in.jobs.Args()...)
	return local.New(local.Exec(argv, agentEnvironment()), local.Config{Log: in.log, Dir: in.local.Join("agents"), Sweep: in.sweep}), nil
}
