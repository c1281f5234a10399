package api

import (
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLimiterMemory has a million addresses come by. What is remembered of
// them stays small.
func TestLimiterMemory(t *testing.T) {
	l := newLimiter(60, 0)
	now := time.Unix(1e9, 0)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 1_000_000 {
		l.take(strconv.Itoa(i), 1, now)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Len(t, l.by, maxKeys)
	require.Equal(t, maxKeys, l.used.Len())
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(24<<20))
	require.Equal(t, 59, l.take("999999", 0, now).left, "the newest is remembered")
	require.Equal(t, 60, l.take("0", 0, now).left)
}

func BenchmarkLimiter(b *testing.B) {
	l, now := newLimiter(60, 0), time.Now()
	i := 0
	for b.Loop() {
		l.take(strconv.Itoa(i%100_000), 1, now)
		i++
	}
}

// TestTakeOverTime fills a bucket as time goes by.
func TestTakeOverTime(t *testing.T) {
	l, now := newLimiter(60, 0), time.Unix(1e9, 0)
	for range 60 {
		require.True(t, l.take("a", 1, now).ok)
	}
	a := l.take("a", 1, now)
	require.Equal(t, allowance{false, 60, 0, 60, 1}, a)
	require.Equal(t, 0, l.take("a", 0, now.Add(-time.Hour)).left, "a clock that is set back gives nothing")
	require.Equal(t, 30, l.take("a", 0, now.Add(30*time.Second)).left)
	require.Equal(t, 60, l.take("a", 0, now.Add(time.Hour)).left, "never more than a bucket")
}
