package secret_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/secret"
	"github.com/rondo-ci/rondo/ci/secret/secrettest"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// crowded is a safe over SQLite with 10,000 contexts of 20 organisations and a
// variable in each.
func crowded(tb testing.TB) (*secret.Safe, *secrettest.Keeper) {
	tb.Helper()
	ctx := context.Background()
	db, err := sqldb.Open(ctx, filepath.Join(tb.TempDir(), "rondo.db"), sqldb.Config{Volatile: true})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = db.Close() })
	k := secrettest.New()
	for org := range 20 {
		var changes []ci.DocChange
		for i := range secret.MaxContexts {
			c := ci.Context{ID: ci.ContextID(ci.NewID()), Org: fmt.Sprint("gh/org", org), Name: fmt.Sprintf("context %03d of %02d", i, org), Created: time.Now()}
			body, err := json.Marshal(c)
			require.NoError(tb, err)
			v := ci.Doc{Kind: "context-variable", ID: ci.NewID(), Scope: string(c.ID), Name: "TOKEN", Body: []byte(`{"masked":"xxxxxxxx"}`)}
			v.Sealed, err = k.Seal(ctx, []string{v.Kind, v.Scope, v.ID, v.Name}, []byte("xxxxxxxx"))
			require.NoError(tb, err)
			changes = append(changes,
				ci.DocChange{Doc: ci.Doc{Kind: "context", ID: string(c.ID), Scope: c.Org, Name: c.Name, Body: []byte(`{"variables":1}`)}},
				ci.DocChange{Doc: ci.Doc{Kind: "context-name", ID: c.Name, Body: body}}, ci.DocChange{Doc: v})
		}
		_, err := db.WriteDocs(ctx, changes...)
		require.NoError(tb, err)
	}
	return secret.New(db, k, secret.Config{}), k
}

// TestTenThousandContexts proves that lists of any size open nothing.
func TestTenThousandContexts(t *testing.T) {
	s, k := crowded(t)
	all, err := s.Contexts(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, all, 10_000)
	after, seen := "", 0
	for {
		n := 0
		for c, err := range s.List(t.Context(), "", after, 997) {
			require.NoError(t, err)
			require.Equal(t, all[seen], c)
			after = c.Name
			seen++
			n++
		}
		if n < 997 {
			break
		}
	}
	require.Equal(t, 10_000, seen)
	for _, c := range all[:3] {
		list, err := s.Variables(t.Context(), ci.Holder{Context: c.ID})
		require.NoError(t, err)
		require.Len(t, list, 1)
	}
	require.Zero(t, k.Opened.Load())
}

func BenchmarkContexts10000(b *testing.B) {
	s, _ := crowded(b)
	for b.Loop() {
		all, err := s.Contexts(b.Context(), "")
		if err != nil || len(all) != 10_000 {
			b.Fatal(len(all), err)
		}
	}
}

func BenchmarkPageOf10000(b *testing.B) {
	s, _ := crowded(b)
	for b.Loop() {
		n := 0
		for _, err := range s.List(b.Context(), "gh/org7", "context 250 of 07", 20) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 20 {
			b.Fatal(n)
		}
	}
}

// BenchmarkResolve is a job with 5 contexts of 20 variables each.
func BenchmarkResolve(b *testing.B) {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, filepath.Join(b.TempDir(), "rondo.db"), sqldb.Config{Volatile: true})
	require.NoError(b, err)
	b.Cleanup(func() { _ = db.Close() })
	s := secret.New(db, secrettest.New(), secret.Config{})
	n := ask(alice)
	for i := range 5 {
		c, err := s.CreateContext(ctx, acme, fmt.Sprint("c", i), admin)
		require.NoError(b, err)
		n.Contexts = append(n.Contexts, c.Name)
		_, err = s.Restrict(ctx, c.ID, ci.RestrictProject, string(shop.ID), admin)
		require.NoError(b, err)
		for v := range 20 {
			_, err := s.SetVariable(ctx, ci.Holder{Context: c.ID}, fmt.Sprint("V", v), "a secret of some length", admin)
			require.NoError(b, err)
		}
	}
	for b.Loop() {
		vars, _, err := s.Resolve(ctx, n)
		if err != nil || len(vars) != 100 {
			b.Fatal(len(vars), err)
		}
	}
}
