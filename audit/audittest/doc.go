// Package audittest says what a bucket and a sink of an audit log must do. Its
// suites are [Bucket] and [Sink]; [Broken] is a bucket that fails on demand.
// It never checks how a driver does it.
package audittest

import (
	"context"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/ci"
)

// Bucket runs the suite over empty buckets that open makes.
func Bucket(t *testing.T, open func(t *testing.T) audit.Bucket) {
	ctx := context.Background()
	read := func(t *testing.T, b audit.Bucket, key string) string {
		r, err := b.Open(ctx, key)
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		return string(data)
	}
	t.Run("never rewritten", func(t *testing.T) {
		b := open(t)
		require.NoError(t, b.Create(ctx, "audit-logs/a/1.json", []byte("one")))
		require.ErrorIs(t, b.Create(ctx, "audit-logs/a/1.json", []byte("two")), ci.ErrConflict)
		require.Equal(t, "one", read(t, b, "audit-logs/a/1.json"))
	})
	t.Run("missing", func(t *testing.T) {
		_, err := open(t).Open(ctx, "audit-logs/none")
		require.ErrorIs(t, err, ci.ErrNotFound)
	})
	t.Run("listed in order", func(t *testing.T) {
		b := open(t)
		for _, k := range []string{"audit-logs/a/3", "audit-logs/b/1", "audit-logs/a/1", "audit-logs/a/2"} {
			require.NoError(t, b.Create(ctx, k, []byte(k)))
		}
		require.Equal(t, []string{"audit-logs/a/1", "audit-logs/a/2", "audit-logs/a/3"}, keys(t, b.List(ctx, "audit-logs/a/", "")))
		require.Equal(t, []string{"audit-logs/a/3"}, keys(t, b.List(ctx, "audit-logs/a/", "audit-logs/a/2")))
		require.Empty(t, keys(t, b.List(ctx, "audit-logs/c/", "")))
	})
}

func keys(t *testing.T, seq iter.Seq2[string, error]) []string {
	t.Helper()
	var out []string
	for k, err := range seq {
		require.NoError(t, err)
		out = append(out, k)
	}
	return out
}

// A Far is the other side of a sink, for the suite.
type Far struct {
	Sink audit.Sink
	// Got returns the lines that arrived so far, waiting for at least n.
	Got func(n int) []string
	// Break makes the other side refuse, or take again.
	Break func(broken bool)
}

// Sink runs the suite over a sink and its other side.
func Sink(t *testing.T, open func(t *testing.T) Far, lines []audit.Line) {
	require.GreaterOrEqual(t, len(lines), 4)
	ctx := context.Background()
	far := open(t)
	require.NoError(t, far.Sink.Send(ctx, lines[:2]))
	far.Break(true)
	require.Error(t, far.Sink.Send(ctx, lines[2:]), "what does not arrive is an error")
	far.Break(false)
	require.NoError(t, far.Sink.Send(ctx, lines[2:]), "and is sent again")
	got := strings.Join(far.Got(len(lines)), "\n")
	at := 0
	for _, l := range lines {
		i := strings.Index(got[at:], string(l.Text))
		require.GreaterOrEqual(t, i, 0, "line %d is missing or out of order in %s", l.Seq, got)
		at += i
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_ = far.Sink.Send(ended, lines) // returns
}

// Broken is a bucket that fails when Fail says so, before or after it has done
// what it was asked for.
type Broken struct {
	audit.Bucket
	Fail func(what, key string, done bool) error
}

// Create fails before, or after the object is there.
func (b Broken) Create(ctx context.Context, key string, data []byte) error {
	if err := b.Fail("create", key, false); err != nil {
		return err
	}
	err := b.Bucket.Create(ctx, key, data)
	if late := b.Fail("create", key, true); late != nil {
		return late
	}
	return err
}

// Keys returns the names of all objects of a book.
func Keys(t testing.TB, b audit.Bucket) []string {
	t.Helper()
	var out []string
	for _, p := range []string{audit.FilePrefix, audit.CheckpointPrefix} {
		for k, err := range b.List(context.Background(), p, "") {
			require.NoError(t, err)
			out = append(out, k)
		}
	}
	return slices.Clip(out)
}
