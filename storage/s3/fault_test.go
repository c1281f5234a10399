package s3_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/s3"
	"github.com/rondo-ci/rondo/storage/s3/s3test"
)

// faulty returns a store behind a front that fails as it is told.
func faulty(t *testing.T) (*s3test.Server, *s3test.Front, *s3.Store) {
	server := s3test.Start(t)
	server.Bucket("rondo")
	front := s3test.NewFront(t, server, false)
	cfg := at(server, "rondo")
	cfg.Endpoint = front.URL
	s, err := s3.OpenQuick(t.Context(), cfg, 200*time.Millisecond)
	require.NoError(t, err)
	return server, front, s
}

// TestP19a_Away: what passes is repeated, what stays is told, and afterwards
// all is as before.
func TestP19a_Away(t *testing.T) {
	_, front, s := faulty(t)
	b := s.Blobs()
	for name, tt := range map[string]struct {
		fault http.HandlerFunc
		says  string
	}{
		"storm": {s3test.Says(503, "SlowDown"), "the object store is overloaded or away, after 5 attempts"},
		"500":   {s3test.Says(500, "InternalError"), "InternalError"},
		"reset": {s3test.Reset, "exceeded maximum number of attempts, 5"}, // the reason depends on who notices first
		"hang":  {s3test.Hang, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			front.Fail(func(n int) http.HandlerFunc {
				if n <= 3 {
					return tt.fault
				}
				return nil
			})
			require.NoError(t, b.WriteAll(t.Context(), name, []byte("kept"), &blob.WriterOptions{IfNotExist: true}))
			front.Fail(s3test.Always(tt.fault))
			err := b.WriteAll(t.Context(), name+"2", []byte("lost"), nil)
			require.ErrorContains(t, err, tt.says)
			_, err = b.ReadAll(t.Context(), name)
			require.ErrorContains(t, err, tt.says)
			require.Len(t, front.Fail(nil), 10, "five attempts each")
			text, err := b.ReadAll(t.Context(), name)
			require.NoError(t, err)
			require.Equal(t, "kept", string(text))
			there, err := b.Exists(t.Context(), name+"2")
			require.NoError(t, err)
			require.False(t, there)
		})
	}
}

// TestP19b_Refused: what does not pass by itself is told at once, with what to
// do.
func TestP19b_Refused(t *testing.T) {
	_, front, s := faulty(t)
	for name, tt := range map[string]struct {
		fault http.HandlerFunc
		says  string
		code  gcerrors.ErrorCode
	}{
		"policy":    {s3test.Says(403, "AccessDenied"), "the policy of the bucket denies it", gcerrors.PermissionDenied},
		"expired":   {s3test.Says(400, "ExpiredToken"), "the credentials have expired", gcerrors.Unknown},
		"signature": {s3test.Says(403, "SignatureDoesNotMatch"), "does not accept access key and secret key", gcerrors.Unknown},
		"region":    {s3test.Says(301, "PermanentRedirect", "X-Amz-Bucket-Region", "eu-west-3"), "set storage.s3.region to eu-west-3", gcerrors.Unknown},
		"bucket":    {s3test.Says(404, "NoSuchBucket"), "there is no such bucket", gcerrors.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			front.Fail(s3test.Always(tt.fault))
			err := s.Blobs().WriteAll(t.Context(), name, []byte("x"), nil)
			require.ErrorContains(t, err, tt.says)
			require.Equal(t, tt.code, gcerrors.Code(err))
			require.Len(t, front.Fail(nil), 1, "not repeated")
		})
	}
	front.Fail(s3test.Always(s3test.Says(403, "AccessDenied")))
	_, err := storage.NewFiles(s.Blobs(), storage.FilesConfig{}).PutFile(t.Context(), "p",
		ci.File{Kind: ci.FileArtifact, Task: "j.0", Epoch: 1, Name: "a"}, strings.NewReader("x"))
	require.ErrorContains(t, err, "the policy of the bucket denies it")
}

// uploads counts the uploads that are not completed.
func uploads(t *testing.T, server *s3test.Server) int {
	out, err := server.Client().ListMultipartUploads(t.Context(), &sdk.ListMultipartUploadsInput{Bucket: aws.String("rondo")})
	require.NoError(t, err)
	return len(out.Uploads)
}

// TestP9a_CutOff cuts an upload of several parts off after each request, by a
// dead network and by credentials that expire: nobody sees any of it, what is
// left is swept when it is old, and the upload can be done again.
func TestP9a_CutOff(t *testing.T) {
	server, front, s := faulty(t)
	files := storage.NewFiles(s.Blobs(), storage.FilesConfig{})
	data := bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
	left := 0
	for name, fault := range map[string]http.HandlerFunc{"reset": s3test.Reset, "expired": s3test.Says(400, "ExpiredToken")} {
		for pass := 1; pass <= 5; pass++ { // asking, begin, three parts; then the end
			f := ci.File{Kind: ci.FileArtifact, Task: "job.0", Epoch: 1, Name: fmt.Sprint(name, pass)}
			front.Fail(func(n int) http.HandlerFunc {
				if n <= pass {
					return nil
				}
				return fault
			})
			_, err := files.PutFile(t.Context(), "p", f, bytes.NewReader(data))
			require.Error(t, err)
			front.Fail(nil)
			_, err = files.OpenFile(t.Context(), "p", f)
			require.ErrorIs(t, err, ci.ErrNotFound)
			for range files.FindFiles(t.Context(), "p", ci.File{Kind: ci.FileArtifact, Task: "job.0", Epoch: 1}) {
				t.Fatal("a part is listed")
			}
			left = max(left, uploads(t, server))
		}
	}
	require.NotZero(t, left)
	n, err := s.Sweep(t.Context(), time.Now().Add(-s3.MaxUpload))
	require.NoError(t, err)
	require.Zero(t, n, "they are young")
	_, err = s.Sweep(t.Context(), time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Zero(t, uploads(t, server))
	f := ci.File{Kind: ci.FileArtifact, Task: "job.0", Epoch: 1, Name: "reset3"}
	_, err = files.PutFile(t.Context(), "p", f, bytes.NewReader(data))
	require.NoError(t, err)
}

// TestP9b_OneWins lets 20 writers of two servers write one name, and three
// whose uploads have parts.
func TestP9b_OneWins(t *testing.T) {
	server := s3test.Start(t)
	server.Bucket("rondo")
	stores := []*s3.Store{open(t, at(server, "rondo")), open(t, at(server, "rondo"))}
	race := func(writers, size int) {
		key := fmt.Sprint("key", size)
		errs := make([]error, writers)
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				text := bytes.Repeat([]byte{byte('a' + i)}, size)
				errs[i] = stores[i%2].Blobs().WriteAll(context.Background(), key, text, &blob.WriterOptions{IfNotExist: true})
			})
		}
		wg.Wait()
		won := -1
		for i, err := range errs {
			if err == nil {
				require.Equal(t, -1, won, "two have won")
				won = i
				continue
			}
			require.Equal(t, gcerrors.FailedPrecondition, gcerrors.Code(err), "%v", err)
		}
		require.GreaterOrEqual(t, won, 0)
		got, err := stores[0].Blobs().ReadAll(t.Context(), key)
		require.NoError(t, err)
		require.True(t, bytes.Equal(bytes.Repeat([]byte{byte('a' + won)}, size), got))
	}
	race(20, 1000)
	race(3, 9<<20)
}

// What stands between: TLS with certificates of one's own, and a proxy.
func TestTransport(t *testing.T) {
	server := s3test.Start(t)
	server.Bucket("rondo")
	secure := s3test.NewFront(t, server, true)
	cfg := at(server, "rondo")
	cfg.Endpoint = secure.URL
	s, err := s3.OpenQuick(t.Context(), cfg, time.Second)
	require.NoError(t, err)
	require.ErrorContains(t, s.Check(t.Context()), "certificate")
	cfg.Roots = x509.NewCertPool()
	cfg.Roots.AddCert(secure.Certificate())
	require.NoError(t, open(t, cfg).Check(t.Context()))

	proxy := s3test.NewFront(t, server, false)
	cfg = at(server, "rondo")
	cfg.Endpoint, cfg.Proxy = "http://s3.test", proxy.URL
	require.NoError(t, open(t, cfg).Check(t.Context()))

	cfg.Encryption = "AES256"
	proxy.Fail(s3test.Always(func(http.ResponseWriter, *http.Request) {}))
	require.NoError(t, open(t, cfg).Blobs().WriteAll(t.Context(), "k", []byte("x"), nil))
	require.Equal(t, "AES256", proxy.Fail(nil)[0].Header.Get("X-Amz-Server-Side-Encryption"))
}
