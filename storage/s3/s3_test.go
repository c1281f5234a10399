package s3_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/s3"
	"github.com/rondo-ci/rondo/storage/s3/s3test"
	"github.com/rondo-ci/rondo/storage/storagetest"
)

// at returns the configuration of a bucket of the server.
func at(server *s3test.Server, bucket string) s3.Config {
	return s3.Config{Bucket: bucket, Endpoint: server.URL, PathStyle: true, AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey}
}

func open(t testing.TB, cfg s3.Config) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), cfg)
	require.NoError(t, err)
	return s
}

// fresh returns a bucket with nothing in it: a prefix of its own.
func fresh(server *s3test.Server) func(t *testing.T) *blob.Bucket {
	return func(t *testing.T) *blob.Bucket {
		cfg := at(server, "rondo")
		cfg.Prefix = t.Name()
		return open(t, cfg).Blobs()
	}
}

func TestSEC09_Files(t *testing.T) {
	server := s3test.Start(t)
	server.Bucket("rondo")
	storagetest.TestFiles(t, fresh(server))
}

func TestLogs(t *testing.T) {
	server := s3test.Start(t)
	server.Bucket("rondo")
	storagetest.TestLogs(t, func(t *testing.T) *storage.Logs {
		bucket := fresh(server)(t)
		t.Cleanup(func() { require.NoError(t, bucket.Close()) })
		logs, err := storage.OpenLogs(t.TempDir(), storage.LogsConfig{Bucket: bucket, MaxOpen: 5})
		require.NoError(t, err)
		return logs
	})
}

func TestCheck(t *testing.T) {
	server := s3test.Start(t)
	server.Bucket("rondo")
	cfg := at(server, "rondo")
	cfg.Prefix = "a/b"
	require.NoError(t, open(t, cfg).Check(t.Context()))
	cfg.SecretKey = "wrong"
	require.ErrorContains(t, open(t, cfg).Check(t.Context()), "storage.s3.access_key")
	cfg = at(server, "none")
	require.ErrorContains(t, open(t, cfg).Check(t.Context()), "there is no such bucket")
}
