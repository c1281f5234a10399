package expr

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/ci"
)

var values = map[string]any{
	"pipeline.git.branch": "main", "pipeline.git.tag": "", "pipeline.number": int64(7), "pipeline.in_setup": false,
	"pipeline.config_source": "api-x", "pipeline.quoted": `a"b\c`, SSH: false, "pipeline.list": []string{"x"},
}

func TestHolds(t *testing.T) {
	for text, want := range map[string]bool{
		`true`: true, `false`: false, `0`: true, `""`: true, // any value other than false
		`pipeline.git.branch == "main"`:                                 true,
		`pipeline.git.branch != "main"`:                                 false,
		`pipeline.git.branch=="main"and!job.ssh.enabled`:                true,
		"pipeline.git.branch\n==\t\"main\"":                             true,
		`pipeline.number == "7"`:                                        false, // types differ
		`pipeline.number != "7"`:                                        true,
		`pipeline.number == 7`:                                          true,
		`pipeline.number > 6 and pipeline.number >= 7`:                  true,
		`pipeline.number < 7 or pipeline.number <= 6`:                   false,
		`-9223372036854775808 < 9223372036854775807`:                    true,
		`pipeline.quoted == "a\"b\\c"`:                                  true,
		`pipeline.git.branch starts-with "ma"`:                          true,
		`pipeline.git.branch starts-with ""`:                            true,
		`pipeline.git.branch matches /m.*n/`:                            true,
		`pipeline.git.branch matches /mai/`:                             false, // the whole text
		`"a/b" matches /a\/\w/`:                                         true,
		`"mainx" matches /main|y/`:                                      false,
		`not pipeline.in_setup and not not true`:                        true,
		`!pipeline.in_setup == true`:                                    true, // (!x) == true
		`not (pipeline.config_source starts-with "api")`:                false,
		`not pipeline.git.branch == "main"`:                             false, // (not "main") is false
		`true or false and false`:                                       true,  // and binds tighter
		`(true or false) and false`:                                     false,
		`true == false == false`:                                        true, // to the left
		`1 < 2 == true`:                                                 true,
		`pipeline.git.branch starts-with "m" == true`:                   true,
		`true or pipeline.number starts-with "x"`:                       true, // not looked at
		`false and pipeline.number starts-with "x"`:                     false,
		`pipeline.git.branch == "main" and pipeline.git.tag == ""`:      true,
		`(((pipeline.number)))`:                                         true,
		`pipeline.git.branch == "release" or pipeline.git.tag != "v" `:  true,
		`pipeline.git.branch == "and" or pipeline.git.branch == "main"`: true,
	} {
		x, err := Parse(text)
		require.NoError(t, err, text)
		got, err := x.Holds(values)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		require.Equal(t, text, x.String())
	}
}

// TestSEC_FailsClosed proves that what cannot be decided is denied.
func TestSEC_FailsClosed(t *testing.T) {
	for text, want := range map[string]string{
		`pipeline.nope == "x"`:                           "column 1: pipeline.nope is not known here",
		`pipeline.nope != "x"`:                           "not known",
		`true or pipeline.nope`:                          "column 9: pipeline.nope is not known here",
		`false and pipeline.nope`:                        "not known",
		`not pipeline.nope`:                              "not known",
		`pipeline.Number > 1`:                            "did you mean pipeline.number?",
		`pipeline.list == "x"`:                           "neither a text nor a whole number nor a boolean",
		`pipeline.number starts-with "7"`:                "column 17: starts-with needs a text on both sides, one is a number",
		`pipeline.git.branch > 1`:                        "> needs a number on both sides, one is a text",
		`pipeline.in_setup < 1`:                          "one is a boolean",
		`pipeline.number matches /7/`:                    "matches needs a text, not a number",
		`(pipeline.git.branch > 1) == false`:             "needs a number",
		`not (pipeline.git.branch > 1)`:                  "needs a number",
		`false or pipeline.git.branch > 1`:               "needs a number",
		`pipeline.git.branch < pipeline.git.tag or true`: "needs a number",
	} {
		x, err := Parse(text)
		require.NoError(t, err, text)
		got, err := x.Holds(values)
		require.ErrorIs(t, err, ci.ErrDenied, text)
		require.ErrorContains(t, err, want, text)
		require.False(t, got, text)
		require.NotContains(t, err.Error(), "main")
	}
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		``:                              "column 1: a value is expected, not the end",
		`pipeline.number >`:             "column 18: a value is expected, not the end",
		`and true`:                      "column 1: a value is expected, not and",
		`true false`:                    "column 6: an operator is expected, not false",
		`(true`:                         "column 1: this parenthesis is not closed where the end stands",
		`true)`:                         "column 5: an operator is expected, not )",
		`pipeline.git.branch = "main"`:  "column 21: = is no operator, write ==",
		`pipeline.git.branch == 'main'`: "double quotes",
		`pipeline.git.branch == "main`:  "column 24: a text has no closing quote",
		`"\n"`:                          `column 2: the only escapes are \" and \\`,
		`"a\`:                           "the only escapes",
		`true && true`:                  "write and or or",
		`"é" == €`:                      "column 8: '€' has no meaning here",
		`branch == "main"`:              "column 1: branch is neither a pipeline value nor job.ssh.enabled; texts stand in double quotes",
		`git.branch == "main"`:          "did you mean pipeline.git.branch?",
		`pipeline. == 1`:                "neither a pipeline value",
		`pipeline.parameters.deploy`:    "whoever triggers the pipeline chooses its value",
		`pipeline.parameters == 1`:      "may not be used",
		`true or pipeline.trigger_parameters.github_app.branch == "main"`: "column 9: pipeline.trigger_parameters.github_app.branch may not be used",
		`9223372036854775808 > 1`: "no integer of 64 bits",
		`1.5 > 1`:                 "no integer",
		`not pipeline.config_source starts-with "api"`: "starts-with needs a text, but not binds tighter: write not (... starts-with ...)",
		`"a" > 1`:                    "> needs a number on both sides, one is a text",
		`true starts-with "t"`:       "one is a boolean",
		`(1 == 1) < 2`:               "one is a boolean",
		`1 matches /1/`:              "one is a number",
		`"a" matches "a"`:            "column 13: behind matches stands a /regular expression/, not a text",
		`"a" matches /(/`:            "not one that Go's package regexp reads",
		`"evil" matches /a)|(?:e.*/`: "not one that Go's package regexp reads",
		`"a" matches /a`:             "no closing slash",
		`"a" matches /` + strings.Repeat("a", 257) + "/": "more than 256",
		`/a/`: "a value is expected, not a regular expression",
		strings.Repeat("(", 51) + "1" + strings.Repeat(")", 51): "nested deeper than 50",
		strings.Repeat("!", 60) + "true":                        "nested deeper than 50",
		`"` + strings.Repeat("a", 4096) + `"`:                   "more than 4096",
		"\xff":                                                  "not UTF-8",
		"true\x00":                                              "no meaning",
		strings.Repeat("x", 100):                                strings.Repeat("x", 60) + "...",
	} {
		_, err := Parse(text)
		require.ErrorIs(t, err, ci.ErrInvalid, text)
		require.ErrorContains(t, err, want, text)
	}
}

func TestNames(t *testing.T) {
	x, err := Parse(`pipeline.b == "x" or (job.ssh.enabled and pipeline.a > 1) or pipeline.b == "y"`)
	require.NoError(t, err)
	require.Equal(t, []string{"pipeline.b", SSH, "pipeline.a"}, x.Names())
}

func TestValuesOfGo(t *testing.T) {
	x, err := Parse(`pipeline.v == 3`)
	require.NoError(t, err)
	for _, v := range []any{3, int32(3), int64(3), 3.0} {
		got, err := x.Holds(map[string]any{"pipeline.v": v})
		require.NoError(t, err)
		require.True(t, got, "%T", v)
	}
	for _, v := range []any{nil, 3.5, 1e300, map[string]any{}, uint8(3)} {
		_, err := x.Holds(map[string]any{"pipeline.v": v})
		require.ErrorIs(t, err, ci.ErrDenied, "%T", v)
	}
}

// Random expressions agree with their meaning computed beside them.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, want := build(t, 3)
		if len(text) > MaxLength {
			t.Skip("too long, which another test is about")
		}
		x, err := Parse(text)
		require.NoError(t, err, text)
		got, err := x.Holds(nil)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	})
}

// build draws an expression of booleans with parentheses only where they are
// needed, and returns its value.
func build(t *rapid.T, depth int) (string, bool) {
	return level(t, 0, depth)
}

func level(t *rapid.T, l, depth int) (string, bool) {
	if l == 3 {
		switch c := rapid.IntRange(0, 4).Draw(t, "operand"); {
		case c == 0 && depth > 0:
			text, v := level(t, 0, depth-1)
			return "(" + text + ")", v
		case c == 1 && depth > 0:
			text, v := level(t, 3, depth-1)
			return "not " + text, !v
		case c < 4:
			return "true", true
		}
		return "false", false
	}
	text, v := level(t, l+1, depth)
	for range rapid.IntRange(0, 2).Draw(t, "more") {
		more, w := level(t, l+1, depth)
		switch op := levels[l][rapid.IntRange(0, len(levels[l])-1).Draw(t, "operator")]; op {
		case "or":
			text, v = text+" or "+more, v || w
		case "and":
			text, v = text+" and "+more, v && w
		case "==":
			text, v = text+" == "+more, v == w
		case "!=":
			text, v = text+" != "+more, v != w
		}
	}
	return text, v
}

// What parses evaluates without a panic, and never holds when an identifier
// has no value.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`pipeline.git.branch == "main"`, `not (a matches /x\/y/)`, `1 < 2 == !true or "\""`, `((`, `pipeline.a starts-with "b" and job.ssh.enabled`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		x, err := Parse(text)
		if err != nil {
			require.ErrorIs(t, err, ci.ErrInvalid)
			return
		}
		holds, err := x.Holds(values)
		require.False(t, holds && err != nil)
		if len(x.Names()) > 0 {
			holds, err = x.Holds(nil)
			require.False(t, holds)
			require.ErrorIs(t, err, ci.ErrDenied)
		}
		again, err := Parse("(" + text + ")")
		if err == nil { // it may be too long or too deep now
			both, err := again.Holds(values)
			require.False(t, both && err != nil)
			require.Equal(t, mustHold(x), both)
		}
	})
}

func mustHold(x *Expr) bool {
	v, err := x.Holds(values)
	return v && err == nil
}
