package config

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// small are limits that keep a fuzzer's single run short.
var small = Limits{Source: 1 << 16, Nodes: 20_000, Steps: 2_000, Jobs: 100, Edges: 1_000, Expanded: 1 << 20}

// seedFolder adds the files of a folder of the shared data, when it is there.
func seedFolder(f *testing.F, pattern string) {
	dir := os.Getenv("RONDO_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	files, err := filepath.Glob(filepath.Join(dir, "data", "configs", pattern))
	require.NoError(f, err)
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(f, err)
		if len(text) < 4<<10 {
			f.Add(string(text))
		}
	}
}

// FuzzCompile: any text ends in a plan or in errors with a code; a compiled
// one is printed as YAML that compiles again to the same plan.
func FuzzCompile(f *testing.F) {
	seedFolder(f, "corpus/*.yml")
	archives, err := filepath.Glob("testdata/*.txtar")
	require.NoError(f, err)
	for _, name := range archives {
		archive, err := txtar.ParseFile(name)
		require.NoError(f, err)
		for _, part := range archive.Files {
			if part.Name == "config.yml" {
				f.Add(string(part.Data))
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		o := Options{Limits: small, Values: map[string]any{"git.branch": "main"}}
		plan, err := Compile(context.Background(), []byte(text), o)
		if err != nil {
			all := Errors(err)
			require.NotEmpty(t, all)
			for _, e := range all {
				require.NotEqual(t, "CFG000", e.Code, "%s", e.Message)
				require.NotEmpty(t, e.Message)
			}
			Render(err)
			Script(err)
			return
		}
		if len(plan.Workflows)+len(plan.Schedules) == 0 {
			return // conditions dropped every workflow: nothing is left to compile
		}
		o.Limits = Limits{}
		again, err := Compile(context.Background(), []byte(plan.Expanded), o)
		require.NoError(t, err, "%s", plan.Expanded)
		again.Schedules, plan.Schedules = nil, nil
		again.Setup = plan.Setup
		// A boolean that came through << >> reaches the shell as 1 or 0, and
		// is a plain boolean in the text.
		require.Equal(t, len(plan.Workflows), len(again.Workflows))
		for _, w := range plan.Workflows {
			Mermaid(w)
			SVG(w)
		}
	})
}

// FuzzTemplate: any text with tags renders or is refused; one without << is
// left as it is.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{
		"<< parameters.a >>", "x<<# parameters.b >>y<</ parameters.b >>", `\<<EOF`, "<<", ">>", "<<>>", "<<<<>>>>",
		"a\n  <<# parameters.b >>\nx\n<</ parameters.b >>\ny", "<<^parameters.a>>n<</parameters.a>>", "<< pipeline.number == 1 >>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := newTestCompiler()
		n := text(s, nil)
		n.template = true
		sc := &scope{space: c.main, params: map[string]*node{"a": text("A", nil), "b": truth(true)}}
		v := c.render(n, sc)
		require.NotNil(t, v)
		tokens, open := tokenize(s)
		if open == "" && len(tokens) == 1 && tokens[0].kind == literalToken && c.failures == 0 {
			require.Equal(t, tokens[0].text, v.text)
		}
	})
}

// newTestCompiler is a compiler without a text.
func newTestCompiler() *compiler {
	c := &compiler{
		ctx: context.Background(), limits: Limits{}.withDefaults(), regexps: make(map[string]*pattern),
		seen: make(map[string]bool), pipeline: map[string]*node{}, main: &space{root: mapping(nil, nil)},
	}
	return c
}

// FuzzPattern: any expression of a filter compiles or is refused, and a match
// ends.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{".*", "(a+)+$", "(?!main).*", "((a{0,1000}){0,1000}){0,1000}", "a++b", "[", "(?<n>a)\\k<n>", "\\Z", "a)|(b", "(?=(a+))\\1b"} {
		f.Add(s, "aaaaaaaaaaaaaaaaaaaaaaaaa!")
	}
	f.Fuzz(func(t *testing.T, expr, s string) {
		c := newTestCompiler()
		c.match(expr, s, nil)
	})
}

// FuzzScalar: a text is printed so that YAML reads it back, by its own rules
// and by those of the library, as a text and unchanged.
func FuzzScalar(f *testing.F) {
	for _, s := range []string{
		"", " ", "a", "yes", "3.10", "012", "12:30:45", "2019-01-01", "~", "<<", "- a", "a: b", "a #b", "#", "a\n", "a\n\n", "\na",
		"a\n b\n", "a\n \n", "'", "\"", "\\", "\t", "a\tb", "é", "\u2028", "\x00", "=", "y", "1e3", ".", "-", "--- a", "... b", "0x1g", "!a", "@a", "a:", "\ufeffa", "x\r\ny", "+.inf", "1_0",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) || len(s) > 2000 {
			return
		}
		root := mapping([]field{
			{text("k", nil), text(s, nil)},
			{text("list", nil), list([]*node{text(s, nil), mapping([]field{{text("m", nil), text(s, nil)}}, nil)}, nil)},
			{text(s+"key", nil), text("v", nil)},
		}, nil)
		p := printer{}
		p.fields(root.fields, 2, false)
		l := &loader{src: &source{text: string(p.b)}, limits: Limits{}.withDefaults()}
		l.report = func(e *Error) { t.Fatalf("%v in %q", e, p.b) }
		l.warn = l.report
		back := l.load()
		require.True(t, equal(root, back), "%q", p.b)
		var doc map[string]any
		require.NoError(t, yaml.Unmarshal(p.b, &doc))
		require.Equal(t, s, doc["k"], "%q", p.b)
	})
}
