package storage_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/storagetest"
)

func TestFilesInMemory(t *testing.T) {
	storagetest.TestFiles(t, func(*testing.T) *blob.Bucket { return memblob.OpenBucket(nil) })
}

func TestFilesInFolder(t *testing.T) {
	storagetest.TestFiles(t, func(t *testing.T) *blob.Bucket {
		bucket, err := storage.OpenDir(t.TempDir())
		require.NoError(t, err)
		return bucket
	})
}
