package main

import (
	"os"
	"sync"
)

// sink is the standard output. It remembers the first error, and tells of it:
// a run whose output nobody gets is canceled, not continued in silence.
type sink struct {
	out *os.File

	mu     sync.Mutex
	err    error
	failed func()
}

// Write returns no error: the callers cannot do anything about one.
func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return len(p), nil
	}
	if _, s.err = s.out.Write(p); s.err != nil && s.failed != nil {
		go s.failed()
	}
	return len(p), nil
}

// onError makes f what happens at the first error.
func (s *sink) onError(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = f
	if s.err != nil {
		go f()
	}
}

// Err returns the first error.
func (s *sink) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
