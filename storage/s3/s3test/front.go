package s3test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// A Front stands before a server and fails as it is told: a busy store, a
// broken network, a policy. It ends with the test.
type Front struct {
	*httptest.Server

	mu    sync.Mutex
	fault func(n int) http.HandlerFunc
	seen  []*http.Request
}

// NewFront returns a front that lets everything pass, and what stops it; with
// secure it speaks TLS.
func NewFront(t testing.TB, server *Server, secure bool) *Front {
	t.Helper()
	to, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host
			r.Out.Host = r.In.Host // it is signed
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	f := &Front{}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := f.next(r); h != nil {
			h(w, r)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	if secure {
		f.StartTLS()
	} else {
		f.Start()
	}
	t.Cleanup(func() { f.CloseClientConnections(); f.Close() })
	return f
}

func (f *Front) next(r *http.Request) http.HandlerFunc {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, r)
	if f.fault == nil {
		return nil
	}
	return f.fault(len(f.seen))
}

// Fail makes each request be answered by what fault returns for its number,
// from 1; nil lets it pass. It returns the requests since the last call.
func (f *Front) Fail(fault func(n int) http.HandlerFunc) []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := f.seen
	f.fault, f.seen = fault, nil
	return seen
}

// Always answers every request with h.
func Always(h http.HandlerFunc) func(int) http.HandlerFunc {
	return func(int) http.HandlerFunc { return h }
}

// Says answers as S3 does, with a status and the code of an error. header is
// pairs of names and values.
func Says(status int, code string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>of the test</Message></Error>", code)
		}
	}
}

// Reset breaks the connection.
func Reset(w http.ResponseWriter, r *http.Request) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

// Hang answers nothing until the client goes away.
func Hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // only then it is seen that the client goes
	<-r.Context().Done()
}
