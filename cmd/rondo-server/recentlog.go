package main

import (
	"bytes"
	"net/http"
	"sync"
)

// logPath is where operators read the end of the log.
const logPath = "/api/v2/rondo/services/log"

// recentSize is how much of the log a server remembers, in bytes.
const recentSize = 1 << 20

// A recentLog is the end of what was logged, in memory: for support bundles,
// wherever standard error goes.
type recentLog struct {
	mu   sync.Mutex
	text []byte
}

// Write implements [io.Writer]; slog writes a line at a time.
func (l *recentLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if over := len(l.text) - 2*recentSize; over > 0 { // moved seldom
		from := len(l.text) - recentSize
		if i := bytes.IndexByte(l.text[from:], '\n'); i >= 0 {
			from += i + 1
		}
		l.text = append(make([]byte, 0, 2*recentSize+4096), l.text[from:]...)
	}
	return len(p), nil
}

// last returns whole lines.
func (l *recentLog) last() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.text)
}

// logPage answers operators with the end of the log.
func (in *installation) logPage(w http.ResponseWriter, r *http.Request) {
	if !in.operatorOnly(w, r, "only operators read the log") {
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(in.recent.last())
}
