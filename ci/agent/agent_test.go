package agent_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/agent/agenttest"
	"github.com/rondo-ci/rondo/ci/agent/tool"
)

// The test binary is also the tool of the jobs.
func TestMain(m *testing.M) {
	if tool.Named(os.Args[0]) {
		os.Exit(tool.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
	}
	os.Exit(m.Run())
}

// run runs the work on a fresh agent and checks the contract.
func run(t *testing.T, s *agenttest.Server, w ci.Work) ci.Report {
	t.Helper()
	return runWith(t, s, w, agent.Config{})
}

func runWith(t *testing.T, s *agenttest.Server, w ci.Work, cfg agent.Config) ci.Report {
	t.Helper()
	s.Add(w)
	require.NoError(t, newAgent(t, s, cfg).Run(t.Context(), w.Lease.Task, w.Lease.Epoch))
	r, ok := s.Report(w.Lease.Task)
	require.True(t, ok, "no report")
	require.Empty(t, s.Problems())
	return r
}

func newAgent(t *testing.T, s *agenttest.Server, cfg agent.Config) *agent.Agent {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cfg.Tool = exe
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Grace == 0 {
		cfg.Grace = 2 * time.Second
	}
	return agent.New(s, s, cfg)
}

func TestRunStep(t *testing.T) {
	long := "echo start\n" + strings.Repeat("# a long comment line to fill the argument\n", 5000) + "echo end"
	cases := []struct {
		name   string
		step   ci.StepSpec
		output string
		status ci.Status
		code   int
		reason string
	}{
		{"echo", agenttest.Run("echo hi"), "hi\n", ci.Success, 0, ""},
		{"stderr merged in order", agenttest.Run("echo a; echo b >&2; echo c"), "a\nb\nc\n", ci.Success, 0, ""},
		{"fails", agenttest.Run("echo x; exit 3"), "x\n", ci.Failed, 3, `step "echo x; exit 3" exited with code 3`},
		{"default shell has -e", agenttest.Run("false\necho no"), "", ci.Failed, 1, `step "false ..." exited with code 1`},
		{"default shell has pipefail", agenttest.Run("false | cat"), "", ci.Failed, 1, ""},
		{"plain sh has no -e", ci.StepSpec{Kind: ci.StepRun, Command: "false\necho yes", Shell: "/bin/sh"}, "yes\n", ci.Success, 0, ""},
		{"shell with -c", ci.StepSpec{Kind: ci.StepRun, Command: "echo $0", Shell: "/usr/bin/env bash -euo pipefail -c"}, "bash\n", ci.Success, 0, ""},
		{"shell comment", agenttest.Run("#!/bin/bash\nfalse\necho no"), "", ci.Failed, 1, ""},
		{"sh -e comment", agenttest.Run("#!/bin/sh -e\necho a\necho b\n"), "a\nb\n", ci.Success, 0, ""},
		{"own interpreter", agenttest.Run("#!/usr/bin/env -S sed -n 2p\nsecond\n"), "second\n", ci.Success, 0, ""},
		{"stdin is empty", agenttest.Run("cat; echo end"), "end\n", ci.Success, 0, ""},
		{"no terminal", agenttest.Run("(: < /dev/tty) 2>/dev/null || echo none"), "none\n", ci.Success, 0, ""},
		{"no newline", agenttest.Run("printf abc"), "abc", ci.Success, 0, ""},
		{"killed", agenttest.Run("kill -9 $$"), "", ci.Failed, 137, `step "kill -9 $$" exited with code 137 (killed)`},
		{"missing shell", ci.StepSpec{Kind: ci.StepRun, Command: "x", Shell: "/no/such/shell -c"}, "start /no/such/shell: no such file or directory\n", ci.Failed, 127, `step "x" cannot be started: start /no/such/shell: no such file or directory`},
		{"long command", agenttest.Run(long), "start\nend\n", ci.Success, 0, ""},
		{"empty", agenttest.Run(""), "", ci.Success, 0, ""},
		{"name", ci.StepSpec{Kind: ci.StepRun, Name: "go test", Command: "exit 2"}, "", ci.Failed, 2, `step "go test" exited with code 2`},
		{"deploy", ci.StepSpec{Kind: ci.StepDeploy, Command: "echo out"}, "out\n", ci.Success, 0, ""},
		{"daemon holds the pipe", agenttest.Run("(sleep 60; echo late) & echo now"), "now\n", ci.Success, 0, ""},
		{"working directory", ci.StepSpec{Kind: ci.StepRun, Command: "pwd | sed s:.*/home/:~/:", WorkingDirectory: "a/b"}, "~/project/a/b\n", ci.Success, 0, ""},
		{"home of the images", ci.StepSpec{Kind: ci.StepRun, Command: "pwd | sed s:.*/home/:~/:", WorkingDirectory: "/home/circleci/x"}, "~/x\n", ci.Success, 0, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := new(agenttest.Server)
			w := agenttest.Work(c.step)
			r := run(t, s, w)
			require.Equal(t, c.output, s.Output(w.Lease.Task, 1))
			require.Equal(t, c.status, r.Status, r.Reason)
			if c.reason != "" || c.status == ci.Success {
				require.Equal(t, c.reason, r.Reason)
			}
			steps := s.Steps(w.Lease.Task)
			require.Len(t, steps, 2)
			require.Equal(t, c.code, steps[1].ExitCode)
			require.Equal(t, c.status, steps[1].Status)
			require.Equal(t, ci.StepEnvironment, steps[0].Kind)
		})
	}
}

// TestP6_RecordBeforeRun proves that nothing of a step runs before its record
// is acknowledged.
func TestP6_RecordBeforeRun(t *testing.T) {
	s := new(agenttest.Server)
	dir := t.TempDir()
	var puts atomic.Int32
	s.Fault = func(method string) error {
		if method != "PutStep" {
			return nil
		}
		if puts.Add(1) < 4 {
			_, err := os.Stat(dir + "/ran")
			require.ErrorIs(t, err, os.ErrNotExist)
			return fmt.Errorf("network down")
		}
		return nil
	}
	w := agenttest.Work(agenttest.Run("echo x >> " + dir + "/ran"))
	r := run(t, s, w)
	require.Equal(t, ci.Success, r.Status, r.Reason)
	b, err := os.ReadFile(dir + "/ran")
	require.NoError(t, err)
	require.Equal(t, "x\n", string(b))
}

func TestWhen(t *testing.T) {
	s := new(agenttest.Server)
	step := func(name, command string, when ci.When) ci.StepSpec {
		return ci.StepSpec{Kind: ci.StepRun, Name: name, Command: command, When: when}
	}
	w := agenttest.Work(
		step("early on_fail", "true", ci.OnFail),
		step("a", "true", ci.OnSuccess),
		step("b", "exit 4", ci.OnSuccess),
		step("c", "true", ci.OnSuccess),
		step("d", "exit 5", ci.OnFail),
		step("e", "exit 6", ci.Always),
	)
	r := run(t, s, w)
	require.Equal(t, ci.Failed, r.Status)
	require.Equal(t, `step "b" exited with code 4`, r.Reason)
	var names []string
	for _, st := range s.Steps(w.Lease.Task) {
		names = append(names, st.Name)
	}
	require.Equal(t, []string{"Spin up environment", "a", "b", "d", "e"}, names)
}

func TestFailingAlwaysStepFailsTheJob(t *testing.T) {
	s := new(agenttest.Server)
	r := run(t, s, agenttest.Work(agenttest.Run("true"), ci.StepSpec{Kind: ci.StepRun, Name: "tidy", Command: "exit 1", When: ci.Always}))
	require.Equal(t, ci.Failed, r.Status)
	require.Equal(t, `step "tidy" exited with code 1`, r.Reason)
}

func TestHalt(t *testing.T) {
	for _, command := range []string{"circleci step halt", "circleci-agent step halt"} {
		s := new(agenttest.Server)
		w := agenttest.Work(agenttest.Run(command+"; echo rest"), agenttest.Run("exit 1"),
			ci.StepSpec{Kind: ci.StepRun, Command: "exit 1", When: ci.Always})
		r := run(t, s, w)
		require.Equal(t, ci.Success, r.Status, r.Reason)
		require.Len(t, s.Steps(w.Lease.Task), 2)
		require.Equal(t, "rest\n", s.Output(w.Lease.Task, 1))
	}
}

func TestHaltAfterFailureStaysFailed(t *testing.T) {
	s := new(agenttest.Server)
	w := agenttest.Work(agenttest.Run("exit 9"),
		ci.StepSpec{Kind: ci.StepRun, Command: "circleci step halt", When: ci.Always}, ci.StepSpec{Kind: ci.StepRun, Command: "true", When: ci.Always})
	require.Equal(t, ci.Failed, run(t, s, w).Status)
	require.Len(t, s.Steps(w.Lease.Task), 3)
}

func TestNoOutputTimeout(t *testing.T) {
	s := new(agenttest.Server)
	w := agenttest.Work(ci.StepSpec{Kind: ci.StepRun, Name: "hang", NoOutputTimeout: 300 * time.Millisecond,
		Command: "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done; sleep 60"})
	r := run(t, s, w)
	require.Equal(t, ci.TimedOut, r.Status)
	require.Equal(t, `step "hang" was ended: Too long with no output (exceeded 300ms): context deadline exceeded`, r.Reason)
	require.Equal(t, "1\n2\n3\n4\n5\n\nToo long with no output (exceeded 300ms): context deadline exceeded\n", s.Output(w.Lease.Task, 1))
}

func TestMaxTime(t *testing.T) {
	s := new(agenttest.Server)
	w := agenttest.Work(agenttest.Run("sleep 60"), ci.StepSpec{Kind: ci.StepRun, Command: "true", When: ci.Always})
	r := runWith(t, s, w, agent.Config{MaxTime: 200 * time.Millisecond})
	require.Equal(t, ci.TimedOut, r.Status)
	require.Equal(t, "the job ran longer than 200ms", r.Reason)
	require.Len(t, s.Steps(w.Lease.Task), 2)
}

func TestReruns(t *testing.T) {
	s := new(agenttest.Server)
	w := agenttest.Work(ci.StepSpec{Kind: ci.StepRun, MaxAutoReruns: 2, AutoRerunDelay: time.Millisecond,
		Command: "echo x >> n; test $(wc -l < n) = 3"})
	require.Equal(t, ci.Success, run(t, s, w).Status)
	require.Contains(t, s.Output(w.Lease.Task, 1), "rerun 2 of 2")
	w = agenttest.Work(ci.StepSpec{Kind: ci.StepRun, MaxAutoReruns: 1, Command: "exit 7"})
	require.Equal(t, ci.Failed, run(t, s, w).Status)
}

func TestBackground(t *testing.T) {
	s := new(agenttest.Server)
	w := agenttest.Work(
		ci.StepSpec{Kind: ci.StepRun, Name: "server", Background: true, NoOutputTimeout: time.Millisecond,
			Command: "trap 'echo bye; exit 0' TERM; echo up; touch up; while true; do sleep 0.01; done"},
		ci.StepSpec{Kind: ci.StepRun, Name: "bad", Background: true, Command: "echo $$ > bad.pid; mv bad.pid bad; exit 3"},
		agenttest.Run("while ! test -e up || ! test -e bad || kill -0 $(cat bad) 2>/dev/null; do sleep 0.01; done"),
	)
	r := run(t, s, w)
	require.Equal(t, ci.Success, r.Status, r.Reason)
	steps := s.Steps(w.Lease.Task)
	require.Equal(t, ci.Success, steps[1].Status)
	require.True(t, steps[1].Background)
	require.Equal(t, ci.Failed, steps[2].Status)
	require.Equal(t, 3, steps[2].ExitCode)
	require.Contains(t, s.Output(w.Lease.Task, 1), "bye\n") // it had time to end well
}

func TestAgentIsReusable(t *testing.T) {
	s := new(agenttest.Server)
	a := newAgent(t, s, agent.Config{})
	for i := range 3 {
		w := agenttest.Work(agenttest.Run(fmt.Sprintf("test ! -e f; touch f; exit %d", i)))
		s.Add(w)
		require.NoError(t, a.Run(t.Context(), w.Lease.Task, 1))
		steps := s.Steps(w.Lease.Task)
		require.Equal(t, i, steps[1].ExitCode)
	}
	require.Empty(t, s.Problems())
}

func TestNothingIsLeftOnDisk(t *testing.T) {
	s := new(agenttest.Server)
	dir := t.TempDir()
	w := agenttest.Work(agenttest.Run("mkdir -p a/b && touch a/b/c && chmod 555 a/b a && circleci version"))
	runWith(t, s, w, agent.Config{Dir: dir})
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestTRB14_MacOSIsRefusedInPlainWords(t *testing.T) {
	s := new(agenttest.Server)
	w := agenttest.Work(agenttest.Run("true"))
	w.Job.Executor = ci.Executor{Kind: ci.ExecutorMacOS, Xcode: "12.0.0"}
	r := run(t, s, w)
	require.Equal(t, ci.Failed, r.Status)
	require.Contains(t, r.Reason, "there are no macOS machines here")
	require.Contains(t, s.Output(w.Lease.Task, 0), "xcode: 12.0.0")
	require.NotContains(t, r.Reason, "invalid")
}

func TestRemoteDockerIsRefused(t *testing.T) {
	s := new(agenttest.Server)
	w := agenttest.Work(ci.StepSpec{Kind: ci.StepRemoteDocker})
	r := run(t, s, w)
	require.Equal(t, ci.Failed, r.Status)
	require.Contains(t, r.Reason, "there is no remote Docker here")
}

func TestDeployRunsOnNode0Only(t *testing.T) {
	s := new(agenttest.Server)
	w := agenttest.Work(ci.StepSpec{Kind: ci.StepDeploy, Command: "exit 1"})
	w.Task.Total = 2
	w.Task = w.Task.Slice(1)
	w.Lease.Task = w.Task.ID
	require.Equal(t, ci.Success, run(t, s, w).Status)
}

func TestScratchThatCannotBeMadeIsAnInfrastructureFailure(t *testing.T) {
	s := new(agenttest.Server)
	file := t.TempDir() + "/file"
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	r := runWith(t, s, agenttest.Work(agenttest.Run("true")), agent.Config{Dir: file + "/sub"})
	require.Equal(t, ci.InfraFailed, r.Status)
	require.Contains(t, r.Reason, "cannot set up the job's environment")
}

func TestClaimOfSupersededTask(t *testing.T) {
	s := new(agenttest.Server)
	w := agenttest.Work(agenttest.Run("touch /tmp/never"))
	s.Add(w)
	dir := t.TempDir()
	err := newAgent(t, s, agent.Config{Dir: dir}).Run(context.Background(), w.Lease.Task, 0)
	require.ErrorIs(t, err, ci.ErrConflict)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
	require.Empty(t, s.Records(w.Lease.Task))
}
