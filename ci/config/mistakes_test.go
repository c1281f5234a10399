package config_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci/config"
)

var update = flag.Bool("update", false, "write what is rendered into testdata/mistakes")

// TestMistakes renders the mistakes that people make. Each says where it is,
// shows the line with a caret and says what to do.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/mistakes/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(f)
			require.NoError(t, err)
			source, want := archive.Files[0], archive.Files[1]
			require.Equal(t, []string{"config.yml", "want.txt"}, []string{source.Name, want.Name})
			_, err = config.Check(t.Context(), source.Data, config.Options{File: "config.yml"})
			all := config.Errors(err)
			require.NotEmpty(t, all)
			for _, e := range all {
				require.Positive(t, e.Line, e)
				require.Positive(t, e.Col, e)
				require.NotEmpty(t, e.Hint, e)
				require.NotEmpty(t, config.Explain(e.Code), e)
				if len(source.Data) > 0 && utf8.Valid(source.Data) {
					require.True(t, strings.HasSuffix(e.Snippet, "^"), e)
				}
			}
			got := config.Render(err)
			if *update {
				archive.Files[1].Data = []byte(got)
				require.NoError(t, os.WriteFile(f, txtar.Format(archive), 0o644))
			}
			require.Equal(t, string(archive.Files[1].Data), got)
		})
	}
}
