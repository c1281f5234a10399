package spool_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/spool"
)

func Example() {
	s := spool.New("unused", spool.Config{})
	fmt.Fprintln(s, "hello")
	s.Close()
	_ = s.Send(context.Background(), func(_ context.Context, offset int64, data []byte) (int64, error) {
		fmt.Printf("%d: %s", offset, data)
		return offset + int64(len(data)), nil
	})
	fmt.Println(s.Sum().Bytes)
	// Output:
	// 0: hello
	// 6
}

// store is the other side: it keeps what it gets, by offset.
type store struct{ data bytes.Buffer }

func (s *store) append(_ context.Context, offset int64, data []byte) (int64, error) {
	have := int64(s.data.Len())
	if offset > have {
		return have, ci.ErrConflict
	}
	if skip := have - offset; skip < int64(len(data)) {
		s.data.Write(data[skip:])
	}
	return int64(s.data.Len()), nil
}

// TestP7_AnyFault lets acknowledgements get lost, chunks get cut and servers
// forget: what is stored is what was written.
func TestP7_AnyFault(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		s := spool.New(filepath.Join(dir, fmt.Sprint(n)), spool.Config{Pause: time.Nanosecond})
		defer func() { require.NoError(t, s.Remove()) }()
		var want bytes.Buffer
		for range rapid.IntRange(0, 12).Draw(t, "writes") {
			p := bytes.Repeat([]byte{byte(rapid.IntRange(0, 255).Draw(t, "byte"))}, rapid.IntRange(0, 1_500_000).Draw(t, "size"))
			want.Write(p)
			_, _ = s.Write(p)
		}
		s.Close()
		var have store
		err := s.Send(context.Background(), func(ctx context.Context, offset int64, data []byte) (int64, error) {
			require.LessOrEqual(t, len(data), spool.MaxChunk)
			switch rapid.IntRange(0, 3).Draw(t, "fault") {
			case 0: // only a part is stored
				return have.append(ctx, offset, data[:len(data)/2+1])
			case 1: // the chunk arrives twice
				_, _ = have.append(ctx, offset, data)
			}
			return have.append(ctx, offset, data)
		})
		require.NoError(t, err)
		require.Equal(t, want.Len(), have.data.Len())
		sum := sha256.Sum256(have.data.Bytes())
		require.Equal(t, spool.Sum{Bytes: int64(want.Len()), SHA256: hex.EncodeToString(sum[:])}, s.Sum())
		require.Equal(t, sha256.Sum256(want.Bytes()), sum)
	})
}

func TestFullSpoolIsToldWhereItHappened(t *testing.T) {
	s := spool.New(filepath.Join(t.TempDir(), "s"), spool.Config{Limit: 1 << 20})
	line := strings.Repeat("x", 99) + "\n"
	for range 70_000 { // 7 MB: 4 in memory, 1 on disk
		_, _ = s.Write([]byte(line))
	}
	var have store
	done := make(chan error, 1)
	more := make(chan struct{})
	go func() {
		done <- s.Send(t.Context(), func(ctx context.Context, offset int64, data []byte) (int64, error) {
			next, err := have.append(ctx, offset, data)
			if next >= 4<<20 {
				select {
				case <-more:
				default:
					close(more)
				}
			}
			return next, err
		})
	}()
	<-more
	require.Eventually(t, func() bool {
		_, _ = s.Write([]byte("after\n"))
		return s.Sum().Lost > 0 && strings.HasSuffix(fmt.Sprint(s.Sum().Bytes%100), "") && s.Sum().Bytes > 5<<20
	}, 5*time.Second, time.Millisecond)
	time.Sleep(10 * time.Millisecond)
	_, _ = s.Write([]byte("last\n"))
	s.Close()
	require.NoError(t, <-done)
	out := have.data.String()
	require.Equal(t, 1, strings.Count(out, "bytes of output missing: spool full]\n"))
	require.Contains(t, out, "\n[rondo: ")
	require.True(t, strings.HasSuffix(out, "last\n"))
	require.Equal(t, int64(len(out)), s.Sum().Bytes)
	sum := sha256.Sum256([]byte(out))
	require.Equal(t, hex.EncodeToString(sum[:]), s.Sum().SHA256)
}

func TestSpoolThatCannotBeWritten(t *testing.T) {
	s := spool.New("/no/such/dir/spool", spool.Config{})
	_, _ = s.Write(bytes.Repeat([]byte("x"), 4<<20))
	_, _ = s.Write([]byte("lost"))
	s.Close()
	var have store
	require.NoError(t, s.Send(t.Context(), have.append))
	require.True(t, strings.HasSuffix(have.data.String(), "x[rondo: 4 bytes of output missing: spool cannot be written]\n"))
	require.Equal(t, int64(4), s.Sum().Lost)
}

func TestRingWrapsAround(t *testing.T) {
	s := spool.New(filepath.Join(t.TempDir(), "s"), spool.Config{Limit: 3 << 20, Pause: time.Nanosecond})
	var want bytes.Buffer
	write := func(n int, b byte) {
		p := bytes.Repeat([]byte{b}, n)
		want.Write(p)
		_, _ = s.Write(p)
	}
	write(4<<20, 'm')
	write(3<<20, 'a')
	calls := 0
	var have store
	err := s.Send(t.Context(), func(ctx context.Context, offset int64, data []byte) (int64, error) {
		if calls++; calls == 6 { // 2 MiB of the file are free again
			write(900_000, 'b')
			write(900_000, 'c')
			s.Close()
		}
		return have.append(ctx, offset, data)
	})
	require.NoError(t, err)
	require.Zero(t, s.Sum().Lost)
	require.True(t, bytes.Equal(want.Bytes(), have.data.Bytes()))
	require.NoError(t, s.Remove())
}

func TestSendErrors(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		next int64
		err  error
		want string
	}{
		"error":              {0, boom, "boom"},
		"conflict":           {0, ci.ErrConflict, "conflict"},
		"stores nothing":     {0, nil, "stores nothing"},
		"more than was sent": {99, nil, "after 5 were sent"},
	} {
		s := spool.New("unused", spool.Config{})
		_, _ = s.Write([]byte("hello"))
		s.Close()
		err := s.Send(t.Context(), func(context.Context, int64, []byte) (int64, error) { return c.next, c.err })
		require.ErrorContains(t, err, c.want, name)
	}
	ctx, stop := context.WithCancelCause(t.Context())
	stop(boom)
	require.ErrorIs(t, spool.New("unused", spool.Config{}).Send(ctx, nil), boom)
}

func TestRemove(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s")
	s := spool.New(file, spool.Config{})
	_, _ = s.Write(make([]byte, 5<<20))
	require.FileExists(t, file)
	require.NoError(t, s.Remove())
	require.NoError(t, s.Remove())
	_, err := os.Stat(file)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func BenchmarkWrite(b *testing.B) {
	s := spool.New(filepath.Join(b.TempDir(), "s"), spool.Config{})
	go s.Send(b.Context(), func(_ context.Context, offset int64, data []byte) (int64, error) {
		return offset + int64(len(data)), nil
	})
	p := make([]byte, 64<<10)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		_, _ = s.Write(p)
	}
}
