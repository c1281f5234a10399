//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/docker/dockertest"
	"github.com/rondo-ci/rondo/scheduler/nomad/nomadtest"
)

// confined is a pipeline that passes only where nothing of this machine is seen
// but the small system that the test made.
const confined = `
version: 2.1
jobs:
  hi:
    machine: true
    resource_class: small
    shell: /bin/sh -e
    steps:
      - run: grep NAME=busybox /etc/os-release
      - run: echo "in $PWD"; test ! -e %s; mkdir out; echo text > out/file
      - persist_to_workspace: {root: out, paths: ["*"]}
  after:
    machine: true
    resource_class: small
    shell: /bin/sh -e
    steps: [{attach_workspace: {at: w}}, {run: 'grep text w/file'}]
workflows: {main: {jobs: [hi, {after: {requires: [hi]}}]}}
`

// builtBy starts a server whose agents a real Nomad starts, and sees the
// pipeline pass.
func builtBy(t *testing.T, door, reached, address, more string) {
	r := newRepo(t, fmt.Sprintf(confined, serverDir(t)))
	s, _ := teamAt(t, door, fmt.Sprintf("folders: [%s]\nnomad:\n  address: %s\n  door: http://%s\n  mhz: 1000\n%s", r.dir, address, reached, more))
	ended := s.waitEnd(ci.WorkflowEnded, "main")
	if ended.Status != ci.Success {
		for _, j := range s.jobs(s.pipelines()[0].ID) {
			for _, step := range s.steps(j.ID, 0) {
				t.Logf("%s %s %s: %s", j.Name, step.Name, step.Status, s.log(j.ID, 0, step.Index))
			}
		}
	}
	require.Equal(t, ci.Success, ended.Status, s.errors())
	require.Equal(t, 0, s.stop(), s.errors())
}

// Nomad's driver exec starts agents in a root and in namespaces of their own.
func TestSCH03_RealNomadDriverExec(t *testing.T) {
	binary, ok := nomadtest.Binary()
	if !ok {
		t.Skip("no nomad on PATH and no NOMAD_BIN")
	}
	if os.Geteuid() != 0 {
		t.Skip("the driver exec takes root")
	}
	agent, err := agentProgram()
	require.NoError(t, err)
	root := t.TempDir()
	require.NoError(t, dockertest.Busybox().Write(root))
	shown := map[string]string{agent: "/usr/local/bin/rondo-agent"}
	for _, dir := range []string{"bin", "etc", "root", "home"} {
		shown[filepath.Join(root, dir)] = "/" + dir
	}
	real, err := nomadtest.StartReal(binary, nomadtest.Options{Chroot: shown})
	require.NoError(t, err)
	t.Cleanup(real.Stop)
	if !real.Healthy("exec") {
		t.Skip("Nomad's driver exec is not healthy on this machine")
	}
	for name, more := range map[string]string{"register": "", "dispatch": "  mode: dispatch\n", "warm": "  warm: {small: 1}\n"} {
		t.Run(name, func(t *testing.T) {
			door := freeAddress(t)
			builtBy(t, door, door, real.Address, "  driver: exec\n"+more)
		})
	}
}

// Its driver docker starts them in containers of an image that has the agent.
func TestSCH03_RealNomadDriverDocker(t *testing.T) {
	binary, ok := nomadtest.Binary()
	if !ok {
		t.Skip("no nomad on PATH and no NOMAD_BIN")
	}
	agent, err := agentProgram()
	require.NoError(t, err)
	e := dockertest.Start(t)
	program, err := os.ReadFile(agent)
	require.NoError(t, err)
	require.NoError(t, e.Import("rondo-agent:1", dockertest.Busybox().With(dockertest.Tree{"usr/local/bin/rondo-agent": string(program)})))
	real, err := nomadtest.StartReal(binary, nomadtest.Options{Docker: e.Host})
	require.NoError(t, err)
	t.Cleanup(real.Stop)
	if !real.Healthy("docker") {
		t.Skip("Nomad's driver docker is not healthy on this machine")
	}
	for name, more := range map[string]string{"register": "", "warm": "  warm: {small: 1}\n"} {
		t.Run(name, func(t *testing.T) {
			door := freeAddress(t)
			builtBy(t, door, forwarded(t, e, door), real.Address, "  driver: docker\n  image: rondo-agent:1\n"+more)
		})
	}
}

// forwarded is an address that containers of the engine reach, and that leads
// to one of this machine.
func forwarded(t *testing.T, e *dockertest.Engine, to string) string {
	l, err := e.ListenAt(dockertest.Gateway + ":0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
		}
	}()
	return strings.Replace(l.Addr().String(), "[::]", dockertest.Gateway, 1)
}
