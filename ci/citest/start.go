package citest

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

var startClauses = []clause[ci.Store]{
	{
		"pipeline, plan, workflows and events",
		"Start writes the pipeline with its plan, the workflows and the events; Plan returns the plan, Pipeline none.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			kept := create(t, s, p.ID, "main")
			plan := planned()
			plan.Expanded = strings.Repeat("a: long text\n", 20_000)
			var want ci.Workflow
			err := s.Start(t.Context(), kept.ID, func(q *ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
				same(t, kept, *q)
				w, events := ci.NewWorkflow(*q, p.Org, plan.Workflows[0], q.Trigger.Actor, now())
				q.State, q.Warnings, q.Updated, q.Plan = ci.PipelineReady, []string{"w"}, w.Created, &plan
				kept, want = *q, w
				return []ci.Workflow{w}, events, nil
			})
			require.NoError(t, err)
			got, err := s.Pipeline(t.Context(), kept.ID)
			require.NoError(t, err)
			kept.Plan = nil
			same(t, kept, got)
			gotPlan, err := s.Plan(t.Context(), kept.ID)
			require.NoError(t, err)
			same(t, &plan, gotPlan)
			numbered(&want, 1)
			same(t, want, load(t, s, want.ID))
			workflows, err := s.Workflows(t.Context(), kept.ID)
			require.NoError(t, err)
			same(t, []ci.Workflow{want}, workflows)
		},
	},
	{
		"build jobs get numbers",
		"A job of type build whose number is 0 gets the project's next one, which is also written into the events of that job and their task.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			for round := range int64(2) {
				w := start(t, s, p, "main")
				require.Equal(t, 3*round+1, w.JobNamed("build").Number)
				require.Equal(t, 3*round+2, w.JobNamed("test").Number)
				require.Equal(t, int64(0), w.JobNamed("hold").Number)
				require.Equal(t, 3*round+3, w.JobNamed("deploy").Number)
				queued := 0
				for _, e := range all(t, s.Events(t.Context(), 0)) {
					if e.Workflow == w.ID && e.Kind == ci.JobQueued {
						queued++
						require.Equal(t, 3*round+1, e.Number)
						require.Equal(t, 3*round+1, e.Task.Number)
					}
				}
				require.Equal(t, 1, queued)
			}
			other := start(t, s, project(t, s, "other"), "main")
			require.Equal(t, int64(1), other.JobNamed("build").Number)
		},
	},
	{
		"workflows in order of making",
		"Workflows lists those of a pipeline in order of making, also those that came later.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			kept := create(t, s, p.ID, "main")
			start(t, s, p, "main") // of another pipeline
			var want []string
			for _, names := range [][]string{{"c", "a"}, {"b"}} {
				err := s.Start(t.Context(), kept.ID, func(q *ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
					var some []ci.Workflow
					for _, n := range names {
						plan := planned().Workflows[0]
						plan.Name = n
						w, _ := ci.NewWorkflow(*q, p.Org, plan, ci.Actor{}, now())
						some = append(some, w)
					}
					return some, nil, nil
				})
				require.NoError(t, err)
				want = append(want, names...)
			}
			got, err := s.Workflows(t.Context(), kept.ID)
			require.NoError(t, err)
			require.Len(t, got, 3)
			for i, w := range got {
				require.Equal(t, want[i], w.Name)
				same(t, load(t, s, w.ID), w)
			}
		},
	},
	{
		"an error of change",
		"An error of change is returned as it is and nothing is written.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			kept := create(t, s, p.ID, "main")
			mine := errors.New("mine")
			var id ci.WorkflowID
			err := s.Start(t.Context(), kept.ID, func(q *ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
				w, events := ci.NewWorkflow(*q, p.Org, planned().Workflows[0], ci.Actor{}, now())
				q.State, id = ci.PipelineError, w.ID
				return []ci.Workflow{w}, events, mine
			})
			require.True(t, err == mine, "got %v", err) //nolint:errorlint // as it is
			got, err := s.Pipeline(t.Context(), kept.ID)
			require.NoError(t, err)
			same(t, kept, got)
			_, err = s.Workflow(t.Context(), id)
			require.ErrorIs(t, err, ci.ErrNotFound)
			require.Len(t, all(t, s.Events(t.Context(), 0)), 1)
		},
	},
	{
		"what cannot be changed",
		"The identity of a pipeline stays, workflows are of their pipeline, and identities are taken once; nothing of a refused start is written.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			there := start(t, s, p, "main")
			kept := create(t, s, p.ID, "main")
			before, err := s.LastEvent(t.Context())
			require.NoError(t, err)
			for name, c := range map[string]struct {
				want  error
				alter func(*ci.Pipeline, *ci.Workflow)
			}{
				"ID":            {ci.ErrInvalid, func(p *ci.Pipeline, _ *ci.Workflow) { p.ID = "x" }},
				"number":        {ci.ErrInvalid, func(p *ci.Pipeline, _ *ci.Workflow) { p.Number++ }},
				"project":       {ci.ErrInvalid, func(p *ci.Pipeline, _ *ci.Workflow) { p.Trigger.Project = "x" }},
				"key":           {ci.ErrInvalid, func(p *ci.Pipeline, _ *ci.Workflow) { p.Trigger.Key = "x" }},
				"other's":       {ci.ErrInvalid, func(_ *ci.Pipeline, w *ci.Workflow) { w.Pipeline = there.Pipeline }},
				"known ID":      {ci.ErrConflict, func(_ *ci.Pipeline, w *ci.Workflow) { w.ID = there.ID }},
				"known job":     {ci.ErrConflict, func(_ *ci.Pipeline, w *ci.Workflow) { w.Jobs[0].ID = there.Jobs[0].ID }},
				"a job twice":   {ci.ErrConflict, func(_ *ci.Pipeline, w *ci.Workflow) { w.Jobs[0].ID = w.Jobs[1].ID }},
				"a number used": {ci.ErrConflict, func(_ *ci.Pipeline, w *ci.Workflow) { w.Jobs[0].Number = 1 }},
			} {
				var id ci.WorkflowID
				err := s.Start(t.Context(), kept.ID, func(q *ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
					w, events := ci.NewWorkflow(*q, p.Org, planned().Workflows[0], ci.Actor{}, now())
					id = w.ID
					q.State = ci.PipelineReady
					c.alter(q, &w)
					return []ci.Workflow{w}, events, nil
				})
				require.ErrorIs(t, err, c.want, name)
				_, err = s.Workflow(t.Context(), id)
				require.ErrorIs(t, err, ci.ErrNotFound, name)
			}
			got, err := s.Pipeline(t.Context(), kept.ID)
			require.NoError(t, err)
			same(t, kept, got)
			after, err := s.LastEvent(t.Context())
			require.NoError(t, err)
			require.Equal(t, before, after)
			next := start(t, s, p, "main")
			require.Equal(t, int64(4), next.JobNamed("build").Number, "no number is used up")
		},
	},
}

// numbered gives the build jobs numbers from first, as a store does.
func numbered(w *ci.Workflow, first int64) {
	for i := range w.Jobs {
		if w.Jobs[i].Type == ci.JobBuild {
			w.Jobs[i].Number = first
			first++
		}
	}
}
