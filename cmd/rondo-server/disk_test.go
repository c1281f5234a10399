//go:build linux

package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rondo-ci/rondo/ci"
	"github.com/stretchr/testify/require"
)

// TestP16a_FullDisk fills the disk of a server that runs. What it accepted
// before stays, it accepts nothing that it cannot keep, reading works, and
// when there is room again all goes on without a restart.
func TestP16a_FullDisk(t *testing.T) { short(t); fullDisk(t, 1) }

func TestFault_P16a_FullDisk(t *testing.T) { faulty(t); fullDisk(t, 5) }

func fullDisk(t *testing.T, times int) {
	disk := filepath.Join(serverDir(t), "disk")
	require.NoError(t, os.Mkdir(disk, 0o700))
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64m,mode=700"); err != nil {
		t.Skip("needs to mount a disk:", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(disk, syscall.MNT_DETACH)) })
	b := newBench(t, "")
	out, err := exec.Command("cp", "-a", b.data, filepath.Join(disk, "data")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	b.data = filepath.Join(disk, "data")
	b.start()
	l := newLedger(t)
	ballast := filepath.Join(disk, "ballast")
	for range times {
		b.lines(100)
		running, first, _ := b.begin() // its output will find no room
		fill(t, ballast)
		refused := 0
		for n := 0; refused < 5; n++ {
			require.Less(t, n, 5000, "nothing is refused")
			id, status := b.trigger()
			l.note(id, status)
			if status != http.StatusCreated {
				require.Contains(t, []int{500, 503, 507}, status)
				refused++
			}
			fill(t, ballast)
		}
		code, body := b.s.call("GET", "/api/v2/pipeline/"+running, "")
		require.Equal(t, http.StatusOK, code, body)
		require.NoError(t, os.Remove(ballast))
		id, status := b.trigger()
		l.note(id, status)
		require.Equal(t, http.StatusCreated, status, "there is room again; %s", b.s.errors())
		b.lines(1)
		require.Equal(t, ci.Success, b.status(running), b.s.errors())
		require.Equal(t, 1, b.times("began", first))
	}
	l.settle(b.site, 1+times)
	b.finish()
}

// fill writes to the file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		require.ErrorIs(t, err, syscall.ENOSPC)
		return
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for err == nil {
			_, err = f.Write(make([]byte, size))
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
		err = nil
	}
}
