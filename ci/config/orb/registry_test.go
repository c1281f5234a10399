package orb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/ci/config/orb"
)

var _ config.Orbs = (*orb.Registry)(nil)

func registry(t testing.TB, cfg orb.Config) *orb.Registry {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "orbs.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)")
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	for range 2 { // opening twice is fine
		_, err = orb.Open(t.Context(), db, cfg)
		require.NoError(t, err)
	}
	r, err := orb.Open(t.Context(), db, cfg)
	require.NoError(t, err)
	return r
}

func TestRegistry(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := registry(t, orb.Config{Now: func() time.Time { return now }})
	ctx := t.Context()
	require.NoError(t, r.Claim(ctx, "acme", "org1"))
	require.NoError(t, r.Claim(ctx, "acme", "org1"))
	require.ErrorIs(t, r.Claim(ctx, "acme", "org2"), ci.ErrConflict)
	require.ErrorIs(t, r.Claim(ctx, "second", "org1"), ci.ErrConflict)
	require.ErrorIs(t, r.Claim(ctx, "A/b", "org3"), ci.ErrInvalid)

	require.ErrorIs(t, r.Publish(ctx, "org2", "acme/x@1.0.0", []byte("a")), ci.ErrDenied)
	require.ErrorIs(t, r.Publish(ctx, "org1", "none/x@1.0.0", []byte("a")), ci.ErrNotFound)
	for _, ref := range []string{"acme/x@1", "acme/x@volatile", "acme/x", "acme/../x@1.0.0"} {
		require.ErrorIs(t, r.Publish(ctx, "org1", ref, []byte("a")), ci.ErrInvalid, ref)
	}
	require.NoError(t, r.Publish(ctx, "org1", "acme/x@1.0.0", []byte("one")))
	require.NoError(t, r.Publish(ctx, "org1", "acme/x@1.0.0", []byte("one")))
	require.ErrorIs(t, r.Publish(ctx, "org1", "acme/x@1.0.0", []byte("other")), ci.ErrConflict)
	require.NoError(t, r.Publish(ctx, "org1", "acme/x@dev:try", []byte("d1")))
	require.NoError(t, r.Publish(ctx, "org1", "acme/x@dev:try", []byte("d2")))

	for i, want := range []string{"acme/x@1.0.1", "acme/x@1.1.0", "acme/x@2.0.0"} {
		got, err := r.Promote(ctx, "org1", "acme/x", "try", orb.Part(2-i))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for ref, want := range map[string]string{"acme/x@1": "acme/x@1.1.0 d2", "acme/x@volatile": "acme/x@2.0.0 d2", "acme/x@1.0.0": "acme/x@1.0.0 one", "acme/x@dev:try": "acme/x@dev:try d2"} {
		resolved, source, err := r.Orb(ctx, ref)
		require.NoError(t, err)
		require.Equal(t, want, resolved+" "+string(source))
	}
	_, _, err := r.Orb(ctx, "acme/x@3")
	require.ErrorIs(t, err, ci.ErrNotFound)

	now = now.Add(91 * 24 * time.Hour)
	_, _, err = r.Orb(ctx, "acme/x@dev:try")
	require.ErrorIs(t, err, ci.ErrNotFound, "development versions expire")
	var refs []string
	for ref, err := range r.Refs(ctx) {
		require.NoError(t, err)
		refs = append(refs, ref)
	}
	require.Equal(t, []string{"acme/x@1.0.0", "acme/x@1.0.1", "acme/x@1.1.0", "acme/x@2.0.0"}, refs)
}

// TestRegistryRace: of many publications of one release with different
// sources exactly one wins, and the others are told.
func TestRegistryRace(t *testing.T) {
	r := registry(t, orb.Config{})
	require.NoError(t, r.Claim(t.Context(), "acme", "org"))
	var wg sync.WaitGroup
	won := make(chan string, 16)
	for i := range 16 {
		wg.Go(func() {
			source := fmt.Sprint("source ", i)
			err := r.Publish(context.WithoutCancel(t.Context()), "org", "acme/x@1.0.0", []byte(source))
			if err == nil {
				won <- source
			} else if !errors.Is(err, ci.ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(won)
	require.Len(t, won, 1)
	_, source, err := r.Orb(t.Context(), "acme/x@1")
	require.NoError(t, err)
	require.Equal(t, <-won, string(source))
}

func ExampleOpen() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	ctx := context.Background()
	r, err := orb.Open(ctx, db, orb.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := errors.Join(
		r.Claim(ctx, "acme", "acme-org"),
		r.Publish(ctx, "acme-org", "acme/go@1.2.3", []byte("commands: {test: {steps: [run: go test ./...]}}")),
	); err != nil {
		fmt.Println(err)
		return
	}
	resolved, _, err := r.Orb(ctx, "acme/go@1")
	fmt.Println(resolved, err)
	// Output: acme/go@1.2.3 <nil>
}
