package orb_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/ci/config/orb"
	"github.com/rondo-ci/rondo/storage/memdb"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

var _ config.Orbs = orb.View{}

// each runs a test on every database.
func each(t *testing.T, test func(t *testing.T, docs ci.Docs)) {
	t.Run("memdb", func(t *testing.T) { test(t, memdb.New()) })
	t.Run("sqldb", func(t *testing.T) {
		db, err := sqldb.Open(t.Context(), filepath.Join(t.TempDir(), "orbs.db"), sqldb.Config{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		test(t, db)
	})
}

func TestRegistry_Namespaces(t *testing.T) {
	each(t, func(t *testing.T, docs ci.Docs) {
		r, ctx := orb.New(docs, orb.Config{}), t.Context()
		acme, err := r.CreateNamespace(ctx, "acme", "gh/acme")
		require.NoError(t, err)
		again, err := r.CreateNamespace(ctx, "acme", "gh/acme")
		require.NoError(t, err)
		require.Equal(t, acme, again)
		_, err = r.CreateNamespace(ctx, "acme", "gh/other")
		require.ErrorIs(t, err, ci.ErrConflict)
		require.ErrorContains(t, err, "taken")
		_, err = r.CreateNamespace(ctx, "second", "gh/acme")
		require.ErrorIs(t, err, ci.ErrConflict)
		require.ErrorContains(t, err, "gh/acme has the namespace acme")
		for _, bad := range []string{"", "A", "a/b", "a@1", "-a", "..", strings.Repeat("a", 101), "é"} {
			_, err = r.CreateNamespace(ctx, bad, "gh/bad")
			require.ErrorIs(t, err, ci.ErrInvalid, bad)
		}
		of, err := r.NamespaceOf(ctx, "gh/acme")
		require.NoError(t, err)
		require.Equal(t, acme, of)
		_, err = r.NamespaceOf(ctx, "")
		require.ErrorIs(t, err, ci.ErrNotFound)

		o, err := r.CreateOrb(ctx, acme.ID, "go", false)
		require.NoError(t, err)
		_, err = r.PublishOrb(ctx, o.ID, "1.0.0", []byte("one"))
		require.NoError(t, err)

		// A renamed one answers to both names.
		_, err = r.RenameNamespace(ctx, acme.ID, "acme-inc")
		require.NoError(t, err)
		for _, name := range []string{"acme", "acme-inc"} {
			resolved, source, err := r.For("").Orb(ctx, name+"/go@1")
			require.NoError(t, err)
			require.Equal(t, name+"/go@1.0.0 one", resolved+" "+string(source))
		}
		require.ErrorIs(t, r.DeleteAlias(ctx, "acme-inc"), ci.ErrConflict)
		require.NoError(t, r.DeleteAlias(ctx, "acme"))
		require.ErrorIs(t, r.DeleteAlias(ctx, "acme"), ci.ErrNotFound)
		_, err = r.Namespace(ctx, "acme")
		require.ErrorIs(t, err, ci.ErrNotFound)
		other, err := r.CreateNamespace(ctx, "acme", "gh/other")
		require.NoError(t, err)
		_, err = r.RenameNamespace(ctx, other.ID, "acme-inc")
		require.ErrorIs(t, err, ci.ErrConflict)
		_, err = r.RenameNamespace(ctx, "none", "fresh")
		require.ErrorIs(t, err, ci.ErrNotFound)

		require.NoError(t, r.DeleteNamespace(ctx, acme.ID))
		require.ErrorIs(t, r.DeleteNamespace(ctx, acme.ID), ci.ErrNotFound)
		for kind := range map[string]bool{"orb": true, "orb-version": true, "orb-source": true} {
			for d := range docs.Docs(ctx, ci.DocQuery{Kind: kind, AllScopes: true}) {
				t.Errorf("%s %s is left", kind, d.ID)
			}
		}
		_, err = r.CreateNamespace(ctx, "fresh", "gh/acme") // the organisation has none now
		require.NoError(t, err)
	})
}

func TestRegistry_Versions(t *testing.T) {
	each(t, func(t *testing.T, docs ci.Docs) {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		r, ctx := orb.New(docs, orb.Config{Now: func() time.Time { return now }}), t.Context()
		n, err := r.CreateNamespace(ctx, "acme", "gh/acme")
		require.NoError(t, err)
		o, err := r.CreateOrb(ctx, n.ID, "x", false)
		require.NoError(t, err)
		require.Equal(t, "acme/x", o.Name)
		require.Equal(t, now, o.Created)
		_, err = r.CreateOrb(ctx, n.ID, "x", false)
		require.ErrorIs(t, err, ci.ErrConflict)
		_, err = r.CreateOrb(ctx, n.ID, "X/y", false)
		require.ErrorIs(t, err, ci.ErrInvalid)

		publish := func(version, source string) error {
			_, err := r.PublishOrb(ctx, o.ID, version, []byte(source))
			return err
		}
		for _, bad := range []string{"1", "volatile", "", "1.0.0-rc1", "01.0.0", "dev:", "dev:../x", "dev:a b", "dev:" + strings.Repeat("a", 100)} {
			require.ErrorIs(t, publish(bad, "a"), ci.ErrInvalid, bad)
		}
		require.ErrorIs(t, publish("1.0.0", ""), ci.ErrInvalid)
		require.ErrorIs(t, publish("1.0.0", strings.Repeat("a", orb.MaxSource+1)), ci.ErrInvalid)
		require.ErrorIs(t, publish("1.0.0", strings.Repeat("\x01", orb.MaxSource)), ci.ErrInvalid, "too large as JSON")
		_, err = r.PublishOrb(ctx, "none", "1.0.0", []byte("a"))
		require.ErrorIs(t, err, ci.ErrNotFound)

		versions, err := r.OrbVersions(ctx, o.ID, 0)
		require.NoError(t, err)
		require.Empty(t, versions)
		for _, v := range []string{"1.0.0", "1.2.10", "1.10.0", "1.2.9", "0.1.0", "10.0.0"} {
			require.NoError(t, publish(v, "source <"+v+">"))
			require.NoError(t, publish(v, "source <"+v+">"), "twice")
			err := publish(v, "other")
			require.ErrorIs(t, err, ci.ErrConflict)
			require.ErrorContains(t, err, "choose a higher version")
		}
		require.NoError(t, publish("dev:try", "d1"))
		require.NoError(t, publish("dev:try", "d2"))

		versions, err = r.OrbVersions(ctx, o.ID, 0)
		require.NoError(t, err)
		var numbers []string
		for _, v := range versions {
			numbers = append(numbers, v.Version)
		}
		require.Equal(t, []string{"10.0.0", "1.10.0", "1.2.10", "1.2.9", "1.0.0", "0.1.0"}, numbers)
		for ref, want := range map[string]string{
			"1": "1.10.0 source <1.10.0>", "1.2": "1.2.10 source <1.2.10>", "volatile": "10.0.0 source <10.0.0>",
			"1.0.0": "1.0.0 source <1.0.0>", "dev:try": "dev:try d2", "0": "0.1.0 source <0.1.0>",
			"2": "", "1.3": "", "1.2.1": "", "dev:none": "",
		} {
			resolved, source, err := r.For("").Orb(ctx, "acme/x@"+ref)
			if want == "" {
				require.ErrorIs(t, err, ci.ErrNotFound, ref)
				continue
			}
			require.NoError(t, err, ref)
			require.Equal(t, "acme/x@"+want, resolved+" "+string(source))
		}
		_, _, err = r.For("").Orb(ctx, "acme/x")
		require.ErrorIs(t, err, ci.ErrInvalid)

		now = now.Add(91 * 24 * time.Hour)
		_, _, err = r.For("").Orb(ctx, "acme/x@dev:try")
		require.ErrorIs(t, err, ci.ErrNotFound, "development versions expire")
		require.NoError(t, publish("dev:other", "d3"))
		left := 0
		for range docs.Docs(ctx, ci.DocQuery{Kind: "orb-source", AllScopes: true}) {
			left++
		}
		require.Equal(t, 7, left, "the next publication removes the expired one")
		require.NoError(t, publish("dev:try", "d4"))
	})
}

func TestRegistry_PrivateOrbs(t *testing.T) {
	r, ctx := orb.New(memdb.New(), orb.Config{}), t.Context()
	n, err := r.CreateNamespace(ctx, "acme", "gh/acme")
	require.NoError(t, err)
	o, err := r.CreateOrb(ctx, n.ID, "secret", true)
	require.NoError(t, err)
	_, err = r.PublishOrb(ctx, o.ID, "1.0.0", []byte("commands: {hi: {steps: [run: hi]}}"))
	require.NoError(t, err)
	_, _, err = r.For("gh/acme").Orb(ctx, "acme/secret@1")
	require.NoError(t, err)
	_, _, denied := r.For("gh/mallory").Orb(ctx, "acme/secret@1")
	_, _, missing := r.For("gh/mallory").Orb(ctx, "acme/none@1")
	require.ErrorIs(t, denied, ci.ErrNotFound)
	require.ErrorIs(t, missing, ci.ErrNotFound)
	require.Equal(t, strings.ReplaceAll(missing.Error(), "none", "secret"), denied.Error(), "they look the same")

	source := []byte("{version: 2.1, orbs: {o: acme/secret@1}, jobs: {build: {docker: [{image: a}], steps: [o/hi]}}}")
	_, err = config.Compile(ctx, source, config.Options{Orbs: r.For("gh/acme")})
	require.NoError(t, err)
	_, err = config.Compile(ctx, source, config.Options{Orbs: r.For("gh/mallory")})
	require.ErrorIs(t, err, ci.ErrNotFound)

	_, err = r.ChangeOrb(ctx, o.ID, func(o *ci.Orb) error {
		o.Unlisted, o.Categories = true, append(o.Categories, "Testing")
		return nil
	})
	require.NoError(t, err)
	for got, err := range r.Orbs(ctx, "") {
		require.NoError(t, err)
		require.True(t, got.Private && got.Unlisted)
		require.Equal(t, []string{"Testing"}, got.Categories)
	}
	imported, err := r.CreateNamespace(ctx, "public", "")
	require.NoError(t, err)
	_, err = r.CreateOrb(ctx, imported.ID, "x", true)
	require.ErrorIs(t, err, ci.ErrInvalid)
}

// TestRegistryRace: of many publications of one release with different
// sources exactly one wins, and the others are told; a namespace that is
// deleted meanwhile leaves nothing behind.
func TestRegistryRace(t *testing.T) {
	each(t, func(t *testing.T, docs ci.Docs) {
		r, ctx := orb.New(docs, orb.Config{}), context.WithoutCancel(t.Context())
		n, err := r.CreateNamespace(ctx, "acme", "gh/acme")
		require.NoError(t, err)
		o, err := r.CreateOrb(ctx, n.ID, "x", false)
		require.NoError(t, err)
		var wg sync.WaitGroup
		won := make(chan string, 16)
		for i := range 16 {
			wg.Go(func() {
				source := fmt.Sprint("source ", i)
				_, err := r.PublishOrb(ctx, o.ID, "1.0.0", []byte(source))
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
		_, source, err := r.For("").Orb(ctx, "acme/x@1")
		require.NoError(t, err)
		require.Equal(t, <-won, string(source))

		for i := range 8 {
			wg.Go(func() {
				_, err := r.PublishOrb(ctx, o.ID, fmt.Sprint("2.0.", i), []byte("two"))
				if err != nil && !errors.Is(err, ci.ErrNotFound) {
					t.Error(err)
				}
				_, err = r.CreateOrb(ctx, n.ID, fmt.Sprint("y", i), false)
				if err != nil && !errors.Is(err, ci.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		require.NoError(t, r.DeleteNamespace(ctx, n.ID))
		wg.Wait()
		for _, kind := range []string{"orb-namespace", "orb-name", "orb-owner", "orb", "orb-version", "orb-source"} {
			for d := range docs.Docs(ctx, ci.DocQuery{Kind: kind, AllScopes: true}) {
				t.Errorf("%s %s is left", kind, d.ID)
			}
		}
	})
}

func ExampleNew() {
	ctx := context.Background()
	r := orb.New(memdb.New(), orb.Config{})
	n, err := r.CreateNamespace(ctx, "acme", "gh/acme")
	if err != nil {
		fmt.Println(err)
		return
	}
	o, err := r.CreateOrb(ctx, n.ID, "go", false)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := r.PublishOrb(ctx, o.ID, "1.2.3", []byte("commands: {test: {steps: [run: go test ./...]}}")); err != nil {
		fmt.Println(err)
		return
	}
	resolved, _, err := r.For("gh/other").Orb(ctx, "acme/go@1")
	fmt.Println(resolved, err)
	// Output: acme/go@1.2.3 <nil>
}
