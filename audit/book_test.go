package audit_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/audit/audittest"
	"github.com/rondo-ci/rondo/ci"
)

func TestAUD02_AFileAnHour(t *testing.T) {
	w := newWorld(t, audit.Config{})
	w.fill(t, 5)
	require.Empty(t, audittest.Keys(t, w.bucket), "the hour is not over")
	require.NoError(t, w.Seal(ctx, noon.Add(time.Hour)))
	require.NoError(t, w.Record(ctx, act(5)))
	require.NoError(t, w.Seal(ctx, noon.Add(-2*time.Hour)), "the clock went back")
	require.NoError(t, w.Seal(ctx, noon.Add(2*time.Hour)))
	require.NoError(t, w.Seal(ctx, noon.Add(3*time.Hour)))
	require.Equal(t, []string{
		"audit-logs/audit_log/v1/2026-11-24T12-00-00Z_000000000001.json",
		"audit-logs/audit_log/v1/2026-11-24T13-00-00Z_000000000006.json",
		"audit-logs/digest/v1/2026-11-24T12-00-00Z_000000000001.note",
		"audit-logs/digest/v1/2026-11-24T13-00-00Z_000000000002.note",
		"audit-logs/digest/v1/2026-11-24T14-00-00Z_000000000003.note", // an hour without events
	}, audittest.Keys(t, w.bucket))
	r, err := audit.Verify(ctx, w.bucket, w.key)
	require.NoError(t, err)
	require.EqualValues(t, 6, r.Lines)
	require.Len(t, w.lines(t), 6)
	_, err = w.Check(ctx)
	require.NoError(t, err)
}

func TestAUD02_AFileOfManyBytes(t *testing.T) {
	w := newWorld(t, audit.Config{MaxFile: 2000})
	w.fill(t, 20)
	n := 0
	for _, k := range audittest.Keys(t, w.bucket) {
		if strings.HasPrefix(k, audit.FilePrefix) {
			n++
			require.LessOrEqual(t, len(read(t, w.bucket, k)), 2000)
		}
	}
	require.Greater(t, n, 4)
	require.NoError(t, w.Seal(ctx, noon.Add(time.Hour)))
	r, err := audit.Verify(ctx, w.bucket, w.key)
	require.NoError(t, err)
	require.EqualValues(t, 20, r.Lines)
}

func TestAUD05_ConcurrentWriters(t *testing.T) {
	w := newWorld(t, audit.Config{})
	other := audit.New(w.db, w.bucket, newSigner(t), audit.Config{})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 25 {
				if err := w.Record(ctx, act(100*i+j)); err != nil {
					t.Error(err)
				}
				if j%5 == 0 {
					book := []*audit.Book{w.Book, other}[i%2]
					if err := book.Seal(ctx, noon.Add(time.Duration(j)*time.Hour)); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	require.NoError(t, w.Seal(ctx, noon.Add(100*time.Hour)))
	ids := map[string]bool{}
	for _, l := range w.lines(t) {
		ids[event(t, l.Text).ID] = true
	}
	require.Len(t, ids, 200)
	_, err := w.Check(ctx)
	require.NoError(t, err)
}

// The bucket is away: events wait, and when too many do, strict acts are
// refused and the others are not.
func TestAUD02_SpoolFull(t *testing.T) {
	w := newWorld(t, audit.Config{MaxWaiting: 10})
	down := errors.New("503")
	w.Book = audit.New(w.db, audittest.Broken{Bucket: w.bucket, Fail: func(string, string, bool) error { return down }}, newSigner(t), audit.Config{MaxWaiting: 10})
	var err error
	n := 0
	for i := 0; err == nil; i++ {
		if err = w.Record(ctx, act(i)); err == nil {
			n++
		}
		_ = w.Seal(ctx, noon)
	}
	require.ErrorIs(t, err, ci.ErrConflict)
	require.ErrorContains(t, err, "the audit log is full, 10 events wait")
	require.Equal(t, 10, n)
	require.NoError(t, w.Record(ctx, ci.Act{Action: "workflow.start", Success: true, Target: map[string]string{"type": "project"}}))
	require.ErrorIs(t, w.Seal(ctx, noon), down)
	w.Book = audit.New(w.db, w.bucket, newSigner(t), audit.Config{MaxWaiting: 10})
	require.NoError(t, w.Seal(ctx, noon.Add(time.Hour)))
	require.NoError(t, w.Record(ctx, act(99)), "the bucket is back")
	require.NoError(t, w.Seal(ctx, noon.Add(2*time.Hour)))
	require.Len(t, w.lines(t), 12)
	_, err = w.Check(ctx)
	require.NoError(t, err)
}

func TestHotLinesGo(t *testing.T) {
	w := newWorld(t, audit.Config{Hot: time.Hour})
	w.fill(t, 30)
	require.NoError(t, w.Seal(ctx, noon.Add(time.Hour)))
	for i := range 3 {
		require.NoError(t, w.Record(ctx, act(30+i)))
	}
	require.NoError(t, w.Seal(ctx, time.Now().Add(48*time.Hour)))
	require.NoError(t, w.Seal(ctx, time.Now().Add(49*time.Hour)))
	kept := 0
	for range w.db.Docs(ctx, ci.DocQuery{Kind: "audit-entry", AllScopes: true}) {
		kept++
	}
	require.Less(t, kept, 33)
	require.Len(t, w.lines(t), 33, "from the files")
	got, next, err := w.Entries(ctx, ci.AuditQuery{Limit: 10}, alice)
	require.NoError(t, err)
	require.Len(t, got, 10)
	var seqs []uint64
	for {
		for _, e := range got {
			seqs = append(seqs, e.Seq)
		}
		if next == 0 {
			break
		}
		got, next, err = w.Entries(ctx, ci.AuditQuery{Limit: 10, Before: next}, alice)
		require.NoError(t, err)
	}
	require.Len(t, seqs, 33)
	for i, s := range seqs {
		require.EqualValues(t, 33-i, s)
	}
}

func TestAUD15_RequestAndFilters(t *testing.T) {
	w := newWorld(t, audit.Config{})
	asked := ci.WithRequest(ctx, ci.Request{ID: "r-1", Address: "::ffff:10.0.0.9", Trace: "trace-1", Actor: alice})
	require.NoError(t, w.Record(asked, act(1)))
	v6 := ci.WithRequest(ctx, ci.Request{ID: "r-2", Address: "2001:db8::1"})
	bad := act(2)
	bad.Success, bad.Reason, bad.Action = false, "no right", "context.delete"
	require.NoError(t, w.Record(v6, bad))
	require.NoError(t, w.Seal(ctx, noon))
	all := w.lines(t)
	e := event(t, all[0].Text)
	require.Equal(t, audit.Origin{ID: "r-1", Address: "10.0.0.9", Trace: "trace-1"}, e.Request)
	require.Equal(t, audit.Party{ID: "gh/acme", Type: "org", Name: "gh/acme"}, e.Scope)
	require.JSONEq(t, `{"variable":"KEY"}`, string(e.Payload))
	e = event(t, all[1].Text)
	require.Equal(t, map[string]string{"ip_v6": "2001:db8::1", "reason": "no right", "variable": "KEY"}, e.Metadata)
	for q, want := range map[ci.AuditQuery]int{
		{}: 2, {Action: "context.*"}: 2, {Action: "context.delete"}: 1, {Actor: "alice"}: 2, {Actor: "bob"}: 0, {Target: "c1"}: 1,
		{Text: "TRACE-1"}: 1, {From: noon.Add(2 * time.Second)}: 1, {To: noon.Add(2 * time.Second)}: 1, {Action: "[bad*"}: 0,
	} {
		got, _, err := w.Entries(ctx, q, alice)
		require.NoError(t, err)
		require.Len(t, got, want, fmt.Sprintf("%+v", q))
	}
	require.ErrorIs(t, w.Record(ctx, ci.Act{Action: "Bad Action"}), ci.ErrInvalid)
	leak := act(3)
	leak.Target["value"] = "hunter2"
	err := w.Record(ctx, leak)
	require.ErrorIs(t, err, ci.ErrInvalid)
	require.NotContains(t, err.Error(), "hunter2")
}
