package warden

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// inside is the warden at work.
type inside struct {
	conn *net.UnixConn

	// mu is held while a process is started, so that its end is never told
	// before its start, and while something is sent.
	mu   sync.Mutex
	ids  map[int]uint64 // running processes, by number
	pids map[uint64]int // all that were started
}

// Main is the warden. It returns an exit code when the agent at the socket has
// gone; as process 1 of a container it takes everything else there with it.
func Main(socket string, stderr io.Writer) int {
	if os.Getpid() != 1 {
		fmt.Fprintln(stderr, "Error: this command is for the agent: it is the first process of a container")
		return 2
	}
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		fmt.Fprintf(stderr, "Error: call the agent: %v\n", err)
		return 1
	}
	w := &inside{conn: c, ids: map[int]uint64{}, pids: map[uint64]int{}}
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	// Not Ignore: what it starts would ignore them too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	go func() {
		for range children {
			w.reap()
		}
	}()
	for {
		var r request
		oob := make([]byte, unix.CmsgSpace(4))
		n, err := receive(c, &r, maxRequest, oob)
		file := fileOf(oob[:n])
		if err != nil {
			return 0
		}
		w.answer(r, file)
		if file >= 0 {
			_ = unix.Close(file)
		}
	}
}

// fileOf returns the file that came with a message, or -1.
func fileOf(oob []byte) int {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) == 0 {
		return -1
	}
	files, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(files) == 0 {
		return -1
	}
	unix.CloseOnExec(files[0])
	return files[0]
}

// answer does what was asked and says so.
func (w *inside) answer(r request, file int) {
	if r.Op == opKill { // takes its time, and the reaper must not wait for it
		err := killAll()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.reply(message{Seq: r.Seq}, err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := message{Seq: r.Seq}, error(nil)
	switch r.Op {
	case opStart:
		err = w.start(r, file)
	case opSignal:
		if pid := w.pids[r.ID]; pid > 1 {
			_ = unix.Kill(-pid, unix.Signal(r.Signal))
		}
	case opAlive:
		pid := w.pids[r.ID]
		m.Alive = pid > 1 && unix.Kill(-pid, 0) == nil
	default:
		err = fmt.Errorf("unknown operation %q", r.Op)
	}
	w.reply(m, err)
}

func (w *inside) reply(m message, err error) {
	if err != nil {
		m.Err = err.Error()
	}
	_ = send(w.conn, m, nil)
}

// start starts a process in its own session.
func (w *inside) start(r request, file int) error {
	if file < 0 || len(r.Args) == 0 {
		return errors.New("no output or no command")
	}
	if info, err := os.Stat(r.Dir); err != nil || !info.IsDir() {
		return fmt.Errorf("%s is no directory", r.Dir)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	pid, err := syscall.ForkExec(r.Path, r.Args, &syscall.ProcAttr{
		Dir: r.Dir, Env: r.Env, Files: []uintptr{null.Fd(), uintptr(file), uintptr(file)},
		Sys: &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: r.UID, Gid: r.GID, Groups: r.Groups}},
	})
	if err != nil {
		return err
	}
	w.ids[pid], w.pids[r.ID] = r.ID, pid
	return nil
}

// reap collects all that have ended and tells of those that were started here.
func (w *inside) reap() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		id, ours := w.ids[pid]
		if !ours {
			continue
		}
		delete(w.ids, pid)
		code := status.ExitStatus()
		if status.Signaled() {
			code = 128 + int(status.Signal())
		}
		_ = send(w.conn, message{ID: id, Code: code}, nil)
	}
}

// killTime bounds how long killed processes may take to vanish.
const killTime = 5 * time.Second

// killAll kills every process but this one. More may come from those that are
// not dead yet, so it looks until there is none.
func killAll() error {
	end := time.Now().Add(killTime)
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		if err := unix.Kill(-1, unix.SIGKILL); err == unix.ESRCH {
			return nil
		}
		if time.Now().After(end) {
			return errors.New("processes do not end")
		}
		time.Sleep(pause)
	}
}
