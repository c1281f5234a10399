package agenttest

import (
	"fmt"
	"slices"

	"github.com/rondo-ci/rondo/ci"
)

// Problems lists every breach of the contract so far.
func (s *Server) Problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.problems)
}

func (s *Server) problem(format string, args ...any) {
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

// Report returns what was reported of the task, and false before that.
func (s *Server) Report(id ci.TaskID) (ci.Report, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tasks[id]; t != nil && t.report != nil {
		return *t.report, true
	}
	return ci.Report{}, false
}

// Steps returns the newest record of each step, by index.
func (s *Server) Steps(id ci.TaskID) []ci.Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	var steps []ci.Step
	for i := 0; i < len(s.tasks[id].steps); i++ {
		steps = append(steps, s.tasks[id].steps[i])
	}
	return steps
}

// Records returns all records of steps in the order they were written.
func (s *Server) Records(id ci.TaskID) []ci.Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tasks[id].order)
}

// Output returns what a step has printed so far.
func (s *Server) Output(id ci.TaskID, step int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.tasks[id].logs[step]; b != nil {
		return b.String()
	}
	return ""
}

// Tests returns the test results of the task.
func (s *Server) Tests(id ci.TaskID) []ci.Test {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tasks[id].tests)
}

// Renewals returns how many renewals there were.
func (s *Server) Renewals() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewals
}

// Files lists the files of a kind in the order of storing.
func (s *Server) Files(kind ci.FileKind) []ci.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []ci.File
	for _, f := range s.files {
		if f.file.Kind == kind {
			list = append(list, f.file)
		}
	}
	return list
}

// Content returns the content of the newest file of that kind and name.
func (s *Server) Content(kind ci.FileKind, name string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range slices.Backward(s.files) {
		if f.file.Kind == kind && f.file.Name == name {
			return slices.Clone(f.data), true
		}
	}
	return nil, false
}

// Damage flips a bit in the middle of every file of that kind and name.
func (s *Server) Damage(kind ci.FileKind, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		if f.file.Kind == kind && f.file.Name == name && len(f.data) > 0 {
			f.data[len(f.data)/2] ^= 1
		}
	}
}
