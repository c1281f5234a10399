package local_test

import (
	"testing"

	"github.com/rondo-ci/rondo/ci/forge/forgetest"
)

// TestForge: a git folder answers what any code host answers.
func TestForge(t *testing.T) {
	forgetest.TestForge(t, func(t *testing.T, dir string) forgetest.Opening {
		home(t)
		r := open(t, dir)
		return forgetest.Opening{Forge: r, Triggers: watch(t, r, nil)}
	})
}
