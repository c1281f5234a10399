package s3_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/s3"
	"github.com/rondo-ci/rondo/storage/s3/s3test"
	"github.com/rondo-ci/rondo/storage/storagetest"
)

func TestSEC09_Direct(t *testing.T) {
	server := s3test.Start(t)
	server.Bucket("rondo")
	storagetest.TestDirect(t, func(t *testing.T) (*blob.Bucket, storage.Direct) {
		cfg := at(server, "rondo")
		cfg.Prefix = t.Name()
		store := open(t, cfg)
		require.False(t, store.Ready(), "before it is tried")
		before := uploads(t, server)
		require.NoError(t, store.TryLinks(t.Context()))
		require.True(t, store.Ready())
		require.Equal(t, before, uploads(t, server), "nothing is left of the trial")
		_, err := store.Blobs().List(&blob.ListOptions{Prefix: "rondo-check"}).Next(t.Context())
		require.ErrorIs(t, err, io.EOF)
		return store.Blobs(), store
	})
}

// TestTryLinks tries servers that cannot do what is needed.
func TestTryLinks(t *testing.T) {
	server, front, s := faulty(t)
	require.NoError(t, s.TryLinks(t.Context()))
	linked := func(r *http.Request, method string) bool {
		return r.Method == method && r.URL.Query().Has("X-Amz-Signature")
	}
	is := func(match func(*http.Request) bool, h http.HandlerFunc) http.Handler {
		to, err := url.Parse(server.URL)
		require.NoError(t, err)
		pass := httputil.NewSingleHostReverseProxy(to)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if match(r) {
				h(w, r)
				return
			}
			pass.ServeHTTP(w, r)
		})
	}
	swallow := func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
	for name, tt := range map[string]struct {
		handler http.Handler
		says    string
		invalid bool
	}{
		"no presigned PUT": {is(func(r *http.Request) bool { return linked(r, "PUT") }, s3test.Says(403, "AccessDenied")), "presigned PUT with 403", true},
		"no presigned GET": {is(func(r *http.Request) bool { return linked(r, "GET") }, s3test.Says(403, "AccessDenied")), "presigned GET of a range with 403", true},
		"no conditions": {is(func(r *http.Request) bool { return r.URL.Query().Has("uploadId") && r.Method == "POST" }, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>")
		}), "does not know If-None-Match", true},
		"any bytes do": {is(func(r *http.Request) bool { return linked(r, "PUT") }, swallow), "does not check the SHA-256", true},
		"no checksums": {is(func(r *http.Request) bool { return r.URL.Query().Has("uploads") && r.Method == "POST" }, s3test.Says(501, "NotImplemented")),
			"begin an upload", false},
		"policy": {is(func(r *http.Request) bool { return r.URL.Query().Has("uploads") && r.Method == "POST" }, s3test.Says(403, "AccessDenied")), "policy", true},
		"busy":   {is(func(r *http.Request) bool { return linked(r, "PUT") }, s3test.Says(503, "SlowDown")), "the server answers 503", false},
		"away":   {nil, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			front := httptest.NewServer(tt.handler)
			if tt.handler == nil {
				front.Close()
			} else {
				defer front.Close()
			}
			cfg := at(server, "rondo")
			cfg.Endpoint = front.URL
			s, err := s3.OpenQuick(t.Context(), cfg, time.Second)
			require.NoError(t, err)
			err = s.TryLinks(t.Context())
			require.ErrorContains(t, err, tt.says)
			require.NotContains(t, err.Error(), "X-Amz")
			if tt.invalid {
				require.ErrorIs(t, err, ci.ErrInvalid)
			} else {
				require.NotErrorIs(t, err, ci.ErrInvalid)
			}
			require.False(t, s.Ready())
		})
	}
	front.Fail(nil)
	require.NoError(t, s.TryLinks(t.Context()))
}

// TestP19a_DirectAway lets the bucket fail at each request of a commit, in
// several ways: the file is there or it is not, what was told holds, and in the
// end it is there.
func TestP19a_DirectAway(t *testing.T) {
	server, front, s := faulty(t)
	require.NoError(t, s.TryLinks(t.Context()))
	files := storage.NewFiles(s.Blobs(), storage.FilesConfig{Direct: s})
	data := strings.Repeat("0123456789abcdef", storage.MinDirect/16)
	lost := func(w http.ResponseWriter, r *http.Request) { // it is done, and nobody is told
		req := r.Clone(r.Context())
		u, _ := url.Parse(server.URL)
		req.URL.Scheme, req.URL.Host, req.RequestURI = u.Scheme, u.Host, ""
		if res, err := http.DefaultTransport.RoundTrip(req); err == nil {
			_ = res.Body.Close()
		}
		s3test.Reset(w, r)
	}
	n := 0
	for name, fault := range map[string]http.HandlerFunc{"storm": s3test.Says(503, "SlowDown"), "reset": s3test.Reset, "lost": lost, "expired": s3test.Says(400, "ExpiredToken")} {
		for once := range 2 { // a fault that passes, and one that stays
			for pass := range 4 {
				n++
				f := named(ci.FileArtifact, "a"+time.Duration(n).String(), data)
				u := ci.Upload{Part: f.Size, Sums: []string{f.SHA256}}
				front.Fail(nil)
				_, up, err := files.BeginFile(t.Context(), "p", f, u)
				require.NoError(t, err)
				code, _ := put(t, up.Links[0], data)
				require.Equal(t, http.StatusOK, code)
				front.Fail(func(n int) http.HandlerFunc {
					if n <= pass || once == 0 && n > pass+1 {
						return nil
					}
					return fault
				})
				_, err = files.CommitFile(t.Context(), "p", f, up)
				front.Fail(nil)
				r, openErr := files.OpenFile(t.Context(), "p", f)
				if err == nil {
					require.NoError(t, openErr, "%s: acknowledged at %d", name, pass)
				} else {
					require.NotErrorIs(t, err, ci.ErrConflict)
					if openErr == nil {
						require.NoError(t, r.Close())
					} else {
						require.ErrorIs(t, openErr, ci.ErrNotFound)
					}
					_, err = files.CommitFile(t.Context(), "p", f, up)
					require.NoError(t, err, "%s: again at %d", name, pass)
					r, openErr = files.OpenFile(t.Context(), "p", f)
					require.NoError(t, openErr)
				}
				got, err := io.ReadAll(r)
				require.NoError(t, err)
				require.NoError(t, r.Close())
				require.True(t, string(got) == data)
			}
		}
	}
	require.Zero(t, uploads(t, server))
}

// TestP9a_DirectSwept: what was sent and never committed goes.
func TestP9a_DirectSwept(t *testing.T) {
	server, _, s := faulty(t)
	require.NoError(t, s.TryLinks(t.Context()))
	files := storage.NewFiles(s.Blobs(), storage.FilesConfig{Direct: s})
	data := strings.Repeat("0123456789abcdef", storage.MinDirect/16)
	f := named(ci.FileCache, "k", data)
	_, up, err := files.BeginFile(t.Context(), "p", f, ci.Upload{Part: f.Size, Sums: []string{f.SHA256}})
	require.NoError(t, err)
	code, _ := put(t, up.Links[0], data)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, 1, uploads(t, server))
	n, err := s.Sweep(t.Context(), time.Now().Add(-s3.MaxUpload))
	require.NoError(t, err)
	require.Zero(t, n, "it is young")
	n, err = s.Sweep(t.Context(), time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = files.CommitFile(t.Context(), "p", f, up)
	require.ErrorIs(t, err, ci.ErrInvalid)
	require.ErrorContains(t, err, "send the file again")
	code, _ = put(t, up.Links[0], data)
	require.NotEqual(t, http.StatusOK, code)
}

// TestSEC09_DirectEncrypted: the bucket is told how to encrypt when an upload
// begins, so it does not depend on who sends the bytes.
func TestSEC09_DirectEncrypted(t *testing.T) {
	_, front, s := faulty(t)
	require.NoError(t, s.TryLinks(t.Context()))
	for _, r := range front.Fail(nil) {
		require.Empty(t, r.Header.Get("X-Amz-Server-Side-Encryption"))
	}
	server := s3test.Start(t)
	cfg := at(server, "rondo")
	cfg.Endpoint, cfg.Encryption, cfg.KMSKey = front.URL, "aws:kms", "key-1"
	s, err := s3.OpenQuick(t.Context(), cfg, time.Second)
	require.NoError(t, err)
	up, err := s.BeginUpload(t.Context(), "k", 10, ci.Upload{Part: 10, Sums: []string{strings.Repeat("0", 64)}}, time.Minute)
	require.NoError(t, err)
	seen := front.Fail(nil)
	require.Equal(t, "aws:kms", seen[0].Header.Get("X-Amz-Server-Side-Encryption"))
	require.Equal(t, "key-1", seen[0].Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"))
	for name := range up.Links[0].Header {
		require.Equal(t, "X-Amz-Checksum-Sha256", name, "what a sender has to say")
	}
}

func named(kind ci.FileKind, name, data string) ci.File {
	f := ci.File{Kind: kind, Name: name, Size: int64(len(data)), SHA256: sum(data)}
	if kind != ci.FileCache {
		f.Task, f.Epoch = "t.0", 1
	}
	return f
}

func sum(data string) string {
	s := sha256.Sum256([]byte(data))
	return hex.EncodeToString(s[:])
}

// put sends to a link.
func put(t *testing.T, l ci.Link, data string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, l.URL, strings.NewReader(data))
	require.NoError(t, err)
	for k, v := range l.Header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(text)
}
