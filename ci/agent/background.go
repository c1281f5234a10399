package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A background is a run step that goes on beside the others.
type background struct {
	st   *step
	p    running
	stop chan struct{} // closed when the job ends
	done chan struct{} // closed when the step has ended
}

// startBackground starts the command of a step and does not wait for it. What
// becomes of it does not change the outcome of the job.
func (s *session) startBackground(ctx context.Context, st *step, spec ci.StepSpec) {
	c, err := s.command(spec, st.record.Index)
	var p running
	if err == nil {
		p, err = s.start(ctx, st.out, &c)
	}
	if err != nil {
		fmt.Fprintln(st.out, err)
		st.end(notStarted(err))
		return
	}
	b := &background{st: st, p: p, stop: make(chan struct{}), done: make(chan struct{})}
	s.background = append(s.background, b)
	go b.wait()
}

// wait ends the step when its process ends, or with the job.
func (b *background) wait() {
	defer close(b.done)
	stopped := false
	select {
	case <-b.p.Done():
	case <-b.stop:
		select {
		case <-b.p.Done(): // it had ended by itself
		default:
			stopped = true
			<-b.p.Done()
		}
	}
	b.p.pump.stop()
	code := b.p.Code()
	switch {
	case stopped:
		b.st.end(result{status: ci.Success, code: code, reason: "background step, ended with the job"})
	case code != 0:
		b.st.end(result{status: ci.Failed, code: code, reason: fmt.Sprintf("exited with code %d; a background step does not fail the job", code)})
	default:
		b.st.end(result{status: ci.Success})
	}
	if b.p.pump.eof {
		b.p.pump.close()
	} else {
		b.p.pump.discard()
	}
}

// backgroundGrace is how long background steps may take to end with the job.
const backgroundGrace = time.Second

// stopBackground ends all background steps.
func (s *session) stopBackground() {
	for _, b := range s.background {
		close(b.stop)
		b.p.Stop()
	}
	limit := time.NewTimer(min(backgroundGrace, s.agent.cfg.Grace))
	defer limit.Stop()
	for _, b := range s.background {
		if !wait(b.done, limit.C, s.lease.ctx.Done()) {
			break
		}
	}
	for _, b := range s.background {
		b.p.Kill()
		limit.Reset(killTime)
		if !wait(b.done, limit.C, nil) {
			b.st.end(result{status: ci.InfraFailed, code: -1, reason: "cannot be killed"})
		}
		s.left = append(s.left, b.p.pump)
	}
}
