// Package relay is how two servers of one installation answer as one: the one
// that conducts answers itself, and the other passes every request on to it.
//
// A [Relay] has lines: the pages with the API, and the door of agents. People,
// code hosts and agents come to a line of any server. Between the servers a
// request travels over the internal address, signed with the key that both
// have, so that what it says of where it came from can be believed.
//
// The conductor gives an answer only while its term lasts. So a server that
// was paused, while another took over, cannot tell anybody that it has stored
// something: what it writes to the database is refused there, and what it
// wrote to a file before its term ended was there for its successor to find.
//
// The package never decides who conducts, and never answers a request itself,
// except to say that nobody can at the moment.
package relay

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"
)

// The lines of a server.
const (
	Pages  = "pages"
	Agents = "agents"
)

// patience is how long a request waits for a conductor.
const patience = 20 * time.Second

// A Relay answers requests or passes them on. All methods are safe for
// concurrent use.
type Relay struct {
	key   []byte
	log   *slog.Logger
	local map[string]*atomic.Pointer[http.Handler]
	// lasts reports whether the term of this server lasts; nil before it has
	// one.
	lasts     atomic.Pointer[func() bool]
	conductor atomic.Pointer[conductor]
	proxies   map[string]*httputil.ReverseProxy
}

// A conductor is who conducts, for as long as it does.
type conductor struct {
	address string        // "" when nobody knows
	over    chan struct{} // closed when it is another one
}

// New returns a relay that knows no conductor yet. key is what both servers
// know and nobody else.
func New(key string, log *slog.Logger) *Relay {
	r := &Relay{key: []byte(key), log: log, local: make(map[string]*atomic.Pointer[http.Handler]), proxies: make(map[string]*httputil.ReverseProxy)}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, DisableCompression: true,
	}
	r.conductor.Store(&conductor{over: make(chan struct{})})
	for _, line := range []string{Pages, Agents} {
		r.local[line] = new(atomic.Pointer[http.Handler])
		r.proxies[line] = &httputil.ReverseProxy{
			Rewrite:       func(p *httputil.ProxyRequest) { r.rewrite(line, p) },
			Transport:     &persistent{r, transport},
			FlushInterval: -1,
			ErrorHandler:  r.failed,
			ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		}
	}
	return r
}

// Follow says where the conductor is, this server itself where it conducts; ""
// is that nobody knows. What was passed on to another one is given up: that
// one will not answer any more. Follow is called by one goroutine.
func (r *Relay) Follow(address string) {
	old := r.conductor.Load()
	if old.address == address {
		return
	}
	r.conductor.Store(&conductor{address, make(chan struct{})})
	close(old.over)
}

// Conduct makes this server answer a line itself, while lasts reports that its
// term lasts.
func (r *Relay) Conduct(line string, h http.Handler, lasts func() bool) {
	r.lasts.Store(&lasts)
	r.local[line].Store(&h)
}

// Handler answers the requests that come to a line of this server.
func (r *Relay) Handler(line string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		for name := range q.Header { // only a relay may say this
			if http.CanonicalHeaderKey(name) == signatureHeader || http.CanonicalHeaderKey(name) == clientHeader {
				q.Header.Del(name)
			}
		}
		if h := r.local[line].Load(); h != nil {
			r.answer(*h, w, q)
			return
		}
		r.proxies[line].ServeHTTP(w, q)
	})
}

// Inside answers what other servers pass on to this one.
func (r *Relay) Inside() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		line, ok := r.verify(q)
		if !ok {
			http.Error(w, "this is the internal address of a Rondo server: the request is not signed with its cluster.key", http.StatusForbidden)
			return
		}
		h := r.local[line].Load()
		if h == nil {
			notConducting(w)
			return
		}
		r.answer(*h, w, q)
	})
}

// answer lets the handler answer, for as long as the term lasts.
func (r *Relay) answer(h http.Handler, w http.ResponseWriter, q *http.Request) {
	lasts := *r.lasts.Load()
	if !lasts() {
		notConducting(w)
		return
	}
	g := &guarded{ResponseWriter: w, lasts: lasts}
	h.ServeHTTP(g, q)
	if !g.begun && !g.denied { // an answer without a word is one too
		g.WriteHeader(http.StatusOK)
	}
}

// absent marks the answer of a server that does not conduct.
const absent = "Rondo-Conducts-Not"

func notConducting(w http.ResponseWriter) {
	w.Header().Set(absent, "1")
	w.Header().Set("Retry-After", "2")
	http.Error(w, "another server is taking over, try again in a moment", http.StatusServiceUnavailable)
}

func (r *Relay) failed(w http.ResponseWriter, q *http.Request, err error) {
	if q.Context().Err() == nil {
		r.log.Warn("pass a request on to the server that conducts", "path", q.URL.Path, "err", err)
	}
	w.Header().Set("Retry-After", "2")
	http.Error(w, "the server that conducts does not answer, try again in a moment", http.StatusServiceUnavailable)
}

// rewrite addresses a request to the conductor. Its host stays what the client
// asked for.
func (r *Relay) rewrite(line string, p *httputil.ProxyRequest) {
	p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = "http", "conductor", p.In.Host
	p.Out.Trailer = p.In.Trailer // filled when the body was read; a clone is not
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v, ok := p.In.Header[name]; ok { // what proxies before us said
			p.Out.Header[name] = v
		}
	}
	r.sign(line, p.In.RemoteAddr, p.Out)
}

// persistent sends a request to whoever conducts at the moment, and looks for
// a new one while nobody takes it.
type persistent struct {
	r    *Relay
	next http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (p *persistent) RoundTrip(q *http.Request) (*http.Response, error) {
	end := time.Now().Add(patience)
	body := &untouched{ReadCloser: q.Body}
	if q.Body != nil && q.Body != http.NoBody {
		q.Body = body
		defer func() { _ = body.ReadCloser.Close() }()
	}
	for {
		res, err := p.try(q)
		again := err != nil && !body.read.Load() && (isDial(err) || errors.Is(err, errNobody) || q.Method == http.MethodGet || q.Method == http.MethodHead)
		if err == nil && res.Header.Get(absent) != "" && !body.read.Load() {
			_ = res.Body.Close()
			again, err = true, errNobody
		}
		if !again || time.Now().After(end) {
			return res, err
		}
		if err := pause(q.Context(), 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

var errNobody = errors.New("nobody conducts")

func (p *persistent) try(q *http.Request) (*http.Response, error) {
	at := p.r.conductor.Load()
	if at.address == "" {
		return nil, errNobody
	}
	u, err := url.Parse(at.address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(q.Context())
	go func() { // ends with the request
		select {
		case <-at.over:
			cancel(errNobody)
		case <-ctx.Done():
		}
	}()
	one := q.Clone(ctx)
	one.URL.Scheme, one.URL.Host, one.Trailer = u.Scheme, u.Host, q.Trailer
	res, err := p.next.RoundTrip(one)
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errNobody) {
			err = cause
		}
		cancel(err)
	}
	return res, err
}

func isDial(err error) bool {
	var e *net.OpError
	return errors.As(err, &e) && e.Op == "dial"
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// untouched is a body that knows whether it was read. Closing it is left to
// the relay: a transport closes the body of a request that it could not send.
type untouched struct {
	io.ReadCloser
	read atomic.Bool
}

// Read implements [io.Reader].
func (u *untouched) Read(p []byte) (int, error) {
	u.read.Store(true)
	return u.ReadCloser.Read(p)
}

// Close implements [io.Closer].
func (u *untouched) Close() error { return nil }
