// Package spool keeps the output of a step until a server has it.
//
// A [Stream] takes bytes on one side without ever waiting for the network, and
// sends them on the other side in order, by offset, as often as it takes to
// get them acknowledged. What does not fit in a little memory goes to a file.
// When that is full as well, bytes are dropped, and the stream itself says how
// many and where: it never loses anything in silence.
//
// The package knows nothing of leases: who sends decides when to give up.
package spool

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"sync"
	"time"
)

// MaxChunk is the most that is sent at once, in bytes.
const MaxChunk = 1 << 20

// memory is how many bytes wait in memory before the file is used.
const memory = 4 << 20

// Config adjusts a [Stream]. The zero Config works.
type Config struct {
	// Limit is how many unacknowledged bytes the file may hold; 0 is 1 GiB.
	Limit int64
	// Pause is the time between the beginnings of two sends, unless much has
	// gathered; 0 is 20 ms. The first bytes after a silence go out at once.
	Pause time.Duration
}

// A Stream is the output of one step. One goroutine may write while another
// sends.
type Stream struct {
	path string
	cfg  Config
	wake chan struct{} // something for the sender to see

	mu     sync.Mutex
	mem    []byte // older than what is in the file
	spare  []byte // a buffer to use again
	file   *os.File
	r, w   int64  // what of the file has not been taken: offsets that only grow, modulo its size
	tail   []byte // newer than what is in the file
	hash   hash.Hash
	total  int64
	lost   int64 // all that was dropped
	gap    int64 // dropped since the last record of it
	broken bool  // the gap is because the file could not be written
	closed bool
}

// New returns an empty stream that uses a file of that name when it must. The
// file must not exist.
func New(path string, cfg Config) *Stream {
	if cfg.Limit == 0 {
		cfg.Limit = 1 << 30
	}
	if cfg.Pause == 0 {
		cfg.Pause = 20 * time.Millisecond
	}
	return &Stream{path: path, cfg: cfg, wake: make(chan struct{}, 1), hash: sha256.New()}
}

// Write adds p to the stream. It never fails: what cannot be kept is counted,
// and a record of it takes its place in the stream. It keeps no reference to p.
func (s *Stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(p) == 0 {
		return len(p), nil
	}
	if s.gap > 0 && s.recovered() {
		s.tell()
	}
	if s.gap > 0 || !s.keep(p) {
		s.gap += int64(len(p))
		s.lost += int64(len(p))
	}
	s.signal()
	return len(p), nil
}

// recovered reports whether there is room again after bytes were dropped: so
// much that not every other line is dropped.
func (s *Stream) recovered() bool {
	if len(s.tail) > 0 {
		return false
	}
	return s.r == s.w || !s.broken && s.free() >= s.cfg.Limit/16
}

// free returns how much the file may still take.
func (s *Stream) free() int64 { return s.cfg.Limit - (s.w - s.r) }

// tell writes the record of the bytes dropped last.
func (s *Stream) tell() {
	if s.gap == 0 {
		return
	}
	cause := "spool full"
	if s.broken {
		cause = "spool cannot be written"
	}
	record := fmt.Appendf(nil, "[rondo: %d bytes of output missing: %s]\n", s.gap, cause)
	s.gap, s.broken = 0, false
	switch {
	case s.r == s.w:
		s.mem = append(s.mem, record...)
	case s.spill(record) != nil:
		s.tail = append(s.tail, record...)
	}
	s.count(record)
}

// keep stores p if there is room and reports whether it did.
func (s *Stream) keep(p []byte) bool {
	switch {
	case len(s.tail) > 0:
		return false
	case s.r == s.w && len(s.mem)+len(p) <= memory:
		if s.mem == nil {
			s.mem, s.spare = s.spare[:0], nil
		}
		s.mem = append(s.mem, p...)
	case s.free() < int64(len(p)):
		return false
	default:
		if err := s.spill(p); err != nil {
			s.broken = true
			return false
		}
	}
	s.count(p)
	return true
}

func (s *Stream) count(p []byte) {
	s.hash.Write(p)
	s.total += int64(len(p))
}

// ring is the size of the file: the limit, and room for the record of a gap.
func (s *Stream) ring() int64 { return s.cfg.Limit + 4096 }

// spill adds p to the file, which is used as a ring.
func (s *Stream) spill(p []byte) error {
	if s.file == nil {
		f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		s.file = f
	}
	at := s.w % s.ring()
	n := min(int64(len(p)), s.ring()-at)
	if _, err := s.file.WriteAt(p[:n], at); err != nil {
		return err
	}
	if _, err := s.file.WriteAt(p[n:], 0); n < int64(len(p)) && err != nil {
		return err
	}
	s.w += int64(len(p))
	return nil
}

// Close ends the stream: later writes are ignored, and Send returns when all
// has been acknowledged. Twice is allowed.
func (s *Stream) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.tell()
		s.closed = true
		s.signal()
	}
}

func (s *Stream) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// A Sum describes the whole stream.
type Sum struct {
	Bytes  int64
	SHA256 string // hex
	Lost   int64  // bytes that were dropped
}

// Sum returns what the stream came to. It is final after Close.
func (s *Stream) Sum() Sum {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Sum{s.total, hex.EncodeToString(s.hash.Sum(nil)), s.lost}
}

// Remove removes the file, if there is one. The stream is of no use afterwards.
func (s *Stream) Remove() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.mem = true, nil
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return errors.Join(f.Close(), os.Remove(s.path))
}
