package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/rondo-ci/rondo/ci"
	"github.com/stretchr/testify/require"
)

func Example() {
	fmt.Println(build(context.Background(), []byte(`
version: 2.1
jobs:
  a: {docker: [{image: x}], steps: [{run: "true"}]}
  b: {docker: [{image: x}], steps: [{run: "true"}]}
workflows: {main: {jobs: [a, {b: {requires: [a]}}]}}
`)))
	// Output: success <nil>
}

func TestBuildTellsOfFailure(t *testing.T) {
	status, err := build(t.Context(), []byte(`
version: 2.1
jobs:
  a: {docker: [{image: x}], steps: [{run: exit 3}]}
workflows: {main: {jobs: [a]}}
`))
	require.NoError(t, err)
	require.Equal(t, ci.Failed, status)
}
