package trust

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"slices"
	"sync"

	"github.com/rondo-ci/rondo/proxy"
)

// A Way is an [http.RoundTripper] that trusts what Roots hold now. It is safe
// for concurrent use.
type Way struct {
	roots *Roots
	base  *http.Transport
	more  []byte // PEM that this client trusts too

	mu     sync.Mutex
	number int
	inner  *http.Transport
}

// NewWay returns a way that goes through the proxies of the settings. more are
// further certificates (PEM) that only this client trusts; nil is none.
func NewWay(r *Roots, s proxy.Settings, more []byte) *Way {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = s.Func()
	w := Over(r, t)
	w.more = more
	return w
}

// Over returns a way that makes connections as base does: its proxy, dialer,
// bounds, and certificate of the client; only the answers of the proxy to
// CONNECT are its own business. Base itself is not used any more. One
// whose TLS names authorities (RootCAs) goes on to trust these alone.
func Over(r *Roots, base *http.Transport) *Way {
	base = base.Clone()
	if base.TLSClientConfig == nil {
		base.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	base.OnProxyConnectResponse = proxy.Connected
	// What HTTP/2 has set up belongs to the connections of base; each new
	// transport is to have its own.
	if _, two := base.TLSNextProto["h2"]; two {
		base.TLSNextProto, base.ForceAttemptHTTP2 = nil, true
		base.TLSClientConfig.NextProtos = slices.DeleteFunc(slices.Clone(base.TLSClientConfig.NextProtos), func(p string) bool { return p == "h2" || p == "http/1.1" })
	}
	return &Way{roots: r, base: base}
}

// RoundTrip implements [http.RoundTripper]. A proxy that does not let the
// request through is a [proxy.Refusal].
func (w *Way) RoundTrip(r *http.Request) (*http.Response, error) {
	t := w.transport()
	res, err := t.RoundTrip(r)
	if err != nil || t.Proxy == nil || res.StatusCode != http.StatusProxyAuthRequired {
		return res, err
	}
	if via, err := t.Proxy(r); err == nil {
		if err := proxy.Answered(via, res); err != nil {
			_ = res.Body.Close() // there is nothing to read in it
			return nil, err
		}
	}
	return res, nil
}

// transport returns the transport of now. Connections of an earlier one that
// are in use end by themselves.
func (w *Way) transport() *http.Transport {
	n := w.roots.Number()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inner != nil && w.number == n {
		return w.inner
	}
	if w.inner != nil {
		w.inner.CloseIdleConnections()
	}
	t := w.base.Clone()
	if t.TLSClientConfig.RootCAs == nil {
		t.TLSClientConfig.RootCAs = w.pool()
	}
	w.inner, w.number = t, n
	return t
}

// pool returns what this way trusts now.
func (w *Way) pool() *x509.CertPool {
	pool := w.roots.Pool()
	if len(w.more) == 0 {
		return pool
	}
	pool = pool.Clone()
	pool.AppendCertsFromPEM(w.more)
	return pool
}

// CloseIdleConnections closes connections that nobody uses.
func (w *Way) CloseIdleConnections() { w.transport().CloseIdleConnections() }
