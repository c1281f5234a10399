package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Remote runs tasks on machines of their own. It is safe for concurrent use.
// Package machine has the real one.
//
// The agent that has claimed such a task waits for the machine, tells why that
// takes long, and hands the task over as a whole to an agent there, which has
// the files and processes of the steps beside it. From then on that one renews
// the lease, and reports.
type Remote interface {
	// Enter prepares a machine for its agent and tells out, for people, what
	// takes its time. An error that wraps [ci.ErrInvalid] or [ci.ErrDenied]
	// will be the same next time.
	Enter(ctx context.Context, m ci.Machine, out io.Writer) (There, error)
}

// There is a machine that was entered.
type There interface {
	// Run has the rest of the task run, and returns nil when its outcome was
	// reported from there. The end of ctx cancels the task with grace, with the
	// cause as the reason. After an error nothing runs there that could still
	// report; one that wraps [ci.ErrConflict] says that the hand-out was
	// superseded.
	Run(ctx context.Context, r Rest) error
	// Close leaves the machine. Twice is allowed.
	Close() error
}

// A Rest is what is left of a task, for the agent on its machine.
type Rest struct {
	Work    ci.Work       `json:"work"`
	Steps   int           `json:"steps"`    // that have begun
	MaxTime time.Duration `json:"max_time"` // how long it may take
	// Bundle is a file with the repository, as git bundle makes it, when that is
	// a folder of the machine of the agent that claimed; "" is none. Each side
	// has a path of its own, and removes its file.
	Bundle string `json:"-"`
}

// away hands the task to an agent on the task's machine and waits for its end.
// handed is called when that one is to take over, with the time after which it
// must have ended. It returns true when the outcome was reported.
func (s *session) away(ctx context.Context, handed func(left time.Duration)) (bool, error) {
	st := s.beginQuietly(ci.StepEnvironment, "Spin up environment")
	there, r := s.enter(ctx, st)
	if r.status != ci.Success {
		fmt.Fprintln(st.out, r.reason)
	}
	st.end(r)
	s.verdict.add(r)
	if there == nil {
		return false, nil
	}
	defer there.Close()
	s.beside.Wait() // two must not write at once
	if ctx.Err() != nil {
		return false, nil
	}
	rest := Rest{Work: s.work, Steps: s.count, MaxTime: s.agent.cfg.MaxTime - time.Since(s.began)}
	if isHere(s.work.Project.CloneURL) {
		var err error
		if rest.Bundle, err = s.bundle(ctx); err != nil { // a checkout will say that there is none
			s.agent.cfg.Log.Warn("bundle the repository", "task", s.work.Lease.Task, "err", err)
		}
		defer os.Remove(rest.Bundle)
	}
	_ = s.lease.renew(ctx) // the other one counts from when it begins
	handed(rest.MaxTime + 2*s.agent.cfg.Grace + time.Minute)
	err := there.Run(ctx, rest)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, ci.ErrConflict):
		s.lease.lose(err)
		return false, err
	}
	s.verdict.add(result{status: ci.InfraFailed, reason: "lost the agent on its machine: " + err.Error()})
	return false, nil
}

// bundle writes the repository, which is a folder of this machine, into a file.
func (s *session) bundle(ctx context.Context) (string, error) {
	f, err := os.CreateTemp(s.agent.cfg.Dir, "repository-")
	if err != nil {
		return "", err
	}
	_ = f.Close()
	folder := s.work.Project.CloneURL
	if u, err := url.Parse(folder); err == nil && u.Scheme == "file" {
		folder = u.Path
	}
	args := []string{"bundle", "create", "-q", f.Name(), "--all"}
	if revision := strings.ToLower(s.work.Pipeline.Trigger.Revision); hash.MatchString(revision) {
		args = append(args, revision) // no branch may have it any more
	}
	if err := git(ctx, filepath.Clean(folder), args...); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// unbundle makes a repository of the file on the task's machine, and returns its
// folder.
func unbundle(ctx context.Context, bundle string) (string, error) {
	folder := bundle + "-mirror" // with .git git would take it for the source
	if err := git(ctx, filepath.Dir(bundle), "clone", "-q", "--mirror", bundle, folder); err != nil {
		return "", err
	}
	return folder, os.Remove(bundle)
}

// git runs a command of git that no setting of the job reaches.
func git(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s in %s: %w: %.300s", args[0], dir, err, out)
	}
	return nil
}

// enter gets the machine of the task and enters it.
func (s *session) enter(ctx context.Context, st *step) (There, result) {
	fmt.Fprintf(st.out, "Job %q of workflow %q, number %d, agent %s\n",
		s.work.Job.Name, s.work.Workflow, s.work.Task.Number, s.agent.cfg.Worker)
	m, err := s.machine(ctx, st, *s.work.Machine)
	var there There
	if err == nil {
		fmt.Fprintf(st.out, "Steps run on machine %s at %s, which is this job's own.\n", m.ID, m.Address)
		for _, note := range m.Notes {
			fmt.Fprintln(st.out, note)
		}
		if there, err = s.agent.cfg.Remote.Enter(ctx, m, st.out); err != nil {
			err = fmt.Errorf("enter the machine: %w", err)
		}
	}
	switch {
	case err == nil:
		return there, result{status: ci.Success}
	case ctx.Err() != nil:
		return nil, ended(context.Cause(ctx), s.agent.cfg.MaxTime)
	case errors.Is(err, ci.ErrInvalid):
		return nil, result{status: ci.Failed, reason: "cannot " + withoutSentinel(err)}
	}
	return nil, result{status: ci.InfraFailed, reason: "cannot " + withoutSentinel(err)}
}
