package secretstest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/secrets"
)

// TestBackend tests what open returns, which must have one key and nobody else
// using it. A backend whose keys others rotate may answer [ci.ErrInvalid] to
// Rotate.
func TestBackend(t *testing.T, open func(t *testing.T) secrets.Backend) {
	tests := []struct {
		name string
		test func(*testing.T, secrets.Backend)
	}{
		{"RoundTrip", roundTrip},
		{"SameKeyTwice", sameKeyTwice},
		{"Damage", damage},
		{"Foreign", foreign},
		{"Rotate", rotate},
		{"Many", many},
		{"AtOnce", atOnce},
		{"TellsNothing", tellsNothing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

func dataKey() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return b
}

func wrap(t *testing.T, b secrets.Backend, key []byte) secrets.Wrapped {
	t.Helper()
	given := bytes.Clone(key)
	w, err := b.Wrap(t.Context(), given)
	require.NoError(t, err)
	require.Equal(t, key, given, "what is wrapped is the caller's")
	require.NotContains(t, string(w.Data), string(key))
	require.LessOrEqual(t, len(w.Data), 4<<10)
	return w
}

func unwrap(t *testing.T, b secrets.Backend, w ...secrets.Wrapped) [][]byte {
	t.Helper()
	keys, err := b.Unwrap(t.Context(), w...)
	require.NoError(t, err)
	require.Len(t, keys, len(w))
	return keys
}

func roundTrip(t *testing.T, b secrets.Backend) {
	require.NotEmpty(t, b.Name())
	key := dataKey()
	w := wrap(t, b, key)
	primary, err := b.Primary(t.Context())
	require.NoError(t, err)
	require.Equal(t, primary, w.Key)
	require.Equal(t, key, unwrap(t, b, w)[0])
	require.Empty(t, unwrap(t, b))
	keys, err := b.Keys(t.Context())
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.Equal(t, primary, keys[0].Name)
	require.Equal(t, secrets.KeyPrimary, keys[0].State)
}

func sameKeyTwice(t *testing.T, b secrets.Backend) {
	key := dataKey()
	require.NotEqual(t, wrap(t, b, key), wrap(t, b, key))
}

func damage(t *testing.T, b secrets.Backend) {
	key := dataKey()
	good := wrap(t, b, key)
	for i := range good.Data {
		bad := secrets.Wrapped{Key: good.Key, Data: bytes.Clone(good.Data)}
		bad.Data[i] ^= 1
		_, err := b.Unwrap(t.Context(), bad)
		require.ErrorIs(t, err, secrets.ErrTampered, "byte %d", i)
		require.NotContains(t, err.Error(), string(key))
	}
	for _, n := range []int{0, 1, 11, 12, 27, len(good.Data) - 1} {
		_, err := b.Unwrap(t.Context(), good, secrets.Wrapped{Key: good.Key, Data: good.Data[:n]})
		require.ErrorIs(t, err, secrets.ErrTampered, "%d bytes", n)
	}
}

func foreign(t *testing.T, b secrets.Backend) {
	w := wrap(t, b, dataKey())
	for _, name := range []string{"", "x", w.Key + "0", "other.v1", "../x"} {
		_, err := b.Unwrap(t.Context(), secrets.Wrapped{Key: name, Data: w.Data})
		require.Error(t, err, name)
		require.True(t, errors.Is(err, secrets.ErrNoKey) || errors.Is(err, secrets.ErrTampered), "%q: %v", name, err)
	}
}

func rotate(t *testing.T, b secrets.Backend) {
	key := dataKey()
	old := wrap(t, b, key)
	name, err := b.Rotate(t.Context())
	if errors.Is(err, ci.ErrInvalid) {
		t.Skip("its keys are rotated elsewhere")
	}
	require.NoError(t, err)
	require.NotEqual(t, old.Key, name)
	primary, err := b.Primary(t.Context())
	require.NoError(t, err)
	require.Equal(t, name, primary)
	require.Equal(t, key, unwrap(t, b, old)[0], "the old key still unwraps")
	again, err := b.Rewrap(t.Context(), old)
	require.NoError(t, err)
	require.Equal(t, name, again[0].Key)
	require.Equal(t, key, unwrap(t, b, again...)[0])
	_, err = b.Unwrap(t.Context(), secrets.Wrapped{Key: name, Data: old.Data})
	require.ErrorIs(t, err, secrets.ErrTampered, "a text is of one key")
	require.Equal(t, name, wrap(t, b, key).Key)
	keys, err := b.Keys(t.Context())
	require.NoError(t, err)
	require.Len(t, keys, 2)
	require.Equal(t, secrets.KeyDecryptOnly, keys[0].State)
	require.Equal(t, old.Key, keys[0].Name)
}

func many(t *testing.T, b secrets.Backend) {
	var plain [][]byte
	var wrapped []secrets.Wrapped
	for range 20 {
		key := dataKey()
		plain, wrapped = append(plain, key), append(wrapped, wrap(t, b, key))
	}
	require.Equal(t, plain, unwrap(t, b, wrapped...))
	again, err := b.Rewrap(t.Context(), wrapped...)
	require.NoError(t, err)
	require.Equal(t, plain, unwrap(t, b, again...))
}

func atOnce(t *testing.T, b secrets.Backend) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				key := dataKey()
				w, err := b.Wrap(t.Context(), key)
				if err != nil {
					t.Error(err)
					return
				}
				keys, err := b.Unwrap(t.Context(), w)
				if err != nil || !bytes.Equal(keys[0], key) {
					t.Error("another key came back", err)
				}
			}
		})
	}
	for range 3 {
		if _, err := b.Rotate(t.Context()); err != nil && !errors.Is(err, ci.ErrInvalid) {
			t.Error(err)
		}
	}
	wg.Wait()
}

func tellsNothing(t *testing.T, b secrets.Backend) {
	key := dataKey()
	wrap(t, b, key)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		text := fmt.Sprintf(verb, b)
		for _, form := range Forms(key) {
			require.NotContains(t, text, form, verb)
		}
	}
}
