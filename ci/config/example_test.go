package config_test

import (
	"context"
	"fmt"

	"github.com/rondo-ci/rondo/ci/config"
)

const exampleSource = `version: 2.1
parameters:
  target: {type: string, default: all}
jobs:
  build:
    docker: [{image: cimg/go:1.26}]
    steps:
      - checkout
      - run: make << pipeline.parameters.target >>
  release:
    docker: [{image: cimg/go:1.26}]
    steps: [run: make release]
workflows:
  main:
    jobs:
      - build
      - release:
          requires: [build]
          filters: {branches: {only: main}}
`

func ExampleCompile() {
	plan, err := config.Compile(context.Background(), []byte(exampleSource), config.Options{
		Parameters: map[string]any{"target": "test"},
		Values:     map[string]any{"git.branch": "topic"},
	})
	if err != nil {
		fmt.Print(config.Render(err))
		return
	}
	for _, w := range plan.Workflows {
		for _, j := range w.Jobs {
			fmt.Println(w.Name, j.Name, j.Steps[1].Command)
		}
	}
	// Output: main build make test
}

func ExampleProcess() {
	text, err := config.Process(context.Background(), []byte("version: 2.1\njobs: {build: {docker: [{image: a:1}], steps: [run: make]}}\n"), config.Options{})
	if err != nil {
		fmt.Print(config.Render(err))
		return
	}
	fmt.Print(text)
	// Output:
	// version: 2
	// jobs:
	//   build:
	//     docker:
	//     - image: a:1
	//     steps:
	//     - run:
	//         command: make
	// workflows:
	//   workflow:
	//     jobs:
	//     - build
	//   version: 2
	//
	// # Original config.yml file:
	// # version: 2.1
	// # jobs: {build: {docker: [{image: a:1}], steps: [run: make]}}
}

func ExampleRender() {
	_, err := config.Compile(context.Background(), []byte("version: 2.1\njobs:\n  build:\n    docker: [{image: a}]\n    stesp: [checkout]\n"), config.Options{})
	fmt.Print(config.Render(err))
	// Output:
	// .circleci/config.yml:3:3: CFG011: [#/jobs/build] required key [steps] not found
	//   3 |   build:
	//     |   ^
	//   Error calling workflow: 'workflow'
	//   Error calling job: 'build'
	//   hint: add the list of steps: steps: [checkout]
	//
	// .circleci/config.yml:5:5: CFG010: extraneous key [stesp] is not permitted in job build
	//   5 |     stesp: [checkout]
	//     |     ^
	//   Error calling workflow: 'workflow'
	//   Error calling job: 'build'
	//   hint: did you mean steps?
}

func ExampleErrors() {
	_, err := config.Compile(context.Background(), []byte("version: 3\n"), config.Options{})
	for _, e := range config.Errors(err) {
		fmt.Println(e.Line, e.Col, e.Code)
	}
	// Output: 1 10 CFG005
}

func ExampleCheck() {
	warnings, err := config.Check(context.Background(), []byte("version: 2.1\njobs: {build: {docker: [{image: a:latest}], steps: [checkout]}}\n"), config.Options{})
	fmt.Println(len(warnings), warnings[0].Code, err)
	// Output: 1 CFG903 <nil>
}

func ExampleExplain() {
	fmt.Print(config.Explain("CFG004"))
	// Output:
	// CFG004: an anchor contains itself
	//
	//     a: &a
	//       b: *a        a would be endless
}

func ExampleMermaid() {
	plan, err := config.Compile(context.Background(), []byte(exampleSource), config.Options{
		Values: map[string]any{"git.branch": "main"},
	})
	if err != nil {
		fmt.Print(config.Render(err))
		return
	}
	fmt.Print(config.Mermaid(plan.Workflows[0]))
	// Output:
	// flowchart LR
	//   j0["build"]
	//   j1["release"]
	//   j0 --> j1
}

func ExampleDiff() {
	a, _ := config.Compile(context.Background(), []byte(exampleSource), config.Options{})
	b, _ := config.Compile(context.Background(), []byte(exampleSource), config.Options{Parameters: map[string]any{"target": "test"}})
	fmt.Print(config.Diff(a, b))
	// Output:
	// ~ workflow main
	//   ~ job build
	//     - step run "make all"
	//     + step run "make test"
}
