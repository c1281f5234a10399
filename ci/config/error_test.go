package config_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/config"
)

// mistakes compiles what must not compile and returns the errors.
func mistakes(t *testing.T, source string, o config.Options) []*config.Error {
	t.Helper()
	_, err := config.Compile(t.Context(), []byte(source), o)
	require.ErrorIs(t, err, ci.ErrInvalid)
	all := config.Errors(err)
	require.NotEmpty(t, all)
	return all
}

// TestErrorPlaces: line, column and caret are those of the culprit.
func TestErrorPlaces(t *testing.T) {
	for _, c := range []struct {
		name, source, code, caret string
		line, col                 int
	}{
		{"key", "version: 2.1\njobs:\n  build:\n    dokcer: []\n    steps: []\n", "CFG010", "    dokcer: []\n    ^", 4, 5},
		{"tag in a block", "version: 2.1\njobs:\n  build:\n    docker: [{image: a}]\n    steps:\n      - run: |\n          one\n          two << parameters.x >>\n", "CFG034", "          two << parameters.x >>\n              ^", 8, 15},
		{"tag in a line", "version: 2.1\njobs:\n  build:\n    docker: [{image: a}]\n    steps:\n      - run: echo << parameters.x >>\n", "CFG034", "      - run: echo << parameters.x >>\n                  ^", 6, 19},
		{"not ASCII", "version: 2.1\njobs:\n  build: {docker: [{image: ä}], stepz: []}\n", "CFG010", "  build: {docker: [{image: ä}], stepz: []}\n                                ^", 3, 33},
		{"tab", "version: 2.1\njobs:\n\tbuild: 1\n", "CFG001", "\tbuild: 1\n^", 3, 1},
		{"colon", "version: 2.1\njobs:\n  build:\n    steps:\n      - run: echo a: b\n", "CFG001", "      - run: echo a: b\n                   ^", 5, 20},
		{"anchor", "version: 2.1\njobs: *none\n", "CFG001", "jobs: *none\n      ^", 2, 7},
		{"cyclic anchor", "version: 2.1\na: &a\n  <<: *a\n", "CFG004", "  <<: *a\n      ^", 3, 7},
		{"empty", "", "CFG006", "", 1, 1},
		{"list", "- a\n", "CFG012", "- a\n^", 1, 1},
		{"two documents", "version: 2.1\n---\nversion: 2.1\n", "CFG001", "---\n^", 2, 1},
		{"bad version", "version: 3\n", "CFG005", "version: 3\n         ^", 1, 10},
		{"carriage returns", "version: 2.1\r\njobs:\r\n  build:\r\n    dokcer: []\r\n    steps: []\r\n", "CFG010", "    dokcer: []\n    ^", 4, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := mistakes(t, c.source, config.Options{File: "x.yml"})
			i := slices.IndexFunc(all, func(e *config.Error) bool { return e.Code == c.code })
			require.GreaterOrEqual(t, i, 0, "%v", all)
			e := all[i]
			require.Equal(t, []any{"x.yml", c.line, c.col}, []any{e.File, e.Line, e.Col})
			require.Equal(t, c.caret, e.Snippet)
		})
	}
}

func TestRender(t *testing.T) {
	_, err := config.Compile(t.Context(), []byte("version: 2.1\njobs:\n  build:\n    docker: [{image: a}]\n    steps:\n      - rnu: x\n"), config.Options{})
	require.Equal(t, unindent(`
		.circleci/config.yml:6:9: CFG020: Cannot find a definition for command named rnu
		  6 |       - rnu: x
		    |         ^
		  Error calling workflow: 'workflow'
		  Error calling job: 'build'
		  hint: did you mean run?
	`), config.Render(err))
	require.Equal(t, ".circleci/config.yml:6:9: CFG020: Cannot find a definition for command named rnu (did you mean run?)", err.Error())
	require.Empty(t, config.Render(nil))
	require.Equal(t, "plain\n", config.Render(errors.New("plain")))
	require.Nil(t, config.Errors(errors.New("plain")))
}

// TestRenderIsSafe: what the source has in it cannot steer a terminal.
func TestRenderIsSafe(t *testing.T) {
	_, err := config.Compile(t.Context(), []byte("version: 2.1\njobs: {build: {docker: [{image: a}], \"k\\e[31m\\u202e\": x, steps: []}}\n"), config.Options{})
	require.Error(t, err)
	require.NotContains(t, config.Render(err), "\x1b")
	require.NotContains(t, config.Render(err), "\u202e")
	require.NotContains(t, config.Script(err), "\x1b")
}

// TestExplain: every code that the package uses has a manual page.
func TestExplain(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	used := make(map[string]bool)
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, code := range regexp.MustCompile(`"(CFG\d{3})"`).FindAllStringSubmatch(string(text), -1) {
			used[code[1]] = true
		}
	}
	for code := range used {
		require.NotEmpty(t, config.Explain(code), code)
	}
	for _, code := range config.Codes() {
		require.True(t, used[code], "%s is explained and never used", code)
		_, body, _ := strings.Cut(config.Explain(strings.ToLower(code)), "\n\n")
		require.NotEmpty(t, strings.TrimSpace(body), "%s has a title only", code)
	}
	require.Empty(t, config.Explain("CFG999"))
}

// TestRegistryFault: a registry that is down is no mistake in the text.
func TestRegistryFault(t *testing.T) {
	down := errors.New("connection refused")
	source := []byte("{version: 2.1, orbs: {o: a/b@1}, workflows: {w: {jobs: [o/j]}}}")
	_, err := config.Compile(t.Context(), source, config.Options{Orbs: orbFunc(func(string) (string, []byte, error) { return "", nil, down })})
	require.ErrorIs(t, err, down)
	require.NotErrorIs(t, err, ci.ErrInvalid)
	_, err = config.Compile(t.Context(), source, config.Options{Orbs: orbMap{}})
	require.ErrorIs(t, err, ci.ErrNotFound)
	require.Len(t, config.Errors(err), 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = config.Compile(ctx, source, config.Options{Orbs: orbMap{}})
	require.ErrorIs(t, err, context.Canceled)
}

type orbFunc func(ref string) (string, []byte, error)

func (f orbFunc) Orb(_ context.Context, ref string) (string, []byte, error) { return f(ref) }

func TestOrbReferences(t *testing.T) {
	for _, ref := range []string{
		"http://169.254.169.254/a@1", "file:///etc/passwd", "acme/x@../../admin", "acme/x@1.0.0?u=", "ACME/X@volatile",
		"acme/x", "acme/x@", "acme@1", "acme/x/y@1", "acme/x@1.2.3.4", "acme/x@dev:../x", "acme/x@dev:", "acme/x@latest", "аcme/x@1",
	} {
		asked := false
		orbs := orbFunc(func(string) (string, []byte, error) { asked = true; return "", nil, ci.ErrNotFound })
		_, err := config.Compile(t.Context(), []byte("{version: 2.1, orbs: {o: \""+ref+"\"}, workflows: {w: {jobs: [o/j]}}}"), config.Options{Orbs: orbs})
		require.Equal(t, "CFG024", config.Errors(err)[0].Code, ref)
		require.False(t, asked, ref)
	}
}

func TestWarnings(t *testing.T) {
	warnings, err := config.Check(t.Context(), []byte(unindent(`
		version: 2.1
		orbs: {unused: a/b@1}
		workfows: {}
		parameters: {p: {type: string, default: x}}
		executors: {e: {docker: [{image: a:1}]}}
		commands: {c: {parameters: {q: {type: string, default: x}}, steps: []}}
		jobs:
		  build:
		    docker: [{image: cimg/go:latest}, {image: redis}]
		    environment:
		      GO: 3.10
		      FLAG: yes
		      API_TOKEN: abcdef0123456789
		    steps:
		      - run: echo << pipeline.git.branch >>
		      - run: ok
		      - save_cache: {key: constant, paths: [a]}
		      - deploy: {command: x}
		      - run: {command: a, command: b}
	`)), config.Options{Orbs: orbMap{}})
	require.NoError(t, err, config.Render(err))
	var got []string
	for _, w := range warnings {
		got = append(got, w.Code)
		require.NotContains(t, w.Error()+w.Snippet, "abcdef0123456789")
	}
	slices.Sort(got)
	require.Equal(t, []string{
		"CFG901", "CFG902", "CFG902", "CFG903", "CFG903", "CFG904", "CFG904", "CFG904", "CFG904", "CFG904",
		"CFG905", "CFG906", "CFG907", "CFG908", "CFG909", "CFG911",
	}, got)
}
