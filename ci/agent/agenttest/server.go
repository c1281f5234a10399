// Package agenttest is a server in memory for tests of agents, and of whatever
// speaks with them.
//
// A [Server] is both doors of package agent. It keeps what agents write, holds
// them to the contract (epochs, offsets, hashes, records before output), and
// can be told to misbehave. It never forgives: [Server.Problems] lists every
// breach.
package agenttest

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/rondo-ci/rondo/ci"
)

// A Server hands out tasks and keeps what agents write. The zero Server has
// no tasks. All methods are safe for concurrent use.
type Server struct {
	// Fault, if it is set, is called before every call with its name
	// ("Append", "PutFile", ...); an error that it returns is what the agent
	// gets. Set it before the agent starts.
	Fault func(method string) error

	mu       sync.Mutex
	tasks    map[ci.TaskID]*task
	files    []stored
	timings  []ci.Test
	problems []string
	renewals int
	changed  chan struct{}
}

// task is what the server knows of one task.
type task struct {
	work     ci.Work
	claimed  bool
	stale    bool
	canceled bool
	steps    map[int]ci.Step
	order    []ci.Step
	logs     map[int]*bytes.Buffer
	early    map[int]bool // steps that printed before they began
	tests    []ci.Test
	report   *ci.Report
}

type stored struct {
	project ci.ProjectID
	file    ci.File
	data    []byte
}

// Add offers work to agents, under the task and the epoch of its lease. Adding
// a task again replaces it, and makes the older hand-out stale.
func (s *Server) Add(w ci.Work) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks == nil {
		s.tasks = map[ci.TaskID]*task{}
	}
	s.tasks[w.Lease.Task] = &task{work: w, steps: map[int]ci.Step{}, logs: map[int]*bytes.Buffer{}, early: map[int]bool{}}
	s.change()
}

// Cancel asks for the task to be stopped with grace, at its next renewal.
func (s *Server) Cancel(id ci.TaskID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tasks[id].canceled = true
}

// Revoke makes the lease of the task stale.
func (s *Server) Revoke(id ci.TaskID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tasks[id].stale = true
}

// SetTimings sets what agents get as the tests of an earlier run.
func (s *Server) SetTimings(tests []ci.Test) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timings = tests
}

// change wakes those who wait. The caller holds mu.
func (s *Server) change() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Wait returns when is is true of the server, asked after every change, or
// with an error when ctx ends.
func (s *Server) Wait(ctx context.Context, is func() bool) error {
	for {
		s.mu.Lock()
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		if is() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for agent: %w", ctx.Err())
		case <-changed:
		}
	}
}
