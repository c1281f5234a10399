package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/spool"
)

// A step is one step that has begun: its record and its output.
type step struct {
	s      *session
	record ci.Step
	out    *output
	stream *spool.Stream
	// early writes the first record of a step that began quietly, unless the
	// step ends before.
	early *time.Timer
	ready sync.WaitGroup
	once  sync.Once
}

// newStep returns a step and starts to send its output.
func (s *session) newStep(kind ci.StepKind, name string) *step {
	st := &step{s: s, record: ci.Step{
		Index: s.count, Kind: kind, Name: s.secrets.String(name),
		Status: ci.Running, Started: time.Now().UTC(),
	}}
	s.count++
	file := ""
	if s.place != nil {
		file = filepath.Join(s.layout.Private, fmt.Sprintf("spool-%d", st.record.Index))
	}
	st.stream = spool.New(file, spool.Config{Limit: s.agent.cfg.Spool})
	st.out = newOutput(s.secrets, st.stream)
	return st
}

// begin starts a step: when it returns without an error, the server knows of
// it, and it may run.
func (s *session) begin(kind ci.StepKind, name, command string, inBackground bool) (*step, error) {
	st := s.newStep(kind, name)
	st.record.Command, st.record.Background = s.secrets.String(command), inBackground
	err := st.put(st.record)
	s.release() // whether or not: nothing waits for a record any more
	if err != nil {
		return nil, err
	}
	s.beside.Go(st.send)
	return st, nil
}

// quiet is how long a step that runs nothing may take before it is announced.
const quiet = 20 * time.Millisecond

// beginQuietly starts a step of the agent's own, in which nothing of the job
// runs. If it ends soon it has one record only.
func (s *session) beginQuietly(kind ci.StepKind, name string) *step {
	st := s.newStep(kind, name)
	first := st.record
	st.ready.Add(1)
	st.early = time.AfterFunc(quiet, func() {
		defer st.ready.Done()
		_ = st.put(first) // the record of the end tells of a fault
	})
	// What it prints is sent while the job's first step runs, rather than
	// while that waits for its record: the two would share the server's disk.
	started := make(chan struct{})
	s.release = sync.OnceFunc(func() { close(started) })
	time.AfterFunc(quiet, s.release)
	s.beside.Go(func() {
		<-started
		st.send()
	})
	return st
}

func (st *step) put(record ci.Step) error {
	return st.s.lease.do("record step", func(ctx context.Context, l ci.Lease) error {
		return st.s.agent.door.PutStep(ctx, l, record)
	})
}

// end ends the step. Its last output and its last record are sent while the
// job goes on. Only the first end counts.
func (st *step) end(r result) {
	st.once.Do(func() {
		_ = st.out.Close()
		st.record.Status, st.record.ExitCode = r.status, r.code
		st.record.Reason = st.s.secrets.String(r.reason)
		st.record.Stopped = time.Now().UTC()
		st.stream.Close() // send reads the record after this
	})
}

// send sends the output of the step, and when that is acknowledged, the record
// of its end.
func (st *step) send() {
	defer func() { _ = st.stream.Remove() }()
	s := st.s
	err := st.stream.Send(s.lease.ctx, func(ctx context.Context, offset int64, data []byte) (int64, error) {
		return s.lease.append(st.record.Index, offset, data)
	})
	if st.early != nil && !st.early.Stop() {
		st.ready.Wait()
	}
	if err == nil {
		sum := st.stream.Sum()
		st.record.Bytes, st.record.SHA256, st.record.Lost = sum.Bytes, sum.SHA256, sum.Lost
		err = st.put(st.record)
	}
	if err != nil && s.lease.ctx.Err() == nil {
		s.fault(errFault{fmt.Errorf("step %q: %w", st.record.Name, err)})
	}
}

// append stores output. A conflict that is about the offset is returned with
// what is stored; one about the lease is its loss.
func (k *keeper) append(step int, offset int64, data []byte) (next int64, err error) {
	err = retry(k.ctx, func() error {
		if err := k.check(k.ctx); err != nil {
			return err
		}
		next, err = k.door.Append(k.ctx, k.lease, step, offset, data)
		return err
	})
	if errors.Is(err, ci.ErrConflict) && k.ctx.Err() == nil {
		_ = k.renew(k.ctx) // it is lost, or the conflict is about the offset
	}
	if k.ctx.Err() != nil {
		return 0, context.Cause(k.ctx)
	}
	return next, err
}
