//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rondo-ci/rondo/ci/agent/docker/dockertest"
	"github.com/stretchr/testify/require"
)

// The working copy's jobs run in the images that they name, offline too.
func TestARC02_RunInContainers(t *testing.T) {
	e := dockertest.Start(t)
	for _, name := range []string{"one", "two"} {
		require.NoError(t, e.Import("rondo-"+name+":1", dockertest.Busybox().With(dockertest.Tree{"etc/os-release": "NAME=" + name + "\n"})))
	}
	rondo := filepath.Join(t.TempDir(), "rondo")
	build := exec.Command("go", "build", "-o", rondo, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	repo := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(repo, ".circleci"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(repo, ".circleci/config.yml"), []byte(`version: 2.1
jobs:
  first:
    docker: [{image: "rondo-one:1", user: circleci}]
    resource_class: small
    steps:
      - checkout
      - run: cat /etc/os-release > name; id -u >> name; cat .circleci/config.yml >/dev/null
      - persist_to_workspace: {root: ., paths: [name]}
  second:
    docker: [{image: "rondo-two:1"}]
    steps:
      - attach_workspace: {at: /srv/ws}
      - run: cat /srv/ws/name /etc/os-release
workflows: {w: {jobs: [first, second: {requires: [first]}]}}
`), 0o644))
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "-m", "x"}} {
		git := exec.Command("git", append([]string{"-C", repo}, args...)...)
		out, err := git.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	run := exec.Command(rondo, "run", "--verbose", "--docker="+e.Host)
	run.Dir, run.Env = repo, append(os.Environ(), "XDG_CACHE_HOME="+t.TempDir())
	out, err = run.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "second | NAME=one\nsecond | 1000\nsecond | NAME=two\n")

	run = exec.Command(rondo, "run", "--docker=unix:///no/such/socket")
	run.Dir = repo
	out, err = run.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "docker engine unix:///no/such/socket")
}
