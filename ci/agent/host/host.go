// Package host runs the steps of a job as processes of this machine.
//
// An [Executor] makes a scratch folder per task whose home directory is fresh,
// passes on no more of this process's environment than steps need, starts
// every step in its own session, and leaves neither processes nor files when
// the task has ended. Every process carries the variable [Marker], by which
// [Sweep] finds what a dead agent has left behind.
//
// The package never isolates a job from the machine: steps have the rights of
// the agent. Images are not used and service containers are not started; the
// notes of the place say so.
package host

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/place"
)

// Marker is the environment variable that every process of a task carries. Its
// value is the task, a slash and the epoch.
const Marker = "RONDO_TASK"

// Mark returns the value of [Marker] in the processes of one hand-out.
func Mark(task ci.TaskID, epoch int64) string { return fmt.Sprintf("%s/%d", task, epoch) }

// passed are the variables of this process that steps inherit. Everything else
// (tokens, passwords in proxy addresses) stays with the agent.
var passed = [...]string{
	"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "LOGNAME",
	"SSL_CERT_FILE", "SSL_CERT_DIR",
}

// Config adjusts an [Executor]. The zero Config works.
type Config struct {
	// Dir is where scratch folders are made; "" is the system's temporary
	// directory.
	Dir string
	// Adopt makes this process the parent of all orphans of its steps (Linux),
	// so that even a daemon that has shed its environment is found. Set it
	// only in a process that starts no other children: at the end of a task
	// all children are killed.
	Adopt bool
	// Pass names further variables of this process that steps inherit.
	Pass []string
	// Fill puts into a new scratch folder what every task needs there, with
	// the home directory given; nil puts nothing. It is called before the task
	// is known.
	Fill func(scratch, home string) error
	// Own says that the machine is the job's own and ends with it: steps have
	// the home of its user.
	Own bool
	// Keep uses a scratch folder again for the next task, once it is clean.
	// Whoever sets it removes Dir in the end.
	Keep bool
}

// An Executor makes places on this machine. It is safe for concurrent use.
type Executor struct {
	cfg Config

	mu    sync.Mutex
	spare []string // folders made ahead
	made  map[string]skeleton
}

// New returns an executor.
func New(cfg Config) *Executor {
	if cfg.Dir == "" {
		cfg.Dir = os.TempDir()
	}
	return &Executor{cfg: cfg, made: map[string]skeleton{}}
}

// Open implements [place.Executor]. A macOS job is [ci.ErrInvalid].
func (e *Executor) Open(_ context.Context, w ci.Work, _ io.Writer) (place.Place, error) {
	x := w.Job.Executor
	if x.Kind == ci.ExecutorMacOS && runtime.GOOS != "darwin" {
		return nil, fmt.Errorf("there are no macOS machines here: "+
			"a job with `macos: {xcode: %s}` cannot run on this installation; "+
			"use `docker` or `machine`, or add a runner on a Mac: %w", orDefault(x.Xcode, "default"), ci.ErrInvalid)
	}
	if e.cfg.Adopt {
		if err := adoptOrphans(); err != nil {
			return nil, fmt.Errorf("adopt orphans: %w", err)
		}
	}
	scratch, err := e.takeFolder()
	if err != nil {
		return nil, fmt.Errorf("scratch folder: %w", err)
	}
	home := filepath.Join(scratch, "home")
	said := notes(x)
	if e.cfg.Own {
		if home, err = os.UserHomeDir(); err != nil {
			return nil, err
		}
		said = nil // whoever has made the machine tells of it
	}
	marker := Mark(w.Lease.Task, w.Lease.Epoch)
	h := &host{
		executor: e, marker: marker, adopt: e.cfg.Adopt,
		layout: place.Layout{
			Home: home, Scratch: scratch, Private: scratch, Shell: shell(),
			Environ: e.environ(home, marker), Notes: said, Borrowed: !e.cfg.Own,
		},
		live: map[*process]bool{},
	}
	return h, nil
}

// takeFolder returns a folder made ahead, or a new one.
func (e *Executor) takeFolder() (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.spare); n > 0 {
		dir := e.spare[n-1]
		e.spare = e.spare[:n-1]
		return dir, nil
	}
	return e.newFolder()
}

// newFolder makes a scratch folder with a home in it. The lock is held.
func (e *Executor) newFolder() (string, error) {
	dir, err := filepath.Abs(e.cfg.Dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp(dir, "task-")
	if err != nil {
		return "", err
	}
	// Tools resolve links (git prints real paths), so the home must be one.
	if real, err := filepath.EvalSymlinks(scratch); err == nil {
		scratch = real
	}
	home := filepath.Join(scratch, "home")
	err = os.Mkdir(home, 0o755)
	if err == nil && e.cfg.Fill != nil {
		err = e.cfg.Fill(scratch, home)
	}
	if err == nil && e.cfg.Keep {
		e.made[scratch], err = skeletonOf(scratch)
	}
	if err != nil {
		_ = os.RemoveAll(scratch)
		return "", err
	}
	return scratch, nil
}

// putFolder takes back a folder whose task has ended.
func (e *Executor) putFolder(scratch string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, keep := e.made[scratch]
	if keep && len(e.spare) == 0 && s.restore(scratch) == nil {
		e.spare = append(e.spare, scratch)
		return nil
	}
	delete(e.made, scratch)
	return RemoveAll(scratch)
}

// Warm implements [place.Warmer]: it makes a scratch folder ahead, unless there
// is one. An error will show when the place is opened.
func (e *Executor) Warm() (release func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.spare) > 0 {
		return func() {}
	}
	dir, err := e.newFolder()
	if err != nil {
		return func() {}
	}
	e.spare = append(e.spare, dir)
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if i := slices.Index(e.spare, dir); i >= 0 {
			e.spare = slices.Delete(e.spare, i, i+1)
			delete(e.made, dir)
			_ = os.RemoveAll(dir)
		}
	}
}

// Passed returns the names of the variables of this process that steps inherit,
// for who starts agents: what an agent does not get, its steps do not get.
func Passed() []string { return slices.Clone(passed[:]) }

// environ returns what every step starts with.
func (e *Executor) environ(home, marker string) []string {
	env := []string{"HOME=" + home, Marker + "=" + marker}
	for _, name := range slices.Concat(passed[:], e.cfg.Pass) {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	if os.Getenv("PATH") == "" {
		env = append(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	}
	return env
}

// shell returns the default shell of this machine.
func shell() []string {
	for _, bash := range []string{"/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash"} {
		if _, err := os.Stat(bash); err == nil {
			if runtime.GOOS == "darwin" {
				return []string{bash, "--login", "-eo", "pipefail", "-c"}
			}
			return []string{bash, "-eo", "pipefail", "-c"}
		}
	}
	return []string{"/bin/sh", "-eo", "pipefail", "-c"}
}

// notes says what of the job's executor is not honoured.
func notes(x ci.Executor) []string {
	name, _ := os.Hostname()
	lines := []string{fmt.Sprintf("Steps run as processes of this machine (%s, %s/%s).", name, runtime.GOOS, runtime.GOARCH)}
	switch x.Kind {
	case ci.ExecutorDocker:
		if len(x.Images) == 0 {
			break
		}
		lines = append(lines, fmt.Sprintf("Image: %s", x.Images[0].Image),
			"Warning: in host mode the image is not used: steps see the tools of this machine, not those of the image.")
		var services []string
		for _, i := range x.Images[1:] {
			services = append(services, i.Image)
		}
		if len(services) > 0 {
			lines = append(lines, "Warning: service containers are not started in host mode: "+strings.Join(services, ", "))
		}
	case ci.ExecutorMachine:
		lines = append(lines, fmt.Sprintf("Machine image: %s", orDefault(x.Machine, "default")),
			"Warning: in host mode no machine is made: steps run on the agent's own.")
	}
	return lines
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
