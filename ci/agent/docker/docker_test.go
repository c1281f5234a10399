//go:build linux

package docker_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/agent/agenttest"
	"github.com/rondo-ci/rondo/ci/agent/docker"
	"github.com/rondo-ci/rondo/ci/agent/docker/dockertest"
	"github.com/stretchr/testify/require"
)

// shared is the engine of all tests: starting one takes longer than most.
var shared struct {
	sync.Once
	engine *dockertest.Engine
	tools  string // folder
	err    error
}

func TestMain(m *testing.M) {
	shared.tools, _ = os.MkdirTemp("", "rondo-tool-")
	code := m.Run()
	_ = os.RemoveAll(shared.tools)
	if shared.engine != nil {
		shared.engine.Stop()
	}
	os.Exit(code)
}

// engine returns the engine with the image rondo-box:1, or skips.
func engine(t testing.TB) *dockertest.Engine {
	t.Helper()
	shared.Do(func() {
		if shared.engine, shared.err = dockertest.Open(); shared.err != nil {
			return
		}
		shared.err = shared.engine.Import("rondo-box:1", dockertest.Busybox(), `ENV IMAGE_VAR=image`)
	})
	if shared.err != nil {
		t.Skipf("no Docker engine can run here: %v", shared.err)
	}
	return shared.engine
}

func executor(t testing.TB, change func(*docker.Config)) *docker.Executor {
	t.Helper()
	cfg := docker.Config{Host: engine(t).Host, Dir: t.TempDir(), Tool: dockertest.Tool(t, shared.tools)}
	if change != nil {
		change(&cfg)
	}
	e, err := docker.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// work returns the work of a job in a container.
func work(image ci.Image, steps ...ci.StepSpec) ci.Work {
	w := agenttest.Work(steps...)
	w.Job.Executor.Images = []ci.Image{image}
	w.Lease.TTL, w.Lease.Renew = time.Minute, time.Second
	return w
}

// run runs the work and returns what was reported and all that was printed.
func run(t *testing.T, e *docker.Executor, w ci.Work) (ci.Report, string) {
	t.Helper()
	s := &agenttest.Server{}
	r := runOn(t, s, e, w)
	return r, output(s, w)
}

func runOn(t *testing.T, s *agenttest.Server, e *docker.Executor, w ci.Work) ci.Report {
	t.Helper()
	s.Add(w)
	a := agent.New(s, s, agent.Config{Executor: e, Grace: 2 * time.Second, Dir: t.TempDir()})
	require.NoError(t, a.Run(t.Context(), w.Lease.Task, w.Lease.Epoch))
	r, ok := s.Report(w.Lease.Task)
	require.True(t, ok, "no report")
	require.Empty(t, s.Problems())
	return r
}

func output(s *agenttest.Server, w ci.Work) string {
	var b strings.Builder
	for _, st := range s.Steps(w.Lease.Task) {
		fmt.Fprintf(&b, "== %s\n%s", st.Name, s.Output(w.Lease.Task, st.Index))
	}
	return b.String()
}

func TestARC02_StepsRunInTheImageOfTheJob(t *testing.T) {
	e := executor(t, nil)
	require.NoError(t, engine(t).Import("rondo-other:1", dockertest.Busybox().With(dockertest.Tree{"etc/os-release": "NAME=other\n"})))
	r, out := run(t, e, work(ci.Image{Image: "rondo-box:1"}, agenttest.Run("cat /etc/os-release; echo $HOME $IMAGE_VAR; pwd; id -u")))
	require.Equal(t, ci.Success, r.Status, out)
	require.Contains(t, out, "NAME=busybox\n/root image\n/root/project\n0\n")
	require.Contains(t, out, "using image sha256:", "the image is noted by its digest")
	r, out = run(t, e, work(ci.Image{Image: "rondo-other:1"}, agenttest.Run("cat /etc/os-release")))
	require.Equal(t, ci.Success, r.Status, out)
	require.Contains(t, out, "NAME=other\n")
}
