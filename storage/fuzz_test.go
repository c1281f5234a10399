package storage

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// FuzzHotFile loads any bytes as a hot file. Whatever is in it, what can be
// read is a stream, and output can be added.
func FuzzHotFile(f *testing.F) {
	disk := newMemDisk()
	l := newLogs(disk, LogsConfig{})
	for i := range 4 {
		appendAll(f, l, key(i%2), int64(i/2*5), "abcde")
	}
	name := handoutID{"job.0", 1}.fileName()
	open := bytes.Clone(disk.files[name].data)
	require.NoError(f, l.End(f.Context(), "job.0", 1))
	ended := bytes.Clone(disk.files[name].data)
	for _, seed := range [][]byte{nil, open, ended, open[:len(open)-3], ended[:len(ended)-3], append(bytes.Clone(open), make([]byte, 100)...)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		disk := newMemDisk()
		disk.files[name] = &memFile{data: bytes.Clone(data)}
		l := newLogs(disk, LogsConfig{})
		size, err := l.Size(t.Context(), key(0))
		if err != nil {
			return
		}
		was := contents(t, l, key(0), 0)
		require.EqualValues(t, len(was), size)
		if _, err := l.Append(t.Context(), key(0), size, []byte("more")); err != nil {
			require.ErrorIs(t, err, ci.ErrConflict)
			return
		}
		l = newLogs(disk, LogsConfig{})
		require.Equal(t, was+"more", contents(t, l, key(0), 0))
	})
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte{0}, int64(0))
	f.Add(appendIndex(nil, map[int]*stream{3: {size: 10, durable: 10, end: 90, points: []point{{0, 50}, {4, 70}}}}), int64(100))
	f.Fuzz(func(t *testing.T, b []byte, limit int64) {
		if limit < 0 {
			return
		}
		streams, err := parseIndex(b, limit)
		if err != nil {
			return
		}
		again, err := parseIndex(appendIndex(nil, streams), limit)
		require.NoError(t, err)
		require.Equal(t, streams, again)
		for _, s := range streams {
			require.LessOrEqual(t, s.end, limit)
			require.True(t, slices.IsSortedFunc(s.points, func(a, b point) int { return int(a.pos - b.pos) }))
		}
	})
}

func FuzzSealed(f *testing.F) {
	s := &sealedLog{blocks: map[int][]block{}}
	pos := s.add(0, block{raw: 10, size: 5, sum: 1})
	pos = s.add(1, block{pos: pos, raw: blockSize, size: 500, sum: 2})
	pos = s.add(0, block{pos: pos, raw: 1, size: 9, sum: 3})
	f.Add(appendSealed(s, []int{0, 1, 0}), pos)
	f.Add(appendSealed(&sealedLog{}, nil), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, limit int64) {
		if limit < 0 {
			return
		}
		n, err := sealedIndexSize(b, limit+int64(len(b)))
		if err != nil || n != int64(len(b)) {
			return
		}
		s, err := parseSealed(b, limit)
		if err != nil {
			return
		}
		for step := range maps.Keys(s.blocks) {
			require.Positive(t, s.size(step))
		}
	})
}

func FuzzTrailer(f *testing.F) {
	file := ci.File{Name: "a name", Size: 7, SHA256: strings.Repeat("0f", 32), Stored: time.Unix(1, 2).UTC()}
	b, err := appendTrailer(nil, file)
	require.NoError(f, err)
	f.Add(b, int64(7+len(b)))
	f.Fuzz(func(t *testing.T, b []byte, object int64) {
		file, err := parseTrailer(b, object)
		if err != nil {
			return
		}
		again, err := appendTrailer(nil, file)
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}

// FuzzNames shows what the names of objects promise: they are tame, nobody
// shares one, and prefixes of names are prefixes of objects' names.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"", "a", "../..", "a/b", "a//", "!2f", "!_/", "\xff\x00", strings.Repeat("a", 64), strings.Repeat("x/", 400)} {
		f.Add(s, "b", 3)
		f.Add(s, s, 64)
	}
	f.Fuzz(func(t *testing.T, a, b string, n int) {
		for _, s := range []string{a, b, a + b, b + a} {
			object := objectName(s)
			if s != "" {
				require.NoError(t, new(dirBucket).checkKey(object), "%q", s)
			}
			require.Empty(t, strings.Trim(object, tame))
			require.LessOrEqual(t, len(object), 800)
			_, used := escapeName(s)
			name, ok := unescapeName(object)
			require.Equal(t, used == len(s), ok)
			if ok {
				require.Equal(t, s, name)
			}
			prefix, _ := escapeName(s[:max(0, min(n, len(s)))])
			require.True(t, strings.HasPrefix(object, prefix))
		}
		prefix, used := escapeName(a)
		if used == len(a) { // exact, unless cut
			require.Equal(t, strings.HasPrefix(b, a), strings.HasPrefix(objectName(b), prefix), "%q in %q", a, b)
		}
		require.Equal(t, a == b, objectName(a) == objectName(b))
		require.Equal(t, a == b, escapePart(a) == escapePart(b))
		require.LessOrEqual(t, len(escapePart(a)), 200)
		require.NotContains(t, escapePart(a), "/")
	})
}

const tame = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._!/"
