package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci/config"
)

// hostile are texts that grow, nest or match without end, with the code that
// stops them.
func hostile() map[string][2]string {
	build := func(steps string) string {
		return "version: 2.1\njobs: {build: {docker: [{image: a}], steps: " + steps + "}}\n"
	}
	var laughs, calls, nested, requires, jobs strings.Builder
	laughs.WriteString("version: 2.1\na0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := range 9 {
		fmt.Fprintf(&laughs, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), ", "))
	}
	calls.WriteString("version: 2.1\njobs: {build: {docker: [{image: a}], steps: [c0]}}\ncommands:\n")
	for i := range 12 {
		fmt.Fprintf(&calls, "  c%d: {steps: [%s]}\n", i, strings.Repeat(fmt.Sprintf("c%d, ", i+1), 10))
	}
	calls.WriteString("  c12: {steps: [run: x]}\n")
	nested.WriteString("version: 2.1\na0: &a0 [x]\n")
	for i := range 5000 {
		fmt.Fprintf(&nested, "a%d: &a%d [*a%d]\n", i+1, i+1, i)
	}
	requires.WriteString("version: 2.1\njobs: {j: {docker: [{image: a}], parameters: {n: {type: integer}}, steps: []}}\nworkflows:\n  w:\n    jobs:\n")
	for i := range 900 {
		fmt.Fprintf(&requires, "      - j: {name: j%d, n: %d, requires: &r%d [%s]}\n", i, i, i, func() string {
			var s strings.Builder
			for k := range min(i, 200) {
				fmt.Fprintf(&s, "j%d,", k)
			}
			return s.String()
		}())
	}
	jobs.WriteString("version: 2.1\njobs: {j: {docker: [{image: a}], steps: []}}\nworkflows:\n  w:\n    jobs:\n" + strings.Repeat("      - j\n", 10_000))
	orbs := "{commands: {x: {steps: []}}}"
	for range 50 {
		orbs = "{orbs: {o: " + orbs + "}, commands: {x: {steps: [o/x]}}}"
	}
	growth := "version: 2.1\ncommands:\n"
	for i := range 30 {
		growth += fmt.Sprintf("  g%d: {parameters: {x: {type: string}}, steps: [g%d: {x: \"<< parameters.x >><< parameters.x >>\"}]}\n", i, i+1)
	}
	growth += "  g30: {parameters: {x: {type: string}}, steps: [run: << parameters.x >>]}\njobs: {build: {docker: [{image: a}], steps: [g0: {x: aaaaaaaaaa}]}}\n"
	return map[string][2]string{
		"billion laughs":         {laughs.String(), "CFG003"},
		"aliases in merges":      {"version: 2.1\na: &a {x: &b {<<: *a}}\n", "CFG004"},
		"self alias":             {"version: 2.1\na: &a [*a]\n", "CFG004"},
		"alias file":             {"version: 2.1\na: &a [x, x]\nb: [" + strings.Repeat("*a,", 300_000) + "]\n", "CFG003"},
		"alias chain":            {nested.String(), "CFG003"},
		"brackets":               {"version: 2.1\na: " + strings.Repeat("[", 100_000), "CFG001"},
		"deep":                   {"version: 2.1\na: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "\n", "CFG003"},
		"deep blocks":            {"version: 2.1\na:\n" + strings.Repeat("- ", 9000) + "x\n", "CFG003"},
		"huge":                   {"version: 2.1\n" + strings.Repeat("# comment comment comment\n", 400_000), "CFG003"},
		"dense":                  {"version: 2.1\na: [" + strings.Repeat("a,", 1_000_000) + "]\n", "CFG003"},
		"one scalar":             {"version: 2.1\na: " + strings.Repeat("x", 50<<20), "CFG003"},
		"command explosion":      {calls.String(), "CFG003"},
		"text explosion":         {growth, "CFG003"},
		"matrix":                 {"version: 2.1\njobs: {j: {parameters: {a: {type: integer}, b: {type: integer}}, docker: [{image: a}], steps: []}}\nworkflows: {w: {jobs: [j: {matrix: {parameters: {a: [" + numbers(40) + "], b: [" + numbers(25) + "]}}}]}}\n", "CFG003"},
		"matrix 100^3":           {"version: 2.1\njobs: {j: {docker: [{image: a}], steps: []}}\nworkflows: {w: {jobs: [j: {matrix: {parameters: {a: [" + numbers(100) + "], b: [" + numbers(100) + "], c: [" + numbers(100) + "]}}}]}}\n", "CFG003"},
		"parallelism":            {strings.Replace(build("[]"), "steps", "parallelism: 1000000000, steps", 1), "CFG003"},
		"10k jobs":               {jobs.String(), "CFG003"},
		"edges":                  {requires.String(), "CFG003"},
		"inline orbs":            {"version: 2.1\norbs: {o: " + orbs + "}\njobs: {build: {docker: [{image: a}], steps: [o/x]}}\n", "CFG026"},
		"catastrophic filter":    {"version: 2.1\njobs: {a: {docker: [{image: a}], steps: []}}\nworkflows: {w: {jobs: [a: {filters: {branches: {only: '/(?=x?)((m|ma|a|ai)+)+\\1{9}$z/'}}}]}}\n", ""},
		"big repeat":             {"version: 2.1\njobs: {a: {docker: [{image: a}], steps: []}}\nworkflows: {w: {jobs: [a: {filters: {branches: {only: '/((a{0,1000}){0,1000}){0,1000}/'}}}]}}\n", "CFG055"},
		"nested pattern":         {"version: 2.1\njobs: {a: {docker: [{image: a}], steps: []}}\nworkflows: {w: {jobs: [a: {filters: {branches: {only: '/" + strings.Repeat("(", 100_000) + "/'}}}]}}\n", "CFG055"},
		"long pattern":           {"version: 2.1\njobs: {a: {docker: [{image: a}], steps: []}}\nworkflows: {w: {jobs: [a: {filters: {branches: {only: '/" + strings.Repeat("a", 1<<20) + "/'}}}]}}\n", "CFG055"},
		"nested logic":           {build("[when: {steps: [], condition: " + strings.Repeat("{not: ", 120) + "x" + strings.Repeat("}", 120) + "}]"), "CFG040"},
		"many variables":         {build("[run: {command: x, environment: [" + strings.Repeat("A=b,", 10) + strings.Join(names("V%d=x", 5000), ",") + "]}]"), "CFG003"},
		"open tags":              {build("['" + strings.Repeat("<<", 100_000) + "']"), "CFG036"},
		"sections":               {build("[run: '" + strings.Repeat("<<# pipeline.git.branch >>", 20_000) + "']"), "CFG036"},
		"control characters":     {"version: 2.1\na: \x01\n", "CFG001"},
		"invalid UTF-8":          {"version: 2.1\na: \xff\xfe\n", "CFG001"},
		"merge of a text":        {"version: 2.1\na: {<<: text}\n", "CFG002"},
		"key is a list":          {"version: 2.1\n? [a, b]\n: c\n", "CFG002"},
		"code tag":               {"version: 2.1\na: !!python/object/apply:os.system [id]\nb: !!int x\n", "CFG002"},
		"expression parentheses": {"version: 2.1\njobs: {build: {docker: [{image: a}], steps: [run: '<< " + strings.Repeat("(", 3000) + "pipeline.number >>']}}\n", "CFG034"},
	}
}

// TestHostile: each ends in an error that names the reason, without panic and
// without use of memory that grows with the bomb.
func TestHostile(t *testing.T) {
	for name, c := range hostile() {
		t.Run(name, func(t *testing.T) {
			_, err := config.Compile(t.Context(), []byte(c[0]), config.Options{})
			if c[1] == "" {
				return // either verdict is fine, as long as there is one
			}
			all := config.Errors(err)
			require.NotEmpty(t, all, "%v", err)
			var codes []string
			for _, e := range all {
				codes = append(codes, e.Code)
				require.Less(t, len(e.Error()), 2000)
			}
			require.Contains(t, codes, c[1], "%v", clipped(err))
		})
	}
}

func clipped(err error) string {
	s := err.Error()
	return s[:min(len(s), 500)]
}

func numbers(n int) string {
	return strings.Join(names("%d", n), ",")
}

func names(format string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(format, i))
	}
	return out
}
