package agent_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/agent/agenttest"
)

// TestP7_HashEqualsOwn prints much over a bad line and compares with what the
// step itself says it printed.
func TestP7_HashEqualsOwn(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	var mu sync.Mutex
	random := rand.New(rand.NewSource(1))
	s.Fault = func(method string) error {
		mu.Lock()
		defer mu.Unlock()
		if method == "Append" && random.Intn(4) == 0 {
			return errors.New("connection reset")
		}
		return nil
	}
	w := agenttest.Work(
		agenttest.Run("seq 1 400000"),
		agenttest.Run("seq 1 400000 | sha256sum | cut -c1-64"),
	)
	r := run(t, s, w)
	require.Equal(t, ci.Success, r.Status, r.Reason)
	sum := sha256.Sum256([]byte(s.Output(w.Lease.Task, 1)))
	require.Equal(t, strings.TrimSpace(s.Output(w.Lease.Task, 2)), hex.EncodeToString(sum[:]))
	require.Equal(t, hex.EncodeToString(sum[:]), s.Steps(w.Lease.Task)[1].SHA256)
}

// TestP7_GapIsMarked proves that output that could not be kept is counted.
func TestP7_GapIsMarked(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	block := make(chan struct{})
	s.Fault = func(method string) error {
		if method == "Append" {
			<-block
		}
		return nil
	}
	w := agenttest.Work(
		agenttest.Run("head -c 12000000 /dev/zero | tr '\\0' x; touch ../done"),
		ci.StepSpec{Kind: ci.StepRun, Background: true, Command: "true"},
	)
	s.Add(w)
	a := newAgent(t, s, agent.Config{Spool: 1 << 20})
	done := make(chan error, 1)
	go func() { done <- a.Run(t.Context(), w.Lease.Task, 1) }()
	require.NoError(t, s.Wait(t.Context(), func() bool { return len(s.Steps(w.Lease.Task)) == 3 }))
	close(block)
	require.NoError(t, <-done)
	require.Empty(t, s.Problems())
	step := s.Steps(w.Lease.Task)[1]
	require.NotZero(t, step.Lost)
	out := s.Output(w.Lease.Task, 1)
	record := fmt.Sprintf("[rondo: %d bytes of output missing: spool full]\n", step.Lost)
	require.True(t, strings.HasSuffix(out, record), out[len(out)-100:])
	require.Equal(t, 12000000-step.Lost, int64(len(out)-len(record)))
	require.Equal(t, int64(len(out)), step.Bytes)
}

func TestSEC_MaskingEverywhere(t *testing.T) {
	t.Parallel()
	const secret, other = "s3cr3t-v4lue/with+signs", "hidden-in-the-step"
	s := new(agenttest.Server)
	w := agenttest.Work(
		ci.StepSpec{Kind: ci.StepRun, Name: "print " + secret, Environment: []ci.Var{{Name: "O", Value: other, Secret: true}},
			Command: `echo "$S"; echo -n "${S:0:7}"; sleep 0.2; echo "${S:7}"; echo -n "$S" | base64; echo $O; printf "%s\n" "${S}${S}"; exit 3 # ` + secret},
		ci.StepSpec{Kind: ci.StepRun, When: ci.Always, Command: `mkdir -p r; cat > r/a.xml <<E
<testsuite name="s"><testcase name="t $S" classname="c"><failure message="got $S"/></testcase></testsuite>
E`},
		ci.StepSpec{Kind: ci.StepTestResults, Path: "r"},
		ci.StepSpec{Kind: ci.StepSaveCache, Keys: []string{"v1-{{ .Environment.S }}"}, Paths: []string{"r"}, When: ci.Always},
		ci.StepSpec{Kind: ci.StepRun, When: ci.Always, Command: "echo quiet prefix s3; sleep 0.1; echo -n s3c"},
	)
	w.Environment = []ci.Var{{Name: "S", Value: secret, Secret: true}, {Name: "T", Value: "true", Secret: true}, {Name: "N", Value: "123", Secret: true}}
	r := run(t, s, w)
	require.Equal(t, ci.Failed, r.Status)
	require.Equal(t, `step "print ****" exited with code 3`, r.Reason)
	require.Equal(t, "****\n****\n****\n****\n********\n", s.Output(w.Lease.Task, 1))
	require.Equal(t, "quiet prefix s3\ns3c", s.Output(w.Lease.Task, 5))
	require.Equal(t, "t ****", s.Tests(w.Lease.Task)[0].Name)
	require.Equal(t, "got ****", s.Tests(w.Lease.Task)[0].Message)
	all := fmt.Sprint(s.Records(w.Lease.Task), r, s.Tests(w.Lease.Task), s.Files(ci.FileCache))
	for i := range 6 {
		all += s.Output(w.Lease.Task, i)
	}
	require.NotContains(t, all, secret)
	require.NotContains(t, all, other)
	require.Len(t, s.Files(ci.FileCache), 1)
}
