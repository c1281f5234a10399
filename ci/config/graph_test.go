package config_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/config"
)

const graphSource = `
	version: 2.1
	jobs: {a: &j {docker: [{image: a}], parallelism: 3, steps: []}, b: *j}
	workflows:
	  w:
	    jobs:
	      - a
	      - hold: {type: approval, requires: [a]}
	      - b: {name: 'x"]; <script>alert(1)</script> \ %', requires: [hold, a: failed]}
`

func TestMermaid(t *testing.T) {
	plan := compile(t, graphSource, config.Options{})
	require.Equal(t, unindent(`
		flowchart LR
		  j0["a #215;3"]
		  j1{"hold"}
		  j2["x#34;#93;#59; #60;script#62;alert#40;1#41;#60;/script#62; #92; #37; #215;3"]
		  j0 --> j1
		  j1 --> j2
		  j0 -->|failed| j2
	`), config.Mermaid(plan.Workflows[0]))
	require.Equal(t, "flowchart LR\n", config.Mermaid(ci.PlannedWorkflow{}))
}

func TestSVG(t *testing.T) {
	for _, w := range []ci.PlannedWorkflow{
		compile(t, graphSource, config.Options{}).Workflows[0],
		{},
		{Name: "loop", Jobs: []ci.PlannedJob{{Name: "a", Requires: []ci.Requirement{{Job: "a"}, {Job: "none"}}}}},
	} {
		image := config.SVG(w)
		require.Equal(t, image, config.SVG(w))
		require.NotContains(t, image, "<script")
		d := xml.NewDecoder(strings.NewReader(image))
		boxes := 0
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
				boxes++
			}
		}
		require.Equal(t, len(w.Jobs), boxes)
	}
}

func TestDiff(t *testing.T) {
	before := compile(t, `
		version: 2.1
		jobs:
		  a: {docker: [{image: "a:1"}], steps: [checkout, run: one, run: {name: t, command: make}]}
		  b: {docker: [{image: a}], steps: []}
		workflows:
		  w: {jobs: [a, b: {requires: [a]}]}
		  gone: {jobs: [b]}
		  n: {triggers: [{schedule: {cron: "0 1 * * *", filters: {branches: {only: main}}}}], jobs: [b]}
	`, config.Options{})
	after := compile(t, `
		version: 2.1
		jobs:
		  a: {docker: [{image: "a:2"}], parallelism: 2, steps: [checkout, run: two, run: {name: t, command: make test}]}
		  c: {docker: [{image: a}], steps: []}
		workflows:
		  w: {jobs: [c, a]}
		  new: {jobs: [c]}
		  n: {triggers: [{schedule: {cron: "0 2 * * *", filters: {branches: {only: main}}}}], jobs: [c]}
	`, config.Options{})
	require.Equal(t, unindent(`
		~ workflow w
		  ~ job a
		    ~ executor: {"kind":"docker","images":[{"image":"a:1"}]} -> {"kind":"docker","images":[{"image":"a:2"}]}
		    + parallelism: 2
		    - step run "one"
		    + step run "two"
		    ~ step run "t"
		      ~ command: "make" -> "make test"
		  - job b
		  + job c
		- workflow gone (1 jobs)
		+ workflow new (1 jobs)
		- schedule n at "0 1 * * *" only ["main"] ignore []
		+ schedule n at "0 2 * * *" only ["main"] ignore []
	`), config.Diff(before, after))
	require.Empty(t, config.Diff(before, before))
}
