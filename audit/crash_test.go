package audit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/audit/audittest"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// A crashing database fails at the n-th write, before or after it is done, and
// from then on at every one, as does a process that is gone.
type crashing struct {
	*memdb.DB
	crash *crash
}

var errCrash = errors.New("crash")

type crash struct {
	at, n int // the step at which it comes, and that which it is
	down  bool
}

func (c *crash) step() error {
	c.n++
	if c.n == c.at {
		c.down = true
	}
	if c.down {
		return errCrash
	}
	return nil
}

func (c crashing) WriteDocs(ctx context.Context, changes ...ci.DocChange) ([]ci.Doc, error) {
	if err := c.crash.step(); err != nil {
		return nil, err
	}
	kept, err := c.DB.WriteDocs(ctx, changes...)
	if late := c.crash.step(); late != nil {
		return nil, late
	}
	return kept, err
}

// Killed at each step of each write, every act has its event, every event its
// act, and the chain is whole.
func TestAUD02_KilledAtAnyPoint(t *testing.T) {
	for at := 1; ; at++ {
		db, objects := memdb.New(), &audit.Memory{}
		c := &crash{at: at}
		open := func(c *crash) *audit.Book {
			bucket := audittest.Broken{Bucket: objects, Fail: func(string, string, bool) error { return c.step() }}
			return audit.New(crashing{db, c}, bucket, newSigner(t), audit.Config{MaxFile: 1500})
		}
		hour := 0
		work := func(b *audit.Book, c *crash) error {
			for i := range 6 {
				a := act(i)
				a.Target["id"] = ci.NewID()
				more, err := b.Draft(ctx, a)
				if err != nil {
					return err
				}
				deed := ci.DocChange{Doc: ci.Doc{Kind: "deed", ID: a.Target["id"]}}
				if _, err := (crashing{db, c}).WriteDocs(ctx, append(more, deed)...); err != nil {
					return err
				}
				hour++
				if err := b.Seal(ctx, noon.Add(time.Duration(hour/2)*time.Hour)); err != nil {
					return err
				}
			}
			return nil
		}
		err := work(open(c), c)
		if err == nil {
			require.Greater(t, at, 40, "the crash came at each step before")
			return
		}
		healed := &crash{}
		book := open(healed)
		require.NoError(t, work(book, healed), "step %d", at)
		require.NoError(t, book.Seal(ctx, noon.Add(100*time.Hour)))
		deeds, events := map[string]bool{}, map[string]bool{}
		for d, err := range db.Docs(ctx, ci.DocQuery{Kind: "deed", AllScopes: true}) {
			require.NoError(t, err)
			deeds[d.ID] = true
		}
		n := 0
		for l, err := range book.Lines(ctx, 0) {
			require.NoError(t, err)
			events[event(t, l.Text).Target.ID] = true
			n++
		}
		require.Equal(t, deeds, events, "step %d", at)
		require.Len(t, deeds, n, "step %d: none twice", at)
		_, err = book.Check(ctx)
		require.NoError(t, err, "step %d", at)
		_, err = audit.Verify(ctx, objects, newSigner(t).Key())
		require.NoError(t, err, "step %d", at)
	}
}
