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
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

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
	s.tasks[w.Lease.Task] = &task{work: w, steps: map[int]ci.Step{}, logs: map[int]*bytes.Buffer{}}
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

// enter begins a call: it runs the fault and finds the task of the lease. The
// caller unlocks mu if there is no error.
func (s *Server) enter(ctx context.Context, method string, l ci.Lease) (*task, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.Fault != nil {
		if err := s.Fault(method); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	t := s.tasks[l.Task]
	var err error
	switch {
	case t == nil:
		err = fmt.Errorf("task %s: %w", l.Task, ci.ErrNotFound)
	case t.stale || t.work.Lease.Epoch != l.Epoch || t.work.Lease.Worker != l.Worker || !t.claimed:
		err = fmt.Errorf("task %s: lease %d of %s is stale: %w", l.Task, l.Epoch, l.Worker, ci.ErrConflict)
	case t.report != nil && method != "Finish":
		err = fmt.Errorf("task %s: has ended: %w", l.Task, ci.ErrConflict)
	}
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	return t, nil
}

// Claim implements agent.Door.
func (s *Server) Claim(ctx context.Context, id ci.TaskID, epoch int64, worker string) (ci.Work, error) {
	if err := ctx.Err(); err != nil {
		return ci.Work{}, err
	}
	if s.Fault != nil {
		if err := s.Fault("Claim"); err != nil {
			return ci.Work{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks[id]
	switch {
	case t == nil:
		return ci.Work{}, fmt.Errorf("claim %s: %w", id, ci.ErrNotFound)
	case t.stale || t.work.Lease.Epoch != epoch || t.claimed && t.work.Lease.Worker != worker:
		return ci.Work{}, fmt.Errorf("claim %s: superseded: %w", id, ci.ErrConflict)
	}
	t.claimed, t.work.Lease.Worker = true, worker
	s.change()
	return t.work, nil
}

// Renew implements agent.Door.
func (s *Server) Renew(ctx context.Context, l ci.Lease) (ci.Lease, error) {
	t, err := s.enter(ctx, "Renew", l)
	if err != nil {
		return ci.Lease{}, err
	}
	defer s.mu.Unlock()
	s.renewals++
	l.Canceled = t.canceled
	return l, nil
}

// PutStep implements agent.Door.
func (s *Server) PutStep(ctx context.Context, l ci.Lease, step ci.Step) error {
	t, err := s.enter(ctx, "PutStep", l)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	old, known := t.steps[step.Index]
	switch {
	case step.Index > 0 && !known && step.Status != ci.Running:
		s.problem("step %d ended before it began", step.Index)
	case known && old.Status.Ended() && step.Status == ci.Running:
		s.problem("step %d began after it ended", step.Index)
	}
	if step.Status.Ended() {
		var data []byte
		if b := t.logs[step.Index]; b != nil {
			data = b.Bytes()
		}
		sum := sha256.Sum256(data)
		if step.Bytes != int64(len(data)) || step.SHA256 != hex.EncodeToString(sum[:]) {
			s.problem("step %d ended with %d bytes and hash %.8s; stored are %d bytes and %.8x", step.Index, step.Bytes, step.SHA256, len(data), sum)
		}
	}
	t.steps[step.Index] = step
	t.order = append(t.order, step)
	s.change()
	return nil
}

// Append implements agent.Door.
func (s *Server) Append(ctx context.Context, l ci.Lease, step int, offset int64, data []byte) (int64, error) {
	t, err := s.enter(ctx, "Append", l)
	if err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	b := t.logs[step]
	if b == nil {
		b = &bytes.Buffer{}
		t.logs[step] = b
	}
	have := int64(b.Len())
	if len(data) > 1<<20 {
		s.problem("step %d: %d bytes at once", step, len(data))
	}
	if _, known := t.steps[step]; !known && step > 0 {
		s.problem("step %d printed before it began", step)
	}
	if offset > have {
		return have, fmt.Errorf("append at %d to %d bytes: %w", offset, have, ci.ErrConflict)
	}
	skip := min(have-offset, int64(len(data)))
	if !bytes.Equal(b.Bytes()[offset:offset+skip], data[:skip]) {
		s.problem("step %d: other bytes were sent again", step)
	}
	b.Write(data[skip:])
	s.change()
	return int64(b.Len()), nil
}

// PutTests implements agent.Door.
func (s *Server) PutTests(ctx context.Context, l ci.Lease, tests []ci.Test) error {
	t, err := s.enter(ctx, "PutTests", l)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	t.tests = slices.Clone(tests)
	return nil
}

// Timings implements agent.Door.
func (s *Server) Timings(ctx context.Context, l ci.Lease) ([]ci.Test, error) {
	_, err := s.enter(ctx, "Timings", l)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	return s.timings, nil
}

// Finish implements agent.Door.
func (s *Server) Finish(ctx context.Context, l ci.Lease, r ci.Report) error {
	t, err := s.enter(ctx, "Finish", l)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	if t.report != nil && *t.report != r {
		s.problem("task %s reported as %s and as %s", l.Task, t.report.Status, r.Status)
	}
	for i, step := range t.steps {
		if !step.Status.Ended() {
			s.problem("task %s finished with step %d %s", l.Task, i, step.Status)
		}
	}
	t.report = &r
	s.change()
	return nil
}

// PutFile implements agent.Files.
func (s *Server) PutFile(ctx context.Context, l ci.Lease, f ci.File, r io.Reader) (ci.File, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return ci.File{}, err
	}
	t, err := s.enter(ctx, "PutFile", l)
	if err != nil {
		return ci.File{}, err
	}
	defer s.mu.Unlock()
	if f.Kind == ci.FileCache && f.Task != "" || f.Kind != ci.FileCache && (f.Task != l.Task || f.Epoch != l.Epoch) {
		s.problem("file %s %s says task %q, epoch %d", f.Kind, f.Name, f.Task, f.Epoch)
	}
	project := t.work.Project.ID
	for _, old := range s.files {
		if old.project == project && old.file.Kind == f.Kind && old.file.Name == f.Name && old.file.Task == f.Task && old.file.Epoch == f.Epoch {
			return old.file, fmt.Errorf("store %s: exists: %w", f.Name, ci.ErrConflict)
		}
	}
	sum := sha256.Sum256(data)
	f.Size, f.SHA256, f.Stored = int64(len(data)), hex.EncodeToString(sum[:]), time.Now().UTC()
	s.files = append(s.files, stored{project, f, data})
	s.change()
	return f, nil
}

// FindFiles implements agent.Files.
func (s *Server) FindFiles(ctx context.Context, l ci.Lease, like ci.File) ([]ci.File, error) {
	t, err := s.enter(ctx, "FindFiles", l)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var found []ci.File
	for _, f := range s.files {
		if f.project == t.work.Project.ID && f.file.Kind == like.Kind && f.file.Task == like.Task &&
			f.file.Epoch == like.Epoch && strings.HasPrefix(f.file.Name, like.Name) {
			found = append(found, f.file)
		}
	}
	if like.Kind == ci.FileCache {
		slices.Reverse(found)
	} else {
		slices.SortFunc(found, func(a, b ci.File) int { return strings.Compare(a.Name, b.Name) })
	}
	return found, nil
}

// OpenFile implements agent.Files.
func (s *Server) OpenFile(ctx context.Context, l ci.Lease, f ci.File) (io.ReadCloser, error) {
	t, err := s.enter(ctx, "OpenFile", l)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	for _, have := range slices.Backward(s.files) {
		if have.project == t.work.Project.ID && have.file.Kind == f.Kind && have.file.Name == f.Name &&
			have.file.Task == f.Task && have.file.Epoch == f.Epoch {
			sum := sha256.Sum256(have.data)
			data := io.Reader(bytes.NewReader(have.data))
			if hex.EncodeToString(sum[:]) != have.file.SHA256 {
				data = io.MultiReader(data, broken{})
			}
			return io.NopCloser(data), nil
		}
	}
	return nil, fmt.Errorf("open %s %s: %w", f.Kind, f.Name, ci.ErrNotFound)
}

// broken is the end of a file whose hash is wrong.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, fmt.Errorf("hash is wrong: %w", ci.ErrInvalid) }
