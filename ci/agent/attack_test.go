package agent_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/agenttest"
)

// TestA071_RefusedArtifact has a store that refuses a name: the file is left
// out with a warning, and neither the others nor the job suffer.
func TestA071_RefusedArtifact(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	id := ok(t, s,
		agenttest.Run(`mkdir art; cd art; echo 1 > a; echo 2 > $'b\r\nSet-Cookie: c=d'; echo 3 > z`),
		ci.StepSpec{Kind: ci.StepArtifacts, Path: "art"},
	)
	require.Len(t, s.Files(ci.FileArtifact), 2)
	require.Contains(t, s.Output(id, 2), `left out "~/project/art/b\r\nSet-Cookie: c=d"`)
	require.Contains(t, s.Output(id, 2), "Stored 2 of 3 files")
}

// TestA059_SecretInArtifactName gives an artifact the name of a secret, which
// every listing would show.
func TestA059_SecretInArtifactName(t *testing.T) {
	t.Parallel()
	const canary = "canary-5f2d9c1e7ab04e6d8c3b2a1f0e9d8c7b6a5f"
	s := new(agenttest.Server)
	w := agenttest.Work(
		agenttest.Run(`mkdir -p art/$CANARY; echo 1 > art/$CANARY/x; echo 2 > art/$CANARY.txt`),
		ci.StepSpec{Kind: ci.StepArtifacts, Path: "art"},
		ci.StepSpec{Kind: ci.StepArtifacts, Path: "art", Destination: canary},
	)
	w.Environment = []ci.Var{{Name: "CANARY", Value: canary, Secret: true}}
	require.Equal(t, ci.Success, run(t, s, w).Status)
	files := s.Files(ci.FileArtifact)
	require.Len(t, files, 4)
	for _, f := range files {
		require.NotContains(t, f.Name, canary)
	}
	for i := range 4 {
		require.NotContains(t, s.Output(w.Lease.Task, i), canary)
	}
}

// TestA082_SpecialFiles collects what is no file of the job's, or one that
// never ends.
func TestA082_SpecialFiles(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	artifacts := func(path string) ci.StepSpec { return ci.StepSpec{Kind: ci.StepArtifacts, Path: path} }
	id := ok(t, s,
		agenttest.Run(`mkdir art; cd art; truncate -s 8T sparse; mkfifo pipe; ln -s /dev/zero zero; ln -s /etc/passwd passwd
			ln -s /proc/self/environ env; ln -s . loop; ln -s nowhere dangling; echo 1 > good; echo 2 > locked; chmod 0 locked`),
		artifacts("art"), artifacts("/proc/self/environ"), artifacts("/dev/zero"), artifacts("art/pipe"), artifacts("art/env"),
		ci.StepSpec{Kind: ci.StepTestResults, Path: "/proc/self/environ"}, ci.StepSpec{Kind: ci.StepTestResults, Path: "art/pipe"},
	)
	names := map[string]bool{}
	for _, f := range s.Files(ci.FileArtifact) {
		names[f.Name] = true
	}
	delete(names, "art/locked") // root reads it
	require.Equal(t, map[string]bool{"art/good": true}, names)
	require.Contains(t, s.Output(id, 2), "more than the 34359738368 that an artifact may have")
}

// TestA044_BranchIsNoCommand checks a branch out whose name is a command.
func TestA044_BranchIsNoCommand(t *testing.T) {
	t.Parallel()
	const branch = "x$(touch${IFS}pwn-44)`touch${IFS}pwn-44`;touch${IFS}pwn-44"
	s := new(agenttest.Server)
	source := t.TempDir()
	prepare := agenttest.Work(agenttest.Run(`cd ` + source + `; git init -q -b main .; git config user.email a@b; git config user.name a
		git commit -qm x --allow-empty; git branch "$BRANCH"; git rev-parse HEAD`))
	prepare.Environment = []ci.Var{{Name: "BRANCH", Value: branch}}
	require.Equal(t, ci.Success, run(t, s, prepare).Status)

	w := agenttest.Work(ci.StepSpec{Kind: ci.StepCheckout},
		agenttest.Run(`printf %s "$CIRCLE_BRANCH"; find ~ "$CIRCLE_INTERNAL_SCRATCH" -name "pwn-44*"`))
	w.Project.CloneURL = source
	w.Pipeline.Trigger.Branch = branch
	w.Pipeline.Trigger.Revision = strings.TrimSpace(s.Output(prepare.Lease.Task, 1))
	r := run(t, s, w)
	require.Equal(t, ci.Success, r.Status, r.Reason)
	require.Equal(t, branch, s.Output(w.Lease.Task, 2))
	require.NoFileExists(t, "pwn-44")
	require.NoFileExists(t, source+"/pwn-44")
}
