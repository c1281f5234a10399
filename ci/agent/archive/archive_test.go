package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci/agent/archive"
)

func Example() {
	from, _ := os.MkdirTemp("", "from")
	defer os.RemoveAll(from)
	_ = os.WriteFile(filepath.Join(from, "hello.txt"), []byte("hello"), 0o644)

	var packed bytes.Buffer
	_, err := archive.Pack(context.Background(), &packed, []archive.Source{{Path: from}}, archive.Limits{}, nil)
	if err != nil {
		fmt.Println(err)
	}

	to, _ := os.MkdirTemp("", "to")
	defer os.RemoveAll(to)
	root, _ := os.OpenRoot(to)
	defer root.Close()
	stats, err := archive.Unpack(context.Background(), &packed, map[string]*os.Root{"": root}, archive.Limits{})
	text, _ := os.ReadFile(filepath.Join(to, "hello.txt"))
	fmt.Println(string(text), stats.Bytes, err)
	// Output: hello 5 <nil>
}

// hostile returns an archive of the headers. A regular file holds its name.
func hostile(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	require.NoError(t, err)
	w := tar.NewWriter(z)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		require.NoError(t, w.WriteHeader(&h))
		if h.Typeflag == tar.TypeReg {
			_, err := io.WriteString(w, h.Name)
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	return b.Bytes()
}

func unpack(t testing.TB, data []byte) (dir string, err error) {
	t.Helper()
	top := t.TempDir()
	dir = filepath.Join(top, "root")
	require.NoError(t, os.Mkdir(dir, 0o755))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	_, err = archive.Unpack(t.Context(), bytes.NewReader(data), map[string]*os.Root{"": root}, archive.Limits{Bytes: 1 << 20, Entries: 100})
	entries, _ := os.ReadDir(top)
	require.Len(t, entries, 1, "something was written outside the root")
	return dir, err
}

// TestSEC_HostileArchives are the attacks A079, A080, A083 and A084.
func TestSEC_HostileArchives(t *testing.T) {
	outside := t.TempDir()
	victim := filepath.Join(outside, "victim")
	require.NoError(t, os.WriteFile(victim, []byte("untouched"), 0o644))
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name} }
	link := func(name, to string) tar.Header {
		return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to}
	}
	hard := func(name, to string) tar.Header {
		return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to}
	}
	many := make([]tar.Header, 101)
	for i := range many {
		many[i] = file(fmt.Sprint(i))
	}
	cases := map[string][]tar.Header{
		"parent":                 {file("../pwn")},
		"parent inside":          {file("a/../../pwn")},
		"parent that stays":      {file("a/../b")},
		"absolute":               {file(victim)},
		"link then write":        {link("d", outside), file("d/victim")},
		"link chain":             {link("a", "b"), link("b", "c"), link("c", outside), file("a/victim")},
		"relative link":          {link("d", "../.."), file("d/pwn")},
		"link of a directory":    {link("d", outside), {Typeflag: tar.TypeDir, Name: "d"}, file("d/../victim")},
		"hard link out":          {hard("h", "../victim")},
		"hard link absolute":     {hard("h", victim)},
		"hard link through link": {link("d", outside), hard("h", "d/victim"), file("h")},
		"hard link to nothing":   {hard("h", "none")},
		"hard link to link":      {link("l", victim), hard("h", "l"), file("h")},
		"character device":       {{Typeflag: tar.TypeChar, Name: "dev", Devmajor: 1, Devminor: 3}},
		"block device":           {{Typeflag: tar.TypeBlock, Name: "dev"}},
		"pipe":                   {{Typeflag: tar.TypeFifo, Name: "pipe"}},
		"too many":               many,
		"long name":              {file(strings.Repeat("x", 5000))},
	}
	for name, headers := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := unpack(t, hostile(t, headers...))
			require.Error(t, err)
			b, err := os.ReadFile(victim)
			require.NoError(t, err)
			require.Equal(t, "untouched", string(b))
		})
	}
}

// What looks like an attack and is none.
func TestOddButGood(t *testing.T) {
	dir, err := unpack(t, hostile(t,
		tar.Header{Typeflag: tar.TypeSymlink, Name: "out", Linkname: "/usr/bin/python3"},
		tar.Header{Typeflag: tar.TypeReg, Name: "out2", Mode: 0o4755},
		tar.Header{Typeflag: tar.TypeDir, Name: "closed/", Mode: 0o001},
		tar.Header{Typeflag: tar.TypeReg, Name: "closed/f"},
		tar.Header{Typeflag: tar.TypeReg, Name: "./dot/..f"},
		tar.Header{Typeflag: tar.TypeLink, Name: "hard", Linkname: "dot/..f"},
		tar.Header{Typeflag: tar.TypeReg, Name: `c:\x`, ModTime: time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)},
		tar.Header{Typeflag: tar.TypeReg, Name: "twice"}, tar.Header{Typeflag: tar.TypeReg, Name: "twice"},
	))
	require.NoError(t, err)
	to, err := os.Readlink(filepath.Join(dir, "out"))
	require.NoError(t, err)
	require.Equal(t, "/usr/bin/python3", to)
	i, err := os.Stat(filepath.Join(dir, "out2"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o755), i.Mode(), "no set-user-ID bit")
	i, err = os.Stat(filepath.Join(dir, "closed"))
	require.NoError(t, err)
	require.Equal(t, os.ModeDir|0o701, i.Mode(), "can be cleaned up")
	b, err := os.ReadFile(filepath.Join(dir, "hard"))
	require.NoError(t, err)
	require.Equal(t, "./dot/..f", string(b))
}

func TestSEC_Bombs(t *testing.T) {
	var b bytes.Buffer
	z, _ := zstd.NewWriter(&b)
	w := tar.NewWriter(z)
	require.NoError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "zeros", Size: 64 << 20, Mode: 0o600}))
	_, err := w.Write(make([]byte, 64<<20))
	require.NoError(t, err)
	require.NoError(t, errors.Join(w.Close(), z.Close()))
	require.Less(t, b.Len(), 64<<10)
	_, err = unpack(t, b.Bytes())
	require.ErrorIs(t, err, archive.ErrBad)
	_, err = archive.List(bytes.NewReader(b.Bytes()), archive.Limits{Bytes: 1 << 20}, nil)
	require.ErrorIs(t, err, archive.ErrBad)
}

func TestDamage(t *testing.T) {
	good := hostile(t, tar.Header{Typeflag: tar.TypeReg, Name: strings.Repeat("name", 20)})
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		if _, err := archive.List(bytes.NewReader(bad), archive.Limits{}, nil); err != nil {
			require.ErrorIs(t, err, archive.ErrBad)
		}
		_, err := archive.List(bytes.NewReader(good[:i]), archive.Limits{}, nil)
		require.ErrorIs(t, err, archive.ErrBad, "cut at %d", i)
	}
}

func TestExistingFilesAreReplacedNotWrittenThrough(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(t.TempDir(), "other")
	require.NoError(t, os.WriteFile(other, []byte("untouched"), 0o644))
	require.NoError(t, os.Symlink(other, filepath.Join(dir, "soft")))
	require.NoError(t, os.Link(other, filepath.Join(dir, "hard")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "readonly"), nil, 0o400))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	data := hostile(t, tar.Header{Typeflag: tar.TypeReg, Name: "x/soft"}, tar.Header{Typeflag: tar.TypeReg, Name: "x/hard"}, tar.Header{Typeflag: tar.TypeReg, Name: "x/readonly"})
	_, err = archive.Unpack(t.Context(), bytes.NewReader(data), map[string]*os.Root{"x": root}, archive.Limits{})
	require.NoError(t, err)
	b, _ := os.ReadFile(other)
	require.Equal(t, "untouched", string(b))
	b, _ = os.ReadFile(filepath.Join(dir, "soft"))
	require.Equal(t, "x/soft", string(b))
	_, err = archive.Unpack(t.Context(), bytes.NewReader(hostile(t, tar.Header{Typeflag: tar.TypeReg, Name: "nowhere"})), map[string]*os.Root{"x": root}, archive.Limits{})
	require.ErrorIs(t, err, archive.ErrBad)
}

// TestSEC_Collect is attack A082: what must not be collected.
func TestSEC_Collect(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), []byte("1234"), 0o644))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	require.NoError(t, err)
	require.NoError(t, sparse.Truncate(8<<40))
	require.NoError(t, sparse.Close())
	_, err = archive.Pack(t.Context(), io.Discard, []archive.Source{{Path: dir, Name: "d"}}, archive.Limits{}, nil)
	require.ErrorContains(t, err, "more than 68719476736 bytes")
	require.NoError(t, os.Remove(sparse.Name()))
	var skipped []string
	stats, err := archive.Pack(t.Context(), io.Discard, []archive.Source{{Path: dir, Name: "d"}, {Path: dir + "/f", Name: "d/f"}}, archive.Limits{},
		func(path string, _ error) { skipped = append(skipped, filepath.Base(path)) })
	require.NoError(t, err)
	require.Equal(t, archive.Stats{Entries: 2, Bytes: 4}, stats)
	require.Equal(t, []string{"pipe"}, skipped)
	for _, path := range []string{"/proc/self/environ", "/dev/zero", filepath.Join(dir, "pipe"), dir, dir + "/none"} {
		_, _, err := archive.OpenFile(path)
		require.Error(t, err, path)
	}
	_, err = archive.Pack(t.Context(), io.Discard, []archive.Source{{Path: "/proc/self/environ", Name: "e"}}, archive.Limits{}, nil)
	require.ErrorContains(t, err, "kernel")
}

func FuzzList(f *testing.F) {
	f.Add(hostile(f, tar.Header{Typeflag: tar.TypeReg, Name: "a"}, tar.Header{Typeflag: tar.TypeDir, Name: "b"}))
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = archive.List(bytes.NewReader(data), archive.Limits{Bytes: 1 << 20, Entries: 100}, nil)
	})
}
