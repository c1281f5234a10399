package fakes

import (
	"context"
	"errors"
	"testing"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
	"github.com/stretchr/testify/require"
)

// newServer is a server in memory, with a compiler that plans nothing.
func newServer(t *testing.T) *ci.Server {
	db := memdb.New()
	require.NoError(t, db.PutProject(t.Context(), ci.Project{ID: "shop", Slug: "gh/acme/shop"}))
	return ci.New(db, ci.CompilerFunc(func(context.Context, ci.Project, ci.Pipeline) (ci.Plan, error) {
		return ci.Plan{}, nil
	}), ci.Config{})
}

func TestReleaseTwiceIsOnePipeline(t *testing.T) {
	s := newServer(t)
	first, err := Release(t.Context(), s, "shop", "v1.0.0", "4f1c2d")
	require.NoError(t, err)
	again, err := Release(t.Context(), s, "shop", "v1.0.0", "4f1c2d")
	require.NoError(t, err)
	require.Equal(t, first, again)
}

func TestReleaseOfUnknownProject(t *testing.T) {
	_, err := Release(t.Context(), newServer(t), "other", "v1.0.0", "4f1c2d")
	require.True(t, errors.Is(err, ci.ErrNotFound), "%v", err)
}
