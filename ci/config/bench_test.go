package config_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/ci/config/orb"
)

// sized makes a configuration of about that many lines, with commands,
// parameters, an executor and workflows.
func sized(lines int) []byte {
	var b strings.Builder
	b.WriteString(`version: 2.1
executors:
  go:
    parameters: {version: {type: string, default: "1.26"}}
    docker: [{image: "cimg/go:<< parameters.version >>"}]
    environment: {A: one, B: two}
commands:
  setup:
    parameters:
      cache: {type: string}
    steps:
      - checkout
      - restore_cache: {keys: ["<< parameters.cache >>-{{ checksum \"go.sum\" }}", "<< parameters.cache >>-"]}
jobs:
`)
	n := max(1, (lines-15)/26)
	for i := range n {
		fmt.Fprintf(&b, `  job-%d:
    executor: {name: go, version: "1.25"}
    parameters:
      target:
        type: string
        default: all
    environment:
      NUMBER: "%d"
    steps:
      - setup:
          cache: v1-%d
      - run:
          name: Build << parameters.target >>
          command: |
            set -e
            make << parameters.target >>
            echo "job %d is done"
      - when:
          condition: << pipeline.git.branch >>
          steps:
            - run: echo on a branch
      - run: make test
      - store_artifacts:
          path: out
`, i, i, i, i)
	}
	b.WriteString("workflows:\n  main:\n    jobs:\n")
	for i := range n {
		if i == 0 {
			b.WriteString("      - job-0\n")
			continue
		}
		fmt.Fprintf(&b, "      - job-%d:\n          requires: [job-%d]\n", i, i-1)
	}
	return []byte(b.String())
}

// BenchmarkCompile compares compiling with parsing the YAML alone, for
// configurations of growing length.
func BenchmarkCompile(b *testing.B) {
	for _, lines := range []int{100, 1200, 10000} {
		source := sized(lines)
		b.Run(fmt.Sprintf("yaml/%d", lines), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var doc yaml.Node
				require.NoError(b, yaml.Unmarshal(source, &doc))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(lines), "ns/line")
		})
		b.Run(fmt.Sprintf("compile/%d", lines), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := config.Compile(b.Context(), source, config.Options{})
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(lines), "ns/line")
		})
	}
}

// BenchmarkOrbs measures what three large orbs add.
func BenchmarkOrbs(b *testing.B) {
	folder := orb.Folder(shared(b, "data", "configs", "orbs"))
	source := []byte(`version: 2.1
orbs:
  node: circleci/node@5.3.0
  slack: circleci/slack@4.15.0
  aws: circleci/aws-cli@4.2.3
jobs:
  a:
    docker: [{image: "cimg/node:20.1"}]
    steps:
      - node/install-packages
      - aws/setup
      - slack/notify: {event: fail, template: basic_fail_1}
workflows: {w: {jobs: [a]}}
`)
	for name, cache := range map[string]*config.Cache{"read": nil, "cached": {}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := config.Compile(b.Context(), source, config.Options{Orbs: folder, Cache: cache})
				require.NoError(b, err)
			}
		})
	}
}

// BenchmarkLargest compiles the largest real configuration that compiles
// without orbs.
func BenchmarkLargest(b *testing.B) {
	source, err := os.ReadFile(shared(b, "data", "configs", "pairs", "vault-2021-11-05-6ba7512057", "input.yml"))
	require.NoError(b, err)
	b.Run("yaml", func(b *testing.B) {
		for b.Loop() {
			var doc yaml.Node
			require.NoError(b, yaml.Unmarshal(source, &doc))
		}
	})
	b.Run("compile", func(b *testing.B) {
		for b.Loop() {
			_, err := config.Compile(b.Context(), source, config.Options{})
			require.NoError(b, err)
		}
	})
}

// BenchmarkRatio measures compiling against parsing the YAML alone, turn by
// turn, so that a busy machine slows both. The target is at most 2.
func BenchmarkRatio(b *testing.B) {
	source := sized(1200)
	var alone, whole time.Duration
	for b.Loop() {
		start := time.Now()
		var doc yaml.Node
		require.NoError(b, yaml.Unmarshal(source, &doc))
		middle := time.Now()
		_, err := config.Compile(b.Context(), source, config.Options{})
		require.NoError(b, err)
		alone += middle.Sub(start)
		whole += time.Since(middle)
	}
	b.ReportMetric(float64(whole)/float64(alone), "times-yaml")
}
