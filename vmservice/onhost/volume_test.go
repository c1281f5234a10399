package onhost_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/onhost"
)

// A volume that is plugged into a machine that runs carries what was written to
// the next one. A machine sees no disk that it was not given, and none after it
// was taken back.
func TestDLC06_VolumeMovesBetweenRunningMachines(t *testing.T) {
	d := open(t, config(t))
	v, err := d.CreateVolume(t.Context(), "layers", 1, "", nil)
	require.NoError(t, err)
	other, err := d.CreateVolume(t.Context(), "other", 1, "", nil)
	require.NoError(t, err)
	first, second := create(t, d, "first"), create(t, d, "second")
	a, b := enter(t, first), enter(t, second)
	device, err := d.Attach(t.Context(), v.ID, first.ID)
	require.NoError(t, err)
	stranger, err := d.Attach(t.Context(), other.ID, second.ID)
	require.NoError(t, err)
	must(t, a, "sudo mkfs.ext4 -q "+device+" && sudo mkdir /mnt/v && sudo mount "+device+" /mnt/v && sudo sh -c 'echo layer >/mnt/v/f'")

	// Nodes can be made, and open nothing: neither the host's disk, nor the disk
	// of this machine, nor that of another.
	for _, numbers := range []string{numbersOf(t, "/"), must(t, b, "stat -c %Hr:%Lr "+stranger), must(t, a, "findmnt -no MAJ:MIN /var/lib/docker")} {
		out, err := run(a, "n="+numbers+"; sudo sh -c \"rm -f /dev/spy; mknod /dev/spy b ${n%:*} ${n#*:} && head -c1 /dev/spy\"")
		require.Error(t, err, numbers)
		require.Contains(t, out, "Operation not permitted", numbers)
	}

	err = d.Detach(t.Context(), v.ID, false)
	require.ErrorContains(t, err, "has it mounted or open")
	_, err = d.Attach(t.Context(), v.ID, second.ID)
	require.ErrorIs(t, err, ci.ErrConflict, "it is still in use")
	must(t, a, "sudo umount /mnt/v")
	require.NoError(t, d.Detach(t.Context(), v.ID, false))
	_, err = run(a, "sudo head -c1 "+device)
	require.Error(t, err)
	device, err = d.Attach(t.Context(), v.ID, second.ID)
	require.NoError(t, err)
	require.Equal(t, "layer", must(t, b, "sudo mkdir /mnt/v && sudo mount "+device+" /mnt/v && cat /mnt/v/f"))

	// Force ends a machine that does not let go: two never write to one volume.
	require.NoError(t, d.Detach(t.Context(), v.ID, true))
	require.Equal(t, vmservice.MachineGone, state(t, d, second.ID).State)
	require.Contains(t, state(t, d, second.ID).Why, "was taken away")
	require.Equal(t, vmservice.MachineRunning, state(t, d, first.ID).State)
	device, err = d.Attach(t.Context(), v.ID, first.ID)
	require.NoError(t, err)
	require.Equal(t, "layer", must(t, a, "sudo mount "+device+" /mnt/v && cat /mnt/v/f"))
	require.NoError(t, d.Destroy(t.Context(), first.ID))
	all, err := d.Volumes(t.Context())
	require.NoError(t, err)
	for _, one := range all {
		require.Equal(t, vmservice.VolumeFree, one.State, "with its machine")
	}
}

// numbersOf returns the numbers of the block device below a folder.
func numbersOf(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command("findmnt", "-no", "MAJ:MIN", "-T", dir).Output()
	require.NoError(t, err)
	return string(out[:len(out)-1])
}

// The way to the machine's /dev leads through the machine. Its root puts a link
// there; nothing of the host is touched.
func TestDLC03_LinksOfAMachineAreNotFollowed(t *testing.T) {
	d := open(t, config(t))
	v, err := d.CreateVolume(t.Context(), "v", 1, "", nil)
	require.NoError(t, err)
	m := create(t, d, "m")
	c := enter(t, m)
	must(t, c, "sudo ln -s /etc/passwd /dev/rondo-"+v.ID)
	_, err = d.Attach(t.Context(), v.ID, m.ID)
	require.NoError(t, err)
	must(t, c, "test -b /dev/rondo-"+v.ID+" && test -f /etc/passwd")
	_, err = os.Stat("/dev/rondo-" + v.ID)
	require.ErrorIs(t, err, os.ErrNotExist, "the host got it")
	require.NoError(t, d.Detach(t.Context(), v.ID, false))

	// All of its /dev is a link, to a folder that the host has as well.
	trap := t.TempDir()
	must(t, c, "sudo sh -c 'mkdir -p "+trap+"; umount -l /dev; mv /dev /dev2; ln -s "+trap+" /dev'")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err = d.Attach(ctx, v.ID, m.ID)
	require.ErrorContains(t, err, "find the machine's /dev")
	caught, err := os.ReadDir(trap)
	require.NoError(t, err)
	require.Empty(t, caught)
}

// Disks that are full, and sizes that there are not, are told before anything
// is made.
func TestDLC04_FullDisk(t *testing.T) {
	possible(t)
	dir := filepath.Join(t.TempDir(), "small")
	require.NoError(t, os.Mkdir(dir, 0o700))
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=16m", "rondo", dir).CombinedOutput(); err != nil {
		t.Skipf("no small disk: %s", out)
	}
	t.Cleanup(func() { require.NoError(t, exec.Command("umount", dir).Run()) })
	d := open(t, onhost.Config{Dir: dir, Image: image(t)})
	var f *vmservice.Fault
	_, err := d.CreateVolume(t.Context(), "v", 1, "", nil)
	require.ErrorAs(t, err, &f)
	require.Equal(t, vmservice.FaultCapacity, f.Class)
	_, err = d.Create(t.Context(), "m", forJob, boot(0))
	require.ErrorAs(t, err, &f)
	require.Equal(t, vmservice.FaultCapacity, f.Class)
	require.ErrorContains(t, err, "are kept for the host")
	for _, gb := range []int{0, -1, 1 << 40} {
		_, err := d.CreateVolume(t.Context(), "v", gb, "", nil)
		require.ErrorIs(t, err, ci.ErrInvalid)
	}
}
