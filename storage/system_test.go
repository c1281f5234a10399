//go:build linux

package storage_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage"
)

const childDir = "RONDO_STORAGE_TEST_DIR"

// TestP15_SystemCalls lets strace watch a process that appends to a log and
// stores a cache, and looks at the order of its system calls: all is synced,
// the folders too, before the process says that it is done.
func TestP15_SystemCalls(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		storeAndSay(t, dir)
		return
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace")
	}
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	cmd := exec.Command(strace, "-f", "-y", "-o", trace, "-e", "trace=write,pwrite64,fsync,fdatasync,linkat,renameat,renameat2",
		os.Args[0], "-test.run=^TestP15_SystemCalls$")
	cmd.Env = append(os.Environ(), childDir+"="+filepath.Join(dir, "data"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("strace does not work here: %v\n%.300s", err, out)
	}
	b, err := os.ReadFile(trace)
	require.NoError(t, err)
	var calls []string
	for _, m := range regexp.MustCompile(`(?m)^\d+ +(\w+)\((.*)$`).FindAllStringSubmatch(string(b), -1) {
		args := strings.ReplaceAll(m[2], dir+"/data", "")
		switch call := m[1]; {
		case strings.Contains(args, `"ack `):
			calls = append(calls, "ack")
		case call == "linkat", strings.HasPrefix(call, "rename"):
			calls = append(calls, "name")
		case !strings.Contains(m[2], dir+"/data"):
		case strings.Contains(args, "/logs/job.0,1.log"):
			calls = append(calls, call+" log")
		case strings.Contains(args, "/.tmp/"):
			calls = append(calls, call+" temporary")
		default:
			calls = append(calls, call+" folder")
		}
	}
	got := strings.Join(calls, ", ")
	require.Regexp(t, `pwrite64 log, fsync log, fsync folder, ack, `+ // a new log
		`pwrite64 log, fsync log, ack, `+ // more of it
		`(write temporary, )+fsync temporary, name, fsync folder, (fsync folder, )+ack`, got) // a cache in new folders
}

func storeAndSay(t *testing.T, dir string) {
	logs, err := storage.OpenLogs(filepath.Join(dir, "logs"), storage.LogsConfig{})
	require.NoError(t, err)
	bucket, err := storage.OpenDir(filepath.Join(dir, "bucket"))
	require.NoError(t, err)
	for offset := range int64(2) {
		_, err = logs.Append(t.Context(), ci.LogKey{Task: "job.0", Epoch: 1}, offset, []byte("x"))
		require.NoError(t, err)
		fmt.Fprintln(os.Stderr, "ack log")
	}
	files := storage.NewFiles(bucket, storage.FilesConfig{})
	_, err = files.PutFile(t.Context(), "p", ci.File{Kind: ci.FileCache, Name: "k"}, strings.NewReader("x"))
	require.NoError(t, err)
	fmt.Fprintln(os.Stderr, "ack file")
}

// TestP16_FullDisk fills a small disk: what was acknowledged stays, what does
// not fit is an error, and all goes on when there is room again.
func TestP16_FullDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "small")
	require.NoError(t, os.Mkdir(dir, 0o700))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m,mode=700"); err != nil {
		t.Skip("needs to mount a disk:", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
	ctx := t.Context()
	bucket := openDir(t, filepath.Join(dir, "bucket"))
	files := storage.NewFiles(bucket, storage.FilesConfig{})
	logs, err := storage.OpenLogs(filepath.Join(dir, "logs"), storage.LogsConfig{Bucket: bucket})
	require.NoError(t, err)
	defer func() { require.NoError(t, logs.Close()) }()
	k := ci.LogKey{Task: "job.0", Epoch: 1}
	ballast := filepath.Join(dir, "ballast")
	require.NoError(t, os.WriteFile(ballast, make([]byte, 1<<20), 0o600))

	var size int64
	line := []byte(strings.Repeat("all work and no play\n", 500))
	for {
		next, err := logs.Append(ctx, k, size, line)
		require.GreaterOrEqual(t, next, size)
		size = next
		if err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			break
		}
	}
	require.Positive(t, size)
	_, err = files.PutFile(ctx, "p", ci.File{Kind: ci.FileCache, Name: "k"}, strings.NewReader(string(line)))
	require.ErrorIs(t, err, syscall.ENOSPC)
	for range 3 { // still full
		next, err := logs.Append(ctx, k, size, line)
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.Equal(t, size, next)
	}
	got, err := logs.Size(ctx, k)
	require.NoError(t, err)
	require.Equal(t, size, got)
	for _, err := range files.FindFiles(ctx, "p", ci.File{Kind: ci.FileCache}) {
		t.Error("a part of a cache is shown", err)
	}

	require.NoError(t, os.Remove(ballast))
	next, err := logs.Append(ctx, k, size, line)
	require.NoError(t, err)
	require.Equal(t, size+int64(len(line)), next)
	require.NoError(t, logs.End(ctx, "job.0", 1))
	require.NoError(t, logs.Seal(ctx, "job.0", 1))
	_, err = files.PutFile(ctx, "p", ci.File{Kind: ci.FileCache, Name: "k"}, strings.NewReader(string(line)))
	require.NoError(t, err)
	entries, err := os.ReadDir(filepath.Join(dir, "bucket", ".tmp"))
	require.NoError(t, err)
	require.Empty(t, entries)
}
