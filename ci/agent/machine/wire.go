package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci/agent"
)

// What the agent on a machine asks for, besides the door.
const (
	restPath   = "/rondo/machine/v1/rest"   // GET: a handOver
	bundlePath = "/rondo/machine/v1/bundle" // GET: that of the rest
	stopPath   = "/rondo/machine/v1/stop"   // GET: answers when the task is to stop, with the reason
	doorPath   = "/door/v1/tasks/"          // as the server has it
)

// A handOver is all that the agent on a machine is given.
type handOver struct {
	agent.Rest
	Token  string `json:"token"`
	Bundle bool   `json:"bundle"` // there is one at bundlePath
}

// A pipe is a connection made of two one-way ones. It has no deadlines: whoever
// ends it closes it.
type pipe struct {
	io.Reader
	io.Writer
	close func() error
}

// The rest of [net.Conn].
func (p *pipe) Close() error                     { return p.close() }
func (p *pipe) LocalAddr() net.Addr              { return pipeAddr{} }
func (p *pipe) RemoteAddr() net.Addr             { return pipeAddr{} }
func (p *pipe) SetDeadline(time.Time) error      { return nil }
func (p *pipe) SetReadDeadline(time.Time) error  { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "machine" }

// http2 is HTTP/2 without TLS, as both sides know that they speak it.
func http2() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

// A server serves one machine: in and out are the standard input and output of
// the agent there.
type server struct {
	in    io.Reader
	out   io.Writer
	close func()
}

// serve serves the rest of a task until close is called. ctx ends when the task
// is to stop.
func (t *there) serve(ctx context.Context, r agent.Rest) server {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	ended := make(chan struct{})
	shut := sync.OnceFunc(func() {
		close(ended)
		_ = outR.Close()
		_ = inW.Close()
	})
	conn := &pipe{outR, inW, func() error { shut(); return nil }}
	s := &http.Server{
		Handler: t.handler(ctx, r, ended), Protocols: http2(),
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: 64},
		ErrorLog: slog.NewLogLogger(t.cfg.Log.Handler(), slog.LevelDebug),
	}
	l := &single{conn: make(chan net.Conn, 1), ended: ended}
	l.conn <- conn
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) })
	return server{inR, outW, func() {
		shut()
		_ = s.Close()
		_ = inR.Close()
		_ = outW.Close()
		serving.Wait()
	}}
}

// A single is a listener for one connection.
type single struct {
	conn  chan net.Conn
	ended chan struct{}
}

// Accept implements [net.Listener].
func (l *single) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *single) Close() error { return nil }

// Addr implements [net.Listener].
func (l *single) Addr() net.Addr { return pipeAddr{} }

// handler answers the agent on the machine. What it asks of the door goes there
// as it is, for this hand-out of the task only.
func (t *there) handler(ctx context.Context, r agent.Rest, ended chan struct{}) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+restPath, func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(handOver{r, t.cfg.Token(), r.Bundle != ""})
	})
	if r.Bundle != "" {
		mux.HandleFunc("GET "+bundlePath, func(w http.ResponseWriter, q *http.Request) { http.ServeFile(w, q, r.Bundle) })
	}
	mux.HandleFunc("GET "+stopPath, func(w http.ResponseWriter, q *http.Request) {
		select {
		case <-ctx.Done():
			_, _ = io.WriteString(w, context.Cause(ctx).Error())
		case <-q.Context().Done():
		case <-ended:
		}
	})
	base, err := url.Parse(t.cfg.Base)
	door := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(base)
			p.Out.Trailer = p.In.Trailer // filled when the body was read; a clone is not
		},
		Transport: t.cfg.HTTP.Transport, FlushInterval: -1,
		ErrorLog: slog.NewLogLogger(t.cfg.Log.Handler(), slog.LevelDebug),
	}
	own := fmt.Sprintf("%s%s/%d/", doorPath, url.PathEscape(string(r.Work.Lease.Task)), r.Work.Lease.Epoch)
	mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		if err != nil || !strings.HasPrefix(q.URL.EscapedPath(), own) || strings.Contains(q.URL.Path, "..") {
			http.Error(w, "this is the way to the door for one task", http.StatusForbidden)
			return
		}
		door.ServeHTTP(w, q)
	})
	return mux
}
