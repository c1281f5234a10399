package audit_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// TestAUD15_KeysInTheirOrder changes the key: all keys together verify the
// whole, one alone or the wrong order does not, and what the old one signs
// after the new one is not believed.
func TestAUD15_KeysInTheirOrder(t *testing.T) {
	old, err := audit.NewSigner("test", []byte("the first seed of the tests"))
	require.NoError(t, err)
	fresh, err := audit.NewSigner("test", []byte("the second seed of the tests"))
	require.NoError(t, err)
	docs, bucket := memdb.New(), &audit.Memory{}
	file := func(s *audit.Signer, earlier audit.Key, hour int) *audit.Book {
		b := audit.New(docs, bucket, s, audit.Config{Earlier: earlier})
		require.NoError(t, b.Record(t.Context(), act(hour)))
		require.NoError(t, b.Seal(t.Context(), noon.Add(time.Duration(hour)*time.Hour)))
		return b
	}
	file(old, "", 0)
	file(old, "", 1)
	both := old.Key().Then(fresh.Key())
	b := file(fresh, old.Key(), 2)
	r, err := audit.Verify(t.Context(), bucket, both)
	require.NoError(t, err)
	require.Equal(t, 2, r.Checkpoints)
	_, err = b.Check(t.Context())
	require.NoError(t, err)
	for _, bad := range []audit.Key{old.Key(), fresh.Key(), fresh.Key().Then(old.Key())} {
		_, err = audit.Verify(t.Context(), bucket, bad)
		require.ErrorIs(t, err, ci.ErrInvalid)
	}
	file(old, "", 3)
	_, err = audit.Verify(t.Context(), bucket, both)
	require.ErrorContains(t, err, "signed")
}
