package agent_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/agenttest"
)

// environment returns what the steps of a job see.
func environment(t *testing.T, w ci.Work) map[string]string {
	t.Helper()
	s := new(agenttest.Server)
	w.Job.Steps = append(w.Job.Steps, agenttest.Run("env -0 | tr '\\0\\n' '\\n~'"))
	require.Equal(t, ci.Success, run(t, s, w).Status)
	env := map[string]string{}
	for line := range strings.Lines(s.Output(w.Lease.Task, len(w.Job.Steps))) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		env[name] = value
	}
	return env
}

// TestCFG_EnvironmentPrecedence covers every pair of neighbours in the order.
func TestCFG_EnvironmentPrecedence(t *testing.T) {
	v := func(name, value string) ci.Var { return ci.Var{Name: name, Value: value} }
	w := agenttest.Work()
	w.Job.Executor.Images[0].Environment = []ci.Var{v("V1", "image"), v("V0", "image"), v("LANG", "image")}
	w.Environment = []ci.Var{v("V1", "project"), v("V2", "project"), v("V2", "context"), v("V3", "context"), v("CIRCLE_JOB", "context")}
	w.Job.Environment = []ci.Var{v("V3", "job"), v("V4", "job"), v("CI", "job"), v("", "x"), v("A=B", "x")}
	s := new(agenttest.Server)
	w.Job.Steps = []ci.StepSpec{{Kind: ci.StepRun, Environment: []ci.Var{v("V4", "step"), v("V5", "step"), v("CIRCLECI", "step")},
		Command: `V5=command sh -c 'echo $V0 $V1 $V2 $V3 $V4 $V5 $CIRCLE_JOB $CI $CIRCLECI $LANG'`}, agenttest.Run(`echo "$V4" "$V5"`)}
	require.Equal(t, ci.Success, run(t, s, w).Status)
	require.Equal(t, "image project context job step command build job step image\n", s.Output(w.Lease.Task, 1))
	require.Equal(t, "job \n", s.Output(w.Lease.Task, 2))
}

func TestBuiltInVariables(t *testing.T) {
	w := agenttest.Work()
	w.BuildURL, w.Previous = "https://ci.example.com/j/7", 6
	w.Project.Slug, w.Project.CloneURL = "gh/acme/shop", "git@example.com:acme/shop.git"
	tr := &w.Pipeline.Trigger
	tr.Branch, tr.Fork = "pull/12", "mallory/shop-fork"
	tr.PullRequests = []string{"https://example.com/acme/shop/pull/12", "https://example.com/acme/shop/pull/13"}
	tr.Actor = ci.Actor{Kind: ci.ActorUser, Login: "alice"}
	got := environment(t, w)
	want := map[string]string{
		"CI": "true", "CIRCLECI": "true", "CIRCLE_BRANCH": "pull/12", "CIRCLE_SHA1": tr.Revision,
		"CIRCLE_BUILD_NUM": "7", "CIRCLE_BUILD_URL": w.BuildURL, "CIRCLE_JOB": "build", "CIRCLE_STAGE": "build",
		"CIRCLE_NODE_INDEX": "0", "CIRCLE_NODE_TOTAL": "1", "CIRCLE_PREVIOUS_BUILD_NUM": "6",
		"CIRCLE_PROJECT_REPONAME": "shop", "CIRCLE_PROJECT_USERNAME": "acme", "CIRCLE_REPOSITORY_URL": "git@example.com:acme/shop.git",
		"CIRCLE_USERNAME": "alice", "CIRCLE_WORKFLOW_ID": string(w.Task.Workflow), "CIRCLE_WORKFLOW_JOB_ID": string(w.Task.Job),
		"CIRCLE_WORKFLOW_WORKSPACE_ID": string(w.Task.Workflow), "CIRCLE_WORKING_DIRECTORY": "~/project",
		"CIRCLE_PR_NUMBER": "12", "CIRCLE_PR_USERNAME": "mallory", "CIRCLE_PR_REPONAME": "shop-fork",
		"CIRCLE_PULL_REQUEST": tr.PullRequests[0], "CIRCLE_PULL_REQUESTS": strings.Join(tr.PullRequests, ","),
		"CI_PULL_REQUEST": tr.PullRequests[0], "CI_PULL_REQUESTS": strings.Join(tr.PullRequests, ","),
		"CIRCLE_PIPELINE_ID": string(w.Pipeline.ID), "CIRCLE_PROJECT_ID": "project-1", "CIRCLE_ORGANIZATION_ID": ci.OrgID("gh/acme"),
	}
	for name, value := range want {
		require.Equal(t, value, got[name], name)
	}
	require.NotContains(t, got, "CIRCLE_TAG")
	require.Equal(t, got["BASH_ENV"], got["CIRCLE_SHELL_ENV"])
	require.Equal(t, got["HOME"]+"/project", got["PWD"])

	tag := agenttest.Work()
	tag.Pipeline.Trigger.Branch, tag.Pipeline.Trigger.Tag = "", "v1"
	got = environment(t, tag)
	require.Equal(t, "v1", got["CIRCLE_TAG"])
	for _, name := range []string{"CIRCLE_BRANCH", "CIRCLE_PR_NUMBER", "CIRCLE_PULL_REQUEST", "CIRCLE_PREVIOUS_BUILD_NUM"} {
		require.NotContains(t, got, name)
	}
}

// TestSEC_ServerEnvironmentStaysOut proves that jobs do not inherit what the
// agent's own process knows.
func TestSEC_ServerEnvironmentStaysOut(t *testing.T) {
	t.Setenv("RONDO_DATABASE_PASSWORD", "hunter2-hunter2")
	t.Setenv("HTTPS_PROXY", "http://user:password@proxy:3128")
	got := environment(t, agenttest.Work())
	require.NotContains(t, got, "RONDO_DATABASE_PASSWORD")
	require.NotContains(t, got, "HTTPS_PROXY")
	require.NotEqual(t, os.Getenv("HOME"), got["HOME"])
}

func TestBashEnvTravels(t *testing.T) {
	s := new(agenttest.Server)
	w := agenttest.Work(
		agenttest.Run(`echo 'export A="b c"' >> "$BASH_ENV"; echo "A=$A"; B=1`),
		agenttest.Run(`echo "$A,$B"`),
		ci.StepSpec{Kind: ci.StepRun, Shell: "/bin/sh -c", Command: `echo "sh:$A"`},
	)
	require.Equal(t, ci.Success, run(t, s, w).Status)
	require.Equal(t, "A=\n", s.Output(w.Lease.Task, 1))
	require.Equal(t, "b c,\n", s.Output(w.Lease.Task, 2))
	require.Equal(t, "sh:\n", s.Output(w.Lease.Task, 3))
}

// TestSEC_ExactValues proves that steps see values byte for byte and that no
// part of our own does more with a name than pass it on.
func TestSEC_ExactValues(t *testing.T) {
	values := []string{"+++p4$$w0rd+++", `"quotes" 'and' \back\`, "a\nb\tc", " lead and trail ", "%0A", "\xff\xfe", strings.Repeat("x", 64<<10), ""}
	w := agenttest.Work()
	w.Pipeline.Trigger.Branch = "x$(touch${IFS}/tmp/pwn-rondo);`id`"
	for i, v := range values {
		w.Environment = append(w.Environment, ci.Var{Name: "V" + string(rune('0'+i)), Value: v})
	}
	w.Job.WorkingDirectory = "~/dir $(touch /tmp/pwn-rondo)"
	got := environment(t, w)
	for i, v := range values {
		require.Equal(t, strings.ReplaceAll(v, "\n", "~"), got["V"+string(rune('0'+i))])
	}
	require.Equal(t, w.Pipeline.Trigger.Branch, got["CIRCLE_BRANCH"])
	require.NoFileExists(t, "/tmp/pwn-rondo")
}
