package storagetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage"
)

// TestFiles tests files in what open returns, which must be empty. The suite
// closes it.
func TestFiles(t *testing.T, open func(t *testing.T) *blob.Bucket) {
	tests := []struct {
		name string
		test func(*testing.T, *filesTest)
	}{
		{"RoundTrip", roundTrip},
		{"P9_FirstWins", firstWins},
		{"P9_WholeOrAbsent", wholeOrAbsent},
		{"P9_Damage", damage},
		{"CacheNames", cacheNames},
		{"CachesNewestFirst", newestFirst},
		{"ArtifactNames", artifactNames},
		{"Layers", layers},
		{"Repeated", repeated},
		{"BadRequests", badFiles},
		{"Ranges", ranges},
		{"Trim", trim},
		{"MaxSize", maxSize},
		{"QuietAboutCacheNames", quietNames},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bucket := open(t)
			t.Cleanup(func() { require.NoError(t, bucket.Close()) })
			tt.test(t, &filesTest{bucket, storage.NewFiles(bucket, storage.FilesConfig{}), t})
		})
	}
}

const project = ci.ProjectID("0192-project")

type filesTest struct {
	bucket *blob.Bucket
	*storage.Files
	t *testing.T
}

func cache(name string) ci.File { return ci.File{Kind: ci.FileCache, Name: name} }
func artifact(name string) ci.File {
	return ci.File{Kind: ci.FileArtifact, Task: "job.0", Epoch: 1, Name: name}
}
func layer(name string) ci.File {
	return ci.File{Kind: ci.FileWorkspace, Task: "job.0", Epoch: 1, Name: name}
}

func (s *filesTest) put(f ci.File, data string) ci.File {
	s.t.Helper()
	f, err := s.PutFile(s.t.Context(), project, f, strings.NewReader(data))
	require.NoError(s.t, err)
	return f
}

func (s *filesTest) get(f ci.File) (string, error) {
	r, err := s.OpenFile(s.t.Context(), project, f)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	return string(b), errors.Join(err, r.Close())
}

func (s *filesTest) find(like ci.File) []string {
	s.t.Helper()
	var names []string
	for f, err := range s.FindFiles(s.t.Context(), project, like) {
		require.NoError(s.t, err)
		names = append(names, f.Name)
	}
	return names
}

func sum(data string) string {
	s := sha256.Sum256([]byte(data))
	return hex.EncodeToString(s[:])
}

func roundTrip(t *testing.T, s *filesTest) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, like := range []ci.File{cache("deps-v1"), artifact("out/a.txt"), layer("0")} {
		for _, size := range []int{0, 1, 1000, 3 << 20} {
			data := Text(random, size)
			like.Epoch++
			if like.Kind == ci.FileCache {
				like.Name, like.Epoch = like.Name+"x", 0
			}
			_, err := s.get(like)
			require.ErrorIs(t, err, ci.ErrNotFound)
			before := time.Now().Add(-time.Second)
			f := s.put(like, data)
			require.Equal(t, int64(size), f.Size)
			require.Equal(t, sum(data), f.SHA256)
			require.True(t, f.Stored.After(before))
			want := like
			want.Size, want.SHA256, want.Stored = f.Size, f.SHA256, f.Stored
			require.Equal(t, want, f)
			got, err := s.get(like)
			require.NoError(t, err)
			require.True(t, data == got)
			got, err = s.get(f) // named with its sum
			require.NoError(t, err)
			require.True(t, data == got)
			f.SHA256 = sum("something else")
			_, err = s.get(f)
			require.ErrorIs(t, err, ci.ErrNotFound)
			for found, err := range s.FindFiles(t.Context(), project, like) {
				require.NoError(t, err)
				require.Equal(t, want, found)
				break
			}
			require.NoError(t, s.DeleteFile(t.Context(), project, like))
			require.NoError(t, s.DeleteFile(t.Context(), project, like), "again")
			_, err = s.get(like)
			require.ErrorIs(t, err, ci.ErrNotFound)
			require.Empty(t, s.find(like))
		}
	}
}

// firstWins has 20 writers of one key.
func firstWins(t *testing.T, s *filesTest) {
	for round := range 3 {
		like := cache(fmt.Sprint("key-", round))
		type result struct {
			data string
			f    ci.File
			err  error
		}
		results := make([]result, 20)
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range results {
			r := &results[i]
			r.data = strings.Repeat(fmt.Sprint("writer ", i, "\n"), 1000)
			wg.Go(func() {
				<-start
				r.f, r.err = s.PutFile(t.Context(), project, like, strings.NewReader(r.data))
			})
		}
		close(start)
		wg.Wait()
		winner := slices.IndexFunc(results, func(r result) bool { return r.err == nil })
		require.GreaterOrEqual(t, winner, 0)
		for i, r := range results {
			require.Equal(t, results[winner].f, r.f, "all know the one")
			if i != winner {
				require.ErrorIs(t, r.err, ci.ErrConflict)
			}
		}
		got, err := s.get(like)
		require.NoError(t, err)
		require.Equal(t, results[winner].data, got)
	}
	f, err := s.PutFile(t.Context(), project, cache("key-0"), iotest.ErrReader(errors.New("must not be read")))
	require.ErrorIs(t, err, ci.ErrConflict)
	require.NotEmpty(t, f.SHA256)
}

func wholeOrAbsent(t *testing.T, s *filesTest) {
	data := strings.Repeat("0123456789", 100_000)
	broken := errors.New("connection lost")
	for _, like := range []ci.File{cache("a"), artifact("a"), layer("0")} {
		for _, n := range []int{0, 1, 500_000, len(data)} {
			r := io.MultiReader(strings.NewReader(data[:n]), iotest.ErrReader(broken))
			_, err := s.PutFile(t.Context(), project, like, r)
			require.ErrorIs(t, err, broken)
			_, err = s.get(like)
			require.ErrorIs(t, err, ci.ErrNotFound)
			require.Empty(t, s.find(like))
		}
		lie := like
		lie.SHA256 = sum("else")
		_, err := s.PutFile(t.Context(), project, lie, strings.NewReader(data))
		require.ErrorIs(t, err, ci.ErrInvalid)
		lie.SHA256, lie.Size = sum(data), int64(len(data))-1
		_, err = s.PutFile(t.Context(), project, lie, strings.NewReader(data))
		require.ErrorIs(t, err, ci.ErrInvalid)
		lie.SHA256, lie.Size = "", int64(len(data))+1
		_, err = s.PutFile(t.Context(), project, lie, strings.NewReader(data))
		require.ErrorIs(t, err, ci.ErrInvalid)

		ctx, cancel := context.WithCancel(t.Context())
		r := io.MultiReader(strings.NewReader(data), readerFunc(func([]byte) (int, error) {
			cancel()
			return 0, io.EOF
		}))
		_, err = s.PutFile(ctx, project, like, r)
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, s.find(like))

		lie.SHA256, lie.Size = sum(data), int64(len(data))
		s.put(lie, data)
		require.Equal(t, []string{like.Name}, s.find(like))
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// damage flips and cuts the stored object: nobody may take it for the file.
func damage(t *testing.T, s *filesTest) {
	ctx := t.Context()
	data := Text(rand.New(rand.NewPCG(2, 2)), 10_000)
	for _, like := range []ci.File{cache("deps"), artifact("out"), layer("3")} {
		s.put(like, data)
		o, err := s.bucket.List(&blob.ListOptions{Prefix: map[ci.FileKind]string{
			ci.FileCache: "caches/", ci.FileArtifact: "artifacts/", ci.FileWorkspace: "workspaces/",
		}[like.Kind]}).Next(ctx)
		require.NoError(t, err)
		whole, err := s.bucket.ReadAll(ctx, o.Key)
		require.NoError(t, err)
		check := func(bad []byte) {
			require.NoError(t, s.bucket.WriteAll(ctx, o.Key, bad, nil))
			got, err := s.get(like)
			require.True(t, errors.Is(err, storage.ErrCorrupt) || errors.Is(err, ci.ErrNotFound), "%v", err)
			require.NotEqual(t, data, got)
			for f, err := range s.FindFiles(ctx, project, like) {
				require.NoError(t, err)
				require.Equal(t, sum(data), f.SHA256)
			}
		}
		for at := 0; at < len(whole); at += 1 + len(whole)/8 {
			check(whole[:at])
			check(append(whole[:at:at], whole[at+1:]...))
			bad := bytes.Clone(whole)
			bad[at] ^= 4
			require.NoError(t, s.bucket.WriteAll(ctx, o.Key, bad, nil))
			_, err := s.get(like)
			require.Error(t, err)
		}
		for at := len(whole) - 70; at < len(whole); at += 3 {
			bad := bytes.Clone(whole)
			bad[at] ^= 1
			require.NoError(t, s.bucket.WriteAll(ctx, o.Key, bad, nil))
			_, err := s.get(like)
			require.Error(t, err)
		}
		require.NoError(t, s.bucket.WriteAll(ctx, o.Key, whole[:100], nil))
		s.put(like, "anew") // a torn one does not block the name
		got, err := s.get(like)
		require.NoError(t, err)
		require.Equal(t, "anew", got)
	}
}

var oddNames = []string{
	"v1-deps", "v1-deps-main", "v1-deps-feature/x", "v1-deps-feature/x/y", "v1-deps-feature", "V1-deps",
	"../../p/other", "..", ".", "/", "//", "a//b", "a/../b", "/abs", "trailing/", "%", "*", "%2f", "!2f", "!", "!/", "!_/", "!-",
	"trailing space ", " leading", "nul\x00byte", "line\nfeed", "\xff\xfe not UTF-8", "caf\u00e9", "cafe\u0301", "😀", "日本語",
	".attrs", "x.attrs", ".tmp/x", strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a", 65),
	strings.Repeat("a", 64) + "/b", strings.Repeat("a", 128) + "c", strings.Repeat(".", 200), strings.Repeat("/", 100),
	strings.Repeat("x", 599), strings.Repeat("x", 600), strings.Repeat("x", 601), strings.Repeat("x", 602) + "y",
	strings.Repeat("x", 602) + "z", strings.Repeat("é", 2000), strings.Repeat("long", 16<<10),
}

// cacheNames stores odd names and finds them by every sort of prefix.
func cacheNames(t *testing.T, s *filesTest) {
	for _, name := range oddNames {
		s.put(cache(name), name)
	}
	for _, name := range oddNames {
		got, err := s.get(cache(name))
		require.NoError(t, err)
		require.True(t, name == got)
	}
	require.ElementsMatch(t, oddNames, s.find(cache("")))
	for _, name := range oddNames {
		for _, n := range []int{0, 1, 2, 7, 63, 64, 65, 599, 600, 601, 602, 603, len(name) - 1, len(name)} {
			prefix := name[:max(0, min(n, len(name)))]
			var want []string
			for _, other := range oddNames {
				if strings.HasPrefix(other, prefix) {
					want = append(want, other)
				}
			}
			require.ElementsMatch(t, want, s.find(cache(prefix)), "%.80q", prefix)
		}
	}
	for f, err := range s.FindFiles(t.Context(), "another project", cache("")) {
		t.Errorf("found %v, %v", f, err)
	}
	_, err := s.OpenFile(t.Context(), "another project", cache("v1-deps"))
	require.ErrorIs(t, err, ci.ErrNotFound)
}

func newestFirst(t *testing.T, s *filesTest) {
	// The clock of a bucket may be too coarse to tell them apart.
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clocked := storage.NewFiles(s.bucket, storage.FilesConfig{Now: func() time.Time {
		now = now.Add(time.Microsecond)
		return now
	}})
	names := []string{"v1-c", "v1-a", "v1", "v1-b", "v2", "v1-longer-than-all"}
	for _, name := range names {
		_, err := clocked.PutFile(t.Context(), project, cache(name), strings.NewReader(name))
		require.NoError(t, err)
	}
	require.Equal(t, []string{"v1-longer-than-all", "v1-b", "v1", "v1-a", "v1-c"}, s.find(cache("v1")))
	require.Equal(t, []string{"v1-longer-than-all", "v2", "v1-b", "v1", "v1-a", "v1-c"}, s.find(cache("")))
	require.Empty(t, s.find(cache("v3")))
}

func artifactNames(t *testing.T, s *filesTest) {
	good := []string{
		"a", "a/b", "a/b/c.txt", "a b/c d", "50%", "#1", "what?", "a&b=c;d", "日本/語.txt", "\"><img src=x onerror=1>.txt",
		"..a", "a..", ".hidden", ".config/x", "-rf", "a\\b", "trailing dot.", "\u202egpj.exe", "%2e%2e%2f", "!",
		strings.Repeat("n", 255), strings.Repeat("é", 127), strings.Repeat("d/", 200) + "f",
	}
	for _, name := range good {
		s.put(artifact(name), "content of "+name)
	}
	for _, name := range good {
		got, err := s.get(artifact(name))
		require.NoError(t, err)
		require.Equal(t, "content of "+name, got)
	}
	sorted := slices.Clone(good)
	slices.Sort(sorted)
	require.Equal(t, sorted, s.find(artifact("")))
	require.Equal(t, []string{"a/b", "a/b/c.txt"}, s.find(artifact("a/")))
	other := artifact("")
	other.Epoch = 2
	require.Empty(t, s.find(other), "another hand-out")

	bad := []string{
		"", ".", "..", "/", "/a", "../a", "a/..", "a/../b", "a/./b", "./a", "a//b", "a/", "a\x00b", "a\nb", "a\x7f", "a\u0085b",
		"\xff", strings.Repeat("n", 256), strings.Repeat("d/", 4000) + "f", "\r\nSet-Cookie: x",
	}
	for _, name := range bad {
		_, err := s.PutFile(t.Context(), project, artifact(name), strings.NewReader("x"))
		require.ErrorIs(t, err, ci.ErrInvalid, "%.100q", name)
		_, err = s.OpenFile(t.Context(), project, artifact(name))
		require.ErrorIs(t, err, ci.ErrInvalid)
		require.ErrorIs(t, s.DeleteFile(t.Context(), project, artifact(name)), ci.ErrInvalid)
	}
}

func layers(t *testing.T, s *filesTest) {
	for _, n := range []int{0, 10, 2, 1, 100} {
		s.put(layer(fmt.Sprint(n)), fmt.Sprint(n))
	}
	require.Equal(t, []string{"0", "1", "2", "10", "100"}, s.find(layer("")))
	for _, name := range []string{"", "01", "-1", "+1", "a", "1/2", "1 ", "99999999999999999999"} {
		_, err := s.PutFile(t.Context(), project, layer(name), strings.NewReader("x"))
		require.ErrorIs(t, err, ci.ErrInvalid, name)
	}
}

// repeated uploads a second time, as after a lost answer.
func repeated(t *testing.T, s *filesTest) {
	for _, like := range []ci.File{artifact("a"), layer("0")} {
		first := s.put(like, "same")
		second := s.put(like, "same")
		require.Equal(t, first, second)
		for _, data := range []string{"other", "sam", "same!", ""} {
			f, err := s.PutFile(t.Context(), project, like, strings.NewReader(data))
			require.ErrorIs(t, err, ci.ErrConflict)
			require.Equal(t, first, f)
		}
	}
	first := s.put(cache("a"), "same")
	f, err := s.PutFile(t.Context(), project, cache("a"), strings.NewReader("same"))
	require.ErrorIs(t, err, ci.ErrConflict)
	require.Equal(t, first, f)
}

func badFiles(t *testing.T, s *filesTest) {
	bad := []ci.File{
		{}, {Kind: "else", Name: "x", Task: "t"}, {Kind: ci.FileCache}, {Kind: ci.FileArtifact, Name: "x"},
		{Kind: ci.FileArtifact, Name: "x", Task: "t", Epoch: -1}, {Kind: ci.FileCache, Name: strings.Repeat("x", 65<<10+1)},
		{Kind: ci.FileArtifact, Name: "x", Task: ci.TaskID(strings.Repeat("t", 100_000))},
	}
	for _, f := range bad {
		_, err := s.PutFile(t.Context(), project, f, strings.NewReader("x"))
		require.ErrorIs(t, err, ci.ErrInvalid)
		require.Less(t, len(err.Error()), 2000)
	}
	_, err := s.PutFile(t.Context(), "", cache("x"), strings.NewReader("x"))
	require.ErrorIs(t, err, ci.ErrInvalid)
	for _, task := range []ci.TaskID{"..", "../x", "a/b", ".", "\x00"} {
		f := ci.File{Kind: ci.FileArtifact, Task: task, Name: "x"}
		s.put(f, string(task))
		got, err := s.get(f)
		require.NoError(t, err)
		require.Equal(t, string(task), got)
	}
}

func ranges(t *testing.T, s *filesTest) {
	data := "0123456789"
	f := s.put(artifact("a"), data)
	for _, tt := range []struct {
		offset, length int64
		want           string
		err            error
	}{
		{0, -1, data, nil}, {0, 0, "", nil}, {3, 4, "3456", nil}, {8, 100, "89", nil}, {10, -1, "", nil},
		{10, 5, "", nil}, {11, 1, "", ci.ErrInvalid}, {-1, 1, "", ci.ErrInvalid}, {0, 1 << 62, data, nil},
	} {
		r, err := s.OpenRange(t.Context(), project, f, tt.offset, tt.length)
		require.ErrorIs(t, err, tt.err)
		if err != nil {
			continue
		}
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, tt.want, string(got))
		require.NoError(t, r.Close())
	}
}

func trim(t *testing.T, s *filesTest) {
	ctx := t.Context()
	for _, name := range []string{"a", "b", "c", "d"} {
		s.put(cache(name), strings.Repeat(name, 1000))
		time.Sleep(20 * time.Millisecond) // file systems count in milliseconds
	}
	n, err := s.Trim(ctx, project, ci.FileCache, storage.TrimConfig{})
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = s.Trim(ctx, project, ci.FileCache, storage.TrimConfig{MaxBytes: 3000})
	require.NoError(t, err)
	require.Equal(t, 2, n, "the trailers count too")
	require.Equal(t, []string{"d", "c"}, s.find(cache("")))
	later := func(d time.Duration) *storage.Files {
		return storage.NewFiles(s.bucket, storage.FilesConfig{Now: func() time.Time { return time.Now().Add(d) }})
	}
	n, err = later(14*24*time.Hour).Trim(ctx, project, ci.FileCache, storage.TrimConfig{})
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = later(16*24*time.Hour).Trim(ctx, project, ci.FileCache, storage.TrimConfig{MaxAge: -1})
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = later(16*24*time.Hour).Trim(ctx, "another project", ci.FileCache, storage.TrimConfig{})
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = later(16*24*time.Hour).Trim(ctx, project, ci.FileCache, storage.TrimConfig{})
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Empty(t, s.find(cache("")))
	_, err = s.Trim(ctx, project, ci.FileArtifact, storage.TrimConfig{})
	require.ErrorIs(t, err, ci.ErrInvalid)
}

func maxSize(t *testing.T, s *filesTest) {
	files := storage.NewFiles(s.bucket, storage.FilesConfig{MaxSize: 10})
	_, err := files.PutFile(t.Context(), project, artifact("a"), strings.NewReader("0123456789"))
	require.NoError(t, err)
	_, err = files.PutFile(t.Context(), project, artifact("b"), strings.NewReader("0123456789x"))
	require.ErrorIs(t, err, ci.ErrInvalid)
	announced := artifact("b")
	announced.Size = 11
	_, err = files.PutFile(t.Context(), project, announced, iotest.ErrReader(errors.New("must not be read")))
	require.ErrorIs(t, err, ci.ErrInvalid)
	require.Equal(t, []string{"a"}, s.find(artifact("")))
}

// quietNames looks for the name of a cache, which may hold a secret, in errors.
func quietNames(t *testing.T, s *filesTest) {
	const name = "v1-SECRETSECRET"
	_, err := s.get(cache(name))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "SECRET")
	s.put(cache(name), "x")
	_, err = s.PutFile(t.Context(), project, cache(name), strings.NewReader("x"))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "SECRET")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.PutFile(ctx, project, cache(name+"2"), strings.NewReader("x"))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "SECRET")
}
