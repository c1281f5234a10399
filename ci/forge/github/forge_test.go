package github_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/forgetest"
	"github.com/rondo-ci/rondo/ci/forge/github"
)

// TestForge: GitHub answers what any code host answers.
func TestForge(t *testing.T) {
	forgetest.TestForge(t, func(t *testing.T, dir string) forgetest.Opening {
		triggers := make(chan ci.Trigger, 10)
		w := newWorld(t, func(c *github.Config) {
			trigger := c.Trigger
			c.Trigger = func(ctx context.Context, tr ci.Trigger) (ci.Pipeline, error) {
				triggers <- tr
				return trigger(ctx, tr)
			}
		})
		repo := w.fake.Adopt("acme/shop", dir)
		p, err := w.host.Follow(t.Context(), "gh/acme/shop", true, ci.Actor{})
		require.NoError(t, err)
		return forgetest.Opening{Forge: w.host.Repo(p), Triggers: triggers, Moved: repo.Pushed}
	})
}
