package vmservicetest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

// TestVolumes is what a [vmservice.Driver] with [vmservice.Volumes] must do
// besides [TestDriver].
func TestVolumes(t *testing.T, open func(t *testing.T) Setup) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Setup, vmservice.Volumes)
	}{
		{"Life", testVolumeLife}, {"SameKey", testVolumeSameKey}, {"Attach", testAttach},
		{"OutlivesMachine", testOutlives}, {"InUseStays", testInUse},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			v, ok := s.Driver.(vmservice.Volumes)
			require.True(t, ok, "%T has no volumes", s.Driver)
			c.test(t, s, v)
		})
	}
}

// volumeGB is the size of the volumes of the suite.
const volumeGB = 1

// volume makes a free volume in the zone of m, and removes it with the test.
func (s Setup) volume(t *testing.T, v vmservice.Volumes, key, zone string) vmservice.Volume {
	t.Helper()
	made, err := v.CreateVolume(t.Context(), key, volumeGB, zone, map[string]string{
		vmservice.TagInstall: s.Install, vmservice.TagKey: key, vmservice.TagProject: "p1", vmservice.TagTrust: "trusted",
	})
	require.NoError(t, err)
	require.NotEmpty(t, made.ID)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_ = v.Detach(ctx, made.ID, true) // it may be gone
		s.eventually(t, "volume can be removed", func() bool { return v.DestroyVolume(ctx, made.ID) == nil })
	})
	s.inState(t, v, made.ID, vmservice.VolumeFree)
	return made
}

// findVolume returns a volume as it is listed.
func findVolume(t *testing.T, v vmservice.Volumes, id string) (vmservice.Volume, bool) {
	t.Helper()
	all, err := v.Volumes(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	for _, one := range all {
		if one.ID == id {
			return one, true
		}
	}
	return vmservice.Volume{}, false
}

// inState waits until a volume is in a state.
func (s Setup) inState(t *testing.T, v vmservice.Volumes, id string, want vmservice.VolumeState) vmservice.Volume {
	t.Helper()
	var one vmservice.Volume
	s.eventually(t, "volume "+id+" is "+string(want), func() bool {
		var there bool
		one, there = findVolume(t, v, id)
		return there && one.State == want
	})
	return one
}

func testVolumeLife(t *testing.T, s Setup, v vmservice.Volumes) {
	made := s.volume(t, v, "disk", "")
	one := s.inState(t, v, made.ID, vmservice.VolumeFree)
	require.Equal(t, "disk", one.Key)
	require.GreaterOrEqual(t, one.GB, volumeGB)
	require.Empty(t, one.Machine)
	require.Equal(t, map[string]string{
		vmservice.TagInstall: s.Install, vmservice.TagKey: "disk", vmservice.TagProject: "p1", vmservice.TagTrust: "trusted",
	}, map[string]string{
		vmservice.TagInstall: one.Tags[vmservice.TagInstall], vmservice.TagKey: one.Tags[vmservice.TagKey],
		vmservice.TagProject: one.Tags[vmservice.TagProject], vmservice.TagTrust: one.Tags[vmservice.TagTrust],
	})
	require.NoError(t, v.Detach(t.Context(), made.ID, false), "a free one")
	require.NoError(t, v.DestroyVolume(t.Context(), made.ID))
	s.eventually(t, "volume is gone", func() bool { _, there := findVolume(t, v, made.ID); return !there })
	require.NoError(t, v.DestroyVolume(t.Context(), made.ID), "again")
	require.NoError(t, v.DestroyVolume(t.Context(), unknown(made.ID)), "one that never was")
}

func testVolumeSameKey(t *testing.T, s Setup, v vmservice.Volumes) {
	one, other := s.volume(t, v, "one", ""), s.volume(t, v, "other", "")
	require.NotEqual(t, one.ID, other.ID)
	require.Equal(t, one.ID, s.volume(t, v, "one", "").ID)
	all, err := v.Volumes(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 2)
}

func testAttach(t *testing.T, s Setup, v vmservice.Volumes) {
	first := s.running(t, s.create(t, "first").ID)
	disk := s.volume(t, v, "disk", first.Zone)
	device, err := v.Attach(t.Context(), disk.ID, first.ID)
	require.NoError(t, err)
	require.NotEmpty(t, device)
	require.Equal(t, first.ID, s.inState(t, v, disk.ID, vmservice.VolumeAttached).Machine)
	again, err := v.Attach(t.Context(), disk.ID, first.ID)
	require.NoError(t, err)
	require.Equal(t, device, again)

	second, err := s.Driver.Create(t.Context(), "second", s.Model, s.boot("second", first.Zone))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Driver.Destroy(context.WithoutCancel(t.Context()), second.ID) })
	s.running(t, second.ID)
	_, err = v.Attach(t.Context(), disk.ID, second.ID)
	require.ErrorIs(t, err, ci.ErrConflict, "one that another machine has")

	require.NoError(t, v.Detach(t.Context(), disk.ID, false))
	require.Empty(t, s.inState(t, v, disk.ID, vmservice.VolumeFree).Machine)
	require.NoError(t, v.Detach(t.Context(), disk.ID, false), "again")
	_, err = v.Attach(t.Context(), disk.ID, second.ID)
	require.NoError(t, err)
	require.Equal(t, second.ID, s.inState(t, v, disk.ID, vmservice.VolumeAttached).Machine)
	require.NoError(t, v.Detach(t.Context(), disk.ID, true))
	s.inState(t, v, disk.ID, vmservice.VolumeFree)
}

// A volume that was attached to a machine is there when the machine is not.
func testOutlives(t *testing.T, s Setup, v vmservice.Volumes) {
	m := s.running(t, s.create(t, "mortal").ID)
	disk := s.volume(t, v, "disk", m.Zone)
	_, err := v.Attach(t.Context(), disk.ID, m.ID)
	require.NoError(t, err)
	require.NoError(t, s.Driver.Destroy(t.Context(), m.ID))
	s.eventually(t, "machine ends", func() bool { _, there := s.find(t, m.ID); return !there })
	require.NoError(t, v.Detach(t.Context(), disk.ID, true))
	s.inState(t, v, disk.ID, vmservice.VolumeFree)
}

func testInUse(t *testing.T, s Setup, v vmservice.Volumes) {
	m := s.running(t, s.create(t, "user").ID)
	disk := s.volume(t, v, "disk", m.Zone)
	_, err := v.Attach(t.Context(), disk.ID, m.ID)
	require.NoError(t, err)
	require.Error(t, v.DestroyVolume(t.Context(), disk.ID))
	require.Equal(t, m.ID, s.inState(t, v, disk.ID, vmservice.VolumeAttached).Machine)
}
