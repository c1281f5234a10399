package config_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/ci/config/orb"
)

func TestProcessOrb(t *testing.T) {
	for name, tc := range map[string]struct{ source, want string }{
		"empty":            {"", "the orb is empty"},
		"a list":           {"- a", "Mapping"},
		"no YAML":          {"commands: [", "CFG001"},
		"a configuration":  {"version: 2.1\nworkflows: {a: {jobs: [b]}}", "an orb has no workflows"},
		"version":          {"version: 2\ncommands: {}", "has to be 2.1"},
		"commands":         {"commands: [a]", "Mapping"},
		"unknown step":     {"commands: {a: {steps: [rnu: x]}}", "Cannot find a definition for command named rnu"},
		"unknown below":    {"commands: {a: {parameters: {p: {type: string}}, steps: [{when: {condition: << parameters.p >>, steps: [chekout]}}]}}", "named chekout"},
		"no steps":         {"commands: {a: {parameters: {p: {type: string}}}}", "[steps] not found"},
		"empty command":    {"commands: {a: }", "the command 'a' is empty"},
		"parameter type":   {"commands: {a: {parameters: {p: {type: strnig}}, steps: []}}", "strnig"},
		"unknown param":    {"commands: {a: {steps: [run: << parameters.none >>]}}", "none"},
		"pipeline param":   {"jobs: {a: {docker: [{image: << pipeline.parameters.x >>}], steps: [checkout]}}", "pipeline.parameters.x"},
		"job":              {"jobs: {a: {docker: [{image: a}]}}", "steps"},
		"job's executor":   {"jobs: {a: {executor: e, steps: [checkout]}}", "executor named 'e'"},
		"executor":         {"executors: {a: {docker: [{image: a}], machine: true}}", "docker"},
		"recursion":        {"commands: {a: {steps: [b]}, b: {steps: [a]}}", "CFG026"},
		"orb that is away": {"orbs: {x: acme/none@1.0.0}\ncommands: {a: {steps: [x/y]}}", "Cannot find acme/none@1.0.0 in the orb registry"},
		"bomb":             {"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]", "CFG003"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.ProcessOrb(t.Context(), []byte(tc.source), config.Options{})
			require.Error(t, err)
			require.True(t, errors.Is(err, ci.ErrInvalid) || errors.Is(err, ci.ErrNotFound))
			require.Contains(t, config.Render(err), tc.want)
		})
	}
	out, err := config.ProcessOrb(t.Context(), []byte("x: &s [checkout]\ncommands:\n  a: {parameters: {n: {type: integer}}, steps: *s}\n  b: {steps: [a: {n: 3}]}\n"), config.Options{})
	require.NoError(t, err)
	require.NotContains(t, out, "*s")
	require.Contains(t, out, "checkout")
}

// TestProcessOrb_Real: orbs that people publish pass.
func TestProcessOrb_Real(t *testing.T) {
	dir := filepath.Join(shared(t, "data", "configs"), "orbs")
	folder := orb.Folder(dir)
	files, err := filepath.Glob(filepath.Join(dir, "*.yml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		source, err := os.ReadFile(f)
		require.NoError(t, err)
		_, err = config.ProcessOrb(t.Context(), source, config.Options{Orbs: folder})
		for _, e := range config.Errors(err) {
			if e.Code != "CFG025" { // the folder lacks some that others import
				t.Errorf("%s: %s", filepath.Base(f), config.Render(e))
			}
		}
	}
}

func ExampleProcessOrb() {
	_, err := config.ProcessOrb(context.Background(), []byte("commands: {greet: {steps: [rnu: echo hi]}}"), config.Options{})
	fmt.Println(err)
	// Output: orb.yml:1:28: CFG020: Cannot find a definition for command named rnu (did you mean run?)
}
