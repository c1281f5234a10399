package citest

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

var pipelineClauses = []clause[ci.Store]{
	{
		"a pipeline comes back as it was kept",
		"Create returns the pipeline as kept, and Pipeline returns the same: every field, times in UTC.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			want := pipeline(project(t, s, "shop").ID, "feature/ä <x>")
			want.Trigger.Key, want.Trigger.Body, want.Trigger.Author = "delivery-1", "line\nline\x00\u2028", "Åsa <a@example.com>"
			want.Trigger.PullRequests = []string{"https://example.com/1", "https://example.com/2"}
			want.Trigger.Parameters = map[string]any{"s": "x", "b": true, "f": 1.5, "n": 3.0, "big": int64(1<<62 + 1), "none": nil}
			want.Errors, want.Warnings = []string{"config.yml:1:1: bad"}, []string{"old"}
			want.Created = time.Date(2026, 3, 29, 1, 30, 0, 123456000, time.FixedZone("far", 7*3600))
			kept, isNew, err := s.Create(t.Context(), want, created(want))
			require.NoError(t, err)
			require.True(t, isNew)
			want.Number, want.Created = 1, want.Created.UTC()
			same(t, want, kept)
			got, err := s.Pipeline(t.Context(), want.ID)
			require.NoError(t, err)
			same(t, want, got)
		},
	},
	{
		"numbers count in the project",
		"Create gives the pipeline the next number of its project, from 1, and writes it into the events.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			a, b := project(t, s, "a"), project(t, s, "b")
			for i, p := range []ci.Project{a, b, a, a, b} {
				require.Equal(t, []int64{1, 1, 2, 3, 2}[i], create(t, s, p.ID, "main").Number)
			}
			events := all(t, s.Events(t.Context(), 0))
			require.Len(t, events, 5)
			for i, e := range events {
				require.Equal(t, []int64{1, 1, 2, 3, 2}[i], e.Number)
			}
		},
	},
	{
		"P2 a key makes one pipeline",
		"When the project has a pipeline with the same non-empty key nothing is written: the first one is returned.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p, other := project(t, s, "shop"), project(t, s, "other")
			first, again := pipeline(p.ID, "main"), pipeline(p.ID, "dev")
			first.Trigger.Key, again.Trigger.Key = "push-1", "push-1"
			kept, isNew, err := s.Create(t.Context(), first, created(first))
			require.NoError(t, err)
			require.True(t, isNew)
			got, isNew, err := s.Create(t.Context(), again, created(again))
			require.NoError(t, err)
			require.False(t, isNew)
			same(t, kept, got)
			_, err = s.Pipeline(t.Context(), again.ID)
			require.ErrorIs(t, err, ci.ErrNotFound)
			last, err := s.LastEvent(t.Context())
			require.NoError(t, err)
			require.Equal(t, uint64(1), last, "no event")
			require.Equal(t, int64(2), create(t, s, p.ID, "main").Number, "no number is used up")
			again.Trigger.Project = other.ID
			_, isNew, err = s.Create(t.Context(), again, created(again))
			require.NoError(t, err)
			require.True(t, isNew, "another project has keys of its own")
		},
	},
	{
		"P2 one of fifty wins",
		"Also among creators at the same time: one pipeline, and all get it.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			const creators = 50
			var wait sync.WaitGroup
			kept, fresh, errs := make([]ci.Pipeline, creators), make([]bool, creators), make([]error, creators)
			for i := range creators {
				wait.Go(func() {
					want := pipeline(p.ID, "main")
					want.Trigger.Key = "push-1"
					kept[i], fresh[i], errs[i] = s.Create(t.Context(), want, created(want))
				})
			}
			wait.Wait()
			wins := 0
			for i := range creators {
				require.NoError(t, errs[i])
				require.Equal(t, kept[0].ID, kept[i].ID)
				if fresh[i] {
					wins++
				}
			}
			require.Equal(t, 1, wins)
			require.Len(t, all(t, s.Pipelines(t.Context(), ci.Query{})), 1)
			require.Len(t, all(t, s.Events(t.Context(), 0)), 1)
		},
	},
	{
		"no key is never a repetition",
		"A trigger without a key makes a pipeline each time.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			create(t, s, p.ID, "main")
			require.Equal(t, int64(2), create(t, s, p.ID, "main").Number)
		},
	},
	{
		"refused pipelines leave nothing",
		"An unknown project is ErrNotFound, an ID that is taken ErrConflict; neither uses up a number or writes an event.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			first := create(t, s, p.ID, "main")
			stray := pipeline("no-such-project", "main")
			_, _, err := s.Create(t.Context(), stray, created(stray))
			require.ErrorIs(t, err, ci.ErrNotFound)
			taken := pipeline(p.ID, "main")
			taken.ID = first.ID
			_, _, err = s.Create(t.Context(), taken, created(taken))
			require.ErrorIs(t, err, ci.ErrConflict)
			require.Equal(t, int64(2), create(t, s, p.ID, "main").Number)
			require.Len(t, all(t, s.Events(t.Context(), 0)), 2)
		},
	},
	{
		"a pipeline without events",
		"Create may be given no event.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			want := pipeline(project(t, s, "shop").ID, "main")
			_, isNew, err := s.Create(t.Context(), want)
			require.NoError(t, err)
			require.True(t, isNew)
			require.Empty(t, all(t, s.Events(t.Context(), 0)))
		},
	},
	{
		"unknown pipelines",
		"What does not exist is ErrNotFound, and the error says what was asked for. So is the plan of a pipeline that has none yet.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			_, err := s.Pipeline(t.Context(), "x-1")
			require.ErrorIs(t, err, ci.ErrNotFound)
			require.ErrorContains(t, err, "x-1")
			_, err = s.Plan(t.Context(), "x-1")
			require.ErrorIs(t, err, ci.ErrNotFound)
			require.ErrorContains(t, err, "x-1")
			_, err = s.Workflows(t.Context(), "x-1")
			require.ErrorIs(t, err, ci.ErrNotFound)
			p := create(t, s, project(t, s, "shop").ID, "main")
			_, err = s.Plan(t.Context(), p.ID)
			require.ErrorIs(t, err, ci.ErrNotFound)
			none, err := s.Workflows(t.Context(), p.ID)
			require.NoError(t, err)
			require.Empty(t, none)
			err = s.Start(t.Context(), "x-1", func(*ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
				t.Error("change was called")
				return nil, nil, nil
			})
			require.ErrorIs(t, err, ci.ErrNotFound)
			require.ErrorContains(t, err, "x-1")
		},
	},
}
