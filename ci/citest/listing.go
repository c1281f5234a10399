package citest

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// settle marks a pipeline as errored or ready.
func settle(t *testing.T, s ci.Store, id ci.PipelineID, state ci.PipelineState) {
	t.Helper()
	err := s.Start(t.Context(), id, func(p *ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
		p.State = state
		return nil, nil, nil
	})
	require.NoError(t, err)
}

// history makes pipelines of two projects, three branches or tags and all
// states, in an order that mixes them, and returns them newest first.
func history(t *testing.T, s ci.Store, n int) []ci.Pipeline {
	t.Helper()
	projects := []ci.Project{project(t, s, "a"), project(t, s, "b")}
	for i := range n {
		p := pipeline(projects[i%2].ID, []string{"main", "dev", ""}[i%3])
		if p.Trigger.Branch == "" {
			p.Trigger.Tag = "v1"
		}
		_, _, err := s.Create(t.Context(), p, created(p))
		require.NoError(t, err)
		if state := []ci.PipelineState{ci.PipelinePending, ci.PipelineReady, ci.PipelineError}[i/3%3]; state != ci.PipelinePending {
			settle(t, s, p.ID, state)
		}
	}
	return all(t, s.Pipelines(t.Context(), ci.Query{Limit: n + 1}))
}

var listingClauses = []clause[ci.Store]{
	{
		"newest first",
		"Pipelines yields newest first, in order of making; a limit of 0 is 20.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			var want []ci.Pipeline
			for range 25 {
				want = append(want, create(t, s, p.ID, "main"))
			}
			slices.Reverse(want)
			same(t, want[:20], all(t, s.Pipelines(t.Context(), ci.Query{})))
			same(t, want[:20], all(t, s.Pipelines(t.Context(), ci.Query{Project: p.ID})))
			same(t, want, all(t, s.Pipelines(t.Context(), ci.Query{Limit: 100})))
			for range s.Pipelines(t.Context(), ci.Query{}) {
				break // a consumer may stop
			}
		},
	},
	{
		"every choice of fields, page by page",
		"Fields of a query that are set select; Before is the last pipeline of the page before. Pages follow without gap or repeat.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			everything := history(t, s, 54)
			require.Len(t, everything, 54)
			for _, project := range []ci.ProjectID{"", everything[0].Trigger.Project} {
				for _, branch := range []string{"", "main", "none"} {
					for _, state := range []ci.PipelineState{"", ci.PipelinePending, ci.PipelineReady, ci.PipelineError} {
						q := ci.Query{Project: project, Branch: branch, State: state, Limit: 4}
						want := slices.Clone(everything)
						want = slices.DeleteFunc(want, func(p ci.Pipeline) bool {
							return project != "" && p.Trigger.Project != project ||
								branch != "" && p.Trigger.Branch != branch || state != "" && p.State != state
						})
						same(t, want, paged(t, s, q))
					}
				}
			}
		},
	},
	{
		"long pages",
		"A page may be as long as the history.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			for range 450 {
				create(t, s, p.ID, "main")
			}
			for _, limit := range []int{199, 200, 201, 400, 449, 450, 451} {
				got := all(t, s.Pipelines(t.Context(), ci.Query{Project: p.ID, Limit: limit}))
				require.Len(t, got, min(limit, 450))
				for i, q := range got {
					require.Equal(t, int64(450-i), q.Number)
				}
			}
		},
	},
	{
		"a page before something unknown",
		"A Before that does not exist is ErrNotFound; one of another project is ErrInvalid.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			a, b := project(t, s, "a"), project(t, s, "b")
			p := create(t, s, a.ID, "main")
			require.ErrorIs(t, failure(s.Pipelines(t.Context(), ci.Query{Before: "x-1"})), ci.ErrNotFound)
			require.ErrorIs(t, failure(s.Pipelines(t.Context(), ci.Query{Project: b.ID, Before: p.ID})), ci.ErrInvalid)
			require.Empty(t, all(t, s.Pipelines(t.Context(), ci.Query{Project: "no-such"})))
		},
	},
}

// paged collects all pages of a query.
func paged(t *testing.T, s ci.Store, q ci.Query) []ci.Pipeline {
	t.Helper()
	var got []ci.Pipeline
	for {
		page := all(t, s.Pipelines(t.Context(), q))
		require.LessOrEqual(t, len(page), q.Limit)
		if len(page) == 0 {
			return got
		}
		got = append(got, page...)
		require.Less(t, len(got), 1000, "pages without end")
		q.Before = page[len(page)-1].ID
	}
}
