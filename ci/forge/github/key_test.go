package github_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/github"
	safes "github.com/rondo-ci/rondo/ci/secret"
	"github.com/rondo-ci/rondo/ci/secret/secrettest"
)

// TestSEC04_KeysOfTheSafe wires the border to the room that keeps keys, in both
// directions: what follow makes is kept there, what people make there is told
// to the code host, and what is removed is revoked.
func TestSEC04_KeysOfTheSafe(t *testing.T) {
	var safe *safes.Safe
	w := newWorld(t, func(c *github.Config) {
		c.KeepKey = func(ctx context.Context, p ci.ProjectID, k ci.SSHKey) error { return safe.KeepKey(ctx, p, k) }
	})
	safe = safes.New(w.db, secrettest.New(), safes.Config{Project: w.db.Project, CodeHost: w.host.AcceptKey})
	r, p := w.follow("acme/shop")
	keys, err := safe.Keys(t.Context(), p.ID)
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.Equal(t, ci.KeyDeploy, keys[0].Kind)
	require.Equal(t, "ghe.example.com", keys[0].Host)
	require.True(t, keys[0].Preferred)
	require.Contains(t, keys[0].Public, r.Keys()[0].Key)
	_, err = w.host.Follow(t.Context(), "gh/acme/shop", true, ci.Actor{})
	require.NoError(t, err)
	keys, err = safe.Keys(t.Context(), p.ID)
	require.NoError(t, err)
	require.Len(t, keys, 1)

	made, err := safe.CreateKey(t.Context(), p.ID, ci.KeyDeploy, ci.Actor{Login: "ada"})
	require.NoError(t, err)
	require.Len(t, r.Keys(), 2)
	require.NoError(t, safe.DeleteKey(t.Context(), p.ID, made.MD5, ci.Actor{Login: "ada"}))
	require.Len(t, r.Keys(), 1, "revoked on the code host")
	_, err = safe.CreateKey(t.Context(), p.ID, ci.KeyUser, ci.Actor{Login: "ada"})
	require.ErrorIs(t, err, ci.ErrDenied)

	_, err = w.host.Follow(t.Context(), "gh/acme/shop", false, ci.Actor{})
	require.NoError(t, err)
	require.Empty(t, r.Keys())
	keys, err = safe.Keys(t.Context(), p.ID)
	require.NoError(t, err)
	require.Empty(t, keys)
}
