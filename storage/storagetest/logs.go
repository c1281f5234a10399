package storagetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage"
)

// TestLogs tests what open returns, which must be empty; the suite closes it.
func TestLogs(t *testing.T, open func(t *testing.T) *storage.Logs) {
	tests := []struct {
		name string
		test func(*testing.T, *storage.Logs)
	}{
		{"P7_ByOffset", byOffset},
		{"P7_SameBytesInAnyOrder", sameBytesInAnyOrder},
		{"P7_TwoWriters", twoWriters},
		{"Interleaved", interleaved},
		{"BadRequests", badRequests},
		{"OddTasks", oddTasks},
		{"Ended", ended},
		{"Delete", deleted},
		{"ManyKeys", manyKeys},
		{"Large", large},
		{"P8_FollowLive", followLive},
		{"P8_ManyWatchers", manyWatchers},
		{"P8_Resume", resume},
		{"FollowEnds", followEnds},
		{"Closed", closed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			logs := open(t)
			t.Cleanup(func() { require.NoError(t, logs.Close()) })
			tt.test(t, logs)
		})
	}
}

func key(step int) ci.LogKey { return ci.LogKey{Task: "job.0", Epoch: 1, Step: step} }

// read returns all that a stream has from the offset on.
func read(t testing.TB, logs *storage.Logs, k ci.LogKey, offset int64) string {
	t.Helper()
	r, err := logs.Read(t.Context(), k, offset)
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	return string(b)
}

func write(t testing.TB, logs *storage.Logs, k ci.LogKey, offset int64, data string) {
	t.Helper()
	next, err := logs.Append(t.Context(), k, offset, []byte(data))
	require.NoError(t, err)
	require.Equal(t, offset+int64(len(data)), next)
}

func byOffset(t *testing.T, logs *storage.Logs) {
	steps := []struct {
		offset int64
		data   string
		next   int64
		err    error
		now    string
	}{
		{1, "x", 0, ci.ErrConflict, ""},
		{0, "", 0, nil, ""},
		{0, "hello", 5, nil, "hello"},
		{0, "hello", 5, nil, "hello"},
		{3, "lo", 5, nil, "hello"},
		{3, "lo, wo", 9, nil, "hello, wo"},
		{10, "x", 9, ci.ErrConflict, "hello, wo"},
		{10, "", 9, ci.ErrConflict, "hello, wo"},
		{9, "", 9, nil, "hello, wo"},
		{9, "rld\n", 13, nil, "hello, world\n"},
		{0, "hello, world\n!", 14, nil, "hello, world\n!"},
	}
	for _, s := range steps {
		next, err := logs.Append(t.Context(), key(2), s.offset, []byte(s.data))
		require.ErrorIs(t, err, s.err)
		require.Equal(t, s.next, next)
		require.Equal(t, s.now, read(t, logs, key(2), 0))
		size, err := logs.Size(t.Context(), key(2))
		require.NoError(t, err)
		require.EqualValues(t, len(s.now), size)
		for i := range len(s.now) {
			require.Equal(t, s.now[i:], read(t, logs, key(2), int64(i)))
		}
	}
	require.Empty(t, read(t, logs, key(0), 0), "another step has nothing of it")
}

// sameBytesInAnyOrder sends pieces of a stream with repetitions, overlaps and
// out of order, as a bad network would, until all is there.
func sameBytesInAnyOrder(t *testing.T, logs *storage.Logs) {
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 0))
		k := ci.LogKey{Task: ci.TaskID(fmt.Sprint("job.", seed)), Epoch: 3}
		want := Text(random, 1+random.IntN(20_000))
		known := int64(0)
		for int(known) < len(want) {
			from := max(0, known+int64(random.IntN(4000))-3000)
			from = min(from, int64(len(want)))
			to := min(int64(len(want)), from+int64(random.IntN(3000)))
			next, err := logs.Append(t.Context(), k, from, []byte(want[from:to]))
			if from > known {
				require.ErrorIs(t, err, ci.ErrConflict)
			} else {
				require.NoError(t, err)
				require.Equal(t, max(known, to), next)
			}
			known = next
		}
		require.Equal(t, want, read(t, logs, k, 0))
	}
}

// twoWriters has two agents believe that they own a stream.
func twoWriters(t *testing.T, logs *storage.Logs) {
	want := Text(rand.New(rand.NewPCG(1, 1)), 40_000)
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, 2))
			for next := int64(0); next < int64(len(want)); {
				end := min(int64(len(want)), next+int64(random.IntN(2000)))
				var err error
				if next, err = logs.Append(t.Context(), key(0), next, []byte(want[next:end])); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, want, read(t, logs, key(0), 0))
}

func interleaved(t *testing.T, logs *storage.Logs) {
	random := rand.New(rand.NewPCG(7, 7))
	var want [5]string
	for range 150 {
		step := random.IntN(len(want))
		data := Text(random, 1+random.IntN(900))
		write(t, logs, key(step), int64(len(want[step])), data)
		want[step] += data
	}
	for step, w := range want {
		for range 20 {
			offset := random.IntN(len(w))
			require.Equal(t, w[offset:], read(t, logs, key(step), int64(offset)))
		}
	}
}

func badRequests(t *testing.T, logs *storage.Logs) {
	ctx := t.Context()
	write(t, logs, key(0), 0, "abc")
	keys := []ci.LogKey{
		{}, {Task: "", Epoch: 1}, {Task: "t", Epoch: -1}, {Task: "t", Step: -1},
		{Task: "t", Step: math.MaxInt32}, {Task: ci.TaskID(strings.Repeat("t", 1<<20))},
	}
	for _, k := range keys {
		_, err := logs.Append(ctx, k, 0, []byte("x"))
		require.ErrorIs(t, err, ci.ErrInvalid)
		require.Less(t, len(err.Error()), 1000)
		_, err = logs.Size(ctx, k)
		require.ErrorIs(t, err, ci.ErrInvalid)
		_, err = logs.Read(ctx, k, 0)
		require.ErrorIs(t, err, ci.ErrInvalid)
	}
	require.ErrorIs(t, logs.End(ctx, "", 1), ci.ErrInvalid)
	require.ErrorIs(t, logs.Seal(ctx, "", 1), ci.ErrInvalid)
	for _, offset := range []int64{-1, math.MinInt64, math.MaxInt64, math.MaxInt64 - 1} {
		_, err := logs.Append(ctx, key(0), offset, []byte("x"))
		require.ErrorIs(t, err, ci.ErrInvalid)
	}
	_, err := logs.Append(ctx, key(0), 3, make([]byte, storage.MaxAppend+1))
	require.ErrorIs(t, err, ci.ErrInvalid)
	for _, offset := range []int64{-1, 4, math.MaxInt64} {
		_, err := logs.Read(ctx, key(0), offset)
		require.ErrorIs(t, err, ci.ErrInvalid)
		for _, err := range logs.Follow(ctx, key(0), offset) {
			require.ErrorIs(t, err, ci.ErrInvalid)
		}
	}
	require.Equal(t, "abc", read(t, logs, key(0), 0))
}

func oddTasks(t *testing.T, logs *storage.Logs) {
	tasks := []string{
		"..", ".", "../../etc/passwd", "/etc/passwd", "a/b", "a", "A", "a!2fb", "a%2fb", "a\x00b", "\xff", "-",
		"a,1", "日本", "a\nb", " ", strings.Repeat("x", 1000), strings.Repeat("x", 999) + "y", strings.Repeat("/", 300),
	}
	for round := range 2 {
		for i, task := range tasks {
			for epoch := range int64(2) {
				k := ci.LogKey{Task: ci.TaskID(task), Epoch: epoch}
				want := fmt.Sprint(i, ".", epoch)
				if round == 0 {
					write(t, logs, k, 0, want)
				}
				require.Equal(t, want, read(t, logs, k, 0))
			}
		}
	}
}

func ended(t *testing.T, logs *storage.Logs) {
	ctx := t.Context()
	write(t, logs, key(0), 0, "abc")
	require.NoError(t, logs.End(ctx, "job.0", 1))
	require.NoError(t, logs.End(ctx, "job.0", 1), "again")
	next, err := logs.Append(ctx, key(0), 1, []byte("bc"))
	require.NoError(t, err, "a repetition whose answer was lost")
	require.EqualValues(t, 3, next)
	next, err = logs.Append(ctx, key(0), 2, []byte("cd"))
	require.ErrorIs(t, err, ci.ErrConflict)
	require.EqualValues(t, 3, next)
	_, err = logs.Append(ctx, key(5), 0, []byte("x"))
	require.ErrorIs(t, err, ci.ErrConflict)
	require.Equal(t, "abc", read(t, logs, key(0), 0))
	k := ci.LogKey{Task: "job.0", Epoch: 2}
	write(t, logs, k, 0, "another hand-out")
}

func deleted(t *testing.T, logs *storage.Logs) {
	ctx := t.Context()
	require.NoError(t, logs.Delete(ctx, "job.0", 1), "nothing there")
	write(t, logs, key(0), 0, "abc")
	require.ErrorIs(t, logs.Delete(ctx, "job.0", 1), ci.ErrConflict)
	require.NoError(t, logs.End(ctx, "job.0", 1))
	r, err := logs.Read(ctx, key(0), 0)
	require.NoError(t, err)
	defer r.Close()
	require.NoError(t, logs.Delete(ctx, "job.0", 1))
	require.NoError(t, logs.Delete(ctx, "job.0", 1))
	require.Empty(t, read(t, logs, key(0), 0))
	size, err := logs.Size(ctx, key(0))
	require.NoError(t, err)
	require.Zero(t, size)
}

func manyKeys(t *testing.T, logs *storage.Logs) {
	const tasks = 80 // more than stay open
	for _, part := range []string{"a", "b"} {
		for i := range tasks {
			k := ci.LogKey{Task: ci.TaskID(fmt.Sprint("many.", i)), Epoch: 1, Step: i % 3}
			offset := int64(0)
			if part == "b" {
				offset = int64(len("a")) + int64(len(fmt.Sprint(i)))
			}
			write(t, logs, k, offset, part+fmt.Sprint(i))
		}
	}
	for i := range tasks {
		k := ci.LogKey{Task: ci.TaskID(fmt.Sprint("many.", i)), Epoch: 1, Step: i % 3}
		require.Equal(t, fmt.Sprintf("a%db%d", i, i), read(t, logs, k, 0))
	}
}

func large(t *testing.T, logs *storage.Logs) {
	want := Text(rand.New(rand.NewPCG(3, 3)), 5<<20)
	for at, size := 0, 1; at < len(want); size = min(size*2, storage.MaxAppend) {
		end := min(len(want), at+size)
		write(t, logs, key(0), int64(at), want[at:end])
		write(t, logs, key(1), int64(at), want[at:end])
		at = end
	}
	require.NoError(t, logs.End(t.Context(), "job.0", 1))
	for _, offset := range []int{0, 1, len(want) / 2, len(want) - 64<<10, len(want) - 1, len(want)} {
		require.True(t, want[offset:] == read(t, logs, key(1), int64(offset)), "from %d", offset)
	}
}

// follow returns all that Follow yields until its end.
func follow(ctx context.Context, logs *storage.Logs, k ci.LogKey, offset int64) (string, error) {
	var got bytes.Buffer
	for chunk, err := range logs.Follow(ctx, k, offset) {
		if err != nil {
			return got.String(), err
		}
		got.Write(chunk)
	}
	return got.String(), nil
}

func followLive(t *testing.T, logs *storage.Logs) {
	const lines = 60
	var sent int64
	seen := make(chan int64)
	go func() {
		defer close(seen)
		size := int64(0)
		for chunk, err := range logs.Follow(t.Context(), key(1), 0) {
			if err != nil {
				t.Error(err)
				return
			}
			size += int64(len(chunk))
			seen <- size
		}
	}()
	for i := range lines {
		line := fmt.Sprintf("line %d\n", i)
		write(t, logs, key(1), sent, line)
		write(t, logs, key(0), int64(i), "x") // another step's output disturbs nobody
		sent += int64(len(line))
		for size := range seen { // each line is seen before the next is sent
			if size == sent {
				break
			}
		}
	}
	require.NoError(t, logs.End(t.Context(), "job.0", 1))
	_, more := <-seen
	require.False(t, more)
}

func manyWatchers(t *testing.T, logs *storage.Logs) {
	want := Text(rand.New(rand.NewPCG(5, 5)), 200_000)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			offset := int64(0)
			for chunk, err := range logs.Follow(t.Context(), key(0), 0) {
				if err != nil || string(chunk) != want[offset:offset+int64(len(chunk))] {
					t.Errorf("watcher %d at %d: %v", i, offset, err)
					return
				}
				offset += int64(len(chunk))
				if i == 0 {
					time.Sleep(time.Millisecond) // a slow one
				}
			}
			if offset != int64(len(want)) {
				t.Errorf("watcher %d ended at %d", i, offset)
			}
		})
	}
	for at := 0; at < len(want); at += 4000 {
		write(t, logs, key(0), int64(at), want[at:at+4000])
	}
	require.NoError(t, logs.End(t.Context(), "job.0", 1))
	wg.Wait()
}

// resume has watchers whose connections break all the time.
func resume(t *testing.T, logs *storage.Logs) {
	want := Text(rand.New(rand.NewPCG(6, 6)), 100_000)
	var wg sync.WaitGroup
	for seed := range uint64(10) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, 6))
			var got strings.Builder
			for got.Len() < len(want) {
				stop := random.IntN(20)
				for chunk, err := range logs.Follow(t.Context(), key(0), int64(got.Len())) {
					if err != nil {
						t.Error(err)
						return
					}
					if stop--; stop < 0 {
						break // what was under way is lost
					}
					got.Write(chunk)
				}
			}
			if got.String() != want {
				t.Error("a watcher has seen something else")
			}
		})
	}
	for at := 0; at < len(want); at += 2000 {
		write(t, logs, key(0), int64(at), want[at:at+2000])
	}
	require.NoError(t, logs.End(t.Context(), "job.0", 1))
	wg.Wait()
}

func followEnds(t *testing.T, logs *storage.Logs) {
	ctx := t.Context()
	// A watcher may come before the first byte, and for a step without any.
	done := make(chan string)
	for _, step := range []int{0, 1} {
		go func() {
			got, err := follow(ctx, logs, key(step), 0)
			if err != nil {
				t.Error(err)
			}
			done <- got
		}()
	}
	write(t, logs, key(0), 0, "abc")
	require.NoError(t, logs.End(ctx, "job.0", 1))
	require.ElementsMatch(t, []string{"abc", ""}, []string{<-done, <-done})

	got, err := follow(ctx, logs, key(0), 2) // or after the end
	require.NoError(t, err)
	require.Equal(t, "c", got)

	require.NoError(t, logs.End(ctx, "silent.0", 1)) // without any output at all
	got, err = follow(ctx, logs, ci.LogKey{Task: "silent.0", Epoch: 1}, 0)
	require.NoError(t, err)
	require.Empty(t, got)

	ctx, cancel := context.WithCancel(ctx)
	time.AfterFunc(5*time.Millisecond, cancel)
	_, err = follow(ctx, logs, ci.LogKey{Task: "never.0", Epoch: 1}, 0)
	require.ErrorIs(t, err, context.Canceled)
}

func closed(t *testing.T, logs *storage.Logs) {
	write(t, logs, key(0), 0, "abc")
	failed := make(chan error)
	started := make(chan struct{})
	go func() {
		for _, err := range logs.Follow(t.Context(), key(0), 0) {
			if err != nil {
				failed <- err
				return
			}
			close(started)
		}
		failed <- nil
	}()
	<-started
	require.NoError(t, logs.Close())
	require.Error(t, <-failed)
	_, err := logs.Append(t.Context(), key(0), 3, []byte("d"))
	require.Error(t, err)
	_, err = logs.Read(t.Context(), key(0), 0)
	require.Error(t, err)
	require.NoError(t, logs.Close())
}

// Text returns n bytes that look like output: short lines, and the same for
// the same random numbers.
func Text(random *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%d \x1b[32mok\x1b[0m github.com/x/%x\t%d ms\n", b.Len(), random.Uint32(), random.IntN(1000))
	}
	return b.String()[:n]
}
