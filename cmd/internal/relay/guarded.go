package relay

import (
	"bufio"
	"net"
	"net/http"
)

// A guarded is an answer that is given only while the term lasts: whether it
// does is asked when the answer begins, after all that it tells of was done.
type guarded struct {
	http.ResponseWriter
	lasts  func() bool
	begun  bool
	denied bool
}

// WriteHeader implements [http.ResponseWriter].
func (g *guarded) WriteHeader(status int) {
	if g.denied || g.begun && status < 200 {
		return
	}
	if !g.lasts() {
		g.denied = true
		for name := range g.Header() {
			g.Header().Del(name)
		}
		notConducting(g.ResponseWriter)
		return
	}
	g.begun = g.begun || status >= 200
	g.ResponseWriter.WriteHeader(status)
}

// Write implements [io.Writer].
func (g *guarded) Write(p []byte) (int, error) {
	if !g.begun && !g.denied {
		g.WriteHeader(http.StatusOK)
	}
	if g.denied {
		return 0, http.ErrAbortHandler
	}
	return g.ResponseWriter.Write(p)
}

// Unwrap serves [http.ResponseController].
func (g *guarded) Unwrap() http.ResponseWriter { return g.ResponseWriter }

// Flush implements [http.Flusher].
func (g *guarded) Flush() { _ = g.FlushError() }

// FlushError serves [http.ResponseController].
func (g *guarded) FlushError() error {
	if !g.begun && !g.denied {
		g.WriteHeader(http.StatusOK)
	}
	if g.denied {
		return http.ErrAbortHandler
	}
	return http.NewResponseController(g.ResponseWriter).Flush()
}

// Hijack implements [http.Hijacker].
func (g *guarded) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	g.begun = true
	return http.NewResponseController(g.ResponseWriter).Hijack()
}
