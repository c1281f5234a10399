package ci_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// setups compiles a setup configuration first, and what it is continued with
// into a workflow of one job that is named by the source.
func setups(_ context.Context, _ ci.Project, p ci.Pipeline) (ci.Plan, error) {
	if p.Plan == nil {
		return ci.Plan{Setup: true, Workflows: []ci.PlannedWorkflow{planned("gen")}, Source: "first"}, nil
	}
	if p.Plan.Continuation.Source == "bad" {
		return ci.Plan{}, fmt.Errorf("line 1: rubbish: %w", ci.ErrInvalid)
	}
	return ci.Plan{
		Setup:     p.Plan.Continuation.Source == "setup",
		Workflows: []ci.PlannedWorkflow{planned(p.Plan.Continuation.Source + fmt.Sprint(p.Trigger.Parameters["env"]))},
	}, nil
}

// setUp triggers a setup pipeline and returns the key that its job sees.
func setUp(t *testing.T) (*memStore, *ci.Server, ci.Pipeline, string) {
	m := newMemStore(shop)
	s := ci.New(m, ci.CompilerFunc(setups), ci.Config{})
	serve(t, s)
	tr := push("main", "r1")
	tr.Parameters = map[string]any{"given": true}
	p := trigger(t, s, tr)
	synctest.Wait()
	w := workflowOf(t, m, p.ID)
	require.True(t, w.Setup)
	work, err := s.Work(t.Context(), ci.Lease{Task: w.JobNamed("gen").ID.Task(0)})
	require.NoError(t, err)
	require.Len(t, work.Environment, 1)
	require.Equal(t, ci.ContinuationKey, work.Environment[0].Name)
	require.True(t, work.Environment[0].Secret)
	p, err = m.Pipeline(t.Context(), p.ID)
	require.NoError(t, err)
	require.Equal(t, ci.PipelineSetup, p.State)
	return m, s, p, work.Environment[0].Value
}

func TestServer_Continue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s, p, key := setUp(t)
		require.NoError(t, s.Continue(t.Context(), key, ci.Continuation{Source: "build", Parameters: map[string]any{"env": "prod"}}))
		synctest.Wait()
		p, err := m.Pipeline(t.Context(), p.ID)
		require.NoError(t, err)
		require.Equal(t, ci.PipelineReady, p.State)
		require.Equal(t, map[string]any{"given": true}, p.Trigger.Parameters, "the trigger stays what it was")
		all, err := m.Workflows(t.Context(), p.ID)
		require.NoError(t, err)
		require.Len(t, all, 2)
		require.False(t, all[1].Setup)
		job := all[1].JobNamed("buildprod")
		require.NotNil(t, job)
		for _, server := range []*ci.Server{s, ci.New(m, ci.CompilerFunc(setups), ci.Config{})} {
			work, err := server.Work(t.Context(), ci.Lease{Task: job.ID.Task(0)})
			require.NoError(t, err)
			require.Empty(t, work.Environment, "only setup jobs have a key")
			_, err = server.Work(t.Context(), ci.Lease{Task: all[0].JobNamed("gen").ID.Task(0)})
			require.NoError(t, err, "the setup job is found in the plan before")
			require.ErrorIs(t, server.Continue(t.Context(), key, ci.Continuation{Source: "build"}), ci.ErrConflict, "once")
		}
	})
}

func TestServer_ContinueRefused(t *testing.T) {
	refuse := func(name string, want error, prepare func(t *testing.T, m *memStore, s *ci.Server, p ci.Pipeline), key func(string) string, c ci.Continuation) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, s, p, good := setUp(t)
				if prepare != nil {
					prepare(t, m, s, p)
				}
				err := s.Continue(t.Context(), key(good), c)
				require.ErrorIs(t, err, want)
				require.NotContains(t, err.Error(), good)
			})
		})
	}
	same := func(k string) string { return k }
	ok := ci.Continuation{Source: "build"}
	refuse("another key", ci.ErrNotFound, nil, func(k string) string { return k[:len(k)-1] + "!" }, ok)
	refuse("a key of no pipeline", ci.ErrNotFound, nil, func(string) string { return "x.y" }, ok)
	refuse("no key", ci.ErrNotFound, nil, func(string) string { return "" }, ok)
	refuse("a parameter twice", ci.ErrInvalid, nil, same, ci.Continuation{Source: "build", Parameters: map[string]any{"given": 1}})
	refuse("after the end", ci.ErrConflict, func(t *testing.T, m *memStore, s *ci.Server, p ci.Pipeline) {
		finish(t, s, m, workflowOf(t, m, p.ID).ID, "gen", ci.Success)
	}, same, ok)
}

// A bad continuation makes the pipeline errored; its setup workflow stays.
func TestServer_ContinueWithRubbish(t *testing.T) {
	for _, source := range []string{"bad", "setup"} {
		synctest.Test(t, func(t *testing.T) {
			m, s, p, key := setUp(t)
			require.NoError(t, s.Continue(t.Context(), key, ci.Continuation{Source: source}))
			synctest.Wait()
			p, err := m.Pipeline(t.Context(), p.ID)
			require.NoError(t, err)
			require.Equal(t, ci.PipelineError, p.State)
			require.Len(t, p.Errors, 1)
			all, err := m.Workflows(t.Context(), p.ID)
			require.NoError(t, err)
			require.Len(t, all, 1)
		})
	}
}

// A continuation that was accepted is compiled after a crash.
func TestP14_ContinueSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _, p, key := setUp(t)
		other := ci.New(m, ci.CompilerFunc(setups), ci.Config{}) // never runs: dies right after
		require.NoError(t, other.Continue(t.Context(), key, ci.Continuation{Source: "build"}))
		serve(t, ci.New(m, ci.CompilerFunc(setups), ci.Config{}))
		synctest.Wait()
		all, err := m.Workflows(t.Context(), p.ID)
		require.NoError(t, err)
		require.Len(t, all, 2)
	})
}

func TestServer_NoSetup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		project := shop
		project.NoSetup = true
		m := newMemStore(project)
		s := ci.New(m, ci.CompilerFunc(setups), ci.Config{})
		serve(t, s)
		p := trigger(t, s, push("main", "r1"))
		synctest.Wait()
		p, err := m.Pipeline(t.Context(), p.ID)
		require.NoError(t, err)
		require.Equal(t, ci.PipelineError, p.State)
		require.Contains(t, p.Errors[0], "turned off")
	})
}
