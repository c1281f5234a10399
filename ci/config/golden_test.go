package config_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/config"
)

// TestGolden compiles each testdata/*.txtar. The archive has config.yml,
// perhaps options.yml, and either want.yml, the expanded configuration, or
// want.err, lines that the rendered errors contain. want.warn has lines that
// the warnings contain.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(f)
			require.NoError(t, err)
			parts := make(map[string]string)
			for _, part := range archive.Files {
				parts[part.Name] = string(part.Data)
			}
			var given struct {
				Parameters map[string]any
				Values     map[string]any
				Continued  bool
				Text       bool
			}
			require.NoError(t, yaml.Unmarshal([]byte(parts["options.yml"]), &given))
			o := config.Options{Parameters: given.Parameters, Values: given.Values, Continued: given.Continued, Text: given.Text}
			if want, ok := parts["want.warn"]; ok {
				warnings, _ := config.Check(t.Context(), []byte(parts["config.yml"]), o)
				var text strings.Builder
				for _, w := range warnings {
					text.WriteString(w.Error() + "\n")
				}
				for line := range strings.SplitSeq(strings.TrimSpace(want), "\n") {
					require.Contains(t, text.String(), line)
				}
			}
			got, err := config.Process(t.Context(), []byte(parts["config.yml"]), o)
			if want, ok := parts["want.err"]; ok {
				require.ErrorIs(t, err, ci.ErrInvalid)
				text := config.Render(err) + config.Script(err)
				for line := range strings.SplitSeq(strings.TrimSpace(want), "\n") {
					require.Contains(t, text, line)
				}
				return
			}
			require.NoError(t, err, config.Render(err))
			if diff := cmp.Diff(decode(t, parts["want.yml"]), decode(t, got)); diff != "" {
				t.Errorf("expanded configuration differs (-want +got):\n%s\n%s", diff, got)
			}
		})
	}
}
