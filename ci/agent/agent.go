package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/host"
	"github.com/rondo-ci/rondo/ci/agent/place"
)

// An Executor makes the places where jobs run. See package place.
type Executor = place.Executor

// Config adjusts an [Agent]. The zero Config works.
type Config struct {
	// Worker is the agent's name; "" is the host's name, the process ID, and
	// something random: in containers both may be those of another.
	Worker string
	// Dir is where scratch folders are made, if Executor is nil; "" is the
	// system's temporary directory.
	Dir string
	// Tool is the executable that steps find as circleci and circleci-agent,
	// see package tool; "" means that they find none.
	Tool string
	// Adopt says that this process does nothing but run tasks: the default
	// executor then finds every process that a task leaves behind. See
	// [host.Config].
	Adopt bool
	// Executor is where jobs run; nil is this machine.
	Executor Executor
	// Machines is where the engine of setup_remote_docker comes from; nil has
	// none.
	Machines Machines
	// Remote enters the machines of jobs that have one of their own; nil runs
	// their steps here.
	Remote Remote
	// Grace is how long a step that was asked to end may take, and how long
	// the steps that always run may take together after a cancel; 0 is 10 s.
	Grace time.Duration
	// MaxTime is how long a task may take; 0 is 5 h.
	MaxTime time.Duration
	// Spool is how many bytes of a step's output may wait on disk for a server
	// that is away; 0 is 1 GiB.
	Spool int64
	// Log takes what operators should know; nil is silent.
	Log *slog.Logger
}

// An Agent runs tasks, one after the other.
type Agent struct {
	door  Door
	files Files
	cfg   Config

	mu     sync.Mutex
	cancel context.CancelCauseFunc // of the run in progress; nil if there is none
}

// New returns an agent. It starts nothing.
func New(door Door, files Files, cfg Config) *Agent {
	if cfg.Worker == "" {
		name, _ := os.Hostname()
		cfg.Worker = fmt.Sprintf("%s/%d/%.8s", name, os.Getpid(), rand.Text())
	}
	if cfg.Tool != "" {
		if abs, err := filepath.Abs(cfg.Tool); err == nil {
			cfg.Tool = abs
		}
	}
	if cfg.Executor == nil {
		cfg.Executor = host.New(host.Config{Dir: cfg.Dir, Adopt: cfg.Adopt, Fill: Fill(cfg.Tool)})
	}
	if cfg.Grace == 0 {
		cfg.Grace = 10 * time.Second
	}
	if cfg.MaxTime == 0 {
		cfg.MaxTime = 5 * time.Hour
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Agent{door: door, files: files, cfg: cfg}
}

// errCanceled is the cause of a cancel by the server.
var errCanceled = errors.New("canceled")

// Run runs one hand-out of a task from claim to finish, and returns nil when
// its outcome, whatever that is, has been reported. An error that wraps
// [ci.ErrConflict] means that the hand-out was superseded: nothing was or is
// to be reported.
//
// The end of ctx cancels the task with grace, and the cause of it becomes the
// reason that people see; Run returns when that is done. A cause that wraps
// [ci.ErrConflict] ends everything at once, as if the lease were lost. One Run
// at a time.
func (a *Agent) Run(ctx context.Context, task ci.TaskID, epoch int64) error {
	return a.alone(ctx, task, func(job context.Context, cancel context.CancelCauseFunc) error {
		warmed := a.warm()
		s, err := a.claim(job, task, epoch)
		release := <-warmed
		defer release()
		if err != nil {
			return err
		}
		return s.whole(job, cancel)
	})
}

// Resume is Run for the rest of a task that another agent has claimed, see
// [Remote]: on the machine that the task has for itself.
func (a *Agent) Resume(ctx context.Context, r Rest) error {
	return a.alone(ctx, r.Work.Lease.Task, func(job context.Context, cancel context.CancelCauseFunc) error {
		r.Work.Machine = nil // it is this one
		if r.Bundle != "" {
			folder, err := unbundle(job, r.Bundle)
			if err != nil { // a checkout will say that there is none
				a.cfg.Log.Warn("unbundle the repository", "err", err)
			} else {
				r.Work.Project.CloneURL = folder
				defer os.RemoveAll(folder)
			}
		}
		s := newSession(a, r.Work, bootTime())
		s.count = r.Steps
		return s.whole(job, cancel)
	})
}

// alone calls run while no other task runs.
func (a *Agent) alone(ctx context.Context, task ci.TaskID, run func(context.Context, context.CancelCauseFunc) error) error {
	job, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.mu.Lock()
	if a.cancel != nil {
		a.mu.Unlock()
		return fmt.Errorf("run task %s: another task is running: %w", task, ci.ErrInvalid)
	}
	a.cancel = cancel
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.cancel = nil
		a.mu.Unlock()
	}()
	return run(job, cancel)
}

// Cancel cancels the run in progress with grace, if there is one. The reason
// is for people. It returns at once and may be called at any time.
func (a *Agent) Cancel(reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cancel != nil {
		a.cancel(errors.New(reason))
	}
}

// warm lets the executor begin, beside the claim.
func (a *Agent) warm() <-chan func() {
	warmed := make(chan func(), 1)
	w, ok := a.cfg.Executor.(place.Warmer)
	if !ok {
		warmed <- func() {}
		return warmed
	}
	go func() { warmed <- w.Warm() }()
	return warmed
}

// claimTime bounds how long a server may take to hand over a task.
const claimTime = 2 * time.Minute

// claim takes the task. Faults of the way are tried again.
func (a *Agent) claim(ctx context.Context, task ci.TaskID, epoch int64) (*session, error) {
	limited, stop := context.WithTimeout(ctx, claimTime)
	defer stop()
	var work ci.Work
	var asked time.Duration
	err := retry(limited, func() (err error) {
		asked = bootTime()
		work, err = a.door.Claim(limited, task, epoch, a.cfg.Worker)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claim task %s: %w", task, err)
	}
	return newSession(a, work, asked), nil
}

// retry calls f until it succeeds, refuses for good, or ctx ends.
func retry(ctx context.Context, f func() error) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := f()
		if err == nil || final(err) {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return errors.Join(context.Cause(ctx), err)
		case <-t.C:
		}
	}
}

// final reports whether an error will be the same next time.
func final(err error) bool {
	return errors.Is(err, ci.ErrConflict) || errors.Is(err, ci.ErrInvalid) ||
		errors.Is(err, ci.ErrDenied) || errors.Is(err, ci.ErrNotFound)
}
