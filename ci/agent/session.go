package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/mask"
	"github.com/rondo-ci/rondo/ci/agent/place"
)

// A session is one run of one task.
type session struct {
	agent   *Agent
	work    ci.Work
	lease   *keeper
	secrets *mask.Set

	place  place.Place
	layout place.Layout
	env    environ
	dir    string          // the working directory, as the steps see it
	tops   map[string]bool // which folders at the root exist here

	began time.Time
	// What the steps have done so far.
	verdict    verdict
	count      int // of steps begun
	current    *step
	background []*background
	left       []*pump // of ended steps whose children may still print
	tests      []ci.Test
	layers     int // persisted to the workspace
	files      int // temporary ones made

	beside  sync.WaitGroup // records, timings: everything beside the steps
	release func()         // lets the first step's output go
	fault   context.CancelCauseFunc
}

// newSession returns the session of claimed work. The lease counts from asked.
func newSession(a *Agent, w ci.Work, asked time.Duration) *session {
	s := &session{agent: a, work: w, secrets: secrets(w), began: time.Now()}
	s.lease = newKeeper(context.Background(), a.door, w.Lease, asked)
	return s
}

// The causes for which the agent itself ends a job.
var (
	errMaxTime = errors.New("the job ran for too long")
	errGrace   = errors.New("the grace is over")
)

// errFault is the cause when the machinery has failed.
type errFault struct{ error }

func (e errFault) Unwrap() error { return e.error }

// whole is run, told to the log.
func (s *session) whole(ctx context.Context, cancel context.CancelCauseFunc) error {
	task := s.work.Lease.Task
	log := s.agent.cfg.Log.With("task", task, "lease", s.work.Lease.Epoch)
	log.Info("task started", "job", s.work.Job.Name, "workflow", s.work.Workflow)
	report, err := s.run(ctx, cancel)
	if err != nil {
		return fmt.Errorf("run task %s: %w", task, err)
	}
	log.Info("task ended", "status", report.Status, "reason", report.Reason)
	return nil
}

// run runs the steps until the job has ended or ctx does, and reports. An
// error is the loss of the lease, or a report that was refused.
func (s *session) run(ctx context.Context, cancel context.CancelCauseFunc) (ci.Report, error) {
	s.fault = cancel
	s.lease.canceled = func() { cancel(errCanceled) }
	if s.work.Lease.Canceled {
		cancel(errCanceled)
	}
	renewing, stopRenewing := context.WithCancel(context.Background())
	var keeper sync.WaitGroup
	keeper.Go(func() { s.lease.run(renewing) })
	defer func() { stopRenewing(); keeper.Wait(); s.lease.lose(errors.New("the task has ended")) }()
	limit := time.AfterFunc(s.agent.cfg.MaxTime, func() { cancel(errMaxTime) })
	defer limit.Stop()
	// Whatever is going on, a lost lease ends it at once.
	unhook := context.AfterFunc(s.lease.ctx, func() {
		cancel(context.Cause(s.lease.ctx))
	})
	defer unhook()
	unfollow := context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); errors.Is(cause, ci.ErrConflict) {
			s.lease.lose(cause)
		}
	})
	defer unfollow()

	if s.work.Refused != "" {
		s.verdict = verdict{ci.Unauthorized, s.work.Refused}
	} else if s.work.Machine != nil && s.agent.cfg.Remote != nil {
		handed, err := s.away(ctx, func(left time.Duration) { limit.Reset(left); stopRenewing() })
		if handed || err != nil {
			return ci.Report{Reason: "on its machine"}, err
		}
	} else if p, ok := s.open(ctx); ok {
		// Removing files may take a while; nobody need wait for that to learn
		// the outcome.
		defer func() {
			if err := p.Close(); err != nil {
				s.agent.cfg.Log.Error("clean up after task", "task", s.work.Lease.Task, "err", err)
			}
		}()
		s.inPlace(ctx, p)
	}
	s.beside.Wait()
	if s.lease.ctx.Err() != nil {
		return ci.Report{}, context.Cause(s.lease.ctx)
	}
	s.verdict.end(ctx, s.agent.cfg.MaxTime)
	r := ci.Report{
		Workflow: s.work.Task.Workflow, Task: s.work.Lease.Task, Epoch: s.work.Lease.Epoch,
		Status: s.verdict.status, Reason: s.secrets.String(s.verdict.reason),
	}
	return r, s.lease.do("report the outcome", func(ctx context.Context, l ci.Lease) error {
		return s.agent.door.Finish(ctx, l, r)
	})
}

// inPlace runs the steps in the place and leaves no process behind.
func (s *session) inPlace(ctx context.Context, p place.Place) {
	// Kill at once, not when the step that runs has noticed. Whoever kills must be
	// done when the session ends: the next one may be in the same process.
	killed := make(chan struct{})
	unhook := context.AfterFunc(s.lease.ctx, func() { defer close(killed); _ = p.Kill() })
	defer func() {
		if !unhook() {
			<-killed
		}
	}()
	running, stop := context.WithCancel(s.lease.ctx)
	if ctx.Err() == nil {
		s.fetchTimings(running)
	}
	s.steps(ctx)
	stop()
	s.stopBackground()
	s.beside.Go(func() { // while the last records are on their way
		if err := p.Kill(); err != nil {
			s.agent.cfg.Log.Error("stop task", "task", s.work.Lease.Task, "err", err)
		}
		for _, l := range s.left {
			l.close()
		}
	})
	s.beside.Wait()
}

// open makes the place and tells about it in the first step.
func (s *session) open(ctx context.Context) (place.Place, bool) {
	name := "Spin up environment"
	if s.count > 0 { // that was done elsewhere
		name = "Prepare environment"
	}
	st := s.beginQuietly(ci.StepEnvironment, name)
	p, err := s.agent.cfg.Executor.Open(ctx, s.work, st.out)
	if err == nil {
		s.place, s.layout = p, p.Layout()
		if err = s.prepare(); err != nil {
			_ = p.Close()
		}
	}
	if err != nil {
		r := result{status: ci.InfraFailed, reason: "cannot set up the job's environment: " + err.Error()}
		if errors.Is(err, ci.ErrInvalid) {
			r = result{status: ci.Failed, reason: withoutSentinel(err)}
		}
		if ctx.Err() != nil { // a pull may take long, and nobody waits for it any more
			r = ended(context.Cause(ctx), s.agent.cfg.MaxTime)
		}
		fmt.Fprintln(st.out, r.reason)
		st.end(r)
		s.verdict.add(r)
		return nil, false
	}
	// In one piece, so that it is sent in one.
	fmt.Fprintf(st.out, "Job %q of workflow %q, number %d, agent %s\n%s\n",
		s.work.Job.Name, s.work.Workflow, s.work.Task.Number, s.agent.cfg.Worker, strings.Join(s.layout.Notes, "\n"))
	st.end(result{status: ci.Success})
	return p, true
}

// withoutSentinel returns the text of an error for people, without the word
// that only programs need.
func withoutSentinel(err error) string {
	text := err.Error()
	for _, s := range []error{ci.ErrInvalid, ci.ErrNotFound, ci.ErrDenied} {
		if n := len(text) - len(": "+s.Error()); n > 0 && text[n:] == ": "+s.Error() {
			return text[:n]
		}
	}
	return text
}

// prepare fills the scratch folder, as far as the place has not done so ahead,
// and lays out the environment.
func (s *session) prepare() error {
	s.dir = s.absolute(cmp.Or(s.work.Job.WorkingDirectory, defaultDir), s.layout.Home)
	err := s.within(func() error {
		if err := Fill(cmp.Or(s.layout.Tool, s.agent.cfg.Tool))(s.layout.Scratch, s.layout.Home); err != nil {
			return fmt.Errorf("scratch folder: %w", err)
		}
		if err := os.MkdirAll(s.dir, 0o755); err != nil {
			return fmt.Errorf("working directory: %w: %w", err, ci.ErrInvalid)
		}
		return nil
	})
	if err != nil {
		s.buildEnvironment(nil)
		return err
	}
	roots, err := s.trust()
	s.buildEnvironment(roots)
	return err
}

// within calls f where the files are those of the steps.
func (s *session) within(f func() error) error {
	var err error
	if gone := s.place.Within(func() { err = f() }); gone != nil {
		return gone
	}
	return err
}

// Fill returns a function that puts into a scratch folder and its home what
// every task needs there, for [host.Config]: the default working directory,
// the file behind BASH_ENV, and the links by which steps find the tool. What
// is there already is left as it is.
func Fill(tool string) func(scratch, home string) error {
	return func(scratch, home string) error {
		bin, bashEnv := filepath.Join(scratch, binDir), filepath.Join(scratch, bashEnvFile)
		if _, err := os.Lstat(bashEnv); err == nil { // made last: all is there
			return nil
		}
		if err := os.MkdirAll(filepath.Join(home, "project"), 0o755); err != nil {
			return err
		}
		if err := os.MkdirAll(bin, 0o755); err != nil {
			return err
		}
		if tool != "" {
			for _, name := range []string{"circleci", "circleci-agent"} {
				if err := os.Symlink(tool, filepath.Join(bin, name)); err != nil && !errors.Is(err, os.ErrExist) {
					return err
				}
			}
		}
		return os.WriteFile(bashEnv, nil, 0o644)
	}
}
