package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
)

var (
	ctx   = context.Background()
	alice = ci.Actor{ID: "7", Kind: ci.ActorUser, Login: "alice"}
	noon  = time.Date(2026, 11, 24, 12, 10, 0, 0, time.UTC)
)

func newSigner(t testing.TB) *audit.Signer {
	s, err := audit.NewSigner("ci.example", []byte("a seed of the tests"))
	require.NoError(t, err)
	return s
}

// A world is a book and its surroundings.
type world struct {
	*audit.Book
	db     ci.Docs
	bucket audit.Bucket
	key    audit.Key
}

func newWorld(t testing.TB, cfg audit.Config) *world {
	w := &world{db: memdb.New(), bucket: &audit.Memory{}, key: newSigner(t).Key()}
	w.Book = audit.New(w.db, w.bucket, newSigner(t), cfg)
	return w
}

func act(i int) ci.Act {
	return ci.Act{Action: "context.env_var.store", Actor: alice, Success: true, At: noon.Add(time.Duration(i) * time.Second), Target: map[string]string{
		"type": "context", "id": fmt.Sprint("c", i), "name": "prod", "org": "gh/acme", "variable": "KEY",
	}}
}

// fill records n acts and seals them at noon and an hour later.
func (w *world) fill(t testing.TB, n int) {
	require.NoError(t, w.Seal(ctx, noon))
	for i := range n {
		require.NoError(t, w.Record(ctx, act(i)))
	}
	require.NoError(t, w.Seal(ctx, noon))
}

func (w *world) lines(t testing.TB) []audit.Line {
	var out []audit.Line
	for l, err := range w.Lines(ctx, 0) {
		require.NoError(t, err)
		out = append(out, l)
	}
	return out
}

func read(t testing.TB, b audit.Bucket, key string) []byte {
	r, err := b.Open(ctx, key)
	require.NoError(t, err)
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	return data
}

func event(t testing.TB, l []byte) audit.Event {
	var e audit.Event
	require.NoError(t, json.Unmarshal(l, &e))
	return e
}
