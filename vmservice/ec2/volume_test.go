package ec2_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/ec2"
	"github.com/rondo-ci/rondo/vmservice/ec2/ec2test"
)

// runningOne makes a machine and lets it boot.
func runningOne(t *testing.T, d *ec2.Driver, key string) string {
	t.Helper()
	m, err := d.Create(t.Context(), key, forJob, boot)
	require.NoError(t, err)
	time.Sleep(time.Minute)
	return m.ID
}

func freeOne(t *testing.T, d *ec2.Driver, key string) string {
	t.Helper()
	v, err := d.CreateVolume(t.Context(), key, 100, "", map[string]string{vmservice.TagProject: "p1"})
	require.NoError(t, err)
	time.Sleep(time.Minute)
	return v.ID
}

func volumeState(t *testing.T, d *ec2.Driver, id string) vmservice.VolumeState {
	t.Helper()
	all, err := d.Volumes(t.Context())
	require.NoError(t, err)
	for _, v := range all {
		if v.ID == id {
			return v.State
		}
	}
	return "none"
}

func TestVolumes_EncryptedGp3WithTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ec2test.New(ec2test.Config{Lag: 30 * time.Second})
		d := driver(t, good(c))
		c.Script(ec2test.Rule{Action: "CreateVolume", Times: 3, Lost: true})
		_, err := d.CreateVolume(t.Context(), "v1", 100, "", nil)
		require.Equal(t, vmservice.FaultTransient, fault(t, err).Class)
		id := freeOne(t, d, "v1x")
		first, err := d.CreateVolume(t.Context(), "v1", 100, "", nil)
		require.NoError(t, err)
		again, err := d.CreateVolume(t.Context(), "v1", 200, "", nil) // other arguments
		require.NoError(t, err)
		require.Equal(t, first.ID, again.ID)
		all := c.Volumes()
		require.Len(t, all, 2)
		for _, v := range all {
			require.True(t, v.Encrypted)
			require.Equal(t, "gp3", v.Type)
			require.Equal(t, "us-west-2a", v.Zone)
			require.Equal(t, "circleci-vm-service", v.Tags["ManagedBy"])
		}
		require.NoError(t, d.DestroyVolume(t.Context(), id))
		require.NoError(t, d.DestroyVolume(t.Context(), id), "twice")
		require.Equal(t, vmservice.VolumeState("none"), volumeState(t, d, id))
	})
}

func TestVolumes_TheDeviceIsNamedBySerial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ec2test.New(ec2test.Config{})
		cfg := good(c)
		cfg.Classes = map[string]ec2.Class{"old": {Types: []string{"t2.medium"}}}
		d := driver(t, cfg)
		m, v := runningOne(t, d, "k1"), freeOne(t, d, "v1")
		device, err := d.Attach(t.Context(), v, m)
		require.NoError(t, err)
		require.Equal(t, "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_"+v[:3]+v[4:], device)
		require.Equal(t, vmservice.VolumeAttached, volumeState(t, d, v))

		old, err := d.Create(t.Context(), "k2", vmservice.Model{Kind: ci.MachineForJob, Class: "old"}, boot)
		require.NoError(t, err)
		v2 := freeOne(t, d, "v2")
		device, err = d.Attach(t.Context(), v2, old.ID)
		require.NoError(t, err)
		require.Equal(t, "/dev/xvdf", device)
	})
}

func TestVolumes_Refusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ec2test.New(ec2test.Config{})
		cfg := good(c)
		cfg.Subnets = []string{"subnet-0000000b"}
		d := driver(t, cfg)
		m, v := runningOne(t, d, "k1"), freeOne(t, d, "v1")
		far, err := d.CreateVolume(t.Context(), "far", 100, "us-west-2b", nil)
		require.NoError(t, err)
		_, err = d.Attach(t.Context(), far.ID, m)
		require.ErrorIs(t, err, ci.ErrInvalid)
		require.ErrorContains(t, err, "zone us-west-2a, the volume in us-west-2b")
		_, err = d.Attach(t.Context(), "vol-00000000000000abc", m)
		require.ErrorIs(t, err, ci.ErrNotFound)
		_, err = d.Attach(t.Context(), v, "i-00000000000000abc")
		require.ErrorIs(t, err, ci.ErrNotFound)
		booting, err := d.Create(t.Context(), "k2", forJob, boot)
		require.NoError(t, err)
		_, err = d.Attach(t.Context(), v, booting.ID)
		require.Equal(t, vmservice.FaultTransient, fault(t, err).Class)
		c.Script(ec2test.Rule{Action: "AttachVolume", Times: 1, Code: "AttachmentLimitExceeded"})
		_, err = d.Attach(t.Context(), v, m)
		require.Equal(t, vmservice.FaultQuota, fault(t, err).Class)
		for i := range 11 { // /dev/sdf to /dev/sdp
			one := freeOne(t, d, fmt.Sprint("more", i))
			_, err = d.Attach(t.Context(), one, m)
			require.NoError(t, err)
		}
		_, err = d.Attach(t.Context(), v, m)
		require.Equal(t, vmservice.FaultQuota, fault(t, err).Class)
		c.Break(v)
		require.Equal(t, vmservice.VolumeBroken, volumeState(t, d, v))
	})
}

func TestVolumes_AStuckDetachIsForced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ec2test.New(ec2test.Config{})
		d := driver(t, good(c))
		m, v := runningOne(t, d, "k1"), freeOne(t, d, "v1")
		c.Script(ec2test.Rule{Action: "AttachVolume", Times: 3, Lost: true})
		_, err := d.Attach(t.Context(), v, m)
		require.Error(t, err)
		_, err = d.Attach(t.Context(), v, m)
		require.NoError(t, err)
		c.Stick(v)
		require.NoError(t, d.Detach(t.Context(), v, false))
		time.Sleep(time.Hour)
		require.Equal(t, vmservice.VolumeDetaching, volumeState(t, d, v))
		require.ErrorIs(t, d.DestroyVolume(t.Context(), v), ci.ErrConflict)
		require.NoError(t, d.Detach(t.Context(), v, true))
		time.Sleep(time.Minute)
		require.Equal(t, vmservice.VolumeFree, volumeState(t, d, v))
		require.NoError(t, d.Detach(t.Context(), v, false))

		_, err = d.Attach(t.Context(), v, m)
		require.NoError(t, err)
		c.Stick(m)
		require.NoError(t, d.Destroy(t.Context(), m))
		time.Sleep(time.Hour)
		require.Equal(t, vmservice.MachineEnding, states(t, d)[m])
		c.Heal()
		require.Equal(t, vmservice.MachineGone, states(t, d)[m])
		require.Equal(t, vmservice.VolumeFree, volumeState(t, d, v), "it outlives the machine")
	})
}
