package storage

import (
	"context"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"

	"github.com/rondo-ci/rondo/ci"
)

// A lateBucket shows its objects only when it was asked some times.
type lateBucket struct {
	*dirBucket
	hides atomic.Int64
}

// Attributes implements driver.Bucket.
func (b *lateBucket) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	if b.hides.Add(-1) >= 0 {
		return nil, fs.ErrNotExist
	}
	return b.dirBucket.Attributes(ctx, key)
}

// Who comes second is told so, and by whom, also where the bucket refuses the
// object a moment before it shows the other one.
func TestP9_FirstIsSeenLate(t *testing.T) {
	root, err := openRoot(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, root.Mkdir(tempDir, 0o700))
	b := &lateBucket{dirBucket: &dirBucket{root: root}}
	files := NewFiles(blob.NewBucket(b), FilesConfig{})
	key := ci.File{Kind: ci.FileCache, Name: "key"}
	first, err := files.PutFile(t.Context(), "project", key, strings.NewReader("first"))
	require.NoError(t, err)
	b.hides.Store(3) // from the look before the upload, and twice after
	got, err := files.PutFile(t.Context(), "project", key, strings.NewReader("second"))
	require.ErrorIs(t, err, ci.ErrConflict)
	require.Equal(t, first, got)
	require.Less(t, b.hides.Load(), int64(0))
}
