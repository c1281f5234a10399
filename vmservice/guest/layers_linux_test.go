package guest_test

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/guest"
)

// image makes an image of one file in the box.
func (b *box) image(name string) {
	b.run("tar -C / -c bin/busybox | docker import -c 'ENTRYPOINT [\"/bin/busybox\"]' - " + name)
}

// What a job has built on one machine is there on the next one, and nothing else
// of it.
func TestDLC01_LayersMoveToTheNextMachine(t *testing.T) {
	device := volume(t, 300)
	one, two := startBox(t), startBox(t)
	g := guest.Visitor{}
	one.image("machine:own")
	l, err := g.Mount(t.Context(), one.machine, one.access, device, "p|default")
	require.NoError(t, err)
	require.True(t, l.Fresh)
	require.Zero(t, l.Images)
	require.NotEmpty(t, l.Engine)
	one.image("built:1")
	one.run("docker network create inner && docker volume create named && docker run -d --restart always --network inner -v /data --name web built:1 sleep 1000")
	require.Contains(t, one.run("docker volume ls -q"), "named")
	l, err = g.Mount(t.Context(), one.machine, one.access, device, "p|default")
	require.NoError(t, err, "twice")
	require.True(t, l.Fresh)
	require.NotEmpty(t, one.run("docker ps -q"), "what runs is not touched by a second call")
	l, err = g.Unmount(t.Context(), one.machine, one.access)
	require.NoError(t, err)
	require.Equal(t, 1, l.Images)
	again, err := g.Unmount(t.Context(), one.machine, one.access)
	require.NoError(t, err)
	require.Equal(t, l, again, "the answer was lost")
	require.Empty(t, one.run("grep "+device+" /proc/mounts || true"))

	l, err = g.Mount(t.Context(), two.machine, two.access, device, "p|default")
	require.NoError(t, err)
	require.False(t, l.Fresh)
	require.Equal(t, 1, l.Images)
	require.Greater(t, l.Bytes, int64(1<<20))
	require.Equal(t, "built:1", two.run("docker image ls --format '{{.Repository}}:{{.Tag}}'"))
	require.Empty(t, two.run("docker ps -aq"))
	require.Equal(t, "bridge host none", two.run("docker network ls --format '{{.Name}}' | sort | xargs"))
	require.Equal(t, "named", two.run("docker volume ls -q"), "volumes without a name are gone")
	two.run("docker run --rm built:1 true")
}

// mark is how a volume is marked, at its end.
func mark(t *testing.T, device string) string {
	f, err := os.Open(device)
	require.NoError(t, err)
	defer f.Close()
	end, err := f.Seek(-4096, io.SeekEnd)
	require.NoError(t, err)
	text := make([]byte, 4096)
	_, err = f.ReadAt(text, end)
	require.NoError(t, err)
	return strings.TrimRight(string(text), "\x00")
}

// write puts bytes on a device.
func write(t *testing.T, device string, at int64, whence int, text string) {
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	require.NoError(t, err)
	if whence == io.SeekEnd {
		at += end
	}
	_, err = f.WriteAt([]byte(text), at)
	require.NoError(t, err)
	require.NoError(t, f.Sync())
}

// What is not as the mark of the volume says is emptied, and what is not ours at
// all is not touched.
func TestDLC01_VolumesThatAreNotAsTheyShouldBe(t *testing.T) {
	b, g := startBox(t), guest.Visitor{}
	device := volume(t, 300)
	const owner = "p|default"
	mount := func(owner string) vmservice.Layers {
		t.Helper()
		l, err := g.Mount(t.Context(), b.machine, b.access, device, owner)
		require.NoError(t, err)
		return l
	}
	unmount := func() {
		t.Helper()
		_, err := g.Unmount(t.Context(), b.machine, b.access)
		require.NoError(t, err)
	}
	fill := func() {
		t.Helper()
		mount(owner)
		b.image("built:1")
		unmount()
		require.False(t, mount(owner).Fresh)
		require.Equal(t, "built:1", b.run("docker image ls --format '{{.Repository}}:{{.Tag}}'"))
		unmount()
	}
	fill()
	t.Run("another owner", func(t *testing.T) {
		l := mount("q|default")
		require.True(t, l.Fresh)
		require.Zero(t, l.Images)
		require.Empty(t, b.run("grep -r built /var/lib/docker/image/overlay2/repositories.json || true"))
		_, err := g.Mount(t.Context(), b.machine, b.access, device, owner)
		require.ErrorContains(t, err, "another owner's", "while it is in use")
		_, err = g.Mount(t.Context(), b.machine, b.access, volume(t, 100), owner)
		require.ErrorContains(t, err, "another volume is mounted already")
		unmount()
		fill()
	})
	t.Run("not let go", func(t *testing.T) {
		was := mark(t, device)
		write(t, device, -4096, io.SeekEnd, strings.Replace(was, "state clean", "state used another-boot-of-a-machine-of-yore", 1))
		l := mount(owner)
		require.False(t, l.Fresh, "its file system is whole")
		require.Equal(t, 1, l.Images)
		unmount()
	})
	t.Run("broken", func(t *testing.T) {
		write(t, device, 0, io.SeekStart, strings.Repeat("garbage!", 8<<20/8))
		require.True(t, mount(owner).Fresh)
		unmount()
		fill()
	})
	t.Run("a newer engine", func(t *testing.T) {
		was := mark(t, device)
		require.Regexp(t, `engine \d`, was)
		write(t, device, -4096, io.SeekEnd, strings.Replace(was, "engine ", "engine 9", 1))
		require.True(t, mount(owner).Fresh)
		unmount()
	})
	t.Run("another driver", func(t *testing.T) {
		write(t, device, -4096, io.SeekEnd, strings.Replace(mark(t, device), "driver overlay2", "driver aufs4us", 1))
		require.True(t, mount(owner).Fresh)
		unmount()
		fill()
	})
	t.Run("links", func(t *testing.T) {
		mount(owner)
		b.run("touch /etc/precious; cd /mnt/rondo-layers && umount /var/lib/containerd && rmdir containerd && ln -s /etc containerd")
		unmount()
		mount(owner)
		require.NotContains(t, b.run("ls /var/lib/containerd"), "precious")
		unmount()
	})
	t.Run("the engine does not start on it", func(t *testing.T) {
		mount(owner)
		b.run("rm -rf /mnt/rondo-layers/docker/volumes && echo > /mnt/rondo-layers/docker/volumes; pkill -KILL --nslist mnt --ns $$ dockerd || true; echo 1 > /var/run/docker.pid") // another process has its number
		require.True(t, mount(owner).Fresh)
		unmount()
		fill()
	})
	for name, text := range map[string]string{"data of somebody": "a database without a signature", "another file system": "\x00"} {
		t.Run(name, func(t *testing.T) {
			device := volume(t, 100)
			if text == "\x00" {
				b.run("mkfs.ext4 -q -L precious " + device)
			} else {
				write(t, device, 1<<20, io.SeekStart, text)
			}
			before := b.run("sha256sum " + device)
			_, err := g.Mount(t.Context(), b.machine, b.access, device, owner)
			require.ErrorContains(t, err, "neither empty nor a volume of layers")
			require.Equal(t, before, b.run("sha256sum "+device))
		})
	}
	_, err := g.Mount(t.Context(), b.machine, b.access, "/etc/passwd", owner)
	require.ErrorIs(t, err, ci.ErrInvalid)
}
