package secret_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// contended is a database in which somebody else is always faster, for as many
// writes as conflicts says.
type contended struct {
	*memdb.DB
	conflicts int
}

func (c *contended) WriteDocs(ctx context.Context, changes ...ci.DocChange) ([]ci.Doc, error) {
	if c.conflicts > 0 {
		c.conflicts--
		return nil, fmt.Errorf("its version is 2, not 1: %w", ci.ErrConflict)
	}
	return c.DB.WriteDocs(ctx, changes...)
}

func TestOthersAreFaster(t *testing.T) {
	db := &contended{DB: memdb.New()}
	w := newWorldOver(t, db)
	c := w.context("prod")
	db.conflicts = 10
	w.set(ci.Holder{Context: c.ID}, "A", "x")
	require.Equal(t, []string{"context.create ", "context.env_var.store "}, w.last(2), "on record once")

	db.conflicts = 1 << 30
	_, err := w.SetVariable(w.ctx, ci.Holder{Context: c.ID}, "A", "y", admin)
	require.ErrorIs(t, err, ci.ErrConflict)
	require.ErrorContains(t, err, "others keep changing it, try again")
	require.Equal(t, []string{"context.env_var.store ", "context.env_var.store false"}, w.last(2))
	require.Equal(t, "A", w.notes[len(w.notes)-1].target["variable"])

	_, err = w.CreateKey(w.ctx, shop.ID, ci.KeyDeploy, admin)
	require.ErrorIs(t, err, ci.ErrConflict)
	require.Len(t, w.told, 2)
	require.Contains(t, w.told[0], " true")
	require.Contains(t, w.told[1], " false", "the code host is told to forget a key that nobody has")
}

// Many writers of one context get all their variables in, and the count right.
func TestConcurrentVariables(t *testing.T) {
	w := newWorld(t)
	c := w.context("prod")
	of := ci.Holder{Context: c.ID}
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			if _, err := w.SetVariable(w.ctx, of, fmt.Sprint("V", i/2), "x", admin); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	list, err := w.Variables(w.ctx, of)
	require.NoError(t, err)
	require.Len(t, list, 8)
	d, err := w.db.Doc(w.ctx, "context", string(c.ID))
	require.NoError(t, err)
	require.JSONEq(t, `{"variables":8}`, string(d.Body))
}
