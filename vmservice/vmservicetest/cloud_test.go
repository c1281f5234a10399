package vmservicetest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/vmservicetest"
)

func open(t *testing.T) vmservicetest.Setup {
	c := vmservicetest.NewCloud(vmservicetest.CloudConfig{
		Install: "here", Boot: 20 * time.Millisecond, End: 5 * time.Millisecond, Keep: time.Minute, Lag: 10 * time.Millisecond,
	})
	return vmservicetest.Setup{
		Driver: c, Install: "here", Wait: 2 * time.Second, Model: vmservice.Model{Kind: ci.MachineForJob, Class: "medium"},
		Foreign: func(t *testing.T) string {
			m, err := c.Create(t.Context(), "foreign", vmservice.Model{}, vmservice.Boot{Tags: map[string]string{vmservice.TagInstall: "there"}})
			require.NoError(t, err)
			return m.ID
		},
	}
}

func TestCloud(t *testing.T) {
	vmservicetest.TestDriver(t, open)
	vmservicetest.TestVolumes(t, open)
}
