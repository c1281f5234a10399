package orb_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/ci/config/orb"
	"github.com/rondo-ci/rondo/storage/memdb"
)

var _ config.Orbs = orb.Chain{}

func TestChain(t *testing.T) {
	ctx := t.Context()
	r := orb.New(memdb.New(), orb.Config{})
	n, err := r.CreateNamespace(ctx, "acme", "gh/acme")
	require.NoError(t, err)
	for _, name := range []string{"both", "kept"} {
		o, err := r.CreateOrb(ctx, n.ID, name, false)
		require.NoError(t, err)
		_, err = r.PublishOrb(ctx, o.ID, "2.0.0", []byte("registry"))
		require.NoError(t, err)
	}
	folder := orb.FS(fstest.MapFS{"acme__both@1.0.0.yml": {Data: []byte("folder")}})
	c := orb.Chain{folder, r.For("")}
	for ref, want := range map[string]string{
		"acme/both@volatile": "acme/both@1.0.0 folder", "acme/both@2": "acme/both@2.0.0 registry", "acme/kept@2": "acme/kept@2.0.0 registry",
	} {
		resolved, source, err := c.Orb(ctx, ref)
		require.NoError(t, err)
		require.Equal(t, want, resolved+" "+string(source))
	}
	_, _, err = c.Orb(ctx, "acme/none@1")
	require.ErrorIs(t, err, ci.ErrNotFound)
	_, _, err = c.Orb(ctx, "none")
	require.ErrorIs(t, err, ci.ErrInvalid)
	_, _, err = orb.Chain(nil).Orb(ctx, "acme/none@1")
	require.ErrorIs(t, err, ci.ErrNotFound)

	refs, err := c.Refs()
	require.NoError(t, err)
	require.Equal(t, []string{"acme/both@1.0.0"}, refs)
	_, err = orb.Chain{r.For("")}.Refs()
	require.ErrorIs(t, err, ci.ErrNotFound, "a registry lists nothing")
}

// TestChain_Hints: nobody is told to write a file where no folder is.
func TestChain_Hints(t *testing.T) {
	source := []byte("version: 2.1\norbs: {n: acme/none@1}\nworkflows: {w: {jobs: [n/x]}}\n")
	r := orb.New(memdb.New(), orb.Config{})
	_, err := config.Compile(t.Context(), source, config.Options{Orbs: orb.Chain{r.For("")}})
	require.ErrorContains(t, err, "CFG025")
	require.NotContains(t, err.Error(), ".yml would")
	require.NotContains(t, err.Error(), "the file of")
	_, err = config.Compile(t.Context(), source, config.Options{Orbs: orb.Chain{orb.FS(fstest.MapFS{}), r.For("")}})
	require.ErrorContains(t, err, "the file of this orb would be acme__none@1.0.0.yml")
}
