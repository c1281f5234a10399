package secrettest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci/secret"
	"github.com/rondo-ci/rondo/ci/secret/secrettest"
)

func TestKeeper(t *testing.T) {
	secrettest.TestKeeper(t, func(*testing.T) secret.Keeper { return secrettest.New() })
}

func TestFault(t *testing.T) {
	ctx, k, boom := context.Background(), secrettest.New(), errors.New("boom")
	sealed, err := k.Seal(ctx, nil, []byte("x"))
	require.NoError(t, err)
	k.Fault = func(string) error { return boom }
	_, err = k.Seal(ctx, nil, []byte("x"))
	require.ErrorIs(t, err, boom)
	_, err = k.Open(ctx, nil, sealed)
	require.ErrorIs(t, err, boom)
	_, err = secrettest.New().Open(ctx, nil, sealed)
	require.Error(t, err, "another key")
	require.EqualValues(t, 1, k.Opened.Load())
}
