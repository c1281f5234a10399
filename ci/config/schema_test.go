package config_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/ci/config/orb"
)

// compiledSchema returns the shipped schema, ready to validate.
func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.Schema()))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("config.json", doc))
	s, err := c.Compile("config.json")
	require.NoError(t, err)
	return s
}

// TestSchemaCorpus: what compiles is valid by the schema. (What the schema
// refuses must not compile.)
func TestSchemaCorpus(t *testing.T) {
	s := compiledSchema(t)
	dir := shared(t, "data", "configs")
	folder := orb.Folder(filepath.Join(dir, "orbs"))
	checked := 0
	for _, pattern := range []string{"corpus/*.yml", "first/*.yml", "pairs/*/input.yml"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(t, err)
		for _, f := range files {
			source, err := os.ReadFile(f)
			require.NoError(t, err)
			_, err = config.Compile(t.Context(), source, config.Options{Orbs: folder})
			if err != nil && !onlyMissingOrbs(err) {
				continue
			}
			var doc any
			if err := yaml.Unmarshal(source, &doc); err != nil {
				continue // duplicate keys: YAML libraries disagree
			}
			checked++
			if err := s.Validate(doc); err != nil {
				t.Errorf("%s: %v", filepath.Base(f), err)
			}
		}
	}
	require.Greater(t, checked, 200)
}

// TestSchemaGoldens: the same for the goldens of this package, which anybody
// has.
func TestSchemaGoldens(t *testing.T) {
	s := compiledSchema(t)
	files, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	checked := 0
	for _, f := range files {
		archive, err := txtar.ParseFile(f)
		require.NoError(t, err)
		parts := map[string][]byte{}
		for _, part := range archive.Files {
			parts[part.Name] = part.Data
		}
		var doc any
		if parts["want.yml"] == nil || yaml.Unmarshal(bytes.ReplaceAll(parts["config.yml"], []byte("\r"), nil), &doc) != nil {
			continue
		}
		checked++
		if err := s.Validate(plain(doc)); err != nil {
			t.Errorf("%s: %v", filepath.Base(f), err)
		}
	}
	require.Greater(t, checked, 50)
}

// TestSchemaRefuses: an editor shows the usual mistakes.
func TestSchemaRefuses(t *testing.T) {
	s := compiledSchema(t)
	for name, source := range map[string]string{
		"no version":         `{jobs: {}}`,
		"version 3":          `{version: 3}`,
		"docker is a map":    `{version: 2.1, jobs: {build: {docker: {image: a}, steps: []}}}`,
		"two keys in a step": `{version: 2.1, jobs: {build: {docker: [{image: a}], steps: [{run: null, command: x}]}}}`,
		"run key":            `{version: 2.1, jobs: {build: {docker: [{image: a}], steps: [{run: {comand: x}}]}}}`,
		"parameter type":     `{version: 2.1, commands: {c: {parameters: {p: {type: text}}, steps: []}}}`,
		"no default":         `{version: 2.1, parameters: {p: {type: string}}}`,
		"workflow key":       `{version: 2.1, workflows: {w: {job: []}}}`,
		"orb version":        `{version: 2.1, orbs: {node: circleci/node}}`,
	} {
		var doc any
		require.NoError(t, yaml.Unmarshal([]byte(source), &doc))
		require.Error(t, s.Validate(doc), name)
	}
}

// plain replaces values that JSON has not, as editors do.
func plain(doc any) any {
	switch doc := doc.(type) {
	case map[string]any:
		for k, v := range doc {
			doc[k] = plain(v)
		}
	case []any:
		for i, v := range doc {
			doc[i] = plain(v)
		}
	case time.Time:
		return doc.String()
	case float64:
		if math.IsInf(doc, 0) || math.IsNaN(doc) {
			return fmt.Sprint(doc)
		}
	}
	return doc
}

// onlyMissingOrbs reports whether an error is about orbs that are not in the
// folder, and nothing else.
func onlyMissingOrbs(err error) bool {
	all := config.Errors(err)
	for _, e := range all {
		if e.Code != "CFG025" {
			return false
		}
	}
	return len(all) > 0
}
