package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/config"
)

// TestGraphProperties: in a random workflow no job is lost or doubled, every
// requirement names a job of the plan, names are unique, and a second compile
// gives the same.
func TestGraphProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "jobs")
		var b strings.Builder
		b.WriteString("version: 2.1\njobs:\n")
		for k := range 4 {
			fmt.Fprintf(&b, "  t%d: {parameters: {x: {type: integer, default: 0}}, docker: [{image: a}], steps: [run: echo << parameters.x >>]}\n", k)
		}
		b.WriteString("workflows:\n  w:\n    jobs:\n")
		total := 0
		for i := range n {
			k := rapid.IntRange(0, 3).Draw(t, "template")
			fmt.Fprintf(&b, "      - t%d:\n", k)
			named := rapid.Bool().Draw(t, "named")
			if named {
				fmt.Fprintf(&b, "          name: n%d\n", i)
			}
			if cells := rapid.IntRange(0, 3).Draw(t, "cells"); cells > 0 && !named {
				fmt.Fprintf(&b, "          matrix: {alias: m%d, parameters: {x: [%s]}}\n", i, numbers(cells))
				total += cells
			} else {
				fmt.Fprintf(&b, "          x: %d\n", rapid.IntRange(0, 2).Draw(t, "x"))
				total++
			}
		}
		source := []byte(b.String())
		plan, err := config.Compile(t.Context(), source, config.Options{})
		require.NoError(t, err, "%s", source)
		require.Len(t, plan.Workflows, 1)
		seen := make(map[string]bool)
		for _, j := range plan.Workflows[0].Jobs {
			require.False(t, seen[j.Name], j.Name)
			seen[j.Name] = true
		}
		require.Len(t, seen, total)
		again, err := config.Compile(t.Context(), source, config.Options{})
		require.NoError(t, err)
		require.Equal(t, plan, again)
		back, err := config.Compile(t.Context(), []byte(plan.Expanded), config.Options{})
		require.NoError(t, err)
		require.Equal(t, plan.Workflows, back.Workflows)
	})
}

// TestRequireProperties: with random requirements upwards and random branch
// filters, a job runs exactly when its filter admits it and, if it requires
// something, at least one of that runs; requirements on others are dropped.
func TestRequireProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 25).Draw(t, "jobs")
		var b strings.Builder
		b.WriteString("version: 2.1\njobs: {j: {docker: [{image: a}], steps: []}}\nworkflows:\n  w:\n    jobs:\n")
		admitted, requires := make([]bool, n), make([][]int, n)
		for i := range n {
			admitted[i] = rapid.IntRange(0, 3).Draw(t, "admitted") > 0
			only := map[bool]string{true: "main", false: "other"}[admitted[i]]
			fmt.Fprintf(&b, "      - j: {name: j%d, filters: {branches: {only: %s}}, requires: [", i, only)
			for k := range i {
				if rapid.IntRange(0, 4).Draw(t, "edge") == 0 {
					requires[i] = append(requires[i], k)
					fmt.Fprintf(&b, "j%d, ", k)
				}
			}
			b.WriteString("]}\n")
		}
		runs, want := make([]bool, n), []string{}
		for i := range n {
			runs[i] = admitted[i] && len(requires[i]) == 0
			s := fmt.Sprintf("j%d", i)
			for _, k := range requires[i] {
				if runs[k] {
					runs[i] = admitted[i]
					s += fmt.Sprintf("<j%d", k)
				}
			}
			if runs[i] {
				want = append(want, "w/"+s)
			}
		}
		plan, err := config.Compile(t.Context(), []byte(b.String()), config.Options{Values: map[string]any{"git.branch": "main"}})
		require.NoError(t, err, b.String())
		require.Equal(t, strings.Join(want, " "), jobNames(ci.Plan{Workflows: plan.Workflows}))
	})
}
