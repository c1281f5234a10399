package agent

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rondo-ci/rondo/ci/agent/mask"
)

// idleTime is how long a stream must be silent before text is shown that might
// still turn out to be the beginning of a secret.
const idleTime = 50 * time.Millisecond

// An output takes what one step prints: masks it and hands it on. It is safe
// for concurrent use.
type output struct {
	last atomic.Int64 // when something was printed, in nanoseconds since start
	base time.Time

	mu   sync.Mutex
	mask *mask.Writer
	idle *time.Timer
	done bool
}

func newOutput(set *mask.Set, to io.Writer) *output {
	return &output{base: time.Now(), mask: set.Writer(to)}
}

// Write never fails.
func (o *output) Write(p []byte) (int, error) {
	o.last.Store(int64(time.Since(o.base)))
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done {
		return len(p), nil
	}
	_, _ = o.mask.Write(p) // a spool takes everything
	if o.mask.Waits() {
		if o.idle == nil {
			o.idle = time.AfterFunc(idleTime, o.show)
		} else {
			o.idle.Reset(idleTime)
		}
	}
	return len(p), nil
}

// show shows short held text after a silence.
func (o *output) show() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.done {
		_ = o.mask.Idle()
	}
}

// silence returns for how long nothing was printed.
func (o *output) silence() time.Duration {
	return time.Since(o.base) - time.Duration(o.last.Load())
}

// Close shows what is held.
func (o *output) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done {
		return nil
	}
	o.done = true
	if o.idle != nil {
		o.idle.Stop()
	}
	return o.mask.Close()
}

// A pump moves what a process prints from a pipe to an output.
type pump struct {
	r    *os.File
	done chan struct{}
	eof  bool // valid once done is closed
}

// startPump returns the pump and the end of the pipe that the process gets.
func startPump(to io.Writer) (*pump, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	p := &pump{r: r, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		buf := make([]byte, 64<<10)
		for {
			n, err := r.Read(buf)
			if n > 0 {
				_, _ = to.Write(buf[:n])
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				p.eof = p.rest(to, buf)
				return
			}
			if err != nil {
				p.eof = true
				return
			}
		}
	}()
	return p, w, nil
}

// stop is called when the process has ended. It moves what was printed up to
// now and does not wait for what its children may yet print.
func (p *pump) stop() {
	_ = p.r.SetReadDeadline(time.Unix(1, 0))
	<-p.done
}

// rest moves what is in the pipe now, and reports whether that is the end.
func (p *pump) rest(to io.Writer, buf []byte) (eof bool) {
	_ = p.r.SetReadDeadline(time.Time{})
	raw, err := p.r.SyscallConn()
	if err != nil {
		return true
	}
	// A child that never stops printing must not keep the step from ending.
	for most := pipeSize; most > 0; {
		var n int
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, failed = syscall.Read(int(fd), buf)
			return true
		})
		switch {
		case failed == syscall.EINTR:
			continue
		case err != nil || failed != nil:
			return failed != syscall.EAGAIN
		case n == 0:
			return true
		}
		_, _ = to.Write(buf[:n])
		most -= n
	}
	return false
}

// pipeSize is the most that a pipe holds.
const pipeSize = 64 << 10

// discard throws away what is still printed, until the pipe is closed: a
// daemon that a step has left behind must not die of it.
func (p *pump) discard() {
	go func() { _, _ = io.Copy(io.Discard, p.r) }()
}

func (p *pump) close() { _ = p.r.Close() }
