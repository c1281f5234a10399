package trust

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"sync"

	"github.com/rondo-ci/rondo/proxy"
)

// A Way is an [http.RoundTripper] that trusts what Roots hold now and goes
// through the proxies of the settings. It is safe for concurrent use.
type Way struct {
	roots *Roots
	proxy proxy.Settings
	more  []byte // PEM that this client trusts too

	mu     sync.Mutex
	number int
	inner  *http.Transport
}

// NewWay returns a way. more are further certificates (PEM) that only this
// client trusts; nil is none.
func NewWay(r *Roots, s proxy.Settings, more []byte) *Way {
	return &Way{roots: r, proxy: s, more: more}
}

// RoundTrip implements [http.RoundTripper].
func (w *Way) RoundTrip(r *http.Request) (*http.Response, error) {
	return w.transport().RoundTrip(r)
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
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = w.proxy.Func()
	t.TLSClientConfig = &tls.Config{RootCAs: w.Pool(), MinVersion: tls.VersionTLS12}
	w.inner, w.number = t, n
	return t
}

// Pool returns what this way trusts now.
func (w *Way) Pool() *x509.CertPool {
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
