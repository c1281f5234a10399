package config_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci/config"
)

// TestCache: compiles that share a cache, at once, give what one without gives,
// also when the orb behind a reference changes.
func TestCache(t *testing.T) {
	source := []byte("{version: 2.1, orbs: {o: a/b@dev:x}, jobs: {build: {docker: [{image: a}], steps: [o/hi, o/hi]}}}")
	var cache config.Cache
	for _, command := range []string{"one", "two", "one"} {
		orbs := orbMap{"a/b@dev:x": "{commands: {hi: {steps: [run: " + command + "]}}}"}
		want, err := config.Compile(t.Context(), source, config.Options{Orbs: orbs})
		require.NoError(t, err)
		require.Equal(t, command, want.Workflows[0].Jobs[0].Steps[0].Command)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 20 {
					got, err := config.Compile(t.Context(), source, config.Options{Orbs: orbs, Cache: &cache})
					if err != nil || got.Expanded != want.Expanded {
						t.Errorf("with a cache: %v\n%s", err, got.Expanded)
					}
				}
			})
		}
		wg.Wait()
	}
	_, err := config.Compile(t.Context(), source, config.Options{Orbs: orbMap{"a/b@dev:x": "commands: ["}, Cache: &cache})
	require.Error(t, err)
}
