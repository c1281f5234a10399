package ci_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// rerunnable runs a -> b, x, with b failed, and returns the workflow.
func rerunnable(t *testing.T) (*memStore, *ci.Server, ci.Workflow) {
	m := newMemStore(shop)
	s := ci.New(m, compiles(planned("a", "b: a", "x")), ci.Config{})
	serve(t, s)
	p := trigger(t, s, push("main", "r1"))
	synctest.Wait()
	id := workflowOf(t, m, p.ID).ID
	finish(t, s, m, id, "a", ci.Success)
	finish(t, s, m, id, "b", ci.Failed)
	w, err := m.Workflow(t.Context(), id)
	require.NoError(t, err)
	return m, s, w
}

func TestServer_RerunOfAnEndedWorkflow(t *testing.T) {
	tests := map[string]struct {
		r       func(ci.Workflow) ci.Rerun
		numbers map[string]int64 // of the new workflow; the old one has 1 to 3
	}{
		"all":         {func(ci.Workflow) ci.Rerun { return ci.Rerun{} }, map[string]int64{"a": 4, "b": 5, "x": 6}},
		"from failed": {func(ci.Workflow) ci.Rerun { return ci.Rerun{FromFailed: true} }, map[string]int64{"a": 1, "b": 4, "x": 3}},
		"single": {func(w ci.Workflow) ci.Rerun { return ci.Rerun{Jobs: []ci.JobID{w.JobNamed("x").ID}} },
			map[string]int64{"a": 1, "b": 2, "x": 4}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, s, w := rerunnable(t)
				finish(t, s, m, w.ID, "x", ci.Success)
				again, err := s.Rerun(t.Context(), w.ID, tt.r(w), bob)
				require.NoError(t, err)
				require.NotEqual(t, w.ID, again)
				n, err := m.Workflow(t.Context(), again)
				require.NoError(t, err)
				for name, number := range tt.numbers {
					j := n.JobNamed(name)
					require.Equal(t, number, j.Number, name)
					home, err := m.JobWorkflow(t.Context(), j.ID)
					require.NoError(t, err)
					if j.Kept {
						require.Equal(t, w.ID, home, "a kept job belongs to the workflow that made it")
					} else {
						require.Equal(t, again, home)
					}
				}
				all, err := m.Workflows(t.Context(), w.Pipeline)
				require.NoError(t, err)
				require.Len(t, all, 2)
				require.Equal(t, ci.Failed, all[0].Status, "the old one is left as it is")
			})
		})
	}
}

func TestServer_RerunWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s, w := rerunnable(t)
		_, err := s.Rerun(t.Context(), w.ID, ci.Rerun{}, bob)
		require.ErrorIs(t, err, ci.ErrConflict, "all of it, while x runs")
		again, err := s.Rerun(t.Context(), w.ID, ci.Rerun{FromFailed: true}, bob)
		require.NoError(t, err)
		require.Equal(t, w.ID, again, "in place")
		n, err := m.Workflow(t.Context(), w.ID)
		require.NoError(t, err)
		require.Equal(t, int64(4), n.JobNamed("b").Number, "a new attempt has a new number")
		require.Equal(t, ci.Queued, n.JobNamed("b").Status)
		require.Len(t, n.Past, 1)
		_, err = s.Rerun(t.Context(), "stranger", ci.Rerun{}, bob)
		require.ErrorIs(t, err, ci.ErrNotFound)
	})
}

// racing is a store in which something happens between a read of a workflow
// and the next write.
type racing struct {
	*memStore
	between func()
}

func (r *racing) Workflow(ctx context.Context, id ci.WorkflowID) (ci.Workflow, error) {
	w, err := r.memStore.Workflow(ctx, id)
	if r.between != nil {
		do := r.between
		r.between = nil
		do()
	}
	return w, err
}

// Whoever asks for a rerun in the moment of the end gets one.
func TestServer_RerunAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s, w := rerunnable(t)
		race := &racing{memStore: m}
		race.between = func() { finish(t, s, m, w.ID, "x", ci.Success) }
		again, err := ci.New(race, compiles(), ci.Config{}).Rerun(t.Context(), w.ID, ci.Rerun{FromFailed: true}, bob)
		require.NoError(t, err)
		require.NotEqual(t, w.ID, again)
		n, err := m.Workflow(t.Context(), again)
		require.NoError(t, err)
		require.Equal(t, ci.Queued, n.JobNamed("b").Status)
		require.True(t, n.JobNamed("x").Kept)
	})
}
