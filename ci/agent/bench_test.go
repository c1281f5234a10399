package agent_test

import (
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/agent/agenttest"
	"github.com/rondo-ci/rondo/ci/agent/host"
)

// BenchmarkStep is the cost of one more trivial step, BenchmarkBash that of
// bash alone: compare the two of one run.
func BenchmarkStep(b *testing.B) {
	s := new(agenttest.Server)
	var steps []ci.StepSpec
	for range b.N {
		steps = append(steps, agenttest.Run("echo hi"))
	}
	bench(b, s, agenttest.Work(steps...))
}

func BenchmarkBash(b *testing.B) {
	for b.Loop() {
		out, err := exec.Command("/bin/bash", "-eo", "pipefail", "-c", "echo hi").Output()
		require.NoError(b, err)
		require.Equal(b, "hi\n", string(out))
	}
}

// BenchmarkTask is a whole trivial task, from claim to finish.
func BenchmarkTask(b *testing.B) {
	s := new(agenttest.Server)
	for b.Loop() {
		bench(b, s, agenttest.Work(agenttest.Run("echo hi")))
	}
}

// BenchmarkLines prints 200,000 lines in one step; with a secret in the job,
// so that the output is searched for it.
func BenchmarkLines(b *testing.B) {
	for b.Loop() {
		w := agenttest.Work(agenttest.Run("seq -f 'line %.0f of the output of a job' 200000"))
		w.Environment = []ci.Var{{Name: "S", Value: "some-secret-value", Secret: true}}
		bench(b, new(agenttest.Server), w)
	}
	b.ReportMetric(200_000*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

// BenchmarkPipe is the floor of BenchmarkLines: the same program into a pipe
// that somebody reads.
func BenchmarkPipe(b *testing.B) {
	for b.Loop() {
		cmd := exec.Command("/bin/bash", "-c", "seq -f 'line %.0f of the output of a job' 200000")
		r, err := cmd.StdoutPipe()
		require.NoError(b, err)
		require.NoError(b, cmd.Start())
		_, err = io.Copy(io.Discard, r)
		require.NoError(b, err)
		require.NoError(b, cmd.Wait())
	}
	b.ReportMetric(200_000*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

func bench(b *testing.B, s *agenttest.Server, w ci.Work) {
	b.Helper()
	s.Add(w)
	dir, err := os.MkdirTemp(b.TempDir(), "")
	require.NoError(b, err)
	a := agent.New(s, s, agent.Config{Executor: host.New(host.Config{Dir: dir, Adopt: true})})
	require.NoError(b, a.Run(b.Context(), w.Lease.Task, w.Lease.Epoch))
	r, _ := s.Report(w.Lease.Task)
	require.Equal(b, ci.Success, r.Status, r.Reason)
	require.Empty(b, s.Problems())
}
