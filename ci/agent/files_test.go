package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// TestP19a_SlowLine: a file that moves has time, one that stands still has two
// minutes, and trying the same part again and again is standing still.
func TestP19a_SlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &session{agent: New(nil, nil, Config{}), lease: newKeeper(t.Context(), nil, ci.Lease{}, bootTime())}
		took := func(f func(ctx context.Context, moved func(int)) error) (time.Duration, error) {
			begin := time.Now()
			err := s.fileTry(t.Context(), f)
			return time.Since(begin), err
		}
		wait := func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(time.Minute):
				return nil
			}
		}
		d, err := took(func(ctx context.Context, moved func(int)) error {
			for range 30 {
				if err := wait(ctx); err != nil {
					return err
				}
				moved(1)
			}
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, 30*time.Minute, d)

		d, err = took(func(ctx context.Context, _ func(int)) error { <-ctx.Done(); return ctx.Err() })
		require.ErrorContains(t, err, "tried for 2m0s")
		require.Equal(t, fileTime, d)

		d, err = took(func(ctx context.Context, moved func(int)) error {
			moved(1000)
			return errors.Join(wait(ctx), errors.New("broken off"))
		})
		require.ErrorContains(t, err, "broken off")
		require.Equal(t, fileTime, d)
	})
}
