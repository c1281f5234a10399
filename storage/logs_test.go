package storage_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/storagetest"
)

func TestLogsInMemory(t *testing.T) {
	storagetest.TestLogs(t, func(*testing.T) *storage.Logs { return storage.NewMemLogs() })
}

func TestLogsInFolder(t *testing.T) {
	storagetest.TestLogs(t, func(t *testing.T) *storage.Logs {
		logs, err := storage.OpenLogs(t.TempDir(), storage.LogsConfig{MaxOpen: 20})
		require.NoError(t, err)
		return logs
	})
}

func TestLogsWithBucket(t *testing.T) {
	storagetest.TestLogs(t, func(t *testing.T) *storage.Logs {
		bucket := memblob.OpenBucket(nil)
		t.Cleanup(func() { require.NoError(t, bucket.Close()) })
		logs, err := storage.OpenLogs("", storage.LogsConfig{Bucket: bucket, MaxOpen: 5})
		require.NoError(t, err)
		return logs
	})
}
