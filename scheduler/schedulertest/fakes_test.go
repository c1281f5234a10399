package schedulertest_test

import (
	"testing"

	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
)

func TestFakeCluster(t *testing.T) {
	schedulertest.TestCluster(t, func(t *testing.T) scheduler.Cluster {
		return schedulertest.NewCluster(schedulertest.Agent, schedulertest.Node("n1", 8, 16384))
	})
}

func TestFakeBacklog(t *testing.T) {
	schedulertest.TestBacklog(t, func(*testing.T) scheduler.Backlog { return new(schedulertest.Backlog) })
}
