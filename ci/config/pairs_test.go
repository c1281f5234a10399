package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/ci/config/orb"
)

// decode reads YAML as a plain document. The version is not compared: the
// original printed 2.1 in 2018 and 2 ever since.
func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	var doc map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &doc))
	delete(doc, "version")
	if w, ok := doc["workflows"].(map[string]any); ok {
		delete(w, "version")
	}
	return doc
}

var resolvedLine = regexp.MustCompile(`(?m)^# Orb '(.*)' resolved to '(.*)'$`)

// TestPairs compiles what the real compiler compiled and compares its output.
func TestPairs(t *testing.T) {
	dir := shared(t, "data", "configs", "pairs")
	folder := orb.Folder(shared(t, "data", "configs", "orbs"))
	inputs, err := filepath.Glob(filepath.Join(dir, "*", "input.yml"))
	require.NoError(t, err)
	require.NotEmpty(t, inputs)
	equal := 0
	for _, input := range inputs {
		slug := filepath.Base(filepath.Dir(input))
		t.Run(slug, func(t *testing.T) {
			source, err := os.ReadFile(input)
			require.NoError(t, err)
			if want, err := os.ReadFile(filepath.Join(filepath.Dir(input), "error.txt")); err == nil {
				_, err := config.Process(t.Context(), source, config.Options{Orbs: folder})
				require.Error(t, err)
				message := strings.TrimSpace(strings.TrimPrefix(string(want), "Error: "))
				require.Contains(t, config.Script(err), message)
				equal++
				return
			}
			output, err := os.ReadFile(filepath.Join(filepath.Dir(input), "output.yml"))
			require.NoError(t, err)
			pins := make(map[string]string) // orbs as they were on that day
			for _, m := range resolvedLine.FindAllStringSubmatch(string(output), -1) {
				pins[m[1]] = m[2]
			}
			got, err := config.Process(t.Context(), source, config.Options{Orbs: pinned{folder, pins}})
			require.NoError(t, err)
			want, have := decode(t, string(output)), decode(t, got)
			about, err := os.ReadFile(filepath.Join(filepath.Dir(input), "SOURCE"))
			require.NoError(t, err)
			if strings.Contains(string(about), "packed") {
				// The real compiler was given the output of a packer that sorts
				// keys; this input was packed anew, in the order of the files. So
				// the order of variables is lost on the way, and only there.
				sortVariables(want)
				sortVariables(have)
			}
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("output differs (-real +ours):\n%s", diff)
				return
			}
			equal++
		})
	}
	t.Logf("%d of %d pairs of the original compiler are equal", equal, len(inputs))
}

// sortVariables sorts the environment of each job by name.
func sortVariables(doc map[string]any) {
	jobs, _ := doc["jobs"].(map[string]any)
	for _, job := range jobs {
		env, _ := job.(map[string]any)["environment"].([]any)
		slices.SortFunc(env, func(a, b any) int {
			return cmpKey(a.(map[string]any), b.(map[string]any))
		})
	}
}

// cmpKey compares maps of one entry by the key.
func cmpKey(a, b map[string]any) int {
	for x := range a {
		for y := range b {
			return strings.Compare(x, y)
		}
	}
	return 0
}
