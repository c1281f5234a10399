package pointer

import (
	"net/http"
	"strings"
)

// Identity is the header in which an agent shows what Nomad has signed about it.
const Identity = "Rondo-Identity"

// Over returns a transport that shows the identity of the agent to the door
// where that is asked for: when it waits for a task, and when it claims one. A
// nil next is [http.DefaultTransport].
func (p Pointer) Over(next http.RoundTripper) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	if p.Identity == "" {
		return next
	}
	return shows{p.Identity, next}
}

type shows struct {
	identity string
	next     http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (s shows) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Path, Path) || strings.HasSuffix(r.URL.Path, "/claim") {
		r = r.Clone(r.Context())
		r.Header.Set(Identity, s.identity)
	}
	return s.next.RoundTrip(r)
}

// CloseIdleConnections closes those of the transport below.
func (s shows) CloseIdleConnections() {
	if c, ok := s.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
