package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// remoteDockerTime is how long a step waits for an engine.
const remoteDockerTime = 30 * time.Minute

// remoteDocker gets a Docker engine of the task's own and shows the steps that
// follow the way to it. It ends with the task, as do the certificates, which lie
// in the scratch folder. Twice in one job is the same engine.
func (s *session) remoteDocker(ctx context.Context, st *step, spec ci.StepSpec) result {
	if s.agent.cfg.Machines == nil {
		return failed("there is no remote Docker here: this agent cannot get machines for it. " +
			"A job that needs Docker can use the one of its own machine, if there is one")
	}
	need := ci.MachineNeed{Kind: ci.MachineForDocker, LayerCaching: spec.LayerCaching}
	m, err := s.machine(ctx, st, need)
	switch {
	case errors.Is(err, ci.ErrInvalid):
		return failed("there is no remote Docker here: %s", withoutSentinel(err))
	case errors.Is(err, ci.ErrNotFound):
		return result{status: ci.InfraFailed, reason: "lost its remote Docker engine: " + withoutSentinel(err)}
	case err != nil:
		return failed("no remote Docker engine: %v", err)
	case m.Docker == nil:
		return failed("no remote Docker engine: machine %s serves none", m.ID)
	}
	if err := s.useDocker(*m.Docker); err != nil {
		return failed("%v", err)
	}
	fmt.Fprintf(st.out, "Docker engine at %s on machine %s, for this job only\n", m.Docker.Host, m.ID)
	for _, note := range m.Notes {
		fmt.Fprintln(st.out, note)
	}
	if spec.Version != "" {
		fmt.Fprintf(st.out, "The version of the engine is that of the machine's image; %s was asked for\n", spec.Version)
	}
	return result{status: ci.Success}
}

// machine waits for the task's machine and tells why it takes long, each reason
// once.
func (s *session) machine(ctx context.Context, st *step, need ci.MachineNeed) (ci.Machine, error) {
	ctx, stop := context.WithTimeoutCause(ctx, remoteDockerTime, fmt.Errorf("none came within %s", remoteDockerTime))
	defer stop()
	told := ""
	for {
		var m ci.Machine
		err := s.lease.do("get a machine", func(asking context.Context, l ci.Lease) error {
			asking, cancel := context.WithCancel(asking)
			defer context.AfterFunc(ctx, cancel)()
			defer cancel()
			var err error
			if m, err = s.agent.cfg.Machines.Machine(asking, l, need); ctx.Err() != nil {
				return nil // nobody waits for it any more
			}
			return err
		})
		switch {
		case ctx.Err() != nil:
			return m, context.Cause(ctx)
		case err != nil || m.Ready:
			return m, err
		}
		if m.Reason != "" && m.Reason != told {
			told = m.Reason
			fmt.Fprintf(st.out, "Waiting for a machine: %s\n", told)
		}
	}
}

// useDocker writes the certificates and sets the variables by which Docker's
// programs find the engine.
func (s *session) useDocker(d ci.DockerAccess) error {
	dir := filepath.Join(s.layout.Scratch, "docker-certs")
	if err := s.within(func() error { return os.MkdirAll(dir, 0o700) }); err != nil {
		return fmt.Errorf("certificates of Docker: %w", err)
	}
	for name, text := range map[string]string{"ca.pem": d.CA, "cert.pem": d.Cert, "key.pem": d.Key} {
		if err := s.write(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("certificates of Docker: %w", err)
		}
	}
	s.env.add(
		ci.Var{Name: "DOCKER_HOST", Value: d.Host}, ci.Var{Name: "DOCKER_TLS_VERIFY", Value: "1"},
		ci.Var{Name: "DOCKER_CERT_PATH", Value: dir},
	)
	return nil
}
