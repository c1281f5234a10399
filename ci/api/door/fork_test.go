package door_test

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// TestA028_ForkCaches has a pull request from a fork store a cache before the
// project does. Neither the project nor another fork may find it, the fork's
// next task does, and the branch names do not matter.
func TestA028_ForkCaches(t *testing.T) {
	everyWay(t, func(t *testing.T, w *world, open func(ci.TaskID, int64) both) {
		ctx := t.Context()
		for id, fork := range map[ci.TaskID]string{"evil.0": "mallory/shop", "evil.1": "mallory/shop", "else.0": "bob/shop"} {
			w.add(id, "p1")
			work := w.work[id]
			work.Pipeline.Trigger.Fork, work.Pipeline.Trigger.Branch = fork, "main"
			w.work[id] = work
		}
		cache := ci.File{Kind: ci.FileCache, Name: "deps-1"}
		put := func(id ci.TaskID, content string) error {
			_, err := open(id, 1).PutFile(ctx, w.hand(id, 1, "a"), cache, strings.NewReader(content))
			return err
		}
		get := func(id ci.TaskID) string {
			d, l := open(id, 1), w.hand(id, 1, "a")
			found, err := d.FindFiles(ctx, l, ci.File{Kind: ci.FileCache, Name: "deps-"})
			require.NoError(t, err)
			r, err := d.OpenFile(ctx, l, cache)
			if len(found) == 0 {
				require.ErrorIs(t, err, ci.ErrNotFound)
				return ""
			}
			require.NoError(t, err)
			b, err := io.ReadAll(r)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			return string(b)
		}
		require.NoError(t, put("evil.0", "poison"))
		require.Empty(t, get("test.0"), "the project")
		require.Empty(t, get("else.0"), "another fork")
		require.Equal(t, "poison", get("evil.1"))
		require.NoError(t, put("test.0", "good"))
		require.Equal(t, "good", get("test.0"))
		require.Equal(t, "poison", get("evil.1"))
		require.ErrorIs(t, put("evil.1", "again"), ci.ErrConflict)
	})
}
