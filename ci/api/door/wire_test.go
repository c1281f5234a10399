package door_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/door"
)

// cutter forwards connections to a server and, when armed, lets a request
// through but cuts the connection in place of the reply.
type cutter struct {
	net.Listener
	target string
	mu     sync.Mutex
	armed  bool
	cuts   int
}

func newCutter(t *testing.T, target string) *cutter {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{Listener: l, target: target}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go c.forward(client)
		}
	}()
	return c
}

func (c *cutter) arm() { c.mu.Lock(); c.armed = true; c.mu.Unlock() }

func (c *cutter) forward(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() { _, _ = io.Copy(server, client) }()
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		c.mu.Lock()
		cut := c.armed && !bytes.HasPrefix(buf, []byte("HTTP/1.1 100"))
		if cut {
			c.armed = false
			c.cuts++
		}
		c.mu.Unlock()
		if cut {
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

func TestLostReplies(t *testing.T) {
	w := newWorld()
	s := httptest.NewServer(door.Handler(newDoor(w, door.Config{}), key))
	defer s.Close()
	proxy := newCutter(t, s.Listener.Addr().String())
	d := dial(t, "http://"+proxy.Addr().String())("test.0", 1)
	ctx := t.Context()
	w.hand("test.0", 1, "")
	l := ci.Lease{Task: "test.0", Epoch: 1, Worker: "a"}
	// twice lets the first reply of a call get lost and calls again.
	twice := func(name string, call func() error) {
		proxy.arm()
		if err := call(); err != nil { // or the transport has repeated it
			require.False(t, door.Final(err), "%s: %v", name, err)
			require.NoError(t, call(), name)
		}
	}
	twice("claim", func() error { _, err := d.Claim(ctx, "test.0", 1, "a"); return err })
	twice("renew", func() error { _, err := d.Renew(ctx, l); return err })
	twice("step", func() error { return d.PutStep(ctx, l, ci.Step{Status: ci.Running}) })
	twice("append", func() error { _, err := d.Append(ctx, l, 0, 0, []byte("once\n")); return err })
	twice("tests", func() error { return d.PutTests(ctx, l, []ci.Test{{Name: "a"}}) })
	twice("timings", func() error { _, err := d.Timings(ctx, l); return err })
	var stored ci.File
	twice("file", func() (err error) {
		stored, err = d.PutFile(ctx, l, ci.File{Kind: ci.FileArtifact, Name: "f"}, strings.NewReader("content"))
		return err
	})
	twice("find", func() error { _, err := d.FindFiles(ctx, l, stored); return err })
	twice("open", func() error {
		r, err := d.OpenFile(ctx, l, stored)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.ReadAll(r)
		return err
	})
	twice("finish", func() error { return d.Finish(ctx, l, ci.Report{Status: ci.Success}) })

	require.Equal(t, "once\n", string(w.output[ci.LogKey{Task: "test.0", Epoch: 1}]))
	require.Len(t, w.meta, 1)
	require.Len(t, w.tests["test.0"], 1)
	require.Equal(t, 10, proxy.cuts)
}

func TestTokens(t *testing.T) {
	w := newWorld()
	l := w.hand("test.0", 1, "a")
	s := httptest.NewServer(door.Handler(newDoor(w, door.Config{}), key))
	defer s.Close()
	good := key.Token("test.0", 1)
	for _, token := range []string{
		"", " ", "x", good[:len(good)-1], good + "A", strings.ToUpper(good),
		key.Token("test.0", 2), key.Token("test.1", 1), key.Token("other.0", 1),
		door.Key("another key").Token("test.0", 1),
	} {
		_, err := door.NewClient(s.URL, token, nil).Renew(t.Context(), l)
		require.ErrorIs(t, err, ci.ErrDenied, token)
	}
	_, err := door.NewClient(s.URL+"/", good, nil).Renew(t.Context(), l)
	require.NoError(t, err)
	require.False(t, door.Key(nil).Valid(door.Key(nil).Token("t.0", 1), "t.0", 1), "no key")

	// The lease is taken from the address that the token was checked for.
	w.hand("other.0", 1, "a")
	err = door.NewClient(s.URL, good, nil).PutStep(t.Context(), ci.Lease{Task: "other.0", Epoch: 1, Worker: "a"}, ci.Step{})
	require.ErrorIs(t, err, ci.ErrDenied)
}

func TestDial(t *testing.T) {
	for _, bad := range []string{"", "unix:", "host:80", "ftp://x", "http://", "://", "/path"} {
		_, _, err := door.Dial(bad)
		require.ErrorIs(t, err, ci.ErrInvalid, bad)
	}
	base, hc, err := door.Dial("unix:" + t.TempDir() + "/none")
	require.NoError(t, err)
	err = door.NewClient(base, "secret-token", hc).Finish(t.Context(), ci.Lease{Task: "test.0", Epoch: 1}, ci.Report{})
	require.Error(t, err)
	require.False(t, door.Final(err))
	require.NotContains(t, err.Error(), "secret-token")
}

// raw sends a request with the good token and returns the reply.
func raw(t testing.TB, h http.Handler, method, path, body string, edit func(*http.Request)) *http.Response {
	r := httptest.NewRequest(method, "http://door/", strings.NewReader(body))
	r.URL.Path, _, _ = strings.Cut(path, "?")
	_, r.URL.RawQuery, _ = strings.Cut(path, "?")
	r.Header.Set("Authorization", "Bearer "+key.Token("test.0", 1))
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestHostileRequests(t *testing.T) {
	w := newWorld()
	w.hand("test.0", 1, "a")
	h := door.Handler(newDoor(w, door.Config{}), key)
	const base = "/door/v1/tasks/test.0/1/"
	deep := strings.Repeat("[", 200_000)
	cases := []struct {
		method, path, body string
		status             int
		edit               func(*http.Request)
	}{
		{"GET", "/", "", 404, nil},
		{"GET", "/door/v2/tasks/test.0/1/claim", "", 404, nil},
		{"GET", base + "claim", "", 404, nil},
		{"POST", "/door/v1/tasks/test.0/x/claim", "", 401, nil},
		{"POST", "/door/v1/tasks/test.0/99999999999999999999/claim", "", 401, nil},
		{"POST", base + "claim", "", 400, nil}, // no worker
		{"POST", base + "renew?worker=b", "", 409, nil},
		{"PUT", base + "steps/0?worker=a", "", 400, nil},
		{"PUT", base + "steps/0?worker=a", "null", 204, nil},
		{"PUT", base + "steps/0?worker=a", "{} {}", 400, nil},
		{"PUT", base + "steps/0?worker=a", deep, 400, nil},
		{"PUT", base + "steps/1?worker=a", `{"index":2}`, 400, nil},
		{"PUT", base + "steps/x?worker=a", `{}`, 400, nil},
		{"PUT", base + "steps/-1?worker=a", `{"index":-1}`, 400, nil},
		{"PUT", base + "steps/0?worker=a", `{"index":1e99}`, 400, nil},
		{"PUT", base + "steps/0?worker=a", `{"started":"yesterday"}`, 400, nil},
		{"PUT", base + "steps/0?worker=a", `"` + strings.Repeat("x", 9<<20) + `"`, 400, nil},
		{"POST", base + "steps/0/output?worker=a", "x", 400, nil},
		{"POST", base + "steps/0/output?worker=a&offset=9223372036854775808", "x", 400, nil},
		{"POST", base + "steps/0/output?worker=a&offset=-5", "x", 400, nil},
		{"POST", base + "steps/0/output?worker=a&offset=0", strings.Repeat("x", door.MaxChunk+1), 400, nil},
		{"POST", base + "steps/0/output?worker=a&offset=0", "x", 400, func(r *http.Request) { r.Header.Set("Content-Digest", "sha-256=:AAAA:") }},
		{"POST", base + "steps/0/output?worker=a&offset=0", "x", 400, func(r *http.Request) { r.ContentLength = 500 }},
		{"POST", base + "steps/0/output?worker=a&offset=0", "x", 400, func(r *http.Request) { r.ContentLength = 1 << 60 }},
		{"PUT", base + "tests?worker=a", `{"a":1}`, 400, nil},
		{"PUT", base + "tests?worker=a", `[null]`, 204, nil},
		{"POST", base + "finish?worker=a", `[]`, 400, nil},
		{"POST", base + "finish?worker=a", `{"status":"running"}`, 400, nil},
		{"POST", base + "finish?worker=a", `{"status":"\ud800"}`, 400, nil},
		{"POST", base + "file?worker=a&kind=artifact&name=x", "no trailer", 400, nil},
		{"POST", base + "file?worker=a&kind=artifact&name=../x", "x", 400, nil},
		{"GET", base + "files?worker=a&kind=cache&epoch=-1", "", 400, nil},
		{"GET", base + "files?worker=a&kind=workspace&task=other.0&epoch=1", "", 403, nil},
		{"GET", base + "file?worker=a&kind=cache&name=none", "", 404, nil},
	}
	for _, c := range cases {
		res := raw(t, h, c.method, c.path, c.body, c.edit)
		require.Equal(t, c.status, res.StatusCode, "%s %s %.40s", c.method, c.path, c.body)
		require.NotEmpty(t, res.Header.Get("Cache-Control")+res.Status)
	}
	require.Empty(t, w.output)
	require.Empty(t, w.meta)
	require.Empty(t, w.outcome)
}

// TestP9_CutUpload ends uploads in every way that is not the end of the file.
func TestP9_CutUpload(t *testing.T) {
	w := newWorld()
	w.hand("test.0", 1, "a")
	s := httptest.NewServer(door.Handler(newDoor(w, door.Config{}), key))
	defer s.Close()
	head := "POST /door/v1/tasks/test.0/1/file?worker=a&kind=artifact&name=f HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key.Token("test.0", 1) + "\r\n"
	for _, rest := range []string{
		"Content-Length: 10\r\n\r\n01234",
		"Content-Length: 5\r\n\r\n01234",
		"Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n",
		"Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\n\r\n",
		"Transfer-Encoding: chunked\r\nTrailer: Content-Digest\r\n\r\n5\r\n01234\r\n0\r\n\r\n",
		"Transfer-Encoding: chunked\r\nTrailer: Content-Digest\r\n\r\n5\r\n01234\r\n0\r\nContent-Digest: sha-256=:AAAA:\r\n\r\n",
		"Transfer-Encoding: chunked\r\nContent-Digest: sha-256=:AAAA:\r\n\r\nzz\r\n",
	} {
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		require.NoError(t, err)
		_, err = io.WriteString(c, head+rest)
		require.NoError(t, err)
		require.NoError(t, c.(*net.TCPConn).CloseWrite())
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		reply, _ := io.ReadAll(c)
		require.NotContains(t, string(reply), "HTTP/1.1 2", rest)
		_ = c.Close()
	}
	s.Close()
	require.Empty(t, w.meta)
}

// TestCutDownload serves files that end too early, in ways HTTP alone would not
// notice, and files whose bytes have changed.
func TestCutDownload(t *testing.T) {
	for name, serve := range map[string]http.HandlerFunc{
		"no trailer": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("half")) },
		"connection": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("half"))
		},
		"fault":   func(w http.ResponseWriter, _ *http.Request) { trailed(w, "half", "internal") },
		"changed": func(w http.ResponseWriter, _ *http.Request) { trailed(w, "hale", "ok") },
	} {
		s := httptest.NewServer(serve)
		r, err := door.NewClient(s.URL, "", nil).OpenFile(t.Context(), ci.Lease{}, ci.File{Kind: ci.FileCache, Name: "k", SHA256: strings.Repeat("0", 64)})
		require.NoError(t, err)
		for range 2 {
			_, err = io.ReadAll(r)
			require.Error(t, err, name)
			require.NotErrorIs(t, err, io.EOF)
		}
		_ = r.Close()
		s.Close()
	}
}

func trailed(w http.ResponseWriter, body, result string) {
	w.Header().Set("Trailer", "Rondo-Result")
	_, _ = io.WriteString(w, body)
	w.Header().Set("Rondo-Result", result)
}

func TestRepliesOfStrangers(t *testing.T) {
	for _, body := range []string{"", "<html>", "{}", "[]", `{"code":7}`, `{"code":"new"}`} {
		for _, status := range []int{301, 404, 409, 502} {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				_, _ = io.WriteString(w, body)
			}))
			next, err := door.NewClient(s.URL, "", nil).Append(t.Context(), ci.Lease{}, 0, 42, nil)
			require.Error(t, err)
			require.Equal(t, int64(42), next)
			require.False(t, door.Final(err), "%d %s: %v", status, body, err)
			s.Close()
		}
	}
}

func TestFaultsAreNotTold(t *testing.T) {
	w := newWorld()
	l := w.hand("test.0", 1, "a")
	var log bytes.Buffer
	d := newDoor(w, door.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	s := httptest.NewServer(door.Handler(d, key))
	w.fault["putstep"] = errors.New("open /var/secret: no space")
	err := door.NewClient(s.URL, key.Token("test.0", 1), nil).PutStep(t.Context(), l, ci.Step{})
	s.Close()
	require.ErrorContains(t, err, "see its log")
	require.NotContains(t, err.Error(), "/var/secret")
	require.Contains(t, log.String(), "/var/secret")
}

func FuzzHandler(f *testing.F) {
	f.Add("POST", "claim", "worker=a", "")
	f.Add("PUT", "steps/0", "worker=a", `{"index":0,"status":"running","started":"2026-01-02T03:04:05Z"}`)
	f.Add("POST", "steps/0/output", "worker=a&offset=0", "text\xff")
	f.Add("PUT", "tests", "worker=a", `[{"name":"a","run_time":1e308}]`)
	f.Add("POST", "finish", "worker=a", `{"status":"success","reason":"ü"}`)
	f.Add("POST", "file", "worker=a&kind=cache&name=k", "data")
	f.Add("GET", "files", "worker=a&kind=cache&name=%zz", "")
	f.Add("GET", "file", "worker=a&kind=workspace&task=build.0&epoch=1&name=0", "")
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		if !slices.Contains([]string{"GET", "POST", "PUT", "DELETE"}, method) {
			method = "POST"
		}
		w := newWorld()
		w.hand("test.0", 1, "a")
		h := door.Handler(newDoor(w, door.Config{}), key)
		res := raw(t, h, method, "/door/v1/tasks/test.0/1/"+path+"?"+query, body, nil)
		if res.StatusCode >= 500 {
			t.Fatalf("%s %s?%s: %s", method, path, query, res.Status)
		}
	})
}

func BenchmarkCall(b *testing.B) {
	w := newWorld()
	l := w.hand("test.0", 1, "a")
	s := httptest.NewServer(door.Handler(newDoor(w, door.Config{}), key))
	defer s.Close()
	base, hc, _ := door.Dial(s.URL)
	c := door.NewClient(base, key.Token("test.0", 1), hc)
	line := []byte(strings.Repeat("x", 100))
	b.Run("renew", func(b *testing.B) {
		for b.Loop() {
			if _, err := c.Renew(context.Background(), l); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("append", func(b *testing.B) {
		next := int64(len(w.output[ci.LogKey{Task: "test.0", Epoch: 1}]))
		for b.Loop() {
			var err error
			if next, err = c.Append(context.Background(), l, 0, next, line); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func Example() {
	// On the server: a door over what stands behind it.
	w := newWorld()
	w.hand("test.0", 1, "")
	d := door.New(leases{w}, w, w, w, w, door.Config{})
	server := httptest.NewServer(door.Handler(d, key))
	defer server.Close()

	// With the agent: an address, and a token for one hand-out of one task.
	base, hc, err := door.Dial(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	c := door.NewClient(base, key.Token("test.0", 1), hc)
	ctx := context.Background()
	work, err := c.Claim(ctx, "test.0", 1, "agent-7")
	if err != nil {
		fmt.Println(err)
		return
	}
	next, err := c.Append(ctx, work.Lease, 0, 0, []byte("hi\n"))
	fmt.Println(work.Task.Name, next, err)
	fmt.Println(c.Finish(ctx, work.Lease, ci.Report{Status: ci.Success}))
	// Output:
	// test 3 <nil>
	// <nil>
}
