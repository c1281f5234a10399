package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/tool"
)

// steps runs the steps of the job. After a cancel it goes on with those that
// always run, within the grace; after a time-out or a lost lease it stops.
func (s *session) steps(ctx context.Context) {
	var late context.Context // after a cancel
	for _, spec := range s.work.Job.Steps {
		if s.halted() {
			return
		}
		if ctx.Err() != nil && late == nil {
			if !graceful(context.Cause(ctx)) {
				return
			}
			var stop context.CancelFunc
			late, stop = context.WithTimeoutCause(s.lease.ctx, s.agent.cfg.Grace, errGrace)
			defer stop()
		}
		now := ctx
		if late != nil {
			if now = late; late.Err() != nil || !always(spec) {
				continue
			}
		}
		if s.wanted(spec) {
			s.verdict.add(s.step(now, spec))
		}
	}
}

// graceful reports whether steps may still run after ctx ended for the cause.
func graceful(cause error) bool {
	var fault errFault
	return !errors.Is(cause, errMaxTime) && !errors.Is(cause, errLost) && !errors.As(cause, &fault)
}

// always reports whether the step runs however the job goes.
func always(spec ci.StepSpec) bool {
	switch spec.Kind {
	case ci.StepArtifacts, ci.StepTestResults:
		return true
	}
	return spec.When == ci.Always
}

// wanted reports whether the step runs as the job stands.
func (s *session) wanted(spec ci.StepSpec) bool {
	if spec.Kind == ci.StepDeploy && s.work.Task.Index > 0 {
		return false
	}
	switch {
	case always(spec):
		return true
	case spec.When == ci.OnFail:
		return s.verdict.bad()
	}
	return !s.verdict.bad()
}

// halted reports whether a step has asked to end the job here.
func (s *session) halted() bool {
	return s.within(func() error {
		_, err := os.Lstat(filepath.Join(s.taskData(), tool.HaltFile))
		return err
	}) == nil
}

// step runs one step from its first record to its last.
func (s *session) step(ctx context.Context, spec ci.StepSpec) result {
	name := stepName(spec)
	background := spec.Kind == ci.StepRun && spec.Background
	st, err := s.begin(spec.Kind, name, spec.Command, background)
	if err != nil {
		if s.lease.ctx.Err() == nil {
			s.fault(errFault{fmt.Errorf("step %q: %w", name, err)})
		}
		return result{status: ci.InfraFailed, reason: err.Error()}
	}
	if background {
		s.startBackground(ctx, st, spec)
		return result{status: ci.Success}
	}
	s.current = st
	r := s.perform(ctx, st, spec)
	s.current = nil
	if r.status == ci.Failed && ctx.Err() != nil && spec.Kind != ci.StepRun && spec.Kind != ci.StepDeploy {
		r = ended(context.Cause(ctx), s.agent.cfg.MaxTime) // it failed because it was stopped
	}
	if r.status != ci.Success && spec.Kind != ci.StepRun && spec.Kind != ci.StepDeploy {
		// The output of a run step is its own; the others say here what is wrong.
		fmt.Fprintln(st.out, strings.TrimPrefix(r.reason, "failed: "))
	}
	st.end(r)
	if r.status != ci.Success {
		r.reason = fmt.Sprintf("step %q %s", name, r.reason)
	}
	return r
}

// perform does what the step is for.
func (s *session) perform(ctx context.Context, st *step, spec ci.StepSpec) result {
	switch spec.Kind {
	case ci.StepRun, ci.StepDeploy:
		return s.runStep(ctx, st, spec)
	case ci.StepCheckout:
		return s.checkout(ctx, st, spec)
	case ci.StepSaveCache:
		return s.saveCache(ctx, st, spec)
	case ci.StepRestoreCache:
		return s.restoreCache(ctx, st, spec)
	case ci.StepPersist:
		return s.persist(ctx, st, spec)
	case ci.StepAttach:
		return s.attach(ctx, st, spec)
	case ci.StepArtifacts:
		return s.storeArtifacts(ctx, st, spec)
	case ci.StepTestResults:
		return s.storeTestResults(ctx, st, spec)
	case ci.StepSSHKeys:
		return s.addSSHKeys(st, spec)
	case ci.StepRemoteDocker:
		return s.remoteDocker(ctx, st, spec)
	}
	return failed("this agent does not know the step %q", spec.Kind)
}
