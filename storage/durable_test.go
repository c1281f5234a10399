package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/rondo-ci/rondo/ci"
)

func key(step int) ci.LogKey { return ci.LogKey{Task: "job.0", Epoch: 1, Step: step} }

func contents(t testing.TB, l *Logs, k ci.LogKey, offset int64) string {
	t.Helper()
	r, err := l.Read(t.Context(), k, offset)
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	return string(b)
}

func appendAll(t testing.TB, l *Logs, k ci.LogKey, offset int64, data string) {
	t.Helper()
	next, err := l.Append(t.Context(), k, offset, []byte(data))
	require.NoError(t, err)
	require.Equal(t, offset+int64(len(data)), next)
}

// TestP15_OrderOfWrites shows that what is acknowledged has been written,
// synced and, in a new file, named durably before, and what that costs: a
// trivial job has two steps.
func TestP15_OrderOfWrites(t *testing.T) {
	disk := newLossyDisk()
	l := newLogs(disk, LogsConfig{})
	appendAll(t, l, key(0), 0, "Spin up\n")
	require.Equal(t, []string{"create", "write", "sync", "sync names"}, disk.ops)
	appendAll(t, l, key(1), 0, "hi\n")
	require.Equal(t, []string{"write", "sync"}, disk.ops[4:])
	require.NoError(t, l.End(t.Context(), "job.0", 1))
	require.Equal(t, []string{"write", "sync"}, disk.ops[6:])
	appendAll(t, l, key(0), 5, "up\n") // a repetition costs nothing
	require.NoError(t, l.End(t.Context(), "job.0", 1))
	require.Len(t, disk.ops, 8)
}

// TestP15_PowerLoss runs a workload against a disk that dies at its k-th
// operation, for every k, and then loses power. Whatever was acknowledged must
// be there afterwards, nothing else than what was sent may be, and the agent
// must be able to finish the job.
func TestP15_PowerLoss(t *testing.T) {
	for k := 0; ; k++ {
		finished := false
		for seed := range uint64(8) {
			finished = powerLossAt(t, k, seed)
		}
		if finished {
			require.Greater(t, k, 25)
			return
		}
	}
}

func powerLossAt(t *testing.T, k int, seed uint64) (finished bool) {
	random := rand.New(rand.NewPCG(seed, uint64(k)))
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	disk := newLossyDisk()
	dead := false
	disk.fail = func(string) error {
		if dead = dead || k == len(disk.ops); dead {
			return errors.New("dead")
		}
		return nil
	}
	want := [3]string{}
	for i := range want {
		want[i] = strings.Repeat(fmt.Sprintf("step %d says \x01\x02\x03\x00\n", i), 40+10*i)
	}
	acked, ended := work(t, newLogs(disk, LogsConfig{Bucket: bucket}), want)
	finished = !dead

	for range 1 + random.IntN(2) { // the machine may fail again soon
		disk = disk.powerLoss(random)
		l := newLogs(disk, LogsConfig{Bucket: bucket})
		for step, w := range want {
			got := contents(t, l, key(step), 0)
			require.True(t, strings.HasPrefix(w, got), "operation %d, seed %d, step %d", k, seed, step)
			require.GreaterOrEqual(t, len(got), acked[step], "operation %d, seed %d, step %d", k, seed, step)
			size, err := l.Size(t.Context(), key(step))
			require.NoError(t, err)
			require.EqualValues(t, len(got), size)
		}
	}
	l := newLogs(disk, LogsConfig{Bucket: bucket})
	if ended {
		_, err := l.Append(t.Context(), key(9), 0, []byte("more"))
		require.ErrorIs(t, err, ci.ErrConflict)
	}
	acked, ended = work(t, l, want)
	require.True(t, ended)
	for step, w := range want {
		require.Equal(t, len(w), acked[step])
		require.Equal(t, w, contents(t, l, key(step), 0))
	}
	return finished
}

// work is an agent: it sends three streams in turns, goes on from where the
// server says, ends the hand-out and has it sealed. It gives up at any error.
func work(t *testing.T, l *Logs, want [3]string) (acked [3]int, ended bool) {
	for step := range want {
		size, err := l.Size(t.Context(), key(step))
		if err != nil {
			return acked, false
		}
		acked[step] = int(size)
	}
	for more := true; more; {
		more = false
		for step, w := range want {
			if at := acked[step]; at < len(w) {
				next, err := l.Append(t.Context(), key(step), int64(at), []byte(w[at:min(len(w), at+100*(step+1))]))
				if err != nil {
					return acked, false
				}
				acked[step], more = int(next), true
			}
		}
	}
	if l.End(t.Context(), "job.0", 1) != nil {
		return acked, false
	}
	_ = l.Seal(t.Context(), "job.0", 1)
	return acked, true
}

// TestP16_SyncFails shows that after a failed sync nothing more is
// acknowledged for that file, what was acknowledged stays readable, and Run
// asks for a new start, which finds a consistent file.
func TestP16_SyncFails(t *testing.T) {
	disk := newLossyDisk()
	l := newLogs(disk, LogsConfig{MaxOpen: 1})
	appendAll(t, l, key(0), 0, "safe")
	disk.fail = func(op string) error {
		if op == "sync" {
			return syscall.EIO
		}
		return nil
	}
	next, err := l.Append(t.Context(), key(0), 4, []byte(" lost"))
	require.ErrorIs(t, err, syscall.EIO)
	require.EqualValues(t, 4, next)
	disk.fail = nil // the disk pretends to be well again
	appendAll(t, l, ci.LogKey{Task: "other.0"}, 0, "others go on")
	appendAll(t, l, ci.LogKey{Task: "another.0"}, 0, "and push the broken one out")
	for range 2 {
		next, err = l.Append(t.Context(), key(0), 4, []byte(" lost"))
		require.ErrorIs(t, err, syscall.EIO)
		require.EqualValues(t, 4, next)
	}
	_, err = l.Append(t.Context(), key(3), 0, []byte("x"))
	require.ErrorIs(t, err, syscall.EIO)
	require.ErrorIs(t, l.End(t.Context(), "job.0", 1), syscall.EIO)
	require.Equal(t, "safe", contents(t, l, key(0), 0))
	require.ErrorIs(t, l.Run(t.Context()), syscall.EIO)

	l = newLogs(disk.powerLoss(rand.New(rand.NewPCG(1, 1))), LogsConfig{})
	require.Equal(t, "safe", contents(t, l, key(0), 0))
	appendAll(t, l, key(0), 4, " found")
}

// TestP16_NoRoom shows that a write that does not fit changes nothing, and
// that all goes on when there is room again.
func TestP16_NoRoom(t *testing.T) {
	disk := newLossyDisk()
	l := newLogs(disk, LogsConfig{})
	full := func(op string) error {
		if op == "write" {
			return syscall.ENOSPC
		}
		return nil
	}
	disk.fail = full
	_, err := l.Append(t.Context(), key(0), 0, []byte("first"))
	require.ErrorIs(t, err, syscall.ENOSPC)
	disk.fail = nil
	appendAll(t, l, key(0), 0, "first")
	disk.fail = full
	next, err := l.Append(t.Context(), key(0), 5, []byte(" second"))
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.EqualValues(t, 5, next)
	require.ErrorIs(t, l.End(t.Context(), "job.0", 1), syscall.ENOSPC)
	require.Equal(t, "first", contents(t, l, key(0), 0))
	disk.fail = nil
	appendAll(t, l, key(0), 5, " second")
	require.NoError(t, l.End(t.Context(), "job.0", 1))
	l = newLogs(disk.powerLoss(rand.New(rand.NewPCG(1, 1))), LogsConfig{})
	require.Equal(t, "first second", contents(t, l, key(0), 0))
}

// TestP15_KilledServer shows that what a killed server had written but not
// synced is synced before the next one acknowledges it.
func TestP15_KilledServer(t *testing.T) {
	disk := newLossyDisk()
	disk.fail = func(op string) error {
		if op == "sync" {
			return errors.New("killed")
		}
		return nil
	}
	_, err := newLogs(disk, LogsConfig{}).Append(t.Context(), key(0), 0, []byte("abc"))
	require.Error(t, err)
	// Killed before it could cut the file: write it again behind its back.
	disk.fail = nil
	other := newLossyDisk()
	appendAll(t, newLogs(other, LogsConfig{}), key(0), 0, "abc")
	for name, ino := range other.names {
		disk.names[name].now = ino.now
	}
	disk.ops = nil
	appendAll(t, newLogs(disk, LogsConfig{}), key(0), 0, "abc")
	require.Equal(t, []string{"sync", "sync names"}, disk.ops)
}

// TestTornTail leaves more behind the good part than is written afterwards.
func TestTornTail(t *testing.T) {
	disk := newLossyDisk()
	l := newLogs(disk, LogsConfig{})
	appendAll(t, l, key(0), 0, "good")
	good := bytes.Clone(disk.names[handoutID{"job.0", 1}.fileName()].now)
	appendAll(t, l, key(0), 4, strings.Repeat("torn", 1000))
	ino := disk.names[handoutID{"job.0", 1}.fileName()]
	for _, tail := range [][]byte{ino.now[len(good) : len(ino.now)-1], make([]byte, 5000), bytes.Repeat([]byte{0xff}, 23)} {
		ino.now = append(bytes.Clone(good), tail...)
		l = newLogs(disk, LogsConfig{})
		require.Equal(t, "good", contents(t, l, key(0), 0))
		appendAll(t, l, key(0), 4, "!")
		require.NoError(t, l.End(t.Context(), "job.0", 1))
		l = newLogs(disk, LogsConfig{})
		_, err := l.Append(t.Context(), key(0), 5, []byte("x"))
		require.ErrorIs(t, err, ci.ErrConflict, "it has ended")
		require.Equal(t, "good!", contents(t, l, key(0), 0))
	}
}

// TestDamagedFile shows what becomes of a file that has lost bytes in its
// middle: the beginning is used and the whole kept aside.
func TestDamagedFile(t *testing.T) {
	disk := newLossyDisk()
	l := newLogs(disk, LogsConfig{})
	for i := range 10 {
		appendAll(t, l, key(0), int64(i*10), strings.Repeat("x", 10))
	}
	name := handoutID{"job.0", 1}.fileName()
	data := disk.names[name].now
	was := bytes.Clone(data)
	data[len(data)/2] ^= 1
	l = newLogs(disk, LogsConfig{})
	size, err := l.Size(t.Context(), key(0))
	require.NoError(t, err)
	require.Greater(t, size, int64(20))
	require.Less(t, size, int64(80))
	require.Len(t, disk.names[name+badSuffix].now, len(was))
	appendAll(t, l, key(0), size, "and on")

	// A file whose head is gone is out of the way, not gone.
	disk.names[name].now[2] ^= 1
	l = newLogs(disk, LogsConfig{})
	size, err = l.Size(t.Context(), key(0))
	require.NoError(t, err)
	require.Zero(t, size)
	appendAll(t, l, key(0), 0, "anew")
}

// TestForgedFrames has a job print what a hot file ends with.
func TestForgedFrames(t *testing.T) {
	disk := newMemDisk()
	var nonce [nonceSize]byte
	index := appendIndex(nil, map[int]*stream{0: {size: 1 << 40, end: 1}})
	for _, s := range []seed{0, seedOf(nonce[:])} {
		for at := range int64(200) {
			forged, err := putEnd(s, nonce[:], index, at)
			require.NoError(t, err)
			k := ci.LogKey{Task: "job.0", Epoch: at, Step: int(s & 7)}
			l := newLogs(disk, LogsConfig{})
			appendAll(t, l, k, 0, string(forged))
			l = newLogs(disk, LogsConfig{})
			require.Equal(t, string(forged), contents(t, l, k, 0))
			appendAll(t, l, k, int64(len(forged)), "it has not ended")
		}
	}
}

// brokenBucket answers every request with an error.
func brokenBucket(t *testing.T) *blob.Bucket {
	b := memblob.OpenBucket(nil)
	require.NoError(t, b.Close())
	return b
}

// TestP19_BucketAway shows that running jobs do not notice.
func TestP19_BucketAway(t *testing.T) {
	l := newLogs(newMemDisk(), LogsConfig{Bucket: brokenBucket(t)})
	_, err := l.Size(t.Context(), key(0))
	require.Error(t, err, "nobody can know")
	appendAll(t, l, key(0), 0, "abc")
	require.Equal(t, "abc", contents(t, l, key(0), 0))
	require.NoError(t, l.End(t.Context(), "job.0", 1))
	require.Error(t, l.Seal(t.Context(), "job.0", 1))
	require.Equal(t, "abc", contents(t, l, key(0), 0))
}
