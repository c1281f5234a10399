package citest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// rerun repeats an ended workflow from what failed and returns the new one.
func rerun(t *testing.T, s ci.Store, w ci.Workflow, r ci.Rerun) ci.Workflow {
	t.Helper()
	var id ci.WorkflowID
	err := s.Start(t.Context(), w.Pipeline, func(*ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
		n, events, err := w.Rerun(r, alice, now())
		id = n.ID
		return []ci.Workflow{n}, events, err
	})
	require.NoError(t, err)
	return load(t, s, id)
}

// found requires that the job is found by identity and, if it has a number, by
// that, in the workflow.
func found(t *testing.T, s ci.Store, w ci.Workflow, j ci.Job) {
	t.Helper()
	id, err := s.JobWorkflow(t.Context(), j.ID)
	require.NoError(t, err)
	require.Equal(t, w.ID, id)
	if j.Number > 0 {
		id, job, err := s.JobByNumber(t.Context(), w.Project, j.Number)
		require.NoError(t, err)
		require.Equal(t, w.ID, id)
		require.Equal(t, j.ID, job)
	}
}

var jobClauses = []clause[ci.Store]{
	{
		"found by identity and number",
		"JobWorkflow and JobByNumber lead to the workflow that a job was made in.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			a, b := project(t, s, "a"), project(t, s, "b")
			for _, p := range []ci.Project{a, b, a} {
				w := start(t, s, p, "main")
				for _, j := range w.Jobs {
					found(t, s, w, j)
				}
			}
		},
	},
	{
		"kept jobs",
		"A job that a rerun kept stands in both workflows with its number, and leads to the one it was made in.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			w := start(t, s, project(t, s, "shop"), "main")
			finish(t, s, w, "build", ci.Success)
			finish(t, s, w, "test", ci.Failed)
			w = load(t, s, w.ID)
			again := rerun(t, s, w, ci.Rerun{FromFailed: true})
			kept := again.JobNamed("build")
			require.True(t, kept.Kept)
			require.Equal(t, w.JobNamed("build").ID, kept.ID)
			require.Equal(t, w.JobNamed("build").Number, kept.Number)
			require.Equal(t, int64(4), again.JobNamed("test").Number)
			found(t, s, w, *kept)
			found(t, s, w, *w.JobNamed("test"))
			found(t, s, again, *again.JobNamed("test"))
			same(t, w, load(t, s, w.ID)) // the old one is left as it is

			finish(t, s, again, "test", ci.Failed)
			third := rerun(t, s, load(t, s, again.ID), ci.Rerun{FromFailed: true})
			found(t, s, w, *third.JobNamed("build"))
			finish(t, s, third, "test", ci.Success)
			found(t, s, w, *kept)
		},
	},
	{
		"past attempts",
		"A job that a newer attempt has replaced stays in its workflow, oldest first, and leads to it; the new one has a number of its own.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			w := start(t, s, p, "main")
			finish(t, s, w, "build", ci.Success)
			// test fails on one node while the other runs, twice
			for attempt := 1; attempt <= 2; attempt++ {
				w = load(t, s, w.ID)
				finish(t, s, w, "test", ci.Failed)
				id := w.JobNamed("test").ID
				require.NoError(t, s.Update(t.Context(), w.ID, func(u *ci.Workflow) ([]ci.Event, error) {
					u.Status = ci.Failing // something else still runs
					return u.Retry(ci.Rerun{Jobs: []ci.JobID{id}}, alice, now())
				}))
			}
			w = load(t, s, w.ID)
			require.Len(t, w.Past, 2)
			require.Equal(t, []int64{2, 4}, []int64{w.Past[0].Number, w.Past[1].Number})
			require.Equal(t, []int{1, 2}, []int{w.Past[0].Attempt, w.Past[1].Attempt})
			require.Equal(t, int64(5), w.JobNamed("test").Number)
			require.Equal(t, 3, w.JobNamed("test").Attempt)
			for _, j := range append(w.Past, w.Jobs...) {
				found(t, s, w, j)
			}
			for _, e := range all(t, s.Events(t.Context(), 0)) {
				if e.Kind == ci.JobRetried || e.Kind == ci.JobQueued {
					require.Equal(t, w.Attempt(e.Job).Number, e.Number, e.Kind)
				}
			}
		},
	},
	{
		"unknown jobs",
		"What does not exist is ErrNotFound, and the error says what was asked for. No job has the number 0.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			start(t, s, p, "main")
			_, err := s.JobWorkflow(t.Context(), "x-1")
			require.ErrorIs(t, err, ci.ErrNotFound)
			require.ErrorContains(t, err, "x-1")
			for _, n := range []int64{0, -1, 4} {
				_, _, err = s.JobByNumber(t.Context(), p.ID, n)
				require.ErrorIs(t, err, ci.ErrNotFound, n)
			}
			_, _, err = s.JobByNumber(t.Context(), "x-1", 1)
			require.ErrorIs(t, err, ci.ErrNotFound)
		},
	},
	{
		"a large workflow",
		"A workflow of 500 jobs is kept job by job.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			kept := create(t, s, p.ID, "main")
			plan := ci.PlannedWorkflow{Name: "large"}
			for range 500 {
				plan.Jobs = append(plan.Jobs, ci.PlannedJob{Name: ci.NewID()})
			}
			var id ci.WorkflowID
			err := s.Start(t.Context(), kept.ID, func(q *ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
				w, events := ci.NewWorkflow(*q, p.Org, plan, alice, now())
				id = w.ID
				return []ci.Workflow{w}, events, nil
			})
			require.NoError(t, err)
			w := load(t, s, id)
			require.Len(t, w.Jobs, 500)
			for i, j := range w.Jobs {
				require.Equal(t, plan.Jobs[i].Name, j.Name)
				require.Equal(t, int64(i+1), j.Number)
			}
			require.NoError(t, report(t.Context(), s, id, ci.Report{Task: w.Jobs[250].ID.Task(0), Epoch: 1, Status: ci.Success}))
			got := load(t, s, id)
			require.Equal(t, ci.Success, got.Jobs[250].Status)
			w.Jobs[250] = got.Jobs[250]
			same(t, w, got)
		},
	},
}
