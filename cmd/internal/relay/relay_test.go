package relay

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A side is one of two servers.
type side struct {
	*Relay
	pages, inside *httptest.Server
	lasts         atomic.Bool
}

func newSide(t *testing.T, key string) *side {
	s := &side{Relay: New(key, slog.New(slog.DiscardHandler))}
	s.pages, s.inside = httptest.NewServer(s.Handler(Pages)), httptest.NewServer(s.Inside())
	t.Cleanup(func() { s.pages.Close(); s.inside.Close() })
	return s
}

func (s *side) conduct(h http.HandlerFunc) {
	s.lasts.Store(true)
	s.Conduct(Pages, h, s.lasts.Load)
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(b)
}

// What comes to the one that follows is answered by the one that conducts, who
// sees it as if it had come to itself.
func TestPassesOn(t *testing.T) {
	a, b := newSide(t, "k"), newSide(t, "k")
	a.conduct(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		_, _ = fmt.Fprintln(w, r.Method, r.Host == strings.TrimPrefix(b.pages.URL, "http://"), r.RequestURI, host, string(body),
			r.Header.Get("X-Forwarded-For"), r.Header.Get(clientHeader)+r.Header.Get(signatureHeader))
	})
	b.Follow(a.inside.URL)
	req, err := http.NewRequest("PUT", b.pages.URL+"/a%2Fb?c=d", strings.NewReader("body"))
	require.NoError(t, err)
	req.Header.Set("X-Forwarded-For", "192.0.2.1")
	req.Header.Set(clientHeader, "203.0.113.7:1") // a lie
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "PUT true /a%2Fb?c=d 127.0.0.1 body 192.0.2.1 \n", string(text))
}

// Agents send the digest of a file behind it.
func TestTrailersPassOn(t *testing.T) {
	a, b := newSide(t, "k"), newSide(t, "k")
	a.conduct(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, r.Trailer.Get("Content-Digest"))
	})
	b.Follow(a.inside.URL)
	req, err := http.NewRequest("POST", b.pages.URL, io.MultiReader(strings.NewReader("a file"))) // of unknown length
	require.NoError(t, err)
	req.Trailer = http.Header{"Content-Digest": {"sha-256=:x:"}}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	said, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "sha-256=:x:", string(said))
}

// Nobody without the key is let in at the internal address.
func TestInsideNeedsTheKey(t *testing.T) {
	a, b := newSide(t, "k"), newSide(t, "another")
	a.conduct(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secret") })
	code, text := get(t, a.inside.URL+"/")
	require.Equal(t, http.StatusForbidden, code)
	require.NotContains(t, text, "secret")
	b.Follow(a.inside.URL)
	code, _ = get(t, b.pages.URL+"/")
	require.Equal(t, http.StatusForbidden, code)
	signed, err := http.NewRequest("GET", a.inside.URL+"/one", nil)
	require.NoError(t, err)
	signed.Host = signed.URL.Host
	a.sign(Pages, "192.0.2.1:1", signed)
	signed.URL.Path = "/two"
	res, err := http.DefaultClient.Do(signed)
	require.NoError(t, err)
	_ = res.Body.Close()
	require.Equal(t, http.StatusForbidden, res.StatusCode, "signed for another path")
}

// A request waits for a conductor, one that was passed on to a server that
// does not answer any more goes to the next, and where this server takes over
// what waits is answered here.
func TestWaitsForTheNext(t *testing.T) {
	a, b := newSide(t, "k"), newSide(t, "k")
	held := make(chan struct{}, 1)
	a.conduct(func(_ http.ResponseWriter, r *http.Request) {
		held <- struct{}{}
		<-r.Context().Done()
	})
	b.Follow(a.inside.URL)
	type answer struct {
		code int
		text string
	}
	answers := make(chan answer)
	go func() {
		code, text := get(t, b.pages.URL+"/")
		answers <- answer{code, text}
	}()
	<-held
	b.Follow("") // nobody
	b.conduct(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "from b") })
	b.Follow(b.inside.URL)
	require.Equal(t, answer{200, "from b"}, <-answers)
}

// No answer is given after the term, whatever the handler says.
func TestNoAnswerAfterTheTerm(t *testing.T) {
	a := newSide(t, "k")
	for name, h := range map[string]http.HandlerFunc{
		"header": func(w http.ResponseWriter, _ *http.Request) { a.lasts.Store(false); w.WriteHeader(http.StatusCreated) },
		"body": func(w http.ResponseWriter, _ *http.Request) {
			a.lasts.Store(false)
			_, err := io.WriteString(w, "stored")
			require.Error(t, err)
		},
		"flush":   func(w http.ResponseWriter, _ *http.Request) { a.lasts.Store(false); w.(http.Flusher).Flush() },
		"nothing": func(http.ResponseWriter, *http.Request) { a.lasts.Store(false) },
	} {
		t.Run(name, func(t *testing.T) {
			a.conduct(h)
			code, text := get(t, a.pages.URL+"/")
			require.Equal(t, http.StatusServiceUnavailable, code)
			require.NotContains(t, text, "stored")
			code, _ = get(t, a.pages.URL+"/")
			require.Equal(t, http.StatusServiceUnavailable, code, "nor is anything begun")
		})
	}
}

// Streams arrive as they are written, and connections that are taken over (web
// sockets) pass through.
func TestStreamsAndUpgrades(t *testing.T) {
	a, b := newSide(t, "k"), newSide(t, "k")
	next := make(chan struct{})
	a.conduct(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			_ = rw.Flush()
			line, _ := rw.ReadString('\n')
			_, _ = io.WriteString(conn, "echo "+line)
			return
		}
		_, _ = io.WriteString(w, "one\n")
		_ = http.NewResponseController(w).Flush()
		<-next
		_, _ = io.WriteString(w, "two\n")
	})
	b.Follow(a.inside.URL)
	res, err := http.Get(b.pages.URL)
	require.NoError(t, err)
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "one\n", line)
	close(next)
	line, err = lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "two\n", line)

	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(b.pages.URL, "http://"), time.Second)
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	require.NoError(t, err)
	lines = bufio.NewReader(conn)
	for line != "\r\n" { // the head of the answer
		line, err = lines.ReadString('\n')
		require.NoError(t, err)
	}
	_, err = io.WriteString(conn, "hello\n")
	require.NoError(t, err)
	for line != "echo hello\n" {
		line, err = lines.ReadString('\n')
		require.NoError(t, err)
	}
}

// A server of the two: it follows, until it conducts.
func ExampleRelay() {
	r := New("the key of both servers", slog.New(slog.DiscardHandler))
	s := httptest.NewServer(r.Handler(Pages))
	defer s.Close()
	r.Conduct(Pages, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	}), func() bool { return true })
	res, err := http.Get(s.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	fmt.Println(string(text))
	// Output: hello
}
