package agent

import (
	"context"
	"errors"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/place"
)

// errSilent is the cause when a process printed nothing for too long.
var errSilent = errors.New("too long with no output")

// exec runs a command to its end and returns its exit code. Its output goes to
// out. If the end of ctx, or a silence longer than that, ends it, cause says
// so, and why says what else is known about its end; silence 0 is any. An
// error is that it could not be started.
func (s *session) exec(ctx context.Context, out *output, c place.Command, silence time.Duration) (code int, why string, cause, err error) {
	p, err := s.start(ctx, out, &c)
	if err != nil {
		return 0, "", nil, err
	}
	if cause = p.await(ctx, out, silence); cause != nil {
		s.stop(p.Process, cause)
	}
	s.collect(p)
	return p.Code(), p.Why(), cause, nil
}

// running is a process and what moves its output.
type running struct {
	place.Process
	pump *pump
}

// start starts a command, if the lease is good.
func (s *session) start(ctx context.Context, out *output, c *place.Command) (running, error) {
	if ctx.Err() != nil {
		return running{}, context.Cause(ctx)
	}
	if err := s.lease.check(ctx); err != nil {
		return running{}, err
	}
	pump, w, err := startPump(out)
	if err != nil {
		return running{}, err
	}
	c.Output = w
	out.last.Store(int64(time.Since(out.base)))
	p, err := s.place.Start(*c)
	_ = w.Close()
	if err != nil {
		pump.stop()
		pump.close()
		return running{}, err
	}
	return running{p, pump}, nil
}

// await waits for the end of the process; a cause says why it has to be ended
// instead.
func (p running) await(ctx context.Context, out *output, silence time.Duration) error {
	var timer *time.Timer
	var alarm <-chan time.Time
	if silence > 0 {
		timer = time.NewTimer(silence)
		defer timer.Stop()
		alarm = timer.C
	}
	for {
		select {
		case <-p.Done():
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-alarm:
			quiet := out.silence()
			if quiet >= silence {
				return errSilent
			}
			timer.Reset(silence - quiet)
		}
	}
}

// stop ends a process and its group: with grace, unless the cause allows none.
func (s *session) stop(p place.Process, cause error) {
	defer func() {
		p.Kill()
		limit := time.NewTimer(killTime)
		defer limit.Stop()
		wait(p.Done(), limit.C, nil)
	}()
	if errors.Is(cause, errLost) || errors.Is(cause, errGrace) {
		return
	}
	p.Stop()
	end := time.NewTimer(s.agent.cfg.Grace)
	defer end.Stop()
	if wait(p.Done(), end.C, s.lease.ctx.Done()) {
		// A shell ends at once; what it had started may need its time. This is
		// the only place that looks again and again.
		for pause := time.Millisecond; p.Alive(); pause = min(2*pause, 50*time.Millisecond) {
			again := time.NewTimer(pause)
			if !wait(again.C, end.C, s.lease.ctx.Done()) {
				break
			}
		}
	}
}

// killTime is how long a killed process may take to end. One that hangs in the
// kernel cannot be killed, and must not keep the job from ending.
const killTime = 10 * time.Second

// wait reports whether the first channel came before the others.
func wait[T any](first <-chan T, end <-chan time.Time, lost <-chan struct{}) bool {
	select {
	case <-first:
		return true
	case <-end:
	case <-lost:
	}
	return false
}

// collect moves the last output of an ended process. If something that it has
// left behind may still print, the pipe stays open to the end of the job.
func (s *session) collect(p running) {
	p.pump.stop()
	if p.pump.eof {
		p.pump.close()
		return
	}
	p.pump.discard()
	s.left = append(s.left, p.pump)
}

// ended returns the result of a step that was ended for a cause.
func ended(cause error, maxTime time.Duration) result {
	switch {
	case errors.Is(cause, errMaxTime):
		return result{status: ci.TimedOut, reason: "was ended: the job ran longer than " + maxTime.String()}
	case errors.Is(cause, errGrace):
		return result{status: ci.Canceled, reason: "was ended: the time for steps after a cancel is over"}
	}
	return result{status: ci.Canceled, reason: "was ended: " + cancelReason(cause)}
}
