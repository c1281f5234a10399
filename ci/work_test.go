package ci_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// worker runs a -> b*2 -> d, x; hold, and returns it with a and b ended.
func worker(t *testing.T, cfg ci.Config) (*memStore, *ci.Server, *ci.Workflow) {
	plan := planned("d: b a hold", "b*2: a", "a", "x", "hold!approval")
	plan.Jobs[0].Contexts = []string{"deploy", "org"}
	plan.Jobs[0].Steps = []ci.StepSpec{{Kind: ci.StepRun, Command: "make"}}
	m := newMemStore(shop)
	s := ci.New(m, compiles(plan), cfg)
	serve(t, s)
	p := trigger(t, s, push("main", "r1"))
	synctest.Wait()
	id := workflowOf(t, m, p.ID).ID
	finish(t, s, m, id, "a", ci.Success)
	finish(t, s, m, id, "b", ci.Success)
	w := workflowOf(t, m, p.ID)
	require.NoError(t, s.Approve(t.Context(), id, w.JobNamed("hold").ID, bob))
	return m, s, workflowOf(t, m, p.ID)
}

func TestServer_Work(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secrets := func(_ context.Context, n ci.Need) ([]ci.Var, []ci.SSHKey, error) {
			return []ci.Var{{Name: "FROM", Value: fmt.Sprint(n.Project.Slug, n.Contexts, n.Job, n.Actor), Secret: true}}, []ci.SSHKey{{Fingerprint: "SHA256:x"}}, nil
		}
		_, s, w := worker(t, ci.Config{
			Secrets: secrets,
			JobURL:  func(p ci.Project, n int64) string { return fmt.Sprintf("http://rondo/%s/%d", p.Slug, n) },
		})
		d := w.JobNamed("d")
		lease := ci.Lease{Task: d.ID.Task(0), Epoch: 7, Worker: "w1"}
		work, err := s.Work(t.Context(), lease)
		require.NoError(t, err)
		require.Equal(t, lease, work.Lease)
		require.Equal(t, d.ID.Task(0), work.Task.ID)
		require.Equal(t, "make", work.Job.Steps[0].Command)
		require.Equal(t, "main", work.Workflow)
		require.Equal(t, w.Pipeline, work.Pipeline.ID)
		require.Equal(t, "r1", work.Pipeline.Trigger.Revision)
		require.Equal(t, shop, work.Project)
		require.Equal(t, "local/acme/shop[deploy org]dbob", work.Environment[0].Value)
		require.Equal(t, "SHA256:x", work.SSHKeys[0].Fingerprint)
		require.Equal(t, fmt.Sprintf("http://rondo/local/acme/shop/%d", d.Number), work.BuildURL)
		require.Equal(t, d.Number-1, work.Previous)
		a, b := w.JobNamed("a").ID, w.JobNamed("b").ID
		require.Equal(t, []ci.Upstream{
			{Task: a.Task(0), Epoch: 1, Job: "a"},
			{Task: b.Task(0), Epoch: 1, Job: "b", After: []string{"a"}},
			{Task: b.Task(1), Epoch: 1, Job: "b", After: []string{"a"}},
		}, work.Upstream)
	})
}

// The workspace of a rerun comes from the jobs that were kept.
func TestServer_WorkOfARerun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s, w := worker(t, ci.Config{})
		finish(t, s, m, w.ID, "d", ci.Failed)
		finish(t, s, m, w.ID, "x", ci.Success)
		again, err := s.Rerun(t.Context(), w.ID, ci.Rerun{FromFailed: true}, bob)
		require.NoError(t, err)
		n, err := m.Workflow(t.Context(), again)
		require.NoError(t, err)
		work, err := s.Work(t.Context(), ci.Lease{Task: n.JobNamed("d").ID.Task(0)})
		require.NoError(t, err)
		require.Len(t, work.Upstream, 3)
		require.Equal(t, w.JobNamed("a").ID.Task(0), work.Upstream[0].Task)
		require.Equal(t, again, work.Task.Workflow)
	})
}

func TestServer_WorkRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leak := errors.New("vault is sealed")
		m, s, w := worker(t, ci.Config{Secrets: func(context.Context, ci.Need) ([]ci.Var, []ci.SSHKey, error) {
			return nil, nil, leak
		}})
		work := func(task ci.TaskID) error {
			_, err := s.Work(t.Context(), ci.Lease{Task: task})
			return err
		}
		require.ErrorIs(t, work("rubbish"), ci.ErrInvalid)
		require.ErrorIs(t, work("stranger.0"), ci.ErrNotFound)
		require.ErrorIs(t, work(w.JobNamed("b").ID.Task(2)), ci.ErrConflict, "it has two slices")
		require.ErrorIs(t, work(w.JobNamed("hold").ID.Task(0)), ci.ErrConflict, "an approval runs nowhere")
		require.ErrorIs(t, work(w.JobNamed("d").ID.Task(0)), leak)
		finish(t, s, m, w.ID, "d", ci.Failed)
		_, err := s.Rerun(t.Context(), w.ID, ci.Rerun{FromFailed: true}, bob)
		require.NoError(t, err)
		require.ErrorIs(t, work(w.JobNamed("d").ID.Task(0)), ci.ErrConflict, "the attempt was replaced")
	})
}

// A fresh server reads the plan from the store, and forgets old ones.
func TestP14_WorkAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemStore(shop)
		first := ci.New(m, compiles(planned("a")), ci.Config{})
		stop := serve(t, first)
		var tasks []ci.TaskID
		for i := range 100 {
			p := trigger(t, first, push("main", fmt.Sprint(i)))
			synctest.Wait()
			tasks = append(tasks, workflowOf(t, m, p.ID).Jobs[0].ID.Task(0))
		}
		stop()
		second := ci.New(m, compiles(), ci.Config{})
		for range 2 {
			for i, task := range tasks {
				work, err := second.Work(t.Context(), ci.Lease{Task: task})
				require.NoError(t, err)
				require.Equal(t, fmt.Sprint(i), work.Pipeline.Trigger.Revision)
				require.Equal(t, int64(i+1), work.Task.Number)
				require.Equal(t, int64(i), work.Previous)
			}
		}
	})
}
