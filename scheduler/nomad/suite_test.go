package nomad_test

import (
	"testing"

	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/nomad"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
	"github.com/rondo-ci/rondo/storage/memdb"
)

func TestFakeNomad(t *testing.T) {
	for name, cfg := range map[string]nomad.Config{
		"Register": {}, "Dispatch": {Dispatch: true},
		"Warm": {Warm: []nomad.Warm{{Resources: scheduler.Resources{CPU: 1, MemoryMB: 256}, Count: 2}}, Secret: make([]byte, 32)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			schedulertest.TestCluster(t, func(t *testing.T) scheduler.Cluster {
				cfg := cfg
				cfg.Docs = memdb.New()
				return newWorld(t, cfg, overHTTP(t)).start(t)
			})
		})
	}
}
