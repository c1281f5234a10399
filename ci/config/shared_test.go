package config_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/rondo-ci/rondo/ci"
)

// shared returns the folder of the shared data, or skips the test.
func shared(t testing.TB, parts ...string) string {
	t.Helper()
	if dir := os.Getenv("RONDO_SHARED"); dir != "" {
		return filepath.Join(append([]string{dir}, parts...)...)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			path := filepath.Join(append([]string{filepath.Dir(dir), "shared"}, parts...)...)
			if _, err := os.Stat(path); err == nil {
				return path
			}
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Skip("no shared data: ../shared is not beside the module and RONDO_SHARED is not set")
		}
		dir = up
	}
}

// orbMap is a registry with the exact references that a test gives it.
type orbMap map[string]string

func (m orbMap) Orb(_ context.Context, ref string) (string, []byte, error) {
	source, ok := m[ref]
	if !ok {
		return "", nil, fmt.Errorf("orb %s: %w", ref, ci.ErrNotFound)
	}
	return ref, []byte(source), nil
}

// pinned is a registry over other ones that answers some references with
// fixed versions.
type pinned struct {
	orbs interface {
		Orb(context.Context, string) (string, []byte, error)
	}
	pins map[string]string
}

func (p pinned) Orb(ctx context.Context, ref string) (string, []byte, error) {
	if to, ok := p.pins[ref]; ok {
		ref = to
	}
	return p.orbs.Orb(ctx, ref)
}

// unindent removes the tabs of the first line from all lines.
func unindent(s string) string {
	s = strings.TrimPrefix(s, "\n")
	indent := s[:len(s)-len(strings.TrimLeft(s, "\t"))]
	var lines []string
	for _, l := range strings.Split(s, "\n") {
		lines = append(lines, strings.TrimPrefix(l, indent))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\t")
}

// memberNames lists the commands or jobs of an orb.
func memberNames(t *testing.T, source []byte, group string) []string {
	t.Helper()
	var doc map[string]any
	require.NoError(t, yaml.Unmarshal(source, &doc))
	members, _ := doc[group].(map[string]any)
	var names []string
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
