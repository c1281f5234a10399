package web

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/rondo-ci/rondo/ci"
)

// pipeBytes is how much a pipe holds for a watcher that is slower than the
// step; then it waits.
const pipeBytes = 32 << 10

// errDrained says that a pipe has brought all there is.
var errDrained = errors.New("drained")

// A pipe brings the output of one step from the store to a watcher. What comes
// while the watcher is busy becomes one portion.
type pipe struct {
	rest []byte // the line that has no end yet; the taker's own

	printed chan<- struct{} // gets an element when there is something to take
	stop    context.CancelFunc

	mu     sync.Mutex
	free   *sync.Cond
	buf    []byte
	at     int64 // the offset behind buf
	want   int64 // the offset at which it ends; -1 is not known yet
	err    error // why it ended
	closed bool
}

func newPipe(printed chan<- struct{}) *pipe {
	p := &pipe{printed: printed, want: -1}
	p.free = sync.NewCond(&p.mu)
	return p
}

// fill brings the output from offset on, until it is complete, the pipe is
// closed or ctx ends.
func (p *pipe) fill(ctx context.Context, logs ci.LogReader, key ci.LogKey, offset int64) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p.mu.Lock()
	p.stop, p.at = stop, offset
	done := p.closed || p.complete()
	p.mu.Unlock()
	if done {
		p.end(errDrained)
		return
	}
	for b, err := range logs.Follow(ctx, key, offset) {
		if errors.Is(err, ci.ErrNotFound) {
			break // there never was any
		}
		if err != nil {
			p.end(err)
			return
		}
		if !p.put(b) {
			break
		}
	}
	if ctx.Err() != nil {
		p.mu.Lock()
		done := p.complete()
		p.mu.Unlock()
		if !done {
			p.end(io.ErrUnexpectedEOF)
			return
		}
	}
	p.end(errDrained)
}

// put adds a portion and reports whether more is wanted.
func (p *pipe) put(b []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(b) > 0 && !p.closed {
		for len(p.buf) >= pipeBytes && !p.closed {
			p.free.Wait()
		}
		n := min(len(b), pipeBytes-len(p.buf))
		p.buf = append(p.buf, b[:max(n, 0)]...)
		p.at += int64(max(n, 0))
		b = b[max(n, 0):]
		p.wake()
	}
	return !p.closed && !p.complete()
}

// complete reports whether all that is expected has come. The caller holds mu.
func (p *pipe) complete() bool { return p.want >= 0 && p.at >= p.want }

// expect says where the output ends.
func (p *pipe) expect(end int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.want = end
	if p.complete() && p.stop != nil {
		p.stop()
	}
}

func (p *pipe) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	p.wake()
}

func (p *pipe) wake() {
	select {
	case p.printed <- struct{}{}:
	default:
	}
}

// take returns what has come, and, once that was the last, why.
func (p *pipe) take() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.buf
	p.buf = nil
	p.free.Broadcast()
	return b, p.err
}

// close ends the pipe; its goroutine ends soon after.
func (p *pipe) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.free.Broadcast()
	if p.stop != nil {
		p.stop()
	}
}
