package storage

import (
	"context"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"
	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/ci"
)

func folderBucket(t testing.TB) *blob.Bucket {
	b, err := OpenDir(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// TestP7_SealingChangesNothing compares what readers see who come before,
// during and after, and after a new start.
func TestP7_SealingChangesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		bucket := memblob.OpenBucket(nil)
		defer bucket.Close()
		disk := newMemDisk()
		l := newLogs(disk, LogsConfig{Bucket: bucket, MaxOpen: rapid.IntRange(1, 3).Draw(rt, "open")})
		want := map[int]string{}
		for range rapid.IntRange(0, 40).Draw(rt, "appends") {
			step := rapid.IntRange(0, 3).Draw(rt, "step")
			data := strings.Repeat(string(rune('a'+step)), rapid.IntRange(1, 60_000).Draw(rt, "size")) + "\n"
			appendAll(t, l, key(step), int64(len(want[step])), data)
			want[step] += data
		}
		check := func(l *Logs) {
			for step := range 5 {
				w := want[step]
				offset := rapid.IntRange(0, len(w)).Draw(rt, "offset")
				require.True(t, w[offset:] == contents(t, l, key(step), int64(offset)))
				var got strings.Builder
				for chunk, err := range l.Follow(t.Context(), key(step), int64(offset)) {
					require.NoError(t, err)
					got.Write(chunk)
				}
				require.True(t, w[offset:] == got.String())
			}
		}
		require.ErrorIs(t, l.Seal(t.Context(), "job.0", 2), nil, "nothing there")
		if len(want) > 0 {
			require.ErrorIs(t, l.Seal(t.Context(), "job.0", 1), ci.ErrConflict)
		}
		require.NoError(t, l.End(t.Context(), "job.0", 1))
		check(l)
		during, err := l.Read(t.Context(), key(1), 0)
		require.NoError(t, err)
		head := make([]byte, len(want[1])/2)
		_, err = io.ReadFull(during, head)
		require.NoError(t, err)

		require.NoError(t, l.Seal(t.Context(), "job.0", 1))
		require.Empty(t, disk.files)
		rest, err := io.ReadAll(during)
		require.NoError(t, err)
		require.NoError(t, during.Close())
		require.True(t, want[1] == string(head)+string(rest))
		check(l)
		require.NoError(t, l.Seal(t.Context(), "job.0", 1), "again")
		require.NoError(t, l.End(t.Context(), "job.0", 1), "again")
		l = newLogs(disk, LogsConfig{Bucket: bucket})
		check(l)
		next, err := l.Append(t.Context(), key(1), 0, []byte(want[1][:min(9, len(want[1]))]))
		require.NoError(t, err, "a very late repetition")
		require.EqualValues(t, len(want[1]), next)
		_, err = l.Append(t.Context(), key(1), next, []byte("more"))
		require.ErrorIs(t, err, ci.ErrConflict)
		require.NoError(t, l.Delete(t.Context(), "job.0", 1))
		require.Empty(t, contents(t, l, key(1), 0))
	})
}

// TestSealAgain shows what happens to a hot file that is still there when its
// sealed log is, whole or torn, or has been outlived by it.
func TestSealAgain(t *testing.T) {
	ctx := t.Context()
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	disk := newMemDisk()
	cfg := LogsConfig{Bucket: bucket}
	l := newLogs(disk, cfg)
	want := strings.Repeat("all of it\n", 50_000)
	appendAll(t, l, key(0), 0, want)
	require.NoError(t, l.End(ctx, "job.0", 1))
	name, object := handoutID{"job.0", 1}.fileName(), sealedKey(handoutID{"job.0", 1})
	hot := disk.files[name]
	require.NoError(t, l.Seal(ctx, "job.0", 1))
	whole, err := bucket.ReadAll(ctx, object)
	require.NoError(t, err)
	require.Less(t, len(whole), len(want)/10)

	for cut := 0; cut < len(whole); cut += 1 + len(whole)/50 {
		disk.files[name] = hot
		require.NoError(t, bucket.WriteAll(ctx, object, whole[:cut], nil))
		l = newLogs(disk, cfg)
		require.True(t, want == contents(t, l, key(0), 0))
		require.NoError(t, l.Seal(ctx, "job.0", 1))
		require.Empty(t, disk.files)
		again, err := bucket.ReadAll(ctx, object)
		require.NoError(t, err)
		require.Equal(t, whole, again)
		require.True(t, want == contents(t, l, key(0), 0))
	}

	other := newLogs(disk, LogsConfig{}) // somebody who could not ask the bucket
	appendAll(t, other, key(0), 0, "a shadow")
	require.NoError(t, other.End(ctx, "job.0", 1))
	l = newLogs(disk, cfg)
	require.NoError(t, l.Seal(ctx, "job.0", 1))
	require.Empty(t, disk.files)
	require.True(t, want == contents(t, l, key(0), 0))

	less := newLogs(newMemDisk(), cfg) // a sealed log that lacks something
	k := ci.LogKey{Task: "job.1"}
	appendAll(t, less, k, 0, "half")
	more := newLogs(disk, cfg)
	appendAll(t, more, k, 0, "half and half")
	for _, l := range []*Logs{less, more} {
		require.NoError(t, l.End(ctx, k.Task, 0))
		require.NoError(t, l.Seal(ctx, k.Task, 0))
	}
	require.Equal(t, "half and half", contents(t, newLogs(disk, cfg), k, 0))

	for at := 0; at < len(whole); at += 1 + len(whole)/50 { // damage is seen
		bad := append([]byte(nil), whole...)
		bad[at] ^= 0x10
		require.NoError(t, bucket.WriteAll(ctx, object, bad, nil))
		var got []byte
		r, err := newLogs(disk, cfg).Read(ctx, key(0), 0)
		if err == nil {
			got, err = io.ReadAll(r)
			_ = r.Close()
		}
		if err != nil || want != string(got) { // some bits of zstd mean nothing
			require.ErrorIs(t, err, ErrCorrupt, "byte %d", at)
		}
	}
}

// countingBucket counts what is read.
type countingBucket struct {
	*dirBucket
	requests, bytes *atomic.Int64
}

func (c countingBucket) NewRangeReader(ctx context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	r, err := c.dirBucket.NewRangeReader(ctx, key, offset, length, opts)
	if err != nil {
		return nil, err
	}
	c.requests.Add(1)
	return countingReader{r, c.bytes}, nil
}

type countingReader struct {
	driver.Reader
	bytes *atomic.Int64
}

func (c countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

// TestSealedTail shows that the end of a long log costs little.
func TestSealedTail(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, root.Mkdir(tempDir, 0o700))
	counting := countingBucket{&dirBucket{root: root}, new(atomic.Int64), new(atomic.Int64)}
	bucket := blob.NewBucket(counting)
	defer bucket.Close()
	l := newLogs(newMemDisk(), LogsConfig{Bucket: bucket})
	random := rand.New(rand.NewPCG(1, 1))
	chunk := make([]byte, 1<<20)
	size := int64(0)
	for range 16 {
		for i := range chunk {
			chunk[i] = byte(random.Uint32()) // does not compress
		}
		appendAll(t, l, key(0), size, string(chunk))
		size += int64(len(chunk))
	}
	require.NoError(t, l.End(t.Context(), "job.0", 1))
	require.NoError(t, l.Seal(t.Context(), "job.0", 1))
	l = newLogs(newMemDisk(), LogsConfig{Bucket: bucket})
	counting.bytes.Store(0)
	counting.requests.Store(0)
	require.Equal(t, string(chunk[len(chunk)-64<<10:]), contents(t, l, key(0), size-64<<10))
	require.LessOrEqual(t, counting.bytes.Load(), int64(256<<10))
	require.LessOrEqual(t, counting.requests.Load(), int64(2))
}

// TestRunSeals lets time pass.
func TestRunSeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := memblob.OpenBucket(nil)
		defer bucket.Close()
		disk := newMemDisk()
		l := newLogs(disk, LogsConfig{Bucket: bucket})
		appendAll(t, l, key(0), 0, "before Run")
		require.NoError(t, l.End(t.Context(), "job.0", 1))
		appendAll(t, l, ci.LogKey{Task: "running.0"}, 0, "still running")
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error)
		go func() { ran <- l.Run(ctx) }()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.Equal(t, 2, count(t, disk), "too early")
		time.Sleep(90 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, count(t, disk))
		require.Equal(t, "before Run", contents(t, l, key(0), 0))
		require.NoError(t, l.End(t.Context(), "running.0", 0))
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		require.Zero(t, count(t, disk))
		cancel()
		require.NoError(t, <-ran)
	})
}

func count(t *testing.T, d disk) (n int) {
	require.NoError(t, d.each(func(string, time.Time) bool {
		n++
		return true
	}))
	return n
}

// hangingBucket never answers.
type hangingBucket struct{ *dirBucket }

func (hangingBucket) Attributes(ctx context.Context, _ string) (*driver.Attributes, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestP19_BucketHangs shows that output does not wait for the bucket.
func TestP19_BucketHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := blob.NewBucket(hangingBucket{&dirBucket{}})
		l := newLogs(newMemDisk(), LogsConfig{Bucket: bucket})
		appendAll(t, l, key(0), 0, "abc")
		require.Equal(t, "abc", contents(t, l, key(0), 0))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.NoError(t, l.End(ctx, "job.0", 1))
		require.ErrorIs(t, l.Seal(ctx, "job.0", 1), context.DeadlineExceeded)
		require.Equal(t, "abc", contents(t, l, key(0), 0))
	})
}

// TestP8_FollowersDoNotNoticeSealing has watchers of all speeds while a
// hand-out ends and is sealed.
func TestP8_FollowersDoNotNoticeSealing(t *testing.T) {
	l := newLogs(newMemDisk(), LogsConfig{Bucket: folderBucket(t), MaxOpen: 1})
	want := strings.Repeat("a line of output, and another\n", 20_000)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			var got strings.Builder
			for chunk, err := range l.Follow(t.Context(), key(0), 0) {
				if err != nil {
					t.Error(err)
					return
				}
				got.Write(chunk)
				time.Sleep(time.Duration(i) * 100 * time.Microsecond)
			}
			if got.String() != want {
				t.Errorf("watcher %d saw something else", i)
			}
		})
	}
	for at := 0; at < len(want); at += 50_000 {
		appendAll(t, l, key(0), int64(at), want[at:at+50_000])
	}
	require.NoError(t, l.End(t.Context(), "job.0", 1))
	require.NoError(t, l.Seal(t.Context(), "job.0", 1))
	wg.Wait()
}

// TestOpenFilesAreBounded counts.
func TestOpenFilesAreBounded(t *testing.T) {
	l, err := OpenLogs(t.TempDir(), LogsConfig{MaxOpen: 8})
	require.NoError(t, err)
	defer l.Close()
	before := openFiles(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 100 {
		k := ci.LogKey{Task: ci.JobID("job").Task(i)}
		appendAll(t, l, k, 0, "abc")
		seen := make(chan bool)
		wg.Go(func() {
			for range l.Follow(ctx, k, 0) {
				select {
				case seen <- true:
				case <-ctx.Done():
				}
			}
		})
		<-seen
	}
	require.LessOrEqual(t, openFiles(t), before+10)
	l.mu.Lock()
	require.GreaterOrEqual(t, len(l.handouts), 100, "watched")
	l.mu.Unlock()
	cancel()
	wg.Wait()
	l.mu.Lock()
	require.LessOrEqual(t, len(l.handouts), 8)
	l.mu.Unlock()
}

func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("needs /proc")
	}
	return len(entries)
}
