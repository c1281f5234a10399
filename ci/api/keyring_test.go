package api_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// A ring is a keyring with two keys.
type ring struct{}

func (ring) SealingKeys(context.Context, ci.Actor) ([]ci.SealingKey, error) {
	return []ci.SealingKey{{Backend: "local", Name: "b", State: "primary", Uses: 3}, {Backend: "local", Name: "a", State: "decrypt-only"}}, nil
}

func (ring) RotateKeys(_ context.Context, by ci.Actor) (ci.SealingKey, error) {
	if by.Login != ada.Login {
		return ci.SealingKey{}, ci.ErrDenied
	}
	return ci.SealingKey{Backend: "local", Name: "c", State: "primary"}, nil
}

func TestKeyring(t *testing.T) {
	n := newTown(t)
	keys := items(n.say(200, "GET", "/rondo/keys", ""))
	require.Len(t, keys, 2)
	require.EqualValues(t, 3, keys[0]["uses"])
	require.Nil(t, keys[0]["created_at"])
	require.Equal(t, "c", n.say(201, "POST", "/rondo/keys/rotate", "")["name"])
}
