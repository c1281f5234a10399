package citest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

var projectClauses = []clause[ci.Store]{
	{
		"a project comes back as it was written",
		"PutProject writes the project, by its ID; it is found by ID and by slug.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			want := project(t, s, "shop")
			got, err := s.Project(t.Context(), want.ID)
			require.NoError(t, err)
			same(t, want, got)
			got, err = s.ProjectBySlug(t.Context(), want.Slug)
			require.NoError(t, err)
			same(t, want, got)
		},
	},
	{
		"writing again replaces",
		"PutProject of a known ID replaces the project; its old slug is free again; its pipelines and numbers stay.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			create(t, s, p.ID, "main")
			old := p.Slug
			p.Slug, p.AutoCancel = "gh/acme/store", false
			require.NoError(t, s.PutProject(t.Context(), p))
			got, err := s.Project(t.Context(), p.ID)
			require.NoError(t, err)
			same(t, p, got)
			_, err = s.ProjectBySlug(t.Context(), old)
			require.ErrorIs(t, err, ci.ErrNotFound)
			require.Equal(t, int64(2), create(t, s, p.ID, "main").Number)
			project(t, s, "shop") // the slug is free
		},
	},
	{
		"a slug is taken once",
		"A slug that another project has is ErrConflict, and nothing is written.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			first := project(t, s, "shop")
			second := first
			second.ID = ci.ProjectID(ci.NewID())
			require.ErrorIs(t, s.PutProject(t.Context(), second), ci.ErrConflict)
			_, err := s.Project(t.Context(), second.ID)
			require.ErrorIs(t, err, ci.ErrNotFound)
			got, err := s.ProjectBySlug(t.Context(), first.Slug)
			require.NoError(t, err)
			same(t, first, got)
		},
	},
	{
		"all projects by slug",
		"Projects yields all projects by slug.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			require.Empty(t, all(t, s.Projects(t.Context())))
			b, a, c := project(t, s, "b"), project(t, s, "a"), project(t, s, "c")
			same(t, []ci.Project{a, b, c}, all(t, s.Projects(t.Context())))
		},
	},
	{
		"unknown projects",
		"What does not exist is ErrNotFound, and the error says what was asked for.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			_, err := s.Project(t.Context(), "p-1")
			require.ErrorIs(t, err, ci.ErrNotFound)
			require.ErrorContains(t, err, "p-1")
			_, err = s.ProjectBySlug(t.Context(), "gh/no/such")
			require.ErrorIs(t, err, ci.ErrNotFound)
			require.ErrorContains(t, err, "gh/no/such")
		},
	},
}
