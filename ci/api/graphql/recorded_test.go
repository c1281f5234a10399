package graphql_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A recorded request is one that the classic CLI sends (0.1.47860), written
// down from the wire with values of our own, and what it has to be answered.
type recorded struct {
	Command   string
	As        string
	Query     string
	Variables map[string]any
	// Want is the data: "*" is any text, "~x" a text with x in it, and "$name"
	// what an earlier reply had.
	Want   any
	Errors []string
	Save   map[string]string // name to path in the data
}

// TestRecorded sends what the CLI sends for its commands, in their order.
func TestRecorded(t *testing.T) {
	files, err := filepath.Glob("testdata/cli/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			text, err := os.ReadFile(f)
			require.NoError(t, err)
			var script []recorded
			require.NoError(t, json.Unmarshal(text, &script))
			w, saved := newWorld(t), map[string]any{}
			for _, r := range script {
				variables, _ := substitute(r.Variables, saved).(map[string]any)
				got := w.post(r.As, r.Query, variables)
				require.Equal(t, 200, got.status, r.Command)
				require.Len(t, got.Errors, len(r.Errors), "%s: %s", r.Command, got.text)
				require.Equal(t, substitute(r.Want, saved), blur(substitute(r.Want, saved), got.Data), "%s: %s", r.Command, got.text)
				for name, path := range r.Save {
					var steps []any
					for s := range strings.SplitSeq(path, ".") {
						steps = append(steps, s)
					}
					saved[name] = dig(t, got.Data, steps...)
				}
			}
		})
	}
}

// substitute puts saved values in the places of their names.
func substitute(v any, saved map[string]any) any {
	switch v := v.(type) {
	case string:
		if name, ok := strings.CutPrefix(v, "$"); ok {
			return saved[name]
		}
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = substitute(v[i], saved)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k := range v {
			out[k] = substitute(v[k], saved)
		}
		return out
	}
	return v
}

// blur replaces texts by the patterns that they fit.
func blur(want, got any) any {
	switch g := got.(type) {
	case string:
		w, _ := want.(string)
		if part, ok := strings.CutPrefix(w, "~"); w == "*" && g != "" || ok && strings.Contains(g, part) {
			return w
		}
	case []any:
		w, _ := want.([]any)
		out := make([]any, len(g))
		for i := range g {
			out[i] = g[i]
			if i < len(w) {
				out[i] = blur(w[i], g[i])
			}
		}
		return out
	case map[string]any:
		w, _ := want.(map[string]any)
		out := map[string]any{}
		for k := range g {
			out[k] = blur(w[k], g[k])
		}
		return out
	}
	return got
}
