package agenttest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/agent/agenttest"
)

var (
	_ agent.Door  = (*agenttest.Server)(nil)
	_ agent.Files = (*agenttest.Server)(nil)
)

// A server that refuses every second call does not change what comes out.
func Example() {
	calls := 0
	server := &agenttest.Server{Fault: func(method string) error {
		if calls++; calls%2 == 0 && method != "Renew" {
			return errors.New("connection reset")
		}
		return nil
	}}
	work := agenttest.Work()
	server.Add(work)
	w, err := server.Claim(context.Background(), work.Lease.Task, 1, "me")
	_, failed := server.Renew(context.Background(), w.Lease)
	fmt.Println(w.Job.Name, err, failed)
	// Output: build <nil> <nil>
}

func TestContract(t *testing.T) {
	s := new(agenttest.Server)
	work := agenttest.Work()
	s.Add(work)
	ctx := t.Context()
	id := work.Lease.Task
	_, err := s.Claim(ctx, id, 2, "me")
	require.ErrorIs(t, err, ci.ErrConflict)
	w, err := s.Claim(ctx, id, 1, "me")
	require.NoError(t, err)
	_, err = s.Claim(ctx, id, 1, "other")
	require.ErrorIs(t, err, ci.ErrConflict)
	l := w.Lease

	require.NoError(t, s.PutStep(ctx, l, ci.Step{Index: 1, Status: ci.Running}))
	next, err := s.Append(ctx, l, 1, 5, []byte("x"))
	require.ErrorIs(t, err, ci.ErrConflict)
	require.Zero(t, next)
	next, err = s.Append(ctx, l, 1, 0, []byte("hello"))
	require.NoError(t, err)
	require.Equal(t, int64(5), next)
	next, err = s.Append(ctx, l, 1, 2, []byte("llo you"))
	require.NoError(t, err)
	require.Equal(t, int64(9), next)
	require.Equal(t, "hello you", s.Output(id, 1))
	require.Empty(t, s.Problems())
	_, err = s.Append(ctx, l, 1, 0, []byte("HELLO"))
	require.NoError(t, err)
	require.NoError(t, s.PutStep(ctx, l, ci.Step{Index: 1, Status: ci.Success}))
	require.NoError(t, s.PutStep(ctx, l, ci.Step{Index: 2, Status: ci.Success}))
	require.Len(t, s.Problems(), 4)

	s.Revoke(id)
	_, err = s.Renew(ctx, l)
	require.ErrorIs(t, err, ci.ErrConflict)
}
