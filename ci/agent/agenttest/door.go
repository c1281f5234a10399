package agenttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/rondo-ci/rondo/ci"
)

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
	case step.Kind != ci.StepEnvironment && t.early[step.Index]:
		s.problem("step %d printed before it began", step.Index)
	case step.Kind != ci.StepEnvironment && !known && step.Status != ci.Running:
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
	if _, known := t.steps[step]; !known { // only the agent's own steps may
		t.early[step] = true
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
	if b, err := json.Marshal(tests); err != nil || len(b) > 128<<20 {
		return fmt.Errorf("%d test results of %d bytes: too large, or not JSON: %w", len(tests), len(b), ci.ErrInvalid)
	}
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
