package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/place"
)

// defaultSilence is how long a step may print nothing.
const defaultSilence = 10 * time.Minute

// runStep runs the command of a run or deploy step, again if it fails and the
// step asks for that.
func (s *session) runStep(ctx context.Context, st *step, spec ci.StepSpec) result {
	command, err := s.command(spec, st.record.Index)
	if err != nil {
		fmt.Fprintln(st.out, err)
		return notStarted(err)
	}
	silence := spec.NoOutputTimeout
	if silence <= 0 {
		silence = defaultSilence
	}
	for try := 0; ; try++ {
		r := s.attempt(ctx, st, command, silence)
		if r.status == ci.Success || try >= spec.MaxAutoReruns || ctx.Err() != nil {
			return r
		}
		fmt.Fprintf(st.out, "\n[rondo: the step %s; rerun %d of %d]\n", r.reason, try+1, spec.MaxAutoReruns)
		t := time.NewTimer(spec.AutoRerunDelay)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return r
		}
	}
}

// attempt runs the command once.
func (s *session) attempt(ctx context.Context, st *step, c place.Command, silence time.Duration) result {
	code, why, cause, err := s.exec(ctx, st.out, c, silence)
	switch {
	case err != nil && ctx.Err() != nil:
		return ended(context.Cause(ctx), s.agent.cfg.MaxTime)
	case err != nil:
		fmt.Fprintln(st.out, err)
		return notStarted(err)
	case errors.Is(cause, errSilent):
		text := fmt.Sprintf("Too long with no output (exceeded %v): context deadline exceeded", silence)
		fmt.Fprintln(st.out, "\n"+text)
		return result{status: ci.TimedOut, code: code, reason: "was ended: " + text}
	case cause != nil:
		r := ended(cause, s.agent.cfg.MaxTime)
		r.code = code
		return r
	case code == 0:
		return result{status: ci.Success}
	}
	r := result{status: ci.Failed, code: code, reason: fmt.Sprintf("exited with code %d", code)}
	if n := code - 128; n > 0 && n < 65 {
		r.reason += fmt.Sprintf(" (%v)", syscall.Signal(n))
	}
	if why != "" {
		fmt.Fprintf(st.out, "\n[rondo: %s]\n", why)
		r.reason += ": " + why
	}
	return r
}

// command returns what to start for a run step.
func (s *session) command(spec ci.StepSpec, index int) (place.Command, error) {
	dir := s.absolute(spec.WorkingDirectory, s.dir)
	if err := s.within(func() error { return os.MkdirAll(dir, 0o755) }); err != nil {
		return place.Command{}, fmt.Errorf("working directory: %w", err)
	}
	args, err := s.args(spec, index)
	if err != nil {
		return place.Command{}, err
	}
	env := s.env.with(spec.Environment...).with(ci.Var{Name: "PWD", Value: dir})
	return place.Command{Args: args, Env: env.list(s.bin()), Dir: dir}, nil
}

// longest is the length up to which the kernel takes an argument, with room.
const longest = 120 << 10

// args returns the shell and the command. A shell whose last option is -c, as
// the default one's is, takes the command as an argument; any other program
// gets a file, as does a command that is too long for an argument or names its
// own interpreter, unless that is a shell: then the step's shell takes it, or
// a command that begins with #!/bin/bash would no longer end at its first
// error.
func (s *session) args(spec ci.StepSpec, index int) ([]string, error) {
	shell := strings.Fields(spec.Shell)
	if len(shell) == 0 {
		shell = strings.Fields(s.work.Job.Shell)
	}
	explicit := len(shell) > 0
	if !explicit {
		shell = slices.Clone(s.layout.Shell)
	}
	file := s.temporary(fmt.Sprintf("step-%d", index))
	last := shell[len(shell)-1]
	takesText := len(shell) > 1 && strings.HasPrefix(last, "-") && !strings.HasPrefix(last, "--") && strings.HasSuffix(last, "c")
	switch {
	case !explicit && len(foreign(spec.Command)) > 0:
		return append(foreign(spec.Command), file), s.script(file, spec.Command)
	case takesText && len(spec.Command) <= longest:
		return append(shell, spec.Command), nil
	case takesText && isShell(shell[0]):
		return append(shell, `. "`+file+`"`), s.script(file, spec.Command)
	case takesText:
		shell = shell[:len(shell)-1]
	}
	return append(shell, file), s.script(file, spec.Command)
}

// script writes a command to a file.
func (s *session) script(file, command string) error {
	return s.write(file, []byte(command), 0o755)
}

// foreign returns the interpreter that the command names and its argument, as
// the kernel reads them, unless that is a shell.
func foreign(command string) []string {
	first, _, _ := strings.Cut(command, "\n")
	line, ok := strings.CutPrefix(first, "#!")
	if !ok {
		return nil
	}
	program, argument, more := strings.Cut(strings.TrimSpace(line), " ")
	words := strings.Fields(line)
	if len(words) > 1 && path.Base(program) == "env" {
		words = slices.DeleteFunc(words[1:], func(w string) bool { return strings.HasPrefix(w, "-") })
	}
	switch {
	case len(words) == 0 || isShell(words[0]):
		return nil
	case more:
		return []string{program, strings.TrimSpace(argument)}
	}
	return []string{program}
}

// isShell reports whether a program is a shell of the Bourne family.
func isShell(program string) bool {
	switch path.Base(program) {
	case "sh", "bash", "dash", "ash", "ksh", "zsh", "busybox", "env":
		return true
	}
	return false
}
