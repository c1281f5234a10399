package door_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/s3"
	"github.com/rondo-ci/rondo/storage/s3/s3test"
)

var _ door.Direct = (*storage.Files)(nil)

// A yard is a door over real files in a real bucket, and an agent's way to both.
type yard struct {
	*world
	gateway *s3test.Server
	store   *s3.Store
	door    *httptest.Server
	client  *door.Client
	lease   ci.Lease
	log     *bytes.Buffer
	files   *storage.Files

	mu    sync.Mutex
	asked []string                                             // of the bucket by the agent: method and status
	fault func(n int, r *http.Request) (*http.Response, error) // in place of the bucket
	body  int64                                                // of files, by the door
}

// RoundTrip is the agent's way to the bucket.
func (y *yard) RoundTrip(r *http.Request) (*http.Response, error) {
	y.mu.Lock()
	n, fault := len(y.asked), y.fault
	y.asked = append(y.asked, r.Method)
	y.mu.Unlock()
	if r.Header.Get("Authorization") != "" || strings.Contains(r.URL.String(), key.Token("test.0", 1)) {
		return nil, errors.New("the token was sent to the bucket")
	}
	if fault != nil {
		if res, err := fault(n, r); res != nil || err != nil {
			return res, err
		}
	}
	return http.DefaultTransport.RoundTrip(r)
}

func newYard(t testing.TB) *yard {
	y := &yard{world: newWorld(), gateway: s3test.Start(t), log: &bytes.Buffer{}}
	y.gateway.Bucket("rondo")
	var err error
	y.store, err = s3.Open(t.Context(), s3.Config{Bucket: "rondo", Endpoint: y.gateway.URL, PathStyle: true, AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, y.store.Blobs().Close()) })
	require.NoError(t, y.store.TryLinks(t.Context()))
	y.files = storage.NewFiles(y.store.Blobs(), storage.FilesConfig{Direct: y.store})
	y.start(t, door.Config{Direct: y.files})
	return y
}

// start starts a server, and an agent that claims its task there.
func (y *yard) start(t testing.TB, cfg door.Config) {
	h := door.Handler(door.New(leases{y.world}, y.world, y.world, y.world, y.files, cfg), key)
	y.door = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = &counted{r.Body, y}
		h.ServeHTTP(&countedReply{w, y}, r)
	}))
	t.Cleanup(y.door.Close)
	y.lease = y.hand("test.0", 1, "a")
	y.client = door.NewClient(y.door.URL, key.Token("test.0", 1), nil)
	y.client.UseBucket(&http.Client{Transport: y}, slog.New(slog.NewTextHandler(y.log, nil)))
	_, err := y.client.Claim(t.Context(), "test.0", 1, "a")
	require.NoError(t, err)
}

type counted struct {
	io.ReadCloser
	y *yard
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.y.mu.Lock()
	defer c.y.mu.Unlock()
	c.y.body += int64(n)
	return n, err
}

type countedReply struct {
	http.ResponseWriter
	y *yard
}

func (c *countedReply) Unwrap() http.ResponseWriter { return c.ResponseWriter }
func (c *countedReply) Write(p []byte) (int, error) {
	c.y.mu.Lock()
	c.y.body += int64(len(p))
	c.y.mu.Unlock()
	return c.ResponseWriter.Write(p)
}

// passed returns how many bytes went through the door, and what the bucket was
// asked by the agent, since the last call.
func (y *yard) passed() (int64, []string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	n, asked := y.body, y.asked
	y.body, y.asked = 0, nil
	return n, asked
}

func (y *yard) fail(f func(n int, r *http.Request) (*http.Response, error)) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.fault = f
}

func large(b byte, size int64) string { return strings.Repeat(string(rune(b)), int(size)) }

func digestHex(data string) string {
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:])
}

func section(data string) *io.SectionReader {
	return io.NewSectionReader(strings.NewReader(data), 0, int64(len(data)))
}

func (y *yard) put(t testing.TB, name, data string) (ci.File, error) {
	return y.client.PutFile(t.Context(), y.lease, ci.File{Kind: ci.FileArtifact, Name: name}, section(data))
}

func (y *yard) get(t testing.TB, f ci.File) (string, error) {
	r, err := y.client.OpenFile(t.Context(), y.lease, f)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	return string(b), errors.Join(err, r.Close())
}

// TestSEC09_DirectThroughDoor sends files of one part and of several to the
// bucket and fetches them there: nothing of them passes through the door.
func TestSEC09_DirectThroughDoor(t *testing.T) {
	y := newYard(t)
	for i, size := range []int64{storage.MinDirect, 64<<20 + 1} {
		data := large(byte('a'+i), size)
		f, err := y.put(t, data[:1], data)
		require.NoError(t, err)
		require.Equal(t, size, f.Size)
		bytes, asked := y.passed()
		require.Less(t, bytes, int64(10_000))
		require.Equal(t, slices.Repeat([]string{"PUT"}, i+1), asked)
		got, err := y.get(t, f)
		require.NoError(t, err)
		require.True(t, got == data)
		bytes, asked = y.passed()
		require.Less(t, bytes, int64(10_000))
		require.Equal(t, []string{"GET"}, asked)
		again, err := y.put(t, data[:1], data)
		require.NoError(t, err, "the reply was lost")
		require.Equal(t, f, again)
		_, asked = y.passed()
		require.Empty(t, asked, "not sent for nothing")
	}
	_, err := y.put(t, "a", large('x', storage.MinDirect))
	require.ErrorIs(t, err, ci.ErrConflict)
	f, err := y.put(t, "small", large('s', storage.MinDirect-1))
	require.NoError(t, err)
	_, err = y.get(t, f)
	require.NoError(t, err)
	_, err = y.client.PutFile(t.Context(), y.lease, ci.File{Kind: ci.FileArtifact, Name: "stream"}, struct{ io.Reader }{section(large('t', storage.MinDirect))})
	require.NoError(t, err)
	_, asked := y.passed()
	require.Empty(t, asked, "small, and what can be read once")
	require.Empty(t, y.log.String())
	_, err = y.client.OpenFile(t.Context(), y.lease, ci.File{Kind: ci.FileArtifact, Task: "other.0", Epoch: 1, Name: "a", Size: storage.MinDirect})
	require.ErrorIs(t, err, ci.ErrDenied, "a task that is not upstream gets no link")
}

// TestP19a_BucketAway: what the bucket does not take or give passes through the
// door, and the log says so once.
func TestP19a_BucketAway(t *testing.T) {
	data := large('a', storage.MinDirect)
	answer := func(code int, text string) func(int, *http.Request) (*http.Response, error) {
		return func(_ int, r *http.Request) (*http.Response, error) {
			if r.Body != nil {
				_ = r.Body.Close()
			}
			return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
		}
	}
	for name, tt := range map[string]struct {
		fault func(int, *http.Request) (*http.Response, error)
		tries int
		says  string
	}{
		"no way": {func(int, *http.Request) (*http.Response, error) { return nil, errors.New("no route to host") }, 5, "no route to host"},
		"no server": {func(int, *http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		}, 1, "connection refused"},
		"no trust": {func(_ int, r *http.Request) (*http.Response, error) {
			secure := httptest.NewTLSServer(http.NotFoundHandler())
			defer secure.Close()
			return new(http.Transport).RoundTrip(httptest.NewRequest(r.Method, secure.URL, nil))
		}, 1, "certificate"},
		"storm":    {answer(503, "<Error><Code>SlowDown</Code></Error>"), 5, "503"},
		"expired":  {answer(403, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"), 1, "AccessDenied"},
		"redirect": {answer(307, ""), 1, "307"},
		"a proxy":  {answer(407, "<html>log in\nfirst"), 1, "407"},
	} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t)
			y.fail(tt.fault)
			f, err := y.put(t, "a", data)
			require.NoError(t, err)
			n, asked := y.passed()
			require.Len(t, asked, tt.tries)
			require.Greater(t, n, int64(storage.MinDirect))
			got, err := y.get(t, f)
			require.NoError(t, err)
			require.True(t, got == data)
			_, err = y.put(t, "b", data)
			require.NoError(t, err)
			_, asked = y.passed()
			require.Empty(t, asked, "it is left alone for a while")
			require.Equal(t, 1, strings.Count(y.log.String(), "level=WARN"), y.log.String())
			require.Contains(t, y.log.String(), tt.says)
			require.NotContains(t, y.log.String(), "X-Amz", "a link is secret")
		})
	}
	t.Run("passes", func(t *testing.T) {
		y := newYard(t)
		y.fail(func(n int, r *http.Request) (*http.Response, error) {
			if n%3 < 2 {
				return answer(503, "")(n, r)
			}
			return nil, nil
		})
		f, err := y.put(t, "a", data)
		require.NoError(t, err)
		_, err = y.get(t, f)
		require.NoError(t, err)
		n, asked := y.passed()
		require.Equal(t, []string{"PUT", "PUT", "PUT", "GET", "GET", "GET"}, asked)
		require.Less(t, n, int64(10_000))
		require.Empty(t, y.log.String())
	})
	t.Run("breaks off", func(t *testing.T) {
		y := newYard(t)
		f, err := y.put(t, "a", data)
		require.NoError(t, err)
		y.fail(func(_ int, r *http.Request) (*http.Response, error) {
			res, err := http.DefaultTransport.RoundTrip(r)
			if err == nil {
				res.Body = struct {
					io.Reader
					io.Closer
				}{io.MultiReader(io.LimitReader(res.Body, 1<<20), errReader{errors.New("connection reset")}), res.Body}
			}
			return res, err
		})
		_, err = y.get(t, f)
		require.ErrorContains(t, err, "connection reset")
		require.False(t, door.Final(err), "worth another try")
		got, err := y.get(t, f)
		require.NoError(t, err)
		require.True(t, got == data)
	})
}

// TestP4_DirectStale takes the task away while its file is on its way.
func TestP4_DirectStale(t *testing.T) {
	y := newYard(t)
	y.fail(func(int, *http.Request) (*http.Response, error) {
		y.hand("test.0", 2, "b")
		return nil, nil
	})
	stored, err := y.client.PutFile(t.Context(), y.lease, ci.File{Kind: ci.FileCache, Name: "k"}, section(large('a', storage.MinDirect)))
	require.ErrorIs(t, err, ci.ErrConflict)
	require.Zero(t, stored)
	for f := range y.files.FindFiles(t.Context(), "p1", ci.File{Kind: ci.FileCache}) {
		t.Fatalf("it is there: %v", f)
	}
	_, err = y.client.OpenFile(t.Context(), y.lease, ci.File{Kind: ci.FileCache, Name: "k", Size: storage.MinDirect})
	require.ErrorIs(t, err, ci.ErrConflict)
}

// TestP14_DirectServerDies lets another server take over between any two
// requests, and answers get lost: what was begun at one can be committed at the
// next, and a lost answer changes nothing.
func TestP14_DirectServerDies(t *testing.T) {
	y := newYard(t)
	data := large('a', storage.MinDirect)
	proxy := newCutter(t, y.door.Listener.Addr().String())
	cut := door.NewClient("http://"+proxy.Addr().String(), key.Token("test.0", 1), nil)
	cut.UseBucket(&http.Client{Transport: y}, nil)
	_, err := cut.Claim(t.Context(), "test.0", 1, "a")
	require.NoError(t, err)
	for i, when := range []string{"begin", "commit"} {
		f := ci.File{Kind: ci.FileArtifact, Name: when}
		if i == 0 {
			proxy.arm()
		} else {
			y.fail(func(int, *http.Request) (*http.Response, error) { proxy.arm(); return nil, nil })
		}
		kept, err := cut.PutFile(t.Context(), y.lease, f, section(data))
		y.fail(nil)
		if err != nil { // or the transport has repeated it
			require.False(t, door.Final(err), err)
			kept, err = cut.PutFile(t.Context(), y.lease, f, section(data))
			require.NoError(t, err)
		}
		got, err := y.get(t, kept)
		require.NoError(t, err)
		require.True(t, got == data)
	}
	require.Equal(t, 2, proxy.cuts)

	// Another server, which has not seen it begin.
	y.passed()
	d := door.New(leases{y.world}, y.world, y.world, y.world, y.files, door.Config{Direct: y.files})
	next := door.New(leases{y.world}, y.world, y.world, y.world, y.files, door.Config{Direct: y.files})
	f := ci.File{Kind: ci.FileCache, Name: "k", Size: int64(len(data))}
	f.SHA256 = digestHex(data)
	_, up, err := d.BeginFile(t.Context(), y.lease, f, ci.Upload{Part: f.Size, Sums: []string{f.SHA256}})
	require.NoError(t, err)
	req, err := http.NewRequest(http.MethodPut, up.Links[0].URL, strings.NewReader(data))
	require.NoError(t, err)
	for k, v := range up.Links[0].Header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	for range 2 {
		_, err = next.CommitFile(t.Context(), y.lease, f, up)
		require.NoError(t, err)
	}
}

// TestSEC09_DirectBounds holds the bounds of the door for what does not pass
// through it.
func TestSEC09_DirectBounds(t *testing.T) {
	y := newYard(t)
	d := door.New(leases{y.world}, y.world, y.world, y.world, y.files, door.Config{Direct: y.files, MaxFile: 10 << 20})
	data := large('a', storage.MinDirect)
	f := ci.File{Kind: ci.FileArtifact, Name: "f", Size: int64(len(data)), SHA256: digestHex(data)}
	u := ci.Upload{Part: f.Size, Sums: []string{f.SHA256}}
	huge := f
	huge.Size = 11 << 20
	_, _, err := d.BeginFile(t.Context(), y.lease, huge, ci.Upload{Part: huge.Size, Sums: u.Sums})
	require.ErrorIs(t, err, ci.ErrInvalid)
	require.ErrorContains(t, err, "too large")
	_, err = d.CommitFile(t.Context(), y.lease, huge, u)
	require.ErrorContains(t, err, "too large")
	for _, name := range []string{"", "../up", "/abs", "a\x00"} {
		bad := f
		bad.Name = name
		_, _, err := d.BeginFile(t.Context(), y.lease, bad, u)
		require.ErrorIs(t, err, ci.ErrInvalid, name)
	}
	begun := 0
	for range 100 {
		_, up, err := d.BeginFile(t.Context(), y.lease, f, u)
		require.NoError(t, err)
		if up.ID != "" {
			begun++
		}
	}
	require.Equal(t, 64, begun, "what is never committed is bounded")
	// A file that names another task is stored as one of the lease's own.
	f.Task, f.Epoch = "build.0", 7
	other := y.hand("other.0", 1, "a")
	_, up, err := d.BeginFile(t.Context(), other, f, u)
	require.NoError(t, err)
	require.Contains(t, up.Links[0].URL, "/artifacts/other.0/1/f?")
	_, err = d.CommitFile(t.Context(), y.lease, f, up)
	require.ErrorIs(t, err, ci.ErrInvalid, "the upload of another task")
	none := door.New(leases{y.world}, y.world, y.world, y.world, y.files, door.Config{})
	_, up, err = none.BeginFile(t.Context(), y.lease, f, u)
	require.NoError(t, err)
	require.Zero(t, up)
	_, err = none.CommitFile(t.Context(), y.lease, f, u)
	require.ErrorIs(t, err, ci.ErrInvalid)
}

// TestDirectOldServers: agents and servers of which only one knows of links, and
// a server that is started anew without.
func TestDirectOldServers(t *testing.T) {
	y := newYard(t)
	data := large('a', storage.MinDirect)
	old := door.NewClient(y.door.URL, key.Token("test.0", 1), nil)
	_, err := old.Claim(t.Context(), "test.0", 1, "a")
	require.NoError(t, err)
	f, err := old.PutFile(t.Context(), y.lease, ci.File{Kind: ci.FileArtifact, Name: "old"}, section(data))
	require.NoError(t, err)
	got, err := y.get(t, f)
	require.NoError(t, err)
	require.True(t, got == data)
	f, err = y.put(t, "new", data)
	require.NoError(t, err)
	r, err := old.OpenFile(t.Context(), y.lease, f)
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.Equal(t, f.Size, n)
	_, asked := y.passed()
	require.Equal(t, []string{"GET", "PUT"}, asked)

	without := httptest.NewServer(door.Handler(door.New(leases{y.world}, y.world, y.world, y.world, y.files, door.Config{}), key))
	defer without.Close()
	y.client = door.NewClient(without.URL, key.Token("test.0", 1), nil)
	y.client.UseBucket(&http.Client{Transport: y}, nil)
	_, err = y.put(t, "unclaimed", data)
	require.NoError(t, err)
	y.files = storage.NewFiles(y.store.Blobs(), storage.FilesConfig{})
	y.start(t, door.Config{Direct: y.files})
	_, err = y.put(t, "off", data)
	require.NoError(t, err)
	got, err = y.get(t, f)
	require.NoError(t, err)
	require.True(t, got == data)
	_, asked = y.passed()
	require.Empty(t, asked)
}

// TestP9_DirectDamaged: bytes that rot at the bucket are noticed by the agent,
// and at the next try by the server, which forgets the cache.
func TestP9_DirectDamaged(t *testing.T) {
	y := newYard(t)
	data := large('a', storage.MinDirect)
	f, err := y.client.PutFile(t.Context(), y.lease, ci.File{Kind: ci.FileCache, Name: "k"}, section(data))
	require.NoError(t, err)
	object, err := os.OpenFile(filepath.Join(y.gateway.Dir, "rondo", "caches", "p1", "k"), os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = object.WriteAt([]byte("rot"), 12345)
	require.NoError(t, errors.Join(err, object.Close()))
	_, err = y.get(t, f)
	require.ErrorContains(t, err, "the checksum does not match")
	_, err = y.get(t, f)
	require.Error(t, err)
	_, err = y.get(t, f)
	require.ErrorIs(t, err, ci.ErrNotFound, "so that it can be stored anew")
}

// BenchmarkDirect moves a cache of 64 MB through the door and past it.
func BenchmarkDirect(b *testing.B) {
	y := newYard(b)
	data := large('a', 64<<20)
	through := door.NewClient(y.door.URL, key.Token("test.0", 1), nil)
	n := 0
	for name, c := range map[string]*door.Client{"through": through, "direct": y.client} {
		var f ci.File
		b.Run(name+"/up", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				n++
				var err error
				f, err = c.PutFile(b.Context(), y.lease, ci.File{Kind: ci.FileCache, Name: name + time.Duration(n).String()}, section(data))
				require.NoError(b, err)
			}
		})
		b.Run(name+"/down", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				r, err := c.OpenFile(b.Context(), y.lease, f)
				require.NoError(b, err)
				_, err = io.Copy(io.Discard, r)
				require.NoError(b, errors.Join(err, r.Close()))
			}
		})
	}
}
