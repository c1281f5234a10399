package agent

import (
	"testing"

	"github.com/rondo-ci/rondo/ci/agent/place"
	"github.com/stretchr/testify/require"
)

func TestBorrowedPaths(t *testing.T) {
	s := &session{layout: place.Layout{Home: "/scratch/t/home", Scratch: "/scratch/t", Borrowed: true}}
	for path, want := range map[string]string{
		"":                          "/dir",
		"~":                         "/scratch/t/home",
		"~/project":                 "/scratch/t/home/project",
		"sub":                       "/dir/sub",
		"/home/circleci/project":    "/scratch/t/home/project",
		"/root":                     "/scratch/t/home",
		"/root/.cache/go":           "/scratch/t/home/.cache/go",
		"/rootless":                 "/scratch/t/home/rootless",
		"/tmp/x":                    "/tmp/x",
		"/no-such-top/src/x":        "/scratch/t/home/no-such-top/src/x",
		"/no-such-top/../tmp/x":     "/tmp/x",
		"/scratch/t/home/project/a": "/scratch/t/home/project/a",
		"/scratch/t/file":           "/scratch/t/file",
	} {
		require.Equal(t, want, s.absolute(path, "/dir"), "%q", path)
	}
	s.layout.Borrowed = false
	require.Equal(t, "/no-such-top/src/x", s.absolute("/no-such-top/src/x", "/dir"))
}
