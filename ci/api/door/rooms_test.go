package door_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// What the rooms ask of one another, and give.
var (
	_ door.Leases = (*scheduler.Scheduler)(nil)
	_ door.Server = (*ci.Server)(nil)
	_ door.Logs   = (*storage.Logs)(nil)
	_ door.Files  = (*storage.Files)(nil)
	_ ci.Records  = (*memdb.DB)(nil)
	_ agent.Door  = (*door.Door)(nil)
	_ agent.Files = (*door.Door)(nil)
	_ agent.Door  = (*door.Client)(nil)
	_ agent.Files = (*door.Client)(nil)
)

// TestRealStorage runs a task's life over the real storage, on disk.
func TestRealStorage(t *testing.T) {
	ctx := t.Context()
	w := newWorld()
	logs, err := storage.OpenLogs(t.TempDir(), storage.LogsConfig{})
	require.NoError(t, err)
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	d := door.New(leases{w}, w, w, logs, storage.NewFiles(bucket, storage.FilesConfig{}), door.Config{})
	l := w.hand("test.0", 1, "a")
	text := "grüße\n"
	for range 2 {
		next, err := d.Append(ctx, l, 0, 0, []byte(text))
		require.NoError(t, err)
		require.Equal(t, int64(len(text)), next)
	}
	next, err := d.Append(ctx, l, 0, 100, []byte("x"))
	require.ErrorIs(t, err, ci.ErrConflict)
	require.Equal(t, int64(len(text)), next)

	cache := ci.File{Kind: ci.FileCache, Name: "v1-" + strings.Repeat("k", 900)}
	sum := sha256.Sum256([]byte("cached"))
	for i := range 2 {
		f, err := d.PutFile(ctx, l, cache, strings.NewReader("cached"))
		require.Equal(t, i == 1, err != nil, "%v", err)
		require.Equal(t, hex.EncodeToString(sum[:]), f.SHA256)
	}
	_, err = d.PutFile(ctx, l, ci.File{Kind: ci.FileCache, Name: "lost"}, &endless{left: 100, stop: func() { w.hand("test.0", 2, "b") }})
	require.ErrorIs(t, err, ci.ErrConflict)
	l = w.hand("test.0", 1, "a")
	found, err := d.FindFiles(ctx, l, ci.File{Kind: ci.FileCache})
	require.NoError(t, err)
	require.Len(t, found, 1, "what came under a lost lease is not there")
	r, err := d.OpenFile(ctx, l, found[0])
	require.NoError(t, err)
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "cached", string(data))
	require.NoError(t, r.Close())
	for range 2 {
		_, err := d.PutFile(ctx, l, ci.File{Kind: ci.FileWorkspace, Name: "0"}, strings.NewReader("layer"))
		require.NoError(t, err, "again is no error")
	}
	_, err = d.PutFile(ctx, l, ci.File{Kind: ci.FileWorkspace, Name: "0"}, strings.NewReader("another"))
	require.ErrorIs(t, err, ci.ErrConflict)

	require.NoError(t, d.PutStep(ctx, l, ci.Step{Status: ci.Success, Bytes: int64(len(text)) + 5, SHA256: "x"}))
	for range 2 {
		require.NoError(t, d.Finish(ctx, l, ci.Report{Status: ci.Success}))
	}
	var all strings.Builder
	for chunk, err := range logs.Follow(ctx, ci.LogKey{Task: "test.0", Epoch: 1}, 0) {
		require.NoError(t, err)
		all.Write(chunk)
	}
	require.Equal(t, text+"\n[5 bytes missing]\n", all.String(), "followers end")
}
