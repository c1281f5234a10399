package main

import (
	"path/filepath"
	"testing"

	"github.com/rondo-ci/rondo/ci"
	"github.com/stretchr/testify/require"
)

func TestRefs(t *testing.T) {
	r, err := loadRefs(filepath.Join(serverDir(t), "refs.json"), map[string]string{
		"refs/heads/main": "c2", "refs/heads/old": "c1", "refs/tags/v1": "c2",
	}, "c2")
	require.NoError(t, err)
	at := func(ref, commit string) ci.Trigger { return ci.Trigger{Key: ref + "@" + commit, Revision: commit} }
	require.True(t, r.isNew(at("refs/heads/main", "c2")), "HEAD's pipeline is still to come")
	require.False(t, r.isNew(at("refs/heads/old", "c3")))
	require.False(t, r.isNew(at("refs/tags/v2", "c2")), "a tag is never only a name")
	odd := at("refs/heads/feat@2", "c1") // git allows it
	require.True(t, r.isNew(odd))
	require.True(t, r.stands(odd), "where old stands")
	require.NoError(t, r.saw(odd))
	require.False(t, r.isNew(odd))
	again, err := loadRefs(r.path, nil, "")
	require.NoError(t, err)
	require.Equal(t, r.seen, again.seen)
}
