package secrettest

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci/secret"
)

// home is the place of the suite's values.
func home() []string { return []string{"kind", "scope", "id", "name"} }

// TestKeeper checks a [secret.Keeper]. open returns one; the keys of two may
// differ.
func TestKeeper(t *testing.T, open func(t *testing.T) secret.Keeper) {
	ctx := context.Background()
	t.Run("round trip", func(t *testing.T) {
		k := open(t)
		for _, plain := range []string{"", "x", "two\nlines\r\n", "\xff\x00\xfe", strings.Repeat("ü", 32<<10)} {
			sealed, err := k.Seal(ctx, home(), []byte(plain))
			require.NoError(t, err)
			require.Less(t, len(sealed), 1<<20, "fits into a document")
			require.Equal(t, strings.ToValidUTF8(sealed, "?"), sealed, "is text")
			if len(plain) > 3 {
				require.NotContains(t, sealed, plain)
			}
			got, err := k.Open(ctx, home(), sealed)
			require.NoError(t, err)
			require.True(t, bytes.Equal([]byte(plain), got))
		}
	})
	t.Run("no two alike", func(t *testing.T) {
		k, seen := open(t), map[string]bool{}
		for range 100 {
			sealed, err := k.Seal(ctx, home(), []byte("same"))
			require.NoError(t, err)
			require.False(t, seen[sealed], "equal values must not show")
			seen[sealed] = true
		}
	})
	t.Run("bound to its place", func(t *testing.T) {
		k := open(t)
		sealed, err := k.Seal(ctx, home(), []byte("canary-of-place"))
		require.NoError(t, err)
		for _, place := range [][]string{
			nil, {"kind", "scope", "id"}, {"kind", "scope", "id", "name", ""}, {"kind", "scope", "id", "other"},
			{"kind", "other", "id", "name"}, {"kinds", "cope", "id", "name"}, {"kind", "scope", "idname", ""},
			{"scope", "kind", "id", "name"},
		} {
			got, err := k.Open(ctx, place, sealed)
			require.Error(t, err, "%q", place)
			require.Empty(t, got)
			require.NotContains(t, err.Error(), "canary")
		}
	})
	t.Run("damage", func(t *testing.T) { testDamage(t, open(t)) })
	t.Run("many at once", func(t *testing.T) {
		k := open(t)
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				plain := []byte{byte(i)}
				sealed, err := k.Seal(ctx, home(), plain)
				if err == nil {
					var got []byte
					got, err = k.Open(ctx, home(), sealed)
					if err == nil && !bytes.Equal(got, plain) {
						t.Errorf("%v came back as %v", plain, got)
					}
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}

// testDamage checks that nothing damaged opens, not even in part.
func testDamage(t *testing.T, k secret.Keeper) {
	ctx := context.Background()
	sealed, err := k.Seal(ctx, home(), []byte("canary-of-damage"))
	require.NoError(t, err)
	texts := []string{"", "x", "::", sealed + "A", "A" + sealed, sealed + sealed, strings.ToUpper(sealed)}
	for i := range sealed {
		texts = append(texts, sealed[:i])
		b := []byte(sealed)
		if b[i]++; b[i] < 0x7f {
			texts = append(texts, string(b))
		}
	}
	for _, text := range texts {
		got, err := k.Open(ctx, home(), text)
		if err == nil {
			// Some encodings have bits that mean nothing; then all is as it was.
			require.Equal(t, "canary-of-damage", string(got), "%q", text)
			require.Len(t, text, len(sealed))
			continue
		}
		require.Empty(t, got)
		require.NotContains(t, err.Error(), "canary")
	}
}
