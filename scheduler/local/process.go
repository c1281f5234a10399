package local

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/internal/feed"
)

const (
	// An idle agent whose log is longer begins a new one.
	logLimit = 1 << 20
	// An agent that is dead at the moment of the hand-over is replaced so often.
	giveTries = 3
)

// A process is an agent that is a child process. Its fields are guarded by the
// cluster's lock.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	log   string
	since time.Time // when it started, or became idle
	place *place    // the task that it has
	ended bool

	birth  string   // tells it apart from a later process with its number
	record *os.File // for the next server
	noted  *place   // what the record is about
	length int      // of the record
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop asks for a graceful end; only the agent itself knows how.
func (p *process) stop() { _ = p.cmd.Process.Signal(syscall.SIGTERM) }

// kill ends the agent and what runs in its group.
func (p *process) kill() {
	if p.ended {
		return
	}
	_ = p.cmd.Process.Kill()
	killGroup(p.pid())
}

// killGroup kills what is left in a process group.
func killGroup(pid int) {
	if pid > 1 {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

// give hands a placement to a process.
func (c *Cluster) give(pl *place, p scheduler.Placement) error {
	line, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("%w: %w", ci.ErrInvalid, err)
	}
	for range giveTries {
		a, err := c.take()
		if err != nil {
			return err
		}
		if err = c.assign(a, pl); err == nil {
			_, err = a.in.Write(append(line, '\n'))
		}
		if c.given(a, pl, err) {
			return nil
		}
		c.log.Warn("hand task to agent, will try another one", "task", p.Task.ID, "pid", a.pid(), "err", err)
	}
	return fmt.Errorf("agents end before they take a task")
}

// given reports whether the matter is settled: the agent has the placement, or
// has died of it. Otherwise the agent is not fit to have one.
func (c *Cluster) given(a *process, pl *place, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.runs(pl)
	}
	if err == nil || pl.State == scheduler.PlacementDead {
		return true
	}
	a.place, pl.agent = nil, nil
	a.kill()
	return false
}

// assign notes who has the placement, also for the next server.
func (c *Cluster) assign(a *process, pl *place) error {
	size := int64(0)
	if i, err := os.Stat(a.log); err == nil {
		size = i.Size()
	}
	if size > logLimit && os.Truncate(a.log, 0) == nil {
		size = 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.ended {
		return os.ErrProcessDone
	}
	a.place, pl.agent, pl.log, pl.from = pl, a, a.log, size
	return c.write(pl, a)
}

// take returns an idle process, the one that was busy last, or a new one.
func (c *Cluster) take() (*process, error) {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		a := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		feed.Signal(c.wake) // another one may have to be warmed
		return a, nil
	}
	c.mu.Unlock()
	return c.spawn()
}

// spawn starts a process.
func (c *Cluster) spawn() (*process, error) {
	if len(c.start.argv) == 0 {
		return nil, fmt.Errorf("start agent: no command: %w", ci.ErrInvalid)
	}
	name := filepath.Join(c.dir, "agent-"+ci.NewID()+".log")
	log, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start agent: %w", err)
	}
	defer log.Close()
	record, err := os.OpenFile(strings.TrimSuffix(name, ".log")+".json", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		_ = os.Remove(name)
		return nil, fmt.Errorf("start agent: %w", err)
	}
	out, theirs, err := os.Pipe()
	if err != nil {
		_ = record.Close()
		return nil, fmt.Errorf("start agent: %w", err)
	}
	cmd := exec.Command(c.start.argv[0], c.start.argv[1:]...)
	cmd.Env = c.start.env
	cmd.Stdout, cmd.Stderr = theirs, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	_ = theirs.Close()
	if err != nil {
		_ = out.Close()
		_ = record.Close()
		_ = os.Remove(record.Name())
		_ = os.Remove(name)
		return nil, fmt.Errorf("start agent: %w", err)
	}
	a := &process{cmd: cmd, in: in, log: name, since: time.Now(), birth: birth(cmd.Process.Pid), record: record}
	go c.listen(a, out)
	go c.reap(a, out)
	return a, nil
}

// listen waits for the lines that say that a task is done.
func (c *Cluster) listen(a *process, out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.TrimSpace(lines.Text()) == "done" {
			c.done(a)
		}
	}
	// A line that is too long, or the end: whoever writes goes on unheard.
	_, _ = io.Copy(io.Discard, out)
}

// done frees an agent that has finished its task.
func (c *Cluster) done(a *process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pl := a.place
	if pl == nil || a.ended {
		return
	}
	a.place, a.since = nil, time.Now()
	asked := pl.killer != nil
	c.dead(pl, "the agent ended its task")
	if c.closing || asked { // one that got SIGTERM is about to exit
		_ = a.in.Close()
		return
	}
	c.idle = append(c.idle, a)
	feed.Signal(c.wake)
}

// reap sees a process end, at once.
func (c *Cluster) reap(a *process, out io.Closer) {
	err := a.cmd.Wait()
	killGroup(a.pid())
	c.mu.Lock()
	a.ended = true
	if a.noted == nil {
		a.unrecord()
	}
	pl := a.place
	a.place = nil
	asleep := slices.Contains(c.idle, a)
	c.idle = slices.DeleteFunc(c.idle, func(o *process) bool { return o == a })
	if asleep {
		c.failed = time.Now()
	}
	c.mu.Unlock()
	_ = out.Close()
	if pl == nil {
		c.buried(a)
		return
	}
	c.cfg.Sweep(pl.Task.ID, pl.Epoch)
	reason := fmt.Sprintf("agent process %d %s", a.pid(), ending(a.cmd.ProcessState, err))
	if words := lastWords(pl.log, pl.from, pl.token); words != "" {
		reason += "; it said last: " + words
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead(pl, reason)
}

// buried removes the log of an agent that had no task, unless the log is still
// that of one that it had before.
func (c *Cluster) buried(a *process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, pl := range c.places {
		if pl.log == a.log {
			return
		}
	}
	_ = os.Remove(a.log)
}

// ending says how a process ended.
func ending(state *os.ProcessState, err error) string {
	if state == nil {
		return fmt.Sprintf("was lost: %v", err)
	}
	if w, ok := state.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return fmt.Sprintf("was killed by signal %d", int(w.Signal()))
	}
	return fmt.Sprintf("exited with status %d before it was done", state.ExitCode())
}
