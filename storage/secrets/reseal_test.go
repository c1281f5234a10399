package secrets_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
	"github.com/rondo-ci/rondo/storage/secrets"
	"github.com/rondo-ci/rondo/storage/secrets/secretstest"
	"github.com/rondo-ci/rondo/storage/secrets/vault"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

func newVault(t *testing.T) (*secretstest.Vault, secrets.Backend) {
	v := secretstest.NewVault()
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	b, err := vault.New("rondo", vault.Config{Address: server.URL, Retries: -1, Token: func() (string, error) { return "root", nil }})
	require.NoError(t, err)
	require.NoError(t, b.Create(t.Context()))
	return v, b
}

const canary = "canary-7f3a9c5e1b8d2046-value" // begins every secret

// A town is a keeper with documents that writers change and readers read.
type town struct {
	k     *secrets.Keeper
	docs  ci.Docs
	wrong atomic.Int64
	reads atomic.Int64
}

func (w *town) value(i int) []byte { return fmt.Appendf(nil, "%s-%d", canary, i) }

func (w *town) fill(t *testing.T, n int) {
	for i := range n {
		d, err := w.k.SealDoc(t.Context(), ci.Doc{Kind: kind, Scope: fmt.Sprint(i % 7), ID: fmt.Sprintf("%04d", i), Name: fmt.Sprint("N", i), Body: []byte("{}")}, w.value(i))
		require.NoError(t, err)
		_, err = w.docs.WriteDocs(t.Context(), ci.DocChange{Doc: d})
		require.NoError(t, err)
	}
}

// live writes and reads until ctx ends.
func (w *town) live(ctx context.Context, t *testing.T, n int) {
	for i := 0; ctx.Err() == nil; i = (i + 13) % n {
		d, err := w.docs.Doc(ctx, kind, fmt.Sprintf("%04d", i))
		if err != nil {
			break
		}
		plain, err := w.k.OpenDoc(ctx, d)
		if err != nil || !bytes.Equal(plain, w.value(i)) {
			if ctx.Err() == nil {
				t.Errorf("document %d does not open: %v", i, err)
			}
			return
		}
		w.reads.Add(1)
		if i%2 == 0 {
			if d, err = w.k.SealDoc(ctx, d, plain); err == nil {
				_, err = w.docs.WriteDocs(ctx, ci.DocChange{Doc: d})
			}
			if err != nil && !errors.Is(err, ci.ErrConflict) && ctx.Err() == nil {
				t.Error(err)
			}
		}
		runtime.Gosched()
	}
}

func (w *town) check(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		d, err := w.docs.Doc(t.Context(), kind, fmt.Sprintf("%04d", i))
		require.NoError(t, err)
		plain, err := w.k.OpenDoc(t.Context(), d)
		require.NoError(t, err)
		require.Equal(t, string(w.value(i)), string(plain))
	}
}

// TestSEC02_RotateAndMoveLive is attack A164: keys are rotated and secrets
// moved to Vault and back, while writers write.
func TestSEC02_RotateAndMoveLive(t *testing.T) {
	const n = 300
	dir := t.TempDir()
	db, err := sqldb.Open(t.Context(), filepath.Join(dir, "rondo.db"), sqldb.Config{Volatile: true})
	require.NoError(t, err)
	local := newKeyset(t)
	_, remote := newVault(t)
	var log bytes.Buffer
	k, err := secrets.New("install", local, secrets.Config{
		Kinds: []string{"empty", kind}, Others: []secrets.Backend{remote},
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.NoError(t, err)
	w := &town{k: k, docs: db}
	w.fill(t, n)
	before, err := db.Doc(t.Context(), kind, "0001")
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { w.live(ctx, t, n) })
	}
	rotate := func() error { _, err := k.Rotate(t.Context()); return err }
	move := func(to secrets.Backend) func() error { return func() error { return k.Move(to) } }
	for i, step := range []func() error{rotate, move(remote), rotate, move(local), rotate} {
		require.NoError(t, step())
		told := 0
		at, err := k.Reseal(t.Context(), db, func(secrets.Progress) { told++ })
		require.NoError(t, err, "step %d", i)
		require.NotZero(t, told)
		require.Equal(t, n, at.Seen)
	}
	stack := make([]byte, 1<<20)
	stack = stack[:runtime.Stack(stack, true)]
	cancel()
	wg.Wait()
	require.NotZero(t, w.reads.Load())

	at, err := k.Reseal(t.Context(), db, nil) // what was on its way
	require.NoError(t, err)
	require.LessOrEqual(t, at.Resealed, 3)
	info, err := k.Info(t.Context(), db)
	require.NoError(t, err)
	keys := info.Backends["local"]
	require.Equal(t, map[secrets.Use]int{{Backend: "local", Key: keys[len(keys)-1].Name}: n}, info.Uses, "nothing needs another key")
	w.check(t, n)
	after, err := db.Doc(t.Context(), kind, "0001")
	require.NoError(t, err)
	require.Equal(t, before.Updated, after.Updated, "a key is nothing that people have changed")
	plain, err := k.OpenDoc(t.Context(), before)
	require.NoError(t, err, "a backup from before all this")
	require.Equal(t, string(w.value(1)), string(plain))
	require.NoError(t, db.Close())

	// The sweep: nothing of a value anywhere.
	all := map[string]string{"log": log.String(), "stack": string(stack)}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		all[e.Name()] = string(b)
	}
	require.Contains(t, all["rondo.db"], "rondo1:local:")
	file, err := os.ReadFile(strings.TrimSuffix(strings.TrimPrefix(local.String(), "secrets.Keyset("), ")"))
	require.NoError(t, err)
	all["keyset"] = string(file)
	for i, v := range []any{k, local, remote, info, at, after, passphrase(canary)} {
		js, _ := json.Marshal(v)
		all[fmt.Sprint("value ", i)] = fmt.Sprintf("%v %+v %#v %s", v, v, v, js)
	}
	for name, text := range all {
		for _, form := range secretstest.Forms([]byte(canary)) {
			require.NotContains(t, text, form, name)
		}
		require.NotContains(t, text, "horse", name) // of the passphrase
	}
}

// documents is ci.Docs under a name that none of its methods has.
type documents = ci.Docs

// faulty fails every n-th call.
type faulty struct {
	documents
	n, calls int
}

var errCrash = errors.New("crash")

func (f *faulty) fails() bool {
	f.calls++
	return f.calls == f.n
}

func (f *faulty) WriteDocs(ctx context.Context, changes ...ci.DocChange) ([]ci.Doc, error) {
	if f.fails() {
		return nil, errCrash
	}
	kept, err := f.documents.WriteDocs(ctx, changes...)
	if err == nil && f.fails() {
		err = errCrash // it was written, and nobody knows
	}
	return kept, err
}

// TestSEC02_ResealIsResumed crashes at every write, and goes on with a new
// keeper. 1,200 documents are three batches.
func TestSEC02_ResealIsResumed(t *testing.T) {
	const n = 1200
	local := newKeyset(t)
	v, remote := newVault(t)
	db := memdb.New()
	w := &town{k: newKeeper(t, local, remote), docs: db}
	w.fill(t, n)
	_, err := w.k.Rotate(t.Context())
	require.NoError(t, err)
	resealed := 0
	for at := 1; ; at++ {
		f := &faulty{documents: db, n: at}
		p, err := newKeeper(t, local, remote).Reseal(t.Context(), f, nil)
		if err == nil {
			resealed += p.Resealed
			break
		}
		require.ErrorIs(t, err, errCrash)
		w.check(t, n)
	}
	require.Less(t, resealed, n, "what was done was not done again")
	uses, err := w.k.Uses(t.Context(), db)
	require.NoError(t, err)
	require.Len(t, uses, 1)

	// To Vault, which fails in between: nothing is lost, and few calls.
	require.NoError(t, w.k.Move(remote))
	v.Seal(true)
	_, err = w.k.Reseal(t.Context(), db, nil)
	require.ErrorIs(t, err, secrets.ErrSealed)
	require.ErrorIs(t, w.k.Ready(t.Context()), secrets.ErrSealed)
	w.check(t, n)
	v.Seal(false)
	require.NoError(t, w.k.Ready(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	_, err = w.k.Reseal(ctx, db, func(secrets.Progress) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
	before := v.Calls("encrypt")
	_, err = w.k.Reseal(t.Context(), db, nil)
	require.NoError(t, err)
	require.Less(t, v.Calls("encrypt")-before, 20, "one for each data key, not for each document")
	w.check(t, n)
	before = v.Calls("decrypt")
	w.k.Forget()
	w.check(t, n)
	require.LessOrEqual(t, v.Calls("decrypt")-before, 10)
}

// TestReseal_Unreadable leaves what cannot be read and goes on with the rest.
func TestReseal_Unreadable(t *testing.T) {
	set := newKeyset(t)
	db := memdb.New()
	w := &town{k: newKeeper(t, set), docs: db}
	w.fill(t, 20)
	good, err := db.Doc(t.Context(), kind, "0005")
	require.NoError(t, err)
	lost := ci.Doc{Kind: kind, ID: "lost", Sealed: strings.Replace(good.Sealed, "rondo1:local:", "rondo1:gone:", 1)}
	junk := ci.Doc{Kind: kind, ID: "junk", Sealed: "what is this?"}
	_, err = db.WriteDocs(t.Context(), ci.DocChange{Doc: lost}, ci.DocChange{Doc: junk}, ci.DocChange{Doc: ci.Doc{Kind: kind, ID: "none"}})
	require.NoError(t, err)
	_, err = w.k.Rotate(t.Context())
	require.NoError(t, err)
	at, err := w.k.Reseal(t.Context(), db, nil)
	require.ErrorIs(t, err, secrets.ErrUnreadable)
	require.ErrorContains(t, err, "2 cannot be")
	require.Equal(t, 20, at.Resealed)
	require.Equal(t, 22, at.Seen)
	w.check(t, 20)
	_, err = w.k.Uses(t.Context(), db)
	require.ErrorIs(t, err, secrets.ErrUnreadable, "nobody knows which key junk needs")
	_, err = db.WriteDocs(t.Context(), ci.DocChange{Doc: ci.Doc{Kind: kind, ID: "junk", Version: 1}, Delete: true})
	require.NoError(t, err)
	uses, err := w.k.Uses(t.Context(), db)
	require.NoError(t, err)
	require.Equal(t, 1, uses[secrets.Use{Backend: "gone", Key: strings.Split(lost.Sealed, ":")[2]}])
}

// TestReseal_Others is about somebody who is always faster.
func TestReseal_Others(t *testing.T) {
	set := newKeyset(t)
	db := memdb.New()
	w := &town{k: newKeeper(t, set), docs: db}
	w.fill(t, 10)
	_, err := w.k.Rotate(t.Context())
	require.NoError(t, err)
	_, err = w.k.Reseal(t.Context(), &hasty{documents: db}, nil)
	require.ErrorIs(t, err, ci.ErrConflict)
	h := &hasty{documents: db, until: 5}
	at, err := w.k.Reseal(t.Context(), h, nil)
	require.NoError(t, err)
	require.Greater(t, at.Pass, 1)
	require.Equal(t, 1, at.Resealed, "the others were done the first time")
}

// hasty changes the first document before every write.
type hasty struct {
	documents
	writes, until int
}

func (h *hasty) WriteDocs(ctx context.Context, changes ...ci.DocChange) ([]ci.Doc, error) {
	h.writes++
	if h.until == 0 || h.writes <= h.until {
		d, err := h.Doc(ctx, kind, "0000")
		if err != nil {
			return nil, err
		}
		d.Due = time.Now()
		if _, err := h.documents.WriteDocs(ctx, ci.DocChange{Doc: d}); err != nil {
			return nil, err
		}
	}
	return h.documents.WriteDocs(ctx, changes...)
}
