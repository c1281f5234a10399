//go:build linux

package docker_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/agent/agenttest"
	"github.com/rondo-ci/rondo/ci/agent/docker/dockertest"
	"github.com/stretchr/testify/require"
)

var box = ci.Image{Image: "rondo-box:1"}

// Steps do in a container what they do on a host.
func TestRunSteps(t *testing.T) {
	e := executor(t, nil)
	cases := []struct {
		name   string
		step   ci.StepSpec
		output string
		status ci.Status
		reason string
	}{
		{"stderr merged in order", agenttest.Run("echo a; echo b >&2; echo c"), "a\nb\nc\n", ci.Success, ""},
		{"fails", agenttest.Run("echo x; exit 3"), "x\n", ci.Failed, "exited with code 3"},
		{"default shell has -e and pipefail", agenttest.Run("false | cat\necho no"), "", ci.Failed, "exited with code 1"},
		{"stdin is empty", agenttest.Run("cat; echo end"), "end\n", ci.Success, ""},
		{"no newline", agenttest.Run("printf abc"), "abc", ci.Success, ""},
		{"killed", agenttest.Run("kill -9 $$"), "", ci.Failed, "exited with code 137 (killed)"},
		{"missing shell", ci.StepSpec{Kind: ci.StepRun, Command: "x", Shell: "/no/such/shell -c"}, "start /no/such/shell: no such file or directory\n", ci.Failed, "cannot be started"},
		{"not in PATH", ci.StepSpec{Kind: ci.StepRun, Command: "x", Shell: "bash -c"}, "start bash: not found in PATH of the image\n", ci.Failed, "cannot be started"},
		{"long command", agenttest.Run("echo start\n" + strings.Repeat("# a long comment line to fill the argument\n", 5000) + "echo end"), "start\nend\n", ci.Success, ""},
		{"daemon holds the pipe", agenttest.Run("(sleep 60; echo late) & echo now"), "now\n", ci.Success, ""},
		{"working directory", ci.StepSpec{Kind: ci.StepRun, Command: "pwd", WorkingDirectory: "a/b"}, "/root/project/a/b\n", ci.Success, ""},
		{"absolute directory", ci.StepSpec{Kind: ci.StepRun, Command: "pwd", WorkingDirectory: "/srv/x"}, "/srv/x\n", ci.Success, ""},
		{"own session", agenttest.Run(`test $(ps -o pid,sid | grep "^ *$$ " | sed 's/.* //') = $$ && echo leader || echo led`), "", ci.Success, ""},
		{"tool", agenttest.Run("echo 'x $IMAGE_VAR' | circleci env subst; circleci-agent version"), "x image\nrondo agent tool\n", ci.Success, ""},
		{"no signal is blocked", agenttest.Run("grep SigBlk /proc/self/status"), "SigBlk:\t0000000000000000\n", ci.Success, ""},
		{"silent", ci.StepSpec{Kind: ci.StepRun, Command: "sleep 60", NoOutputTimeout: 300 * time.Millisecond}, "", ci.TimedOut, "Too long with no output"},
		{"environment", ci.StepSpec{Kind: ci.StepRun, Command: "echo $A $CIRCLE_JOB", Environment: []ci.Var{{Name: "A", Value: "b"}}}, "b build\n", ci.Success, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := &agenttest.Server{}
			w := work(box, c.step)
			r := runOn(t, s, e, w)
			got := s.Output(w.Lease.Task, 1)
			require.Equal(t, c.status, r.Status, "%s\n%s", r.Reason, got)
			require.Contains(t, r.Reason, c.reason)
			if c.output != "" {
				require.Equal(t, c.output, got)
			}
		})
	}
}

func TestHaltAndBackground(t *testing.T) {
	e := executor(t, nil)
	r, out := run(t, e, work(box,
		ci.StepSpec{Kind: ci.StepRun, Command: "while :; do echo beat; sleep 0.05; done", Background: true},
		agenttest.Run("sleep 0.3; circleci step halt"),
		agenttest.Run("echo never")))
	require.Equal(t, ci.Success, r.Status, out)
	require.Contains(t, out, "beat\nbeat\n")
	require.NotContains(t, out, "never\n")
}

// Steps of the image's user own what the agent makes for them, and the agent
// reads nothing that they cannot.
func TestUserOfTheImage(t *testing.T) {
	e := executor(t, nil)
	w := work(ci.Image{Image: "rondo-box:1", User: "circleci"},
		ci.StepSpec{Kind: ci.StepCheckout},
		agenttest.Run("id -u; id -G; echo $HOME; pwd; stat -c '%u:%g' . hello .git $BASH_ENV; cat hello; echo echo sourced >> $BASH_ENV"),
		agenttest.Run("mkdir sub && mkdir -m 700 own && echo x > own/f && touch sub/g"),
		ci.StepSpec{Kind: ci.StepArtifacts, Path: "/etc/secret"},
		ci.StepSpec{Kind: ci.StepArtifacts, Path: "own"},
	)
	require.NoError(t, engine(t).Import("rondo-box:user", dockertest.Busybox().With(dockertest.Tree{"etc/secret": "for root"}), "USER circleci"))
	repo := repository(t, &w)
	require.DirExists(t, repo)
	s := &agenttest.Server{}
	r := runOn(t, s, e, w)
	out := output(s, w)
	require.Equal(t, ci.Success, r.Status, "%s\n%s", r.Reason, out)
	require.Contains(t, out, "1000\n1000 2000\n/home/circleci\n/home/circleci/project\n1000:1000\n1000:1000\n1000:1000\n1000:1000\nhi\n")
	text, ok := s.Content(ci.FileArtifact, "own/f")
	require.True(t, ok)
	require.Equal(t, "x\n", string(text))

	w = work(ci.Image{Image: "rondo-box:user", User: "4242"}, agenttest.Run("pwd; touch here; id -u"))
	r, out = run(t, e, w)
	require.Equal(t, ci.Success, r.Status, "%s\n%s", r.Reason, out)
	require.Contains(t, out, "/project\n4242\n")

	w = work(ci.Image{Image: "rondo-box:user", User: "nobody-there"}, agenttest.Run("true"))
	r, _ = run(t, e, w)
	require.Equal(t, ci.Failed, r.Status)
	require.Contains(t, r.Reason, `user "nobody-there": the image has no such user`)
}

// repository makes the work one of a git folder of this machine.
func repository(t *testing.T, w *ci.Work) string {
	t.Helper()
	dir := t.TempDir()
	git := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"}, args...)...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return strings.TrimSpace(string(out))
	}
	git("init", "--quiet")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "hello"), []byte("hi\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "run.sh"), []byte("#!/bin/sh\necho ran\n"), 0o755))
	git("add", ".")
	git("commit", "--quiet", "-m", "x")
	w.Project.CloneURL = dir
	w.Pipeline.Trigger.Branch, w.Pipeline.Trigger.Revision = "main", git("rev-parse", "HEAD")
	return dir
}

func TestCheckout_ImageWithoutGit(t *testing.T) {
	e := executor(t, nil)
	w := work(box, ci.StepSpec{Kind: ci.StepCheckout}, agenttest.Run("./run.sh; rm hello; cat .git/HEAD"), ci.StepSpec{Kind: ci.StepCheckout}, agenttest.Run("cat hello"))
	repository(t, &w)
	r, out := run(t, e, w)
	require.Equal(t, ci.Success, r.Status, "%s\n%s", r.Reason, out)
	require.Contains(t, out, "ran\n")
	require.Contains(t, out, "ref: refs/heads/main\n")
	require.Contains(t, out, "cat hello\nhi\n")

	w = work(box, agenttest.Run("touch /root/project/x"), ci.StepSpec{Kind: ci.StepCheckout})
	repository(t, &w)
	r, _ = run(t, e, w)
	require.Equal(t, ci.Failed, r.Status)
	require.Contains(t, r.Reason, "not empty and not a git repository")
}

func TestARC05_CachesWorkspacesAndArtifactsOfAnyPathOfTheImage(t *testing.T) {
	e := executor(t, nil)
	s := &agenttest.Server{}
	w := work(box,
		agenttest.Run("mkdir -p /opt/dep/bin ~/.m2 out; echo tool > /opt/dep/bin/t; chmod 755 /opt/dep/bin/t; echo jar > ~/.m2/j; echo 1 > lock; echo lib > out/lib; ln -s /opt/dep/bin/t out/link"),
		ci.StepSpec{Kind: ci.StepSaveCache, Keys: []string{`v1-{{ checksum "lock" }}`}, Paths: []string{"/opt/dep", "~/.m2"}},
		ci.StepSpec{Kind: ci.StepPersist, Path: "/root/project", Paths: []string{"out"}},
		agenttest.Run(`mkdir -p /var/results/unit; echo '<testsuite><testcase name="a" classname="b"/></testsuite>' > /var/results/unit/r.xml`),
		ci.StepSpec{Kind: ci.StepTestResults, Path: "/var/results"},
		ci.StepSpec{Kind: ci.StepArtifacts, Path: "/opt/dep", Destination: "dep"},
	)
	r := runOn(t, s, e, w)
	require.Equal(t, ci.Success, r.Status, "%s\n%s", r.Reason, output(s, w))
	require.Len(t, s.Tests(w.Lease.Task), 1)
	text, ok := s.Content(ci.FileArtifact, "dep/bin/t")
	require.True(t, ok)
	require.Equal(t, "tool\n", string(text))

	next := work(box,
		agenttest.Run("echo 1 > lock"),
		ci.StepSpec{Kind: ci.StepRestoreCache, Keys: []string{`v1-{{ checksum "lock" }}`, "v1-"}},
		ci.StepSpec{Kind: ci.StepAttach, Path: "/srv/ws"},
		agenttest.Run("test -x /opt/dep/bin/t; cat /opt/dep/bin/t ~/.m2/j /srv/ws/out/lib /srv/ws/out/link"))
	next.Upstream = []ci.Upstream{{Job: "first", Task: w.Lease.Task, Epoch: 1}}
	r = runOn(t, s, e, next)
	require.Equal(t, ci.Success, r.Status, "%s\n%s", r.Reason, output(s, next))
	require.Contains(t, output(s, next), "tool\njar\nlib\ntool\n")
}

// A cancel reaches everything that a step has started, however it hides.
func TestCancelLeavesNoProcess(t *testing.T) {
	e := executor(t, nil)
	s := &agenttest.Server{}
	w := work(box, agenttest.Run("setsid nohup sh -c 'trap \"\" TERM; while :; do sleep 1; done' >/dev/null 2>&1 & echo ready; sleep 600"))
	s.Add(w)
	a := agent.New(s, s, agent.Config{Executor: e, Grace: 300 * time.Millisecond})
	done := make(chan error, 1)
	go func() { done <- a.Run(t.Context(), w.Lease.Task, 1) }()
	require.NoError(t, s.Wait(t.Context(), func() bool {
		return len(s.Steps(w.Lease.Task)) > 1 && strings.Contains(s.Output(w.Lease.Task, 1), "ready")
	}))
	a.Cancel("test")
	require.NoError(t, <-done)
	r, _ := s.Report(w.Lease.Task)
	require.Equal(t, ci.Canceled, r.Status)
	nothingLeft(t)
}
