package warden

import (
	"sync"
	"syscall"
)

// A Process is one that a warden has started, the leader of its session and
// group. Its methods are safe for concurrent use.
type Process struct {
	client *Client
	id     uint64
	done   chan struct{}
	once   sync.Once
	code   int // valid once done is closed
}

func (p *Process) end(code int) {
	p.once.Do(func() {
		p.code = code
		close(p.done)
	})
}

// Done is closed when the process itself has ended, or its container.
func (p *Process) Done() <-chan struct{} { return p.done }

// Code is the exit code once Done is closed; 128 and the number of the signal
// when a signal ended it.
func (p *Process) Code() int {
	select {
	case <-p.done:
		return p.code
	default:
		return 128 + int(syscall.SIGKILL) // killed and not gone yet
	}
}

// Alive reports whether anything of the group still runs.
func (p *Process) Alive() bool {
	m, err := p.client.call(request{Op: opAlive, ID: p.id}, nil)
	return err == nil && m.Alive
}

// Stop asks the group to end (TERM).
func (p *Process) Stop() { p.signal(syscall.SIGTERM) }

// Kill ends the group (KILL).
func (p *Process) Kill() { p.signal(syscall.SIGKILL) }

func (p *Process) signal(s syscall.Signal) {
	_, _ = p.client.call(request{Op: opSignal, ID: p.id, Signal: int(s)}, nil)
}
