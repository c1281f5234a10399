package onhost_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/onhost"
	"github.com/rondo-ci/rondo/vmservice/vmservicetest"
)

// setup is a driver for the suites, beside another installation in its folder.
func setup(t *testing.T) vmservicetest.Setup {
	cfg := config(t)
	d := open(t, cfg)
	stranger, err := onhost.New("stranger "+t.Name(), cfg)
	require.NoError(t, err)
	return vmservicetest.Setup{
		Driver: d, Install: "test " + t.Name(), Model: forJob, Wait: time.Minute,
		Foreign: func(t *testing.T) string {
			m, err := stranger.Create(t.Context(), "theirs", forJob, boot(time.Hour))
			require.NoError(t, err)
			t.Cleanup(func() {
				require.NoError(t, stranger.Destroy(context.WithoutCancel(t.Context()), m.ID))
				clear(t, stranger)
			})
			return m.ID
		},
	}
}

func TestVMS01_DriverSuite(t *testing.T) { vmservicetest.TestDriver(t, setup) }

func TestVMS01_VolumesSuite(t *testing.T) { vmservicetest.TestVolumes(t, setup) }

var (
	_ vmservice.Driver  = (*onhost.Driver)(nil)
	_ vmservice.Volumes = (*onhost.Driver)(nil)
	_ vmservice.Checker = (*onhost.Driver)(nil)
)
