package audit_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/ci"
)

// What is read as a line, an event, a checkpoint or a proof never panics, and
// what is accepted as a line is one that the book could have written.
func FuzzParse(f *testing.F) {
	w := newWorld(f, audit.Config{})
	w.fill(f, 3)
	require.NoError(f, w.Seal(ctx, noon.Add(time.Hour)))
	for _, l := range w.lines(f) {
		f.Add(l.Text)
		p, err := audit.Prove(ctx, w.bucket, w.key, event(f, l.Text).ID)
		require.NoError(f, err)
		data, err := json.Marshal(p)
		require.NoError(f, err)
		f.Add(data)
		f.Add([]byte(p.Checkpoint))
	}
	f.Add([]byte(`{"id":"27aa77e3","version":1,"action":"workflow.job.finish","occurred_at":"2017-12-21T13:50:54.474Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, err := audit.ParseLine(data); err == nil && !bytes.Contains(data, []byte(l.Hash.String())) {
			t.Error("a line without its hash is taken")
		}
		if c, err := audit.OpenCheckpoint(data, w.key); err == nil && c.Size != 3 {
			t.Error("a checkpoint that was never signed is taken")
		}
		_, _ = audit.ParseEvent(data)
		if p, err := audit.ParseProof(data); err == nil {
			_, _ = p.Check(w.key)
		}
		mem := &audit.Memory{}
		require.NoError(t, mem.Create(ctx, audit.FilePrefix+"x.json", data))
		_, _ = audit.Verify(ctx, mem, w.key)
	})
}

// Acts of all sorts make events, or are refused, and never break the chain.
func FuzzAct(f *testing.F) {
	f.Add("context.create", "alice", "name", "prod", "10.0.0.1")
	f.Add("x.y", "\xff\n\u2028", "job.id", "a,b", "::1")
	f.Fuzz(func(t *testing.T, action, who, key, value, address string) {
		w := newWorld(t, audit.Config{})
		a := ci.Act{Action: action, Actor: ci.Actor{ID: who, Login: who, Kind: ci.ActorKind(who)}, Reason: value, Target: map[string]string{key: value, "type": who},
			Request: ci.Request{ID: who, Address: address, Trace: value}}
		if w.Record(ctx, a) != nil {
			return
		}
		require.NoError(t, w.Seal(ctx, noon))
		require.NoError(t, w.Seal(ctx, noon.Add(time.Hour)))
		r, err := audit.Verify(ctx, w.bucket, w.key)
		require.NoError(t, err)
		require.EqualValues(t, 1, r.Lines)
		_, err = w.lines(t)[0].Event()
		require.NoError(t, err)
	})
}
