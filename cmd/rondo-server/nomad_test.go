package main

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/nomad/nomadtest"
)

// agentProgram builds the agent that Nomad starts, once; rondoProgram the
// commands of operators.
var (
	agentProgram = sync.OnceValues(func() (string, error) { return built("rondo-agent") })
	rondoProgram = sync.OnceValues(func() (string, error) { return built("rondo") })
)

// built builds a program into a folder that TestMain removes.
func built(name string) (string, error) {
	file := filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "bin", name)
	build := exec.Command("go", "build", "-o", file, "../"+name)
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // it runs in containers too
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", name, err, out)
	}
	return file, nil
}

// freeAddress is one that nobody listens at.
func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// clients are those of a fake Nomad, each with a folder of its name.
type clients struct {
	*nomadtest.Server
	dir string
}

// fakeNomad is one whose agents are processes of the real program.
func fakeNomad(t *testing.T) (clients, string) {
	program, err := agentProgram()
	require.NoError(t, err)
	dir := serverDir(t)
	var agents sync.WaitGroup
	s := nomadtest.New(func(ctx context.Context, start nomadtest.Start) error {
		agents.Add(1)
		defer agents.Done()
		own := filepath.Join(dir, start.Node, start.Alloc)
		if err := os.MkdirAll(own, 0o755); err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, program)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 2 * time.Second // one that cannot report, as the server is gone, would try on
		cmd.Stderr, cmd.Env = start.Stderr, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + own, "NOMAD_TASK_DIR=" + own}
		for k, v := range start.Env {
			cmd.Env = append(cmd.Env, k+"="+strings.ReplaceAll(v, "${NOMAD_TASK_DIR}", own))
		}
		if len(start.Payload) > 0 {
			if err := os.WriteFile(filepath.Join(own, "placement.json"), start.Payload, 0o600); err != nil {
				return err
			}
		}
		return cmd.Run()
	})
	s.AddNode("n1", 10, 4096+32768, nil)
	h := httptest.NewServer(s)
	t.Cleanup(func() {
		s.Close()
		agents.Wait()
		h.CloseClientConnections()
		h.Close()
	})
	return clients{s, dir}, h.URL
}

// A commit is built by agents that Nomad starts, in each way of starting them:
// one job of Nomad's for each slice.
func TestSCH02_PushToGreenOnNomad(t *testing.T) {
	for name, more := range map[string]string{"register": "", "dispatch": "  mode: dispatch\n", "warm": "  warm: {small: 2}\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, address := fakeNomad(t)
			door := freeAddress(t)
			r := newRepo(t, `
version: 2.1
jobs:
  hi:
    machine: true
    resource_class: small
    parallelism: 3
    steps: [checkout, {run: 'echo "slice $CIRCLE_NODE_INDEX"'}]
workflows: {main: {jobs: [hi]}}
`)
			s, _ := teamAt(t, door, fmt.Sprintf("folders: [%s]\nnomad:\n  address: %s\n  door: http://%s\n%s", r.dir, address, door, more))
			ended := s.waitEnd(ci.WorkflowEnded, "main")
			require.Equal(t, ci.Success, ended.Status, s.errors())
			slices := map[int]bool{}
			for id, j := range fake.Jobs() {
				if name == "register" {
					parsed, err := scheduler.ParseJobID(id)
					require.NoError(t, err)
					slices[parsed.Index] = true
				}
				require.Equal(t, "batch", *j.Type)
				require.Equal(t, 50, *j.Priority)
			}
			if name == "register" {
				require.Equal(t, map[int]bool{0: true, 1: true, 2: true}, slices)
			}
			require.Equal(t, 0, s.stop(), s.errors())
		})
	}
}

// The same with a real Nomad, where there is one.
func TestSCH03_PushToGreenOnARealNomad(t *testing.T) {
	binary, ok := nomadtest.Binary()
	if !ok {
		t.Skip("no nomad on PATH and no NOMAD_BIN: only the fake was tried")
	}
	agent, err := agentProgram()
	require.NoError(t, err)
	real, err := nomadtest.StartReal(binary, nomadtest.Options{})
	require.NoError(t, err)
	t.Cleanup(real.Stop)
	for name, more := range map[string]string{"register": "", "dispatch": "  mode: dispatch\n", "warm": "  warm: {small: 2}\n"} {
		t.Run(name, func(t *testing.T) {
			door := freeAddress(t)
			r := newRepo(t, `
version: 2.1
jobs:
  hi:
    machine: true
    resource_class: small
    parallelism: 3
    steps:
      - checkout
      - run: 'echo "slice $CIRCLE_NODE_INDEX"; test -z "$RONDO_PLACEMENT$NOMAD_TASK_DIR"'
      - run: mkdir out && touch "out/$CIRCLE_NODE_INDEX"
      - persist_to_workspace: {root: out, paths: ["*"]}
  after:
    machine: true
    resource_class: small
    steps: [{attach_workspace: {at: w}}, {run: 'test -e w/0 && test -e w/1 && test -e w/2'}]
workflows: {main: {jobs: [hi, {after: {requires: [hi]}}]}}
`)
			s, _ := teamAt(t, door, fmt.Sprintf("folders: [%s]\nnomad:\n  address: %s\n  door: http://%s\n  agent: %s\n  mhz: 1000\n%s", r.dir, real.Address, door, agent, more))
			ended := s.waitEnd(ci.WorkflowEnded, "main")
			require.Equal(t, ci.Success, ended.Status, s.errors())
			require.Equal(t, 0, s.stop(), s.errors())
		})
	}
}

// A server that is stopped leaves the agents of Nomad alone; the next one gets
// their results (ARC-08).
func TestARC08_AgentsOnNomadOutliveTheServer(t *testing.T) {
	fake, address := fakeNomad(t)
	door, marks := freeAddress(t), serverDir(t)
	r := newRepo(t, fmt.Sprintf(`
version: 2.1
jobs:
  long:
    machine: true
    resource_class: small
    steps:
      - run: |
          echo x >> %[1]s/began
          while [ ! -e %[1]s/go ]; do sleep 0.05; done
          echo done
workflows: {main: {jobs: [long]}}
`, marks))
	more := fmt.Sprintf("folders: [%s]\nnomad: {address: %q, door: \"http://%s\"}\n", r.dir, address, door)
	s, file := teamAt(t, door, more)
	s.eventually("the step runs", func() bool { _, err := os.Stat(filepath.Join(marks, "began")); return err == nil })
	require.Equal(t, 0, s.stop(), s.errors())
	require.NoError(t, os.WriteFile(filepath.Join(marks, "go"), nil, 0o600))
	s = start(t, program(t, "serve", "--json", "--config", file))
	ended := s.waitEnd(ci.WorkflowEnded, "main")
	require.Equal(t, ci.Success, ended.Status, s.errors())
	began, err := os.ReadFile(filepath.Join(marks, "began"))
	require.NoError(t, err)
	require.Equal(t, "x\n", string(began), "it ran once")
	require.Len(t, fake.Jobs(), 1)
}

// teamAt starts a server of a team whose door is at an address, and returns it
// with its file of settings.
func teamAt(t *testing.T, door, more string) (*server, string) {
	t.Helper()
	dir := serverDir(t)
	file := filepath.Join(dir, "rondo.yml")
	text := fmt.Sprintf("url: http://ci.example.com\nlisten: 127.0.0.1:0\nagents: %s\ndata: %s\n%s", door, filepath.Join(dir, "data"), more)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return start(t, program(t, "serve", "--json", "--config", file)), file
}

func TestNomadSettings(t *testing.T) {
	const base = "url: http://x\ndata: d\nnomad:\n"
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":    {"  class: x\n", "nomad.address is missing"},
		"no door":    {"  address: http://n:4646\n", "nomad.door is missing"},
		"driver":     {"  {address: 'http://n:4646', door: 'http://d:1', driver: qemu}\n", "none of raw_exec, exec and docker"},
		"no image":   {"  {address: 'http://n:4646', door: 'http://d:1', driver: docker}\n", "nomad.image is missing"},
		"mode":       {"  {address: 'http://n:4646', door: 'http://d:1', mode: periodic}\n", "neither register nor dispatch"},
		"warm":       {"  {address: 'http://n:4646', door: 'http://d:1', warm: {huge: 1}}\n", `no resource class "huge"`},
		"token":      {"  {address: 'http://n:4646', door: 'http://d:1', token: s3cret}\n", "write env:NAME or file:PATH"},
		"ca":         {"  {address: 'http://n:4646', door: 'http://d:1', ca: /no/such}\n", "nomad.ca"},
		"half a key": {"  {address: 'http://n:4646', door: 'http://d:1', cert: /dev/null}\n", "belong together"},
		"unknown":    {"  {adress: x}\n", "adress is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseSettings([]byte(base + tt.text))
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "s3cret")
		})
	}
	help := strings.ReplaceAll(nomadHelp, "/etc/rondo/nomad-ca.pem", "/dev/null")
	s, err := parseSettings([]byte("  url: http://x\n  data: d\n" + help))
	require.NoError(t, err, "the example of the help is good")
	require.Equal(t, 2500, s.Nomad.MHz)
	require.Equal(t, scheduler.Resources{CPU: 2, MemoryMB: 4096}, s.Nomad.reserve())
}
