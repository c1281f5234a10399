package main

import (
	"testing"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/local"
	"github.com/stretchr/testify/require"
)

// TestA022_CommitUnderAnotherName: who may trigger does not choose the name
// under which a commit is built. Contexts that are restricted to main would
// open for the code of any branch.
func TestA022_CommitUnderAnotherName(t *testing.T) {
	r := newRepo(t, "version: 2.1")
	first := r.git("rev-parse", "HEAD")
	r.git("checkout", "-q", "-b", "evil")
	evil := r.commit("evil", nil)
	r.git("checkout", "-q", "main")
	second := r.commit("second", nil)
	r.git("tag", "v1", first)
	repo, err := local.Open(t.Context(), r.dir)
	require.NoError(t, err)
	p := repo.Project()
	p.DefaultBranch = "main"
	all := folders{p.ID: repo}
	for _, tt := range []struct {
		given ci.Trigger
		want  string
		err   error
	}{
		{given: ci.Trigger{}, want: second},
		{given: ci.Trigger{Branch: "main", Revision: first[:8]}, want: first},
		{given: ci.Trigger{Revision: second}, want: second},
		{given: ci.Trigger{Branch: "evil", Revision: evil}, want: evil},
		{given: ci.Trigger{Tag: "v1", Revision: first}, want: first},
		{given: ci.Trigger{Branch: "main", Revision: evil}, err: ci.ErrInvalid},
		{given: ci.Trigger{Revision: evil[:8]}, err: ci.ErrInvalid},
		{given: ci.Trigger{Tag: "v1", Revision: second}, err: ci.ErrInvalid},
		{given: ci.Trigger{Branch: "none", Revision: evil}, err: ci.ErrNotFound},
		{given: ci.Trigger{Branch: "main~1", Revision: first}, err: ci.ErrNotFound},
		{given: ci.Trigger{Branch: "main", Revision: "0123456789"}, err: ci.ErrNotFound},
		{given: ci.Trigger{Branch: "--help"}, err: ci.ErrNotFound},
	} {
		got, err := all.Complete(t.Context(), p, tt.given)
		require.ErrorIs(t, err, tt.err, tt.given)
		require.Equal(t, tt.want, got.Revision, tt.given)
	}
}

// A folder cannot be left alone by way of the API, and it does not say that it
// was.
func TestFolders_Follow(t *testing.T) {
	repo, err := local.Open(t.Context(), newRepo(t, "version: 2.1").dir)
	require.NoError(t, err)
	p := repo.Project()
	all := folders{p.ID: repo}
	got, err := all.Follow(t.Context(), p.Slug, true, ci.Actor{})
	require.NoError(t, err)
	require.True(t, got.Followed)
	_, err = all.Follow(t.Context(), p.Slug, false, ci.Actor{})
	require.ErrorIs(t, err, ci.ErrInvalid)
	require.ErrorContains(t, err, "take it out of the settings")
	_, err = all.Follow(t.Context(), "gh/acme/shop", true, ci.Actor{})
	require.ErrorIs(t, err, ci.ErrInvalid)
}
