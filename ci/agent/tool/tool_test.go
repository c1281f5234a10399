package tool_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci/agent/tool"
)

func Example() {
	code := tool.Main([]string{"tests", "split"}, strings.NewReader("c b a"), os.Stdout, os.Stderr,
		[]string{"CIRCLE_NODE_INDEX=0", "CIRCLE_NODE_TOTAL=2"})
	if code != 0 {
		os.Stdout.WriteString("failed")
	}
	// Output:
	// a
	// c
}

func call(stdin string, env []string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = tool.Main(args, strings.NewReader(stdin), &out, &errs, env)
	return code, out.String(), errs.String()
}

func TestGlob(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, f := range []string{"a.go", "b_test.go", "x/c_test.go", "x/y/d_test.go", "x/y/e.rb", "[id].tsx", ".hidden_test.go"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(f), 0o755))
		require.NoError(t, os.WriteFile(f, nil, 0o644))
	}
	for patterns, want := range map[string]string{
		"*.go":                ".hidden_test.go a.go b_test.go",
		"**/*_test.go":        ".hidden_test.go b_test.go x/c_test.go x/y/d_test.go",
		"x/**/*.{go,rb}":      "x/c_test.go x/y/d_test.go x/y/e.rb",
		"?.go":                "a.go",
		"[ab]*.go":            "a.go b_test.go",
		"none/**":             "",
		"a.go a.go *.go b.go": ".hidden_test.go a.go b_test.go",
		"[id].tsx":            "[id].tsx",
		"x":                   "x",
		"x/[y]":               "x/y",
		"./x/**/d*.go":        "x/y/d_test.go",
		"x/**":                "x/c_test.go x/y/d_test.go x/y/e.rb",
	} {
		code, out, errs := call("", nil, append([]string{"tests", "glob"}, strings.Fields(patterns)...)...)
		require.Zero(t, code, errs)
		require.Equal(t, strings.Fields(want), strings.Fields(out), patterns)
	}
	code, _, errs := call("", nil, "tests", "glob", "[")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "syntax error in pattern")
}

func TestSplit(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, size := range map[string]int{"big": 100, "mid": 60, "low": 50} {
		require.NoError(t, os.WriteFile(name, make([]byte, size), 0o644))
	}
	require.NoError(t, os.WriteFile("list", []byte("big mid\nlow\n"), 0o644))
	require.NoError(t, os.WriteFile(tool.TimingsFile, []byte(`[{"name":"a b","file":"mid","run_time":9},{"name":"c","file":"low","run_time":1}]`), 0o644))
	node := func(i string, more ...string) []string {
		return append(more, "CIRCLE_NODE_INDEX="+i, "CIRCLE_NODE_TOTAL=2")
	}
	data := tool.TaskData + "=."
	cases := []struct {
		env      []string
		stdin    string
		args     string
		code     int
		out, err string
	}{
		{node("1"), "c\nb a\n", "", 0, "b\n", ""},
		{nil, "b a", "", 0, "a\nb\n", ""},
		{node("0"), "", "", 0, "", ""},
		{node("0"), "", "list", 0, "big\nmid\n", ""},
		{node("0"), "", "--split-by=filesize list", 0, "big\n", ""},
		{node("1"), "", "list --split-by filesize", 0, "mid\nlow\n", ""},
		{node("0", data), "", "--split-by=timings list", 0, "mid\n", ""},
		{node("1", data), "", "--split-by=timings --time-default=20s list", 0, "mid\nlow\n", ""},
		{node("0", data), "a b\nc\n", "--split-by=timings --timings-type=testname", 0, "a b\n", ""},
		{node("0"), "x y", "--split-by=timings", 0, "x\n", "Error auto-detecting timing type, falling back to weighting by name.\n"},
		{nil, "a b c d", "--index=3 --total=4 --show-counts", 0, "d\n", "1 of 4 tests on node 3 of 4\n"},
		{nil, "a", "--index=1 --total=1", 2, "", "index 1 of 1 nodes"},
		{nil, "a", "--split-by=luck", 2, "", "split-by"},
		{nil, "a", "--timings-type=luck", 2, "", "timings type"},
		{nil, "a", "--nope", 2, "", "not defined: -nope"},
		{nil, "a", "missing-file", 1, "", "no such file"},
		{nil, "", "--help", 0, "Usage: circleci tests split", ""},
	}
	for _, c := range cases {
		code, out, errs := call(c.stdin, c.env, append([]string{"tests", "split"}, strings.Fields(c.args)...)...)
		require.Equal(t, c.code, code, c.args+errs)
		if c.args == "--help" {
			require.Contains(t, out, c.out)
			continue
		}
		require.Equal(t, c.out, out, c.args)
		require.Contains(t, errs, c.err)
	}
}

func TestRun(t *testing.T) {
	env := append(os.Environ(), "CIRCLE_NODE_INDEX=0", "CIRCLE_NODE_TOTAL=2", "X=1")
	code, out, errs := call("a b c", env, "tests", "run", "--command=xargs echo $X", "--verbose")
	require.Zero(t, code)
	require.Equal(t, "1 a c\n", out)
	require.Contains(t, errs, "command: xargs echo $X")
	code, _, _ = call("a", env, "tests", "run", "--command", "exit 7")
	require.Equal(t, 7, code)
	code, out, errs = call("", env, "tests", "run", "--command", "exit 7")
	require.Zero(t, code)
	require.Empty(t, out)
	require.Contains(t, errs, "no tests for this node")
	code, _, _ = call("a", env, "tests", "run")
	require.Equal(t, 2, code)
}

func TestHalt(t *testing.T) {
	dir := t.TempDir()
	code, _, _ := call("", []string{tool.TaskData + "=" + dir}, "step", "halt")
	require.Zero(t, code)
	require.FileExists(t, filepath.Join(dir, tool.HaltFile))
	code, _, errs := call("", nil, "step", "halt")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "not inside a job")
}

func TestSubst(t *testing.T) {
	env := []string{"A=1", "B=two words", "E=", "A=last"}
	for in, want := range map[string]string{
		"$A ${A} $$A":                           "last last $A",
		"$B/$C/${C}":                            "two words//",
		"${C:-def} ${E:-def} ${E-def} ${C-def}": "def def  def",
		"${A:-def}${A:+alt}${C:+alt}${E+set}":   "lastaltset",
		"${C:-$B and ${A}}":                     "two words and last",
		"$ ${ ${} ${1} $1 a$":                   "$ ${ ${} ${1} $1 a$",
		"${A!x} ${A":                            "${A!x} ${A",
	} {
		code, out, _ := call(in, env, "env", "subst")
		require.Zero(t, code)
		require.Equal(t, want, out)
		_, out, _ = call("", env, "env", "subst", in)
		require.Equal(t, want+"\n", out)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range []string{"", "--help", "tests", "step", "env", "tests glob --help", "tests run -h", "step halt --help", "env subst --help"} {
		code, out, _ := call("", nil, strings.Fields(args)...)
		require.Zero(t, code, args)
		require.Contains(t, out, "Usage: circleci", args)
	}
	for _, args := range []string{"config validate", "nope", "tests nope", "-x"} {
		code, _, errs := call("", nil, strings.Fields(args)...)
		require.Equal(t, 2, code, args)
		require.Contains(t, errs, "unknown command", args)
	}
	require.True(t, tool.Named("/x/circleci-agent"))
	require.False(t, tool.Named("/x/rondo-agent"))
}
