package local_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// TestA013_NotABranch asks for a trigger of what git would take for a commit,
// but is the name of no branch or tag.
func TestA013_NotABranch(t *testing.T) {
	dir := folder(t)
	write(t, dir, "a", "1")
	commit(t, dir, "one")
	write(t, dir, "a", "2")
	commit(t, dir, "two")
	r := open(t, dir)
	_, err := r.Trigger(t.Context(), "refs/heads/main")
	require.NoError(t, err)
	for _, ref := range []string{
		"refs/heads/main~1", "refs/heads/main^", "refs/heads/main@{1}", "refs/heads/main@{0}", "refs/heads/main^{/one}",
		"refs/heads/main:a", "refs/heads/../heads/main", "refs/heads//main", "refs/heads/main/", "refs/heads/", "refs/heads/.main",
		"refs/heads/main.lock", "refs/heads/ma\nin", "refs/heads/ma\x00in", "main", "HEAD~1", "@", "", "-h", "--upload-pack=touch pwn",
		"refs/remotes/origin/main", "refs/heads/main --output=pwn",
	} {
		_, err := r.Trigger(t.Context(), ref)
		require.ErrorIs(t, err, ci.ErrNotFound, "%q", ref)
	}
	require.NoFileExists(t, filepath.Join(dir, "pwn"))
}

// TestA045_HostileRepository reads a folder whose configuration and hooks name
// programs for every occasion. None of them may run.
func TestA045_HostileRepository(t *testing.T) {
	dir, pwn := folder(t), filepath.Join(t.TempDir(), "pwn")
	write(t, dir, ".circleci/config.yml", "version: 2.1\n")
	write(t, dir, ".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c \"touch "+pwn+"\"\n")
	commit(t, dir, "one")
	program := "sh -c 'touch " + pwn + "' #"
	for _, key := range []string{
		"core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "core.askPass", "core.alternateRefsCommand", "core.gitProxy",
		"gpg.program", "gpg.ssh.program", "diff.external", "credential.helper", "uploadpack.packObjectsHook", "pager.log", "pager.show",
		"pager.rev-parse", "alias.rev-parse", "alias.log", "remote.origin.uploadpack",
	} {
		sh(t, dir, "config", key, program)
	}
	sh(t, dir, "config", "log.showSignature", "true")
	sh(t, dir, "config", "remote.origin.url", "ext::"+program)
	hooks := filepath.Join(dir, ".git", "hooks")
	require.NoError(t, os.MkdirAll(hooks, 0o755))
	for _, name := range []string{"post-checkout", "pre-commit", "post-commit", "post-index-change", "reference-transaction", "fsmonitor-watchman", "pre-auto-gc"} {
		require.NoError(t, os.WriteFile(filepath.Join(hooks, name), []byte("#!/bin/sh\ntouch "+pwn+"\n"), 0o755))
	}
	write(t, dir, "dirty", "x")

	r := open(t, dir)
	tr, err := r.Trigger(t.Context(), "HEAD")
	require.NoError(t, err)
	_, err = r.File(t.Context(), tr.Revision, ".circleci/config.yml")
	require.NoError(t, err)
	_, err = r.Refs(t.Context())
	require.NoError(t, err)
	s, err := r.Snapshot(t.Context())
	require.NoError(t, err)
	require.True(t, s.Dirty)
	require.NoError(t, s.Close())
	require.NoFileExists(t, pwn)
}

// TestA050_ConfigurationIsALink commits links in place of the configuration:
// none may lead out of the commit.
func TestA050_ConfigurationIsALink(t *testing.T) {
	for _, target := range []string{"/etc/passwd", "../../../../../../../../etc/passwd", "../.git/config", "config.yml", "/dev/zero"} {
		dir := folder(t)
		require.NoError(t, os.MkdirAll(filepath.Join(dir, ".circleci"), 0o755))
		require.NoError(t, os.Symlink(target, filepath.Join(dir, ".circleci", "config.yml")))
		revision := commit(t, dir, "link")
		got, err := open(t, dir).File(t.Context(), revision, ".circleci/config.yml")
		require.Error(t, err, "%s: %.40q", target, got)
	}
	dir := folder(t)
	require.NoError(t, os.Symlink("/etc", filepath.Join(dir, ".circleci")))
	revision := commit(t, dir, "link")
	_, err := open(t, dir).File(t.Context(), revision, ".circleci/passwd")
	require.Error(t, err)
}
