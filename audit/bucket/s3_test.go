package bucket_test

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/audit/audittest"
	"github.com/rondo-ci/rondo/audit/bucket"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
	"github.com/rondo-ci/rondo/storage/s3"
	"github.com/rondo-ci/rondo/storage/s3/s3test"
)

func openS3(t *testing.T, url, prefix string) *blob.Bucket {
	s, err := s3.Open(t.Context(), s3.Config{
		Bucket: "book", Endpoint: url, PathStyle: true, Prefix: prefix, AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey,
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Blobs().Close() })
	return s.Blobs()
}

func TestAUD01_S3(t *testing.T) {
	server := s3test.Start(t)
	server.Bucket("book")
	audittest.Bucket(t, func(t *testing.T) audit.Bucket { return bucket.New(openS3(t, server.URL, t.Name())) })
}

// record puts two events of each of three jobs on record.
func record(t *testing.T, book *audit.Book, at time.Time, n int) {
	for i := range n {
		for _, action := range []string{"workflow.job.start", "workflow.job.finish"} {
			act := ci.Act{Action: action, Success: true, At: at, Target: map[string]string{"type": "project", "job.job_name": fmt.Sprint("job", i)}}
			require.NoError(t, book.Record(t.Context(), act))
		}
	}
}

// TestAUD03_TheGuidesLoopOverS3 lists, fetches and greps as the guide does,
// with a program that knows nothing of Rondo.
func TestAUD03_TheGuidesLoopOverS3(t *testing.T) {
	server := s3test.Start(t)
	server.Bucket("book")
	signer, err := audit.NewSigner("test", []byte("a seed of the tests"))
	require.NoError(t, err)
	files := bucket.New(openS3(t, server.URL, ""))
	book := audit.New(memdb.New(), files, signer, audit.Config{})
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for i := range 3 {
		record(t, book, at, 2)
		require.NoError(t, book.Seal(t.Context(), at.Add(time.Duration(i)*time.Hour)))
	}
	require.NoError(t, book.Seal(t.Context(), at.Add(4*time.Hour)))
	cmd := exec.Command("bash", "-ec", `
get() { curl -sf --aws-sigv4 aws:amz:us-east-1:s3 -u "$KEYS" -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' "$URL/book$1"; }
for key in $(get '?list-type=2&prefix=audit-logs%2Faudit_log%2Fv1%2F' | grep -o '<Key>[^<]*' | cut -c6-); do
  get "/$key" | grep workflow.job.start
done`)
	cmd.Env = append(cmd.Environ(), "URL="+server.URL, "KEYS="+s3test.AccessKey+":"+s3test.SecretKey)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), `"job_name":"job1"`)
	require.NotContains(t, string(out), "workflow.job.finish")
	r, err := audit.Verify(context.Background(), files, signer.Key())
	require.NoError(t, err)
	require.EqualValues(t, 12, r.Lines)
}

// TestP13a_Outage takes the bucket away between plan, file and checkpoint, and
// each time another book over the same documents goes on, as after kill -9: no
// event is lost, none is there twice, and the log verifies.
func TestP13a_Outage(t *testing.T) {
	server := s3test.Start(t)
	server.Bucket("book")
	front := s3test.NewFront(t, server, false)
	signer, err := audit.NewSigner("test", []byte("a seed of the tests"))
	require.NoError(t, err)
	docs := memdb.New()
	files := bucket.New(openS3(t, front.URL, ""))
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	denied := s3test.Says(403, "AccessDenied") // as 503, but not repeated for half a minute
	for hour := range 4 {
		at := at.Add(time.Duration(hour) * time.Hour)
		front.Fail(func(n int) http.HandlerFunc {
			if n <= hour {
				return nil
			}
			return denied
		})
		record(t, audit.New(docs, files, signer, audit.Config{}), at, 5)
		for range 3 {
			_ = audit.New(docs, files, signer, audit.Config{}).Seal(t.Context(), at.Add(time.Minute))
		}
	}
	front.Fail(nil)
	book := audit.New(docs, files, signer, audit.Config{})
	require.NoError(t, book.Seal(t.Context(), at.Add(10*time.Hour)))
	r, err := audit.Verify(t.Context(), files, signer.Key())
	require.NoError(t, err)
	require.EqualValues(t, 40, r.Lines)
}
