//go:build linux

package docker_test

import (
	"context"
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/agent/agenttest"
	"github.com/rondo-ci/rondo/ci/agent/docker"
	"github.com/rondo-ci/rondo/ci/agent/docker/dockertest"
	"github.com/rondo-ci/rondo/ci/agent/place"
	"github.com/stretchr/testify/require"
)

// nothingLeft checks that the engine has nothing of ours.
func nothingLeft(t *testing.T) {
	t.Helper()
	c := engine(t).Client
	ours := make(client.Filters).Add("label", docker.LabelTask)
	all, err := c.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: ours})
	require.NoError(t, err)
	require.Empty(t, all.Items)
	nets, err := c.NetworkList(t.Context(), client.NetworkListOptions{Filters: ours})
	require.NoError(t, err)
	require.Empty(t, nets.Items)
	volumes, err := c.VolumeList(t.Context(), client.VolumeListOptions{})
	require.NoError(t, err)
	require.Empty(t, volumes.Items)
}

// ourContainers returns the containers of one task as the engine shows them.
func ourContainers(t *testing.T, task ci.TaskID) []client.ContainerInspectResult {
	t.Helper()
	c := engine(t).Client
	all, err := c.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", docker.LabelTask+"="+string(task))})
	require.NoError(t, err)
	var list []client.ContainerInspectResult
	for _, i := range all.Items {
		r, err := c.ContainerInspect(t.Context(), i.ID, client.ContainerInspectOptions{})
		require.NoError(t, err)
		list = append(list, r)
	}
	return list
}

func TestSEC03_TwoJobsDoNotReachEachOtherAndNothingIsLeft(t *testing.T) {
	e := executor(t, nil)
	require.NoError(t, engine(t).Import("rondo-volume:1", dockertest.Busybox(), "VOLUME /data"))
	open := func() place.Place {
		w := work(ci.Image{Image: "rondo-volume:1"})
		p, err := e.Open(t.Context(), w, io.Discard)
		require.NoError(t, err)
		t.Cleanup(func() { _ = p.Close() })
		return p
	}
	a, b := open(), open()
	address := strings.TrimSpace(sh(t, a, `ip -4 addr show eth0 | sed -n 's/.*inet \([0-9.]*\).*/\1/p'`))
	sh(t, a, "nc -l -p 8000 -e echo hello </dev/null >/dev/null 2>&1 & sleep 0.3")
	require.Contains(t, sh(t, a, "nc -w 2 "+address+" 8000 || echo unreachable"), "hello")
	sh(t, a, "nc -l -p 8000 -e echo hello </dev/null >/dev/null 2>&1 & sleep 0.3")
	require.Contains(t, sh(t, b, "nc -w 2 "+address+" 8000 || echo unreachable"), "unreachable")
	sh(t, a, "echo x > /data/f")
	require.NoError(t, a.Close())
	require.NoError(t, a.Close(), "twice")
	require.NoError(t, b.Close())
	nothingLeft(t)
}

// sh runs a command in a place and returns what it prints.
func sh(t testing.TB, p place.Place, command string) string {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	l := p.Layout()
	c, err := p.Start(place.Command{Args: []string{"/bin/sh", "-c", command}, Env: l.Environ, Dir: "/", Output: w})
	_ = w.Close()
	require.NoError(t, err)
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	<-c.Done()
	return string(text)
}

// A137, A136, A139: what a job in a container must not reach or be.
func TestSEC03_JobsReachNeitherMetadataNorEngineNorAgent(t *testing.T) {
	e := executor(t, func(c *docker.Config) { c.Deny = []netip.Prefix{netip.MustParsePrefix("10.99.0.0/16")} })
	w := work(box)
	w.Environment = []ci.Var{{Name: "TOKEN", Value: "c4nary-value-of-a-context", Secret: true}}
	p, err := e.Open(t.Context(), w, io.Discard)
	require.NoError(t, err)
	defer p.Close()
	for _, address := range []string{"169.254.169.254", "169.254.170.2", "10.99.3.4"} {
		require.Contains(t, sh(t, p, "nc -w 2 "+address+" 80 2>&1 || echo refused"), "refused")
		require.Contains(t, sh(t, p, "ip route get "+address+" 2>&1"), "No route to host")
	}
	require.Contains(t, sh(t, p, "ip route del unreachable 169.254.0.0/16 2>&1 || echo refused"), "refused")
	require.Contains(t, sh(t, p, "mount -t tmpfs x /mnt 2>&1 || mount -t tmpfs x /tmp 2>&1 || echo refused"), "refused")
	require.NotContains(t, sh(t, p, "find / -name '*.sock' -not -path '/proc/*' 2>/dev/null; ls -A /.rondo/door"), "docker.sock")
	// The door is a socket that nobody answers at any more.
	require.Contains(t, sh(t, p, "nc local:/.rondo/door/agent 2>&1 </dev/null || echo refused"), "refused")
	require.Contains(t, sh(t, p, "echo x > /.rondo/circleci 2>&1 || echo refused"), "refused")
	require.NotContains(t, sh(t, p, "cat /proc/1/environ /proc/1/cmdline"), "c4nary")
	status := sh(t, p, "cat /proc/self/status")
	require.Contains(t, status, "CapEff:\t00000000a80425fb", "the engine's default, and no more")
	require.Contains(t, status, "Seccomp:\t2")
	for _, c := range ourContainers(t, w.Lease.Task) {
		require.False(t, c.Container.HostConfig.Privileged)
		require.Equal(t, "1", c.Container.Config.Labels[docker.LabelEpoch])
		for _, m := range c.Container.HostConfig.Mounts {
			require.True(t, m.ReadOnly)
		}
		raw, err := json.Marshal(c.Container)
		require.NoError(t, err)
		require.NotContains(t, string(raw), "c4nary")
	}
}

// Links of a job lead to files of its container and never to ours.
func TestLinksLeadNowhere(t *testing.T) {
	e := executor(t, nil)
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("c4nary of the machine"), 0o644))
	target := t.TempDir()
	s := &agenttest.Server{}
	w := work(box,
		agenttest.Run("ln -s "+secret+" a; mkdir d; ln -s "+secret+" d/a; ln -s / root; ln -s "+filepath.Dir(secret)+" dir; ln -s "+target+" out"),
		ci.StepSpec{Kind: ci.StepArtifacts, Path: "a"},
		ci.StepSpec{Kind: ci.StepArtifacts, Path: "d"},
		ci.StepSpec{Kind: ci.StepArtifacts, Path: "dir"},
		ci.StepSpec{Kind: ci.StepArtifacts, Path: "root/etc/os-release", Destination: "os"},
		ci.StepSpec{Kind: ci.StepTestResults, Path: "dir"},
		agenttest.Run(`rm -rf $CIRCLE_INTERNAL_SCRATCH/bin; ln -s `+target+` $CIRCLE_INTERNAL_SCRATCH/bin; rm $CIRCLE_INTERNAL_SCRATCH/bash_env; mkdir -p `+target),
		ci.StepSpec{Kind: ci.StepSSHKeys},
		ci.StepSpec{Kind: ci.StepAttach, Path: "out"},
		agenttest.Run("true"),
	)
	w.SSHKeys = []ci.SSHKey{{Fingerprint: "SHA256:x", Private: "key"}}
	r := runOn(t, s, e, w)
	out := output(s, w)
	require.Equal(t, ci.Success, r.Status, "%s\n%s", r.Reason, out)
	for _, f := range s.Files(ci.FileArtifact) {
		text, _ := s.Content(ci.FileArtifact, f.Name)
		require.NotContains(t, string(text), "c4nary", f.Name)
	}
	text, ok := s.Content(ci.FileArtifact, "os")
	require.True(t, ok, out)
	require.Equal(t, "NAME=busybox\n", string(text))
	entries, err := os.ReadDir(target)
	require.NoError(t, err)
	require.Empty(t, entries, "nothing was written outside")
}

func TestARC03_LimitsAreThoseOfTheClass(t *testing.T) {
	e := executor(t, func(c *docker.Config) {
		c.Limits = func(j ci.PlannedJob) (docker.Limits, error) {
			require.Equal(t, "small", j.ResourceClass)
			return docker.Limits{CPUs: 0.5, Memory: 64 << 20}, nil
		}
	})
	w := work(box)
	w.Job.ResourceClass = "small"
	p, err := e.Open(t.Context(), w, io.Discard)
	require.NoError(t, err)
	c := ourContainers(t, w.Lease.Task)
	require.Len(t, c, 1)
	require.EqualValues(t, 5e8, c[0].Container.HostConfig.NanoCPUs)
	require.EqualValues(t, 64<<20, c[0].Container.HostConfig.Memory)
	require.EqualValues(t, 16384, *c[0].Container.HostConfig.PidsLimit)
	require.NoError(t, p.Close())

	// Whoever uses more is told so.
	w = work(box, agenttest.Run("echo before; x=0123456789abcdef; while :; do x=$x$x; done"))
	w.Job.ResourceClass = "small"
	r, out := run(t, e, w)
	require.Equal(t, ci.Failed, r.Status, out)
	require.Contains(t, r.Reason, "more than the 64 MB of memory that its resource class has", out)
	require.Contains(t, out, "before\n")
	nothingLeft(t)
}

func TestServicesAnswerAtLocalhostAndByName(t *testing.T) {
	e := executor(t, nil)
	w := work(box, agenttest.Run(`for at in localhost:7001 db:7002 db:7003; do until nc -w 1 ${at%:*} ${at#*:} </dev/null; do sleep 0.1; done; done`))
	w.Job.Executor.Images[0].Command = []string{"sh", "-c", "while :; do nc -l -p 7003 -e echo primary $A; done"}
	w.Job.Executor.Images[0].Environment = []ci.Var{{Name: "A", Value: "own"}}
	serve := func(port string) []string {
		return []string{"sh", "-c", "while :; do nc -l -p " + port + " -e echo $WHO; done"}
	}
	w.Job.Executor.Images = append(w.Job.Executor.Images,
		ci.Image{Image: "rondo-box:1", Command: serve("7001"), Environment: []ci.Var{{Name: "WHO", Value: "redis"}}},
		ci.Image{Image: "rondo-box:1", Name: "db", Entrypoint: serve("7002")[:2], Command: serve("7002")[2:], User: "circleci", Environment: []ci.Var{{Name: "WHO", Value: "postgres"}}})
	r, out := run(t, e, w)
	require.Equal(t, ci.Success, r.Status, "%s\n%s", r.Reason, out)
	require.Contains(t, out, "redis\npostgres\nprimary own\n")
	require.Contains(t, out, "Service: rondo-box:1\n  using image sha256:")
	nothingLeft(t)

	w = work(box, agenttest.Run("true"))
	w.Job.Executor.Images = append(w.Job.Executor.Images, ci.Image{Image: "rondo-box:1", Command: []string{"/no/such/program"}})
	r, _ = run(t, e, w)
	require.Equal(t, ci.Failed, r.Status)
	require.Contains(t, r.Reason, "start service container rondo-box:1")
	nothingLeft(t)
}

// The tests' own binary is an agent that is killed: see TestSweepAfterKill.
func TestAgentThatIsKilled(t *testing.T) {
	address := os.Getenv("RONDO_TEST_ENGINE")
	if address == "" {
		t.Skip("only a part of TestSweepAfterKill")
	}
	e, err := docker.New(docker.Config{Host: address, Dir: os.Getenv("RONDO_TEST_DIR"), Tool: os.Getenv("RONDO_TEST_TOOL")})
	require.NoError(t, err)
	s := &agenttest.Server{}
	w := work(ci.Image{Image: "rondo-volume:2"}, agenttest.Run("echo ready; while :; do date > /shared; sleep 0.1; done"))
	w.Lease.Task = "killed.0"
	w.Job.Executor.Images = append(w.Job.Executor.Images, ci.Image{Image: "rondo-volume:2", Command: []string{"sleep", "600"}})
	s.Add(w)
	go func() {
		_ = s.Wait(context.Background(), func() bool { return len(s.Steps("killed.0")) > 1 && s.Output("killed.0", 1) != "" })
		_, _ = os.Stdout.WriteString("running\n")
	}()
	_ = agent.New(s, s, agent.Config{Executor: e}).Run(t.Context(), "killed.0", 1)
}

// After kill -9 of an agent nothing of its job runs, and the next one removes
// what is left; what belongs to agents that live stays.
func TestSweepAfterKill(t *testing.T) {
	e := executor(t, nil)
	require.NoError(t, engine(t).Import("rondo-volume:2", dockertest.Busybox(), "VOLUME /data"))
	alive, err := e.Open(t.Context(), work(box), io.Discard)
	require.NoError(t, err)
	cmd := exec.Command(os.Args[0], "-test.run=^TestAgentThatIsKilled$")
	cmd.Env = append(os.Environ(), "RONDO_TEST_ENGINE="+engine(t).Host, "RONDO_TEST_DIR="+t.TempDir(), "RONDO_TEST_TOOL="+dockertest.Tool(t, shared.tools))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill() }()
	line := make([]byte, 8)
	_, err = io.ReadFull(out, line)
	require.NoError(t, err)
	require.Equal(t, "running\n", string(line))
	require.Len(t, ourContainers(t, "killed.0"), 2)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.Eventually(t, func() bool { // the kernel kills the job with its first process
		for _, c := range ourContainers(t, "killed.0") {
			if !c.Container.State.Running {
				return true
			}
		}
		return false
	}, 20*time.Second, 20*time.Millisecond)
	n, err := e.Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, n, "two containers and a network")
	require.Empty(t, ourContainers(t, "killed.0"))
	require.Equal(t, "here\n", sh(t, alive, "echo here"))
	require.NoError(t, alive.Close())
	nothingLeft(t)
}

// An image may say anything about itself.
func TestHostileImages(t *testing.T) {
	e := executor(t, nil)
	long := strings.Repeat("nobody:x:99999:99999::/:/bin/sh\n", 1<<15)
	require.NoError(t, engine(t).Import("rondo-hostile:1", dockertest.Busybox().With(dockertest.Tree{"etc/passwd": "->/dev/zero", "bin/bash": "->/etc"}),
		`ENV HOME=../../etc LD_PRELOAD=/evil.so PATH=`, `ENTRYPOINT ["/bin/rm","-rf","/"]`, `CMD ["sleep"]`, `USER 12345:54321`, `WORKDIR /nowhere`))
	r, out := run(t, e, work(ci.Image{Image: "rondo-hostile:1"}, agenttest.Run("true")))
	require.Equal(t, ci.Failed, r.Status, out)
	require.Contains(t, r.Reason, "start image rondo-hostile:1") // the engine does not read it either
	require.NoError(t, engine(t).Import("rondo-hostile:2", dockertest.Busybox().With(dockertest.Tree{"etc/passwd": long, "etc/group": ":::\n" + long}),
		`ENV HOME=../../etc LD_PRELOAD=/evil.so`, `ENTRYPOINT ["/bin/rm","-rf","/"]`, `USER 0:54321`))
	r, out = run(t, e, work(ci.Image{Image: "rondo-hostile:2"}, agenttest.Run("id -g; echo home $HOME")))
	require.Equal(t, ci.Success, r.Status, "%s %s", r.Reason, out)
	require.Contains(t, out, "54321\nhome /\n")
	for _, i := range []ci.Image{
		{Image: "-v"}, {Image: "../../x"}, {Image: "sha256:" + strings.Repeat("a", 64)}, {Image: "a b"}, {Image: ""},
		{Image: "rondo-box:1", Name: "x\n10.0.0.1 y"}, {Image: "rondo-box:1", Environment: []ci.Var{{Name: "A=B"}}},
	} {
		r, _ := run(t, e, work(i, agenttest.Run("true")))
		require.Equal(t, ci.Failed, r.Status, "%+v", i)
	}
	nothingLeft(t)
}
