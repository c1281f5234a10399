package s3test_test

import (
	"net/http"
	"testing"

	"github.com/rondo-ci/rondo/storage/s3/s3test"
)

// A test has a server with a bucket, and a front that makes it fail.
func ExampleStart() {
	_ = func(t *testing.T) {
		server := s3test.Start(t)
		server.Bucket("files")
		front := s3test.NewFront(t, server, false)
		front.Fail(s3test.Always(s3test.Says(http.StatusServiceUnavailable, "SlowDown")))
	}
	// Output:
}
