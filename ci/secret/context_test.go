package secret_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/secret"
)

func TestContexts(t *testing.T) {
	w := newWorld(t)
	b, a := w.context("b"), w.context("a")
	x, err := w.CreateContext(w.ctx, "gh/evil", "x", mallory)
	require.NoError(t, err)

	list, err := w.Contexts(w.ctx, acme)
	require.NoError(t, err)
	require.Equal(t, []ci.Context{a, b}, list)
	list, err = w.Contexts(w.ctx, "")
	require.NoError(t, err)
	require.Equal(t, []ci.Context{a, b, x}, list)
	list, err = w.Contexts(w.ctx, "gh/none")
	require.NoError(t, err)
	require.Empty(t, list)

	got, err := w.Context(w.ctx, a.ID)
	require.NoError(t, err)
	require.Equal(t, a, got)
	_, err = w.Context(w.ctx, "nope")
	require.ErrorIs(t, err, ci.ErrNotFound)

	var page []string
	for c, err := range w.List(w.ctx, "", "a", 1) {
		require.NoError(t, err)
		page = append(page, c.Name)
	}
	require.Equal(t, []string{"b"}, page)

	require.NoError(t, w.DeleteContext(w.ctx, a.ID, admin))
	_, err = w.Context(w.ctx, a.ID)
	require.ErrorIs(t, err, ci.ErrNotFound)
	require.ErrorIs(t, w.DeleteContext(w.ctx, a.ID, admin), ci.ErrNotFound)
	_, err = w.CreateContext(w.ctx, "gh/evil", "a", mallory)
	require.NoError(t, err, "the name is free again")
}

// The official CLI looks for these words.
func TestNameIsTaken(t *testing.T) {
	w := newWorld(t)
	w.context("orb-publishing")
	for _, org := range []string{acme, "gh/evil"} {
		_, err := w.CreateContext(w.ctx, org, "orb-publishing", admin)
		require.ErrorIs(t, err, ci.ErrConflict)
		require.ErrorContains(t, err, "A context named orb-publishing already exists")
	}
	_, err := w.CreateContext(w.ctx, acme, "Orb-publishing", admin)
	require.NoError(t, err, "case counts")
}

func TestContextNames(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"x", strings.Repeat("ü", 200), "two words", "../../x", "<img src=x>", "日本", "org-global"} {
		_, err := w.CreateContext(w.ctx, acme, name, admin)
		require.NoError(t, err, name)
	}
	for name, want := range map[string]string{
		"": "needs a name", "  \t": "needs a name", " x": "blank", "x ": "blank", "x\n": "blank", "a\nb": "line breaks",
		"a\vb": "line breaks", "a\u2028b": "line breaks", "a\u202eb": "nobody sees", "a\u0085b": "line breaks", "a\x00b": "nobody sees", "a\xffb": "nobody sees",
		strings.Repeat("ü", 201): "201 characters, more than 200",
	} {
		_, err := w.CreateContext(w.ctx, acme, name, admin)
		require.ErrorIs(t, err, ci.ErrInvalid, name)
		require.ErrorContains(t, err, want, name)
	}
	_, err := w.CreateContext(w.ctx, "", "orphan", admin)
	require.ErrorIs(t, err, ci.ErrInvalid)
}

func TestContextLimit(t *testing.T) {
	w := newWorld(t)
	for i := range secret.MaxContexts {
		w.context(fmt.Sprint("c", i))
	}
	_, err := w.CreateContext(w.ctx, acme, "one more", admin)
	require.ErrorIs(t, err, ci.ErrInvalid)
	require.ErrorContains(t, err, "gh/acme has 500 contexts and cannot have more: delete one")
	_, err = w.CreateContext(w.ctx, "gh/evil", "one more", mallory)
	require.NoError(t, err, "the limit is that of an organisation")
	list, err := w.Contexts(w.ctx, acme)
	require.NoError(t, err)
	require.NoError(t, w.DeleteContext(w.ctx, list[0].ID, admin))
	w.context("another")
}

// Many at once never make more than may be, and one name is made once.
func TestConcurrentCreation(t *testing.T) {
	w := newWorld(t)
	for i := range secret.MaxContexts - 3 {
		w.context(fmt.Sprint("c", i))
	}
	var made, taken, full int
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			_, err := w.CreateContext(w.ctx, acme, fmt.Sprint("new", i/2), admin)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				made++
			case errors.Is(err, ci.ErrConflict):
				taken++
			case errors.Is(err, ci.ErrInvalid):
				full++
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Equal(t, 3, made, "%d taken, %d full", taken, full)
	list, err := w.Contexts(w.ctx, acme)
	require.NoError(t, err)
	require.Len(t, list, secret.MaxContexts)
}

// TestSEC_DeletionTakesAll proves that nothing of a context outlives it, and
// that a variable cannot be set on one that is going.
func TestSEC_DeletionTakesAll(t *testing.T) {
	w := newWorld(t)
	for range 20 {
		c := w.context("doomed", "A", "one", "B", "two")
		w.restrict(c, ci.RestrictProject, string(shop.ID))
		var all sync.WaitGroup
		for _, name := range []string{"A", "C"} {
			all.Go(func() {
				_, err := w.SetVariable(w.ctx, ci.Holder{Context: c.ID}, name, "three", admin)
				if err != nil && !errors.Is(err, ci.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		all.Go(func() {
			if err := w.DeleteContext(w.ctx, c.ID, admin); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		for _, kind := range []string{"context", "context-name", "context-variable", "context-restriction"} {
			for d, err := range w.db.Docs(w.ctx, ci.DocQuery{Kind: kind, AllScopes: true}) {
				require.NoError(t, err)
				require.Fail(t, "left behind", "%s %s %s", d.Kind, d.ID, d.Name)
			}
		}
	}
}
