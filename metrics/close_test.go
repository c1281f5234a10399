package metrics_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/rondo-ci/rondo/metrics"
	"github.com/stretchr/testify/require"
)

// A closing sink counts how often it was closed, and what came afterwards.
type closing struct {
	box
	closed, late int
}

func (c *closing) Write(ctx context.Context, samples []metrics.Sample) error {
	c.mu.Lock()
	if c.closed > 0 {
		c.late++
	}
	c.mu.Unlock()
	return c.box.Write(ctx, samples)
}

func (c *closing) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
	return errors.New("said on the log only")
}

// Sinks are closed once, after their last write: when they are replaced, and at
// the end.
func TestMET12_ReplacedSinksAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c, late := &closing{}, &closing{}, &closing{}, &closing{}
		h := metrics.NewHub(nil, metrics.Config{})
		h.Use(sink("a", a))
		h.Use(sink("a", b)) // before it runs
		h.Use(sink("a", a))
		run(t, h, func() {
			synctest.Wait()
			require.Equal(t, 0, a.closed, "in use again")
			require.Equal(t, 1, b.closed)
			h.Put(one(1))
			synctest.Wait()
			h.Use(sink("a", a), sink("c", c))
			synctest.Wait()
			require.Equal(t, 0, a.closed)
			h.Use(sink("c", c))
			synctest.Wait()
			require.Equal(t, 1, a.closed)
			h.Put(one(2))
		})
		require.Equal(t, 1, c.closed)
		require.Contains(t, c.values(), 2.0, "what waited at the end came before")
		h.Use(sink("late", late))
		require.Equal(t, 1, late.closed, "nobody would ever close it")
		h.Put(one(3))
		for _, s := range []*closing{a, b, c, late} {
			require.Equal(t, 1, s.closed)
			require.Equal(t, 0, s.late)
		}
	})
}
