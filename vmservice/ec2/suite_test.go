package ec2_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/ec2"
	"github.com/rondo-ci/rondo/vmservice/ec2/ec2test"
	"github.com/rondo-ci/rondo/vmservice/vmservicetest"
)

// overHTTP is a driver whose cloud is behind a socket, in a hurry.
func overHTTP(t *testing.T) vmservicetest.Setup {
	t.Helper()
	c := ec2test.New(ec2test.Config{
		Lag: 50 * time.Millisecond, Boot: 100 * time.Millisecond, End: 100 * time.Millisecond, Attach: 50 * time.Millisecond, Page: 5,
	})
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	cfg := good(c)
	cfg.Net = ec2.Net{Endpoint: server.URL, HTTP: server.Client()}
	d, err := ec2.New("suite", cfg)
	require.NoError(t, err)
	stranger, err := ec2.New("another", cfg)
	require.NoError(t, err)
	return vmservicetest.Setup{
		Driver: d, Install: "suite", Model: forJob, Wait: 10 * time.Second,
		Foreign: func(t *testing.T) string {
			m, err := stranger.Create(t.Context(), "theirs", forJob, boot)
			require.NoError(t, err)
			t.Cleanup(func() {
				time.Sleep(60 * time.Millisecond)
				require.NoError(t, stranger.Destroy(context.WithoutCancel(t.Context()), m.ID))
			})
			return m.ID
		},
	}
}

func TestVMS01_DriverSuite(t *testing.T) { vmservicetest.TestDriver(t, overHTTP) }

func TestVMS01_VolumesSuite(t *testing.T) { vmservicetest.TestVolumes(t, overHTTP) }

var (
	_ vmservice.Driver  = (*ec2.Driver)(nil)
	_ vmservice.Volumes = (*ec2.Driver)(nil)
	_ vmservice.Checker = (*ec2.Driver)(nil)
)
