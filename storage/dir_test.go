package storage_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"
	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/storage"
)

func openDir(t testing.TB, dir string) *blob.Bucket {
	t.Helper()
	b, err := storage.OpenDir(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// TestDirLikeMemory does the same to a folder and to a bucket in memory.
func TestDirLikeMemory(t *testing.T) {
	keys := []string{"a", "b/c", "b/d", "b-", "b/c2/x", "b/c2/y", "b.", "z/1", "z/10", "z/2", "z0", "q/r/s/t"}
	prefixes := []string{"", "a", "b", "b/", "b/c", "b/c2", "b/c2/", "z", "z/1", "none", "none/", "q/r", "q/r/", "a/", "../", "/", "b//"}
	rapid.Check(t, func(rt *rapid.T) {
		ctx := t.Context()
		dir := openDir(t, t.TempDir())
		mem := memblob.OpenBucket(nil)
		defer mem.Close()
		both := func(do func(*blob.Bucket) (any, error)) {
			want, werr := do(mem)
			got, gerr := do(dir)
			require.Equal(t, gcerrors.Code(werr), gcerrors.Code(gerr), "%v against %v", werr, gerr)
			require.Empty(t, cmp.Diff(want, got))
		}
		for range rapid.IntRange(1, 12).Draw(rt, "operations") {
			key := rapid.SampledFrom(keys).Draw(rt, "key")
			data := rapid.SliceOfN(rapid.Byte(), 0, 10).Draw(rt, "data")
			once := rapid.Bool().Draw(rt, "once")
			switch rapid.IntRange(0, 6).Draw(rt, "operation") {
			case 0, 1, 2:
				both(func(b *blob.Bucket) (any, error) {
					return nil, b.WriteAll(ctx, key, data, &blob.WriterOptions{IfNotExist: once})
				})
			case 3:
				both(func(b *blob.Bucket) (any, error) { return nil, b.Delete(ctx, key) })
			case 4:
				from, n := rapid.Int64Range(0, 12).Draw(rt, "from"), rapid.Int64Range(-1, 12).Draw(rt, "length")
				both(func(b *blob.Bucket) (any, error) {
					r, err := b.NewRangeReader(ctx, key, from, n, nil)
					if err != nil {
						return nil, err
					}
					defer r.Close()
					data, err := io.ReadAll(r)
					return fmt.Sprint(data, r.Size()), err
				})
			case 5:
				to := rapid.SampledFrom(keys).Draw(rt, "to")
				both(func(b *blob.Bucket) (any, error) { return nil, b.Copy(ctx, to, key, nil) })
			case 6:
				both(func(b *blob.Bucket) (any, error) {
					a, err := b.Attributes(ctx, key)
					if err != nil {
						return nil, err
					}
					return a.Size, nil
				})
			}
		}
		for range 10 {
			opts := blob.ListOptions{
				Prefix:    rapid.SampledFrom(prefixes).Draw(rt, "prefix"),
				Delimiter: rapid.SampledFrom([]string{"", "/", "c", "-"}).Draw(rt, "delimiter"),
			}
			size := rapid.IntRange(1, 5).Draw(rt, "page")
			both(func(b *blob.Bucket) (any, error) { return pages(ctx, b, opts, size) })
		}
	})
}

// pages lists by pages.
func pages(ctx context.Context, b *blob.Bucket, opts blob.ListOptions, size int) (all []string, err error) {
	for token := blob.FirstPageToken; len(token) > 0; {
		var page []*blob.ListObject
		if page, token, err = b.ListPage(ctx, token, size, &opts); err != nil {
			return nil, err
		}
		for _, o := range page {
			all = append(all, fmt.Sprint(o.Key, o.Size, o.IsDir))
		}
	}
	return all, nil
}

// TestP9_OneWinner has many writers create the same objects, through two
// buckets as two processes would have, while others delete them.
func TestP9_OneWinner(t *testing.T) {
	dir := t.TempDir()
	buckets := []*blob.Bucket{openDir(t, dir), openDir(t, dir)}
	for round := range 6 {
		key := fmt.Sprintf("a/%d/b/c", round%3)
		var wins atomic.Int32
		var winner string
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				data := strings.Repeat(fmt.Sprint(i), 1000)
				err := buckets[i%2].WriteAll(t.Context(), key, []byte(data), &blob.WriterOptions{IfNotExist: true})
				switch {
				case err == nil:
					wins.Add(1)
					winner = data
				case gcerrors.Code(err) != gcerrors.FailedPrecondition:
					t.Error(err)
				}
			})
			wg.Go(func() { // folders come and go meanwhile
				other := fmt.Sprintf("a/%d/b/x%d", round%3, i)
				if err := buckets[i%2].WriteAll(t.Context(), other, nil, nil); err != nil {
					t.Error(err)
				}
				if err := buckets[i%2].Delete(t.Context(), other); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, wins.Load())
		got, err := buckets[0].ReadAll(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, winner, string(got))
		require.NoError(t, buckets[1].Delete(t.Context(), key))
	}
	require.Equal(t, []string{".tmp"}, names(t, dir), "nothing is left")
	require.Empty(t, names(t, filepath.Join(dir, ".tmp")))
}

func names(t *testing.T, dir string) (all []string) {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		all = append(all, e.Name())
	}
	sort.Strings(all)
	return all
}

// TestDirNames asks for what a folder must not give.
func TestDirNames(t *testing.T) {
	top := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(top, "secret"), []byte("secret"), 0o600))
	dir := filepath.Join(top, "bucket")
	b := openDir(t, dir)
	ctx := t.Context()
	for _, key := range []string{
		"", "/", ".", "..", "../secret", "a/../../secret", "/etc/passwd", "a//b", "a/", ".tmp/x", "a/.b", "a\x00b", strings.Repeat("n", 256),
	} {
		_, err := b.ReadAll(ctx, key)
		require.Error(t, err)
		require.Error(t, b.WriteAll(ctx, key, []byte("x"), nil), key)
		require.Error(t, b.Delete(ctx, key))
		_, err = b.Attributes(ctx, key)
		require.Error(t, err)
	}
	require.NoError(t, b.WriteAll(ctx, "a/b", []byte("x"), nil))
	require.Error(t, b.WriteAll(ctx, "a", []byte("x"), nil), "a folder of others")
	require.Error(t, b.WriteAll(ctx, "a/b/c", []byte("x"), nil), "an object is no folder")
	for _, key := range []string{"a", "a/b/c"} {
		_, err := b.ReadAll(ctx, key)
		require.Equal(t, gcerrors.NotFound, gcerrors.Code(err), "%v", err)
		require.Equal(t, gcerrors.NotFound, gcerrors.Code(b.Delete(ctx, key)))
	}

	// A link that somebody has planted leads nowhere.
	require.NoError(t, os.Symlink("../secret", filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink("..", filepath.Join(dir, "up")))
	_, err := b.ReadAll(ctx, "link")
	require.Error(t, err)
	_, err = b.ReadAll(ctx, "up/secret")
	require.Error(t, err)
	require.Error(t, b.WriteAll(ctx, "up/new", []byte("x"), nil))
	require.Equal(t, []string{"bucket", "secret"}, names(t, top))
	all, err := pages(ctx, b, blob.ListOptions{}, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"a/b1 false"}, all)
}

func TestA093_OpenToEverybody(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o777))
	_, err := storage.OpenDir(dir)
	require.ErrorContains(t, err, "everybody")
	_, err = storage.OpenLogs(dir, storage.LogsConfig{})
	require.ErrorContains(t, err, "everybody")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = storage.OpenDir(file)
	require.Error(t, err)
	_, err = storage.OpenDir(filepath.Join(file, "under"))
	require.Error(t, err)
}

// TestP9_UnfinishedWrites leaves what a crash would, and gives up a write.
func TestP9_UnfinishedWrites(t *testing.T) {
	dir := t.TempDir()
	b := openDir(t, dir)
	w, err := b.NewWriter(t.Context(), "a", nil)
	require.NoError(t, err)
	_, err = w.Write(make([]byte, 100_000))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	given, err := b.NewWriter(ctx, "b", nil)
	require.NoError(t, err)
	_, err = given.Write(make([]byte, 100_000))
	require.NoError(t, err)
	cancel()
	require.ErrorIs(t, given.Close(), context.Canceled)

	tmp := filepath.Join(dir, ".tmp")
	require.Len(t, names(t, tmp), 1)
	old := filepath.Join(tmp, "left-by-a-crash")
	require.NoError(t, os.WriteFile(old, []byte("half"), 0o600))
	require.NoError(t, os.Chtimes(old, time.Time{}, time.Now().Add(-2*time.Hour)))
	other := openDir(t, dir)
	require.Len(t, names(t, tmp), 1, "that of the crash is gone, that under way is not")
	all, err := pages(t.Context(), other, blob.ListOptions{}, 10)
	require.NoError(t, err)
	require.Empty(t, all)
	require.NoError(t, w.Close())
	all, err = pages(t.Context(), other, blob.ListOptions{}, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"a100000 false"}, all)
	require.Empty(t, names(t, tmp))
	require.ErrorIs(t, other.WriteAll(ctx, "c", nil, nil), context.Canceled)
}
