package citest

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

var alice = ci.Actor{ID: "7", Kind: ci.ActorUser, Login: "alice"}

var workflowClauses = []clause[ci.Store]{
	{
		"an update is kept",
		"Update writes the workflow as change left it, with its events.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			w := start(t, s, project(t, s, "shop"), "main")
			before, err := s.LastEvent(t.Context())
			require.NoError(t, err)
			var want ci.Workflow
			var told []ci.Event
			err = s.Update(t.Context(), w.ID, func(u *ci.Workflow) ([]ci.Event, error) {
				same(t, w, *u)
				events, err := u.Report(ci.Report{Task: u.Jobs[0].ID.Task(0), Epoch: 1, Status: ci.Running, Node: "n1"}, now())
				want, told = *u, events
				return events, err
			})
			require.NoError(t, err)
			same(t, want, load(t, s, w.ID))
			for i := range told {
				told[i].Seq = before + uint64(i) + 1
			}
			same(t, told, all(t, s.Events(t.Context(), before)))
		},
	},
	{
		"no events, nothing written",
		"When change returns no events, nothing is written.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			w := start(t, s, project(t, s, "shop"), "main")
			err := s.Update(t.Context(), w.ID, func(u *ci.Workflow) ([]ci.Event, error) {
				u.Status, u.Jobs[0].Status = ci.Failed, ci.Failed
				return nil, nil
			})
			require.NoError(t, err)
			same(t, w, load(t, s, w.ID))
		},
	},
	{
		"an error of change",
		"An error of change is returned as it is and nothing is written.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			w := start(t, s, project(t, s, "shop"), "main")
			before, err := s.LastEvent(t.Context())
			require.NoError(t, err)
			mine := errors.New("mine")
			err = s.Update(t.Context(), w.ID, func(u *ci.Workflow) ([]ci.Event, error) {
				events, _ := u.Cancel(alice, "", now())
				return events, mine
			})
			require.True(t, err == mine, "got %v", err) //nolint:errorlint // as it is
			same(t, w, load(t, s, w.ID))
			after, err := s.LastEvent(t.Context())
			require.NoError(t, err)
			require.Equal(t, before, after)
		},
	},
	{
		"open workflows",
		"Open yields the workflows that have not ended, of one project or of all; a workflow that goes on is open again.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			a, b := project(t, s, "a"), project(t, s, "b")
			w1, w2, w3 := start(t, s, a, "main"), start(t, s, b, "main"), start(t, s, a, "main")
			require.Equal(t, []ci.WorkflowID{w1.ID, w3.ID}, all(t, s.Open(t.Context(), a.ID)))
			require.ElementsMatch(t, []ci.WorkflowID{w1.ID, w2.ID, w3.ID}, all(t, s.Open(t.Context(), "")))
			cancel := func(u *ci.Workflow) ([]ci.Event, error) { return u.Cancel(alice, "", now()) }
			require.NoError(t, s.Update(t.Context(), w1.ID, cancel))
			require.Equal(t, []ci.WorkflowID{w3.ID}, all(t, s.Open(t.Context(), a.ID)))
			require.ElementsMatch(t, []ci.WorkflowID{w2.ID, w3.ID}, all(t, s.Open(t.Context(), "")))
			require.NoError(t, s.Update(t.Context(), w1.ID, func(u *ci.Workflow) ([]ci.Event, error) {
				u.Status = ci.Running
				return []ci.Event{{Time: now(), Kind: ci.WorkflowChanged, Project: a.ID, Workflow: u.ID}}, nil
			}))
			require.Equal(t, []ci.WorkflowID{w1.ID, w3.ID}, all(t, s.Open(t.Context(), a.ID)))
		},
	},
	{
		"many open workflows",
		"Open yields every one, however many, also while the consumer asks the store about each.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			kept := create(t, s, p.ID, "main")
			var want []ci.WorkflowID
			err := s.Start(t.Context(), kept.ID, func(q *ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
				var some []ci.Workflow
				want = nil
				for range 410 {
					w, _ := ci.NewWorkflow(*q, p.Org, ci.PlannedWorkflow{Name: "w", Jobs: planned().Workflows[0].Jobs[:1]}, alice, now())
					some, want = append(some, w), append(want, w.ID)
				}
				return some, nil, nil
			})
			require.NoError(t, err)
			for _, project := range []ci.ProjectID{"", p.ID} {
				var got []ci.WorkflowID
				for id, err := range s.Open(t.Context(), project) {
					require.NoError(t, err)
					require.Equal(t, id, load(t, s, id).ID)
					got = append(got, id)
				}
				require.Equal(t, want, got)
			}
		},
	},
	{
		"what cannot be changed",
		"The identity of a workflow stays; the jobs of others keep theirs.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			w, other := start(t, s, p, "main"), start(t, s, p, "main")
			for name, c := range map[string]struct {
				want  error
				alter func(*ci.Workflow)
			}{
				"ID":        {ci.ErrInvalid, func(w *ci.Workflow) { w.ID = "x" }},
				"pipeline":  {ci.ErrInvalid, func(w *ci.Workflow) { w.Pipeline = other.Pipeline }},
				"project":   {ci.ErrInvalid, func(w *ci.Workflow) { w.Project = "x" }},
				"known job": {ci.ErrConflict, func(w *ci.Workflow) { w.Jobs = append(w.Jobs, other.Jobs[0]) }},
			} {
				err := s.Update(t.Context(), w.ID, func(u *ci.Workflow) ([]ci.Event, error) {
					c.alter(u)
					return []ci.Event{{Time: now(), Kind: ci.WorkflowChanged}}, nil
				})
				require.ErrorIs(t, err, c.want, name)
			}
			same(t, w, load(t, s, w.ID))
		},
	},
	{
		"jobs come and go",
		"Update writes the jobs as change left them: added, moved and removed.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			w := start(t, s, project(t, s, "shop"), "main")
			gone := w.Jobs[1].ID
			added := ci.Job{ID: ci.JobID(ci.NewID()), Name: "late", Attempt: 1, Status: ci.Blocked}
			var want ci.Workflow
			err := s.Update(t.Context(), w.ID, func(u *ci.Workflow) ([]ci.Event, error) {
				u.Jobs = slices.Delete(u.Jobs, 1, 2)
				slices.Reverse(u.Jobs)
				u.Jobs = append(u.Jobs, added)
				want = *u
				want.Jobs = slices.Clone(u.Jobs)
				return []ci.Event{{Time: now(), Kind: ci.JobQueued, Job: added.ID}}, nil
			})
			require.NoError(t, err)
			want.Jobs[3].Number = 4
			same(t, want, load(t, s, w.ID))
			_, err = s.JobWorkflow(t.Context(), gone)
			require.ErrorIs(t, err, ci.ErrNotFound)
		},
	},
	{
		"unknown workflows",
		"What does not exist is ErrNotFound, and the error says what was asked for.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			_, err := s.Workflow(t.Context(), "x-1")
			require.ErrorIs(t, err, ci.ErrNotFound)
			require.ErrorContains(t, err, "x-1")
			err = s.Update(t.Context(), "x-1", func(*ci.Workflow) ([]ci.Event, error) {
				t.Error("change was called")
				return nil, nil
			})
			require.ErrorIs(t, err, ci.ErrNotFound)
			require.ErrorContains(t, err, "x-1")
			require.Empty(t, all(t, s.Open(t.Context(), "")))
			require.Empty(t, all(t, s.Open(t.Context(), "x-1")))
		},
	},
}
