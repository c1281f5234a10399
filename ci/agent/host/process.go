package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/rondo-ci/rondo/ci/agent/place"
)

// host is one scratch folder and the processes started from it.
type host struct {
	executor *Executor
	marker   string
	adopt    bool
	layout   place.Layout

	// mu is held while a process is started and while orphans are reaped, so
	// that a child that ends at once is never taken for an orphan.
	mu     sync.Mutex
	live   map[*process]bool
	groups []int // of ended processes that left something behind in them
	closed bool
	// over is that everything of it has ended. What this process has as
	// descendants from then on belongs to other places.
	over bool
}

// Layout implements [place.Place].
func (h *host) Layout() place.Layout { return h.layout }

// Within implements [place.Place]: steps and agent see the same files.
func (h *host) Within(f func()) error {
	f()
	return nil
}

// Start implements [place.Place].
func (h *host) Start(c place.Command) (place.Process, error) {
	if len(c.Args) == 0 {
		return nil, errors.New("start process: no command")
	}
	program, ok := Look(c.Args[0], c.Env)
	if !ok {
		return nil, fmt.Errorf("start %s: not found in PATH", c.Args[0])
	}
	cmd := &exec.Cmd{
		// The marker comes last and so cannot be overridden; and an empty
		// environment must not become that of this process.
		Path: program, Args: c.Args, Env: append(slices.Clone(c.Env), Marker+"="+h.marker), Dir: c.Dir, Stdout: c.Output, Stderr: c.Output,
		// A session of its own: a group to signal, and no terminal to ask for
		// passwords on.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, errors.New("start process: the place is closed")
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Args[0], plain(err))
	}
	p := &process{pid: cmd.Process.Pid, done: make(chan struct{})}
	h.live[p] = true
	go h.wait(cmd, p)
	return p, nil
}

// Look finds a program in the PATH of env, which is not that of this process;
// it reports false when none of its folders has it. A name with a slash is its
// own answer.
func Look(name string, env []string) (string, bool) {
	if strings.Contains(name, "/") {
		return name, true
	}
	path := ""
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if i, err := os.Stat(file); err == nil && i.Mode().IsRegular() && i.Mode()&0o111 != 0 {
			return file, true
		}
	}
	return "", false
}

// plain takes the operation out of an error of the operating system.
func plain(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// wait collects the end of a process.
func (h *host) wait(cmd *exec.Cmd, p *process) {
	_ = cmd.Wait() // the state says it all
	p.code = exitCode(cmd.ProcessState)
	h.mu.Lock()
	delete(h.live, p)
	if syscall.Kill(-p.pid, 0) == nil {
		h.groups = append(h.groups, p.pid)
	}
	if h.adopt {
		h.reap()
	}
	h.mu.Unlock()
	close(p.done)
}

// exitCode returns the code of an ended process as a shell would.
func exitCode(s *os.ProcessState) int {
	if s == nil {
		return -1
	}
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}

// process is a step's own process, the leader of its session and group.
type process struct {
	pid  int
	done chan struct{}
	code int // valid once done is closed
}

// Done implements [place.Process].
func (p *process) Done() <-chan struct{} { return p.done }

// Code implements [place.Process].
func (p *process) Code() int {
	select {
	case <-p.done:
		return p.code
	default:
		return 128 + int(syscall.SIGKILL) // killed and not gone yet
	}
}

// Alive implements [place.Process].
func (p *process) Alive() bool {
	select {
	case <-p.done:
		return groupAlive(p.pid)
	default:
		return true
	}
}

// Stop implements [place.Process].
func (p *process) Stop() { p.signal(syscall.SIGTERM) }

// Kill implements [place.Process].
func (p *process) Kill() { p.signal(syscall.SIGKILL) }

// Why implements [place.Process]: nothing watches the memory here.
func (p *process) Why() string { return "" }

// signal sends to the group. Once its leader has ended, the number may belong
// to somebody else, so it is looked at first.
func (p *process) signal(s syscall.Signal) {
	if p.Alive() {
		_ = syscall.Kill(-p.pid, s)
	}
}
