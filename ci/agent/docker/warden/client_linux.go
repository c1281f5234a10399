package warden

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Client tells a warden what to do. It is safe for concurrent use.
type Client struct {
	conn *net.UnixConn
	gone chan struct{} // closed when the warden has gone

	sending sync.Mutex
	mu      sync.Mutex
	seq     uint64
	waiting map[uint64]chan message
	running map[uint64]*Process
}

// callTime bounds how long a warden may take to answer.
const callTime = 10 * time.Second

// Accept waits for the call of the warden that runs as process pid, as this
// process counts, and returns its client. Nobody else is listened to. The
// deadline of the listener bounds it.
func Accept(l *net.UnixListener, pid int) (*Client, error) {
	conn, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	var who *unix.Ucred
	raw, err := conn.SyscallConn()
	if err == nil {
		if failed := raw.Control(func(fd uintptr) {
			who, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		}); failed != nil {
			err = failed
		}
	}
	if err == nil && int(who.Pid) != pid {
		err = fmt.Errorf("process %d calls and not the container's first, %d: the agent has to see the engine's processes", who.Pid, pid)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	c := &Client{conn: conn, gone: make(chan struct{}), waiting: map[uint64]chan message{}, running: map[uint64]*Process{}}
	go c.read()
	return c, nil
}

// Close ends the connection and with it the warden and all its processes.
func (c *Client) Close() error { return c.conn.Close() }

// Gone is closed when the warden has ended.
func (c *Client) Gone() <-chan struct{} { return c.gone }

// read takes messages until the warden has gone; all processes have then ended.
func (c *Client) read() {
	oob := make([]byte, unix.CmsgSpace(4))
	for {
		var m message
		n, err := receive(c.conn, &m, maxMessage, oob)
		if file := fileOf(oob[:n]); file >= 0 { // it has none to give
			_ = unix.Close(file)
		}
		if err != nil {
			break
		}
		c.mu.Lock()
		if p := c.running[m.ID]; m.Seq == 0 && p != nil {
			delete(c.running, m.ID)
			p.end(m.Code)
		}
		if w := c.waiting[m.Seq]; m.Seq != 0 && w != nil {
			delete(c.waiting, m.Seq)
			w <- m
		}
		c.mu.Unlock()
	}
	_ = c.conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.gone)
	for _, p := range c.running {
		p.end(128 + int(syscall.SIGKILL))
	}
	clear(c.running)
}

var errGone = errors.New("the container's first process has ended")

// call sends a request and waits for its answer.
func (c *Client) call(r request, file *os.File) (message, error) {
	answer := make(chan message, 1)
	c.mu.Lock()
	c.seq++
	r.Seq = c.seq
	c.waiting[r.Seq] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, r.Seq)
		c.mu.Unlock()
	}()
	var rights []byte
	if file != nil {
		rights = unix.UnixRights(int(file.Fd()))
	}
	c.sending.Lock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(callTime))
	err := send(c.conn, r, rights)
	c.sending.Unlock()
	if err != nil {
		_ = c.conn.Close() // half a message may have gone
		return message{}, fmt.Errorf("%w: %w", errGone, err)
	}
	limit := time.NewTimer(callTime)
	defer limit.Stop()
	select {
	case m := <-answer:
		if m.Err != "" {
			return m, errors.New(m.Err)
		}
		return m, nil
	case <-c.gone:
		return message{}, errGone
	case <-limit.C:
		return message{}, fmt.Errorf("the container's first process does not answer")
	}
}

// A Command is what to start.
type Command struct {
	Path     string // of the program, absolute
	Args     []string
	Env      []string
	Dir      string
	UID, GID uint32
	Groups   []uint32
	Output   *os.File // takes standard output and standard error
}

// Start starts a process in a session of its own.
func (c *Client) Start(cmd Command) (*Process, error) {
	p := &Process{client: c, done: make(chan struct{})}
	c.mu.Lock()
	c.seq++
	p.id = c.seq
	c.running[p.id] = p
	c.mu.Unlock()
	_, err := c.call(request{
		Op: opStart, ID: p.id, Path: cmd.Path, Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir,
		UID: cmd.UID, GID: cmd.GID, Groups: cmd.Groups,
	}, cmd.Output)
	if err != nil {
		c.mu.Lock()
		delete(c.running, p.id)
		c.mu.Unlock()
		return nil, err
	}
	return p, nil
}

// Kill kills every process of the container but the warden and returns when
// they are gone.
func (c *Client) Kill() error {
	_, err := c.call(request{Op: opKill}, nil)
	if errors.Is(err, errGone) {
		return nil // and everything with it
	}
	return err
}
