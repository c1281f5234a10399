package web

import (
	"io"
	"net/http"
	"time"
)

// bodyTime is how long a request may take to arrive whole.
const bodyTime = 30 * time.Second

// limitBody gives the body of a request a deadline, if it has one. It counts
// for a body that no handler reads, too: net/http reads the rest of it before
// it answers, and would wait for a sender that stalls. It ends with the
// request.
func limitBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	}
}

// bodyRead takes that deadline back: the connection is watched for a reader
// who goes away, and a deadline that strikes would look like one.
func bodyRead(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
}

// A steady writer gives up a reader that takes nothing for a while, however
// long the whole answer may take.
type steady struct {
	w     io.Writer
	ctl   *http.ResponseController
	moved time.Time // when the deadline was last pushed
}

// steadily returns a steady writer to w. The caller calls close when it has
// written all: deadlines for writing outlive a request.
func steadily(w http.ResponseWriter) *steady {
	return &steady{w: w, ctl: http.NewResponseController(w)}
}

func (s *steady) Write(p []byte) (int, error) {
	if now := time.Now(); now.Sub(s.moved) > time.Second {
		s.moved = now
		_ = s.ctl.SetWriteDeadline(now.Add(patience))
	}
	return s.w.Write(p)
}

func (s *steady) close() { _ = s.ctl.SetWriteDeadline(time.Time{}) }
