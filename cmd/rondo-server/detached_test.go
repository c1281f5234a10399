package main

import (
	"testing"

	"github.com/rondo-ci/rondo/ci"
	"github.com/stretchr/testify/require"
)

// TestDev_DetachedHead: what is checked out is built also where no branch is.
func TestDev_DetachedHead(t *testing.T) {
	r := newRepo(t, `version: 2.1
jobs:
  build: {docker: [{image: "x:1"}], steps: [checkout, run: '[ "$CIRCLE_BRANCH" = detached ]']}
`)
	r.git("checkout", "-q", "--detach")
	r.commit("on no branch", nil)
	s := startServer(t, r.dir, serverDir(t))
	e := s.waitEnd(ci.WorkflowEnded, "workflow")
	require.Equal(t, ci.Success, e.Status, s.errors())
}
