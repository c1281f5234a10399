package local_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/local"
)

// everything returns all files below a folder with content, mode and time.
func everything(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content := ""
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			content, err = os.Readlink(path)
		case info.Mode().IsRegular():
			var data []byte
			data, err = os.ReadFile(path)
			content = fmt.Sprintf("%x", sha256.Sum256(data))
		}
		changed := info.ModTime().UnixNano()
		if info.Mode().IsRegular() && (strings.Contains(path, "/objects/") || strings.Contains(path, "/sharedindex.")) {
			changed = 0 // git notes by it when the file was last of use
		}
		all[path] = fmt.Sprint(info.Mode(), changed, content)
		return err
	}))
	return all
}

// snap takes a snapshot, checks that the repository is as before, and clones it.
func snap(t *testing.T, dir string) (*local.Snapshot, string) {
	t.Helper()
	before := everything(t, dir)
	s, err := open(t, dir).Snapshot(t.Context())
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(before, everything(t, dir)), "the repository was touched")
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	clone := filepath.Join(t.TempDir(), "clone")
	sh(t, t.TempDir(), "clone", "--quiet", "--no-local", s.URL, clone)
	sh(t, clone, "checkout", "--quiet", s.Revision)
	require.Empty(t, sh(t, clone, "status", "--porcelain"))
	sh(t, clone, "fsck", "--no-progress")
	return s, clone
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	require.NoError(t, err)
	return string(data)
}

func TestSnapshotClean(t *testing.T) {
	dir := folder(t)
	rev := commit(t, dir, "one")
	write(t, dir, ".gitignore", "*.log\n")
	rev2 := commit(t, dir, "two")
	write(t, dir, "x.log", "ignored")
	require.NoError(t, os.Chtimes(filepath.Join(dir, "file"), time.Now(), time.Now()), "a new time is no change")
	s, _ := snap(t, dir)
	require.NotEqual(t, rev, s.Revision)
	require.Equal(t, []any{dir, rev2, "main", false}, []any{s.URL, s.Revision, s.Branch, s.Dirty})
	require.Empty(t, s.Warnings)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	require.DirExists(t, dir)

	bare := filepath.Join(t.TempDir(), "bare.git")
	sh(t, dir, "clone", "--quiet", "--bare", dir, bare)
	s, _ = snap(t, bare)
	require.Equal(t, rev2, s.Revision)
}

func TestSnapshotChanges(t *testing.T) {
	dir := folder(t)
	write(t, dir, ".gitignore", "ignored/\n")
	for _, name := range []string{"deleted", "staged", "changed", "both", "becomes-dir", "becomes-file/x", "run.sh", "keep"} {
		write(t, dir, name, "old\n")
	}
	head := commit(t, dir, "one")
	sh(t, dir, "tag", "v1")

	require.NoError(t, os.Remove(filepath.Join(dir, "deleted")))
	write(t, dir, "staged", "staged\n")
	write(t, dir, "both", "staged\n")
	sh(t, dir, "add", "staged", "both")
	write(t, dir, "both", "and changed\n")
	write(t, dir, "changed", "new\n")
	require.NoError(t, os.Remove(filepath.Join(dir, "becomes-dir")))
	write(t, dir, "becomes-dir/x", "new\n")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "becomes-file")))
	write(t, dir, "becomes-file", "new\n")
	require.NoError(t, os.Chmod(filepath.Join(dir, "run.sh"), 0o755))
	write(t, dir, "ignored/x", "secret\n")
	odd := []string{"-n", ":(top)x", "a b/ü\n\"'.txt", "*", "\xff\xfe", "deep/er/x", ".hidden", "$(touch pwn)"}
	for _, name := range odd {
		write(t, dir, name, "odd "+name)
	}
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "symlink")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))

	r := open(t, dir)
	before := everything(t, dir)
	s, err := r.Snapshot(t.Context())
	require.NoError(t, err)
	defer s.Close()
	require.Empty(t, cmp.Diff(before, everything(t, dir)))
	clone := filepath.Join(t.TempDir(), "clone")
	sh(t, t.TempDir(), "clone", "--quiet", s.URL, clone)
	require.Equal(t, s.Revision, sh(t, clone, "rev-parse", "HEAD"), "HEAD of the clone")
	require.Equal(t, "main", sh(t, clone, "branch", "--show-current"))
	require.Equal(t, head, sh(t, clone, "rev-parse", "HEAD^", "v1")[:len(head)])
	require.True(t, s.Dirty)
	require.Equal(t, "Working copy of main, not committed", sh(t, clone, "log", "-1", "--format=%s"))

	require.NoFileExists(t, filepath.Join(clone, "deleted"))
	require.NoFileExists(t, filepath.Join(clone, "ignored", "x"))
	require.NoFileExists(t, filepath.Join(clone, "fifo"))
	for name, want := range map[string]string{
		"staged": "staged\n", "both": "and changed\n", "changed": "new\n", "becomes-dir/x": "new\n", "becomes-file": "new\n", "keep": "old\n",
	} {
		require.Equal(t, want, read(t, clone, name), name)
	}
	for _, name := range odd {
		require.Equal(t, "odd "+name, read(t, clone, name))
	}
	target, err := os.Readlink(filepath.Join(clone, "symlink"))
	require.NoError(t, err)
	require.Equal(t, "nowhere", target)
	info, err := os.Stat(filepath.Join(clone, "run.sh"))
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&0o100)

	again, err := r.Snapshot(t.Context())
	require.NoError(t, err)
	require.Equal(t, s.Revision, again.Revision, "the same content is the same revision")
	require.NoError(t, again.Close())
	require.NoDirExists(t, again.URL)

	// Fetching by hash, as an agent does.
	sh(t, clone, "fetch", "--quiet", "--depth=1", "file://"+s.URL, s.Revision)
	data, err := open(t, s.URL).File(t.Context(), s.Revision, "changed")
	require.NoError(t, err)
	require.Equal(t, "new\n", string(data))
}

func TestSnapshotRacyIndex(t *testing.T) {
	dir := folder(t)
	for i := range 5 { // same size, same instant as the commit
		commit(t, dir, fmt.Sprint("content ", i))
		write(t, dir, "file", fmt.Sprint("CONTENT ", i, "\n"))
		s, err := open(t, dir).Snapshot(t.Context())
		require.NoError(t, err)
		data, err := open(t, s.URL).File(t.Context(), s.Revision, "file")
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint("CONTENT ", i, "\n"), string(data))
		require.NoError(t, s.Close())
	}
}

func TestSnapshotWithoutCommits(t *testing.T) {
	dir := folder(t)
	_, err := open(t, dir).Snapshot(t.Context())
	require.ErrorIs(t, err, ci.ErrNotFound)
	require.ErrorContains(t, err, "no commits and no files")
	write(t, dir, "first", "x")
	s, clone := snap(t, dir)
	require.True(t, s.Dirty)
	require.Equal(t, "x", read(t, clone, "first"))

	bare := filepath.Join(t.TempDir(), "bare.git")
	sh(t, dir, "init", "--quiet", "--bare", bare)
	_, err = open(t, bare).Snapshot(t.Context())
	require.ErrorIs(t, err, ci.ErrNotFound)
}

func TestSnapshotStates(t *testing.T) {
	dir := folder(t)
	commit(t, dir, "base")
	sh(t, dir, "checkout", "--quiet", "-b", "side")
	commit(t, dir, "side")
	sh(t, dir, "checkout", "--quiet", "main")
	commit(t, dir, "main")

	t.Run("conflict", func(t *testing.T) {
		cmd := exec.Command("git", "-C", dir, "merge", "side")
		require.Error(t, cmd.Run())
		_, clone := snap(t, dir)
		require.Contains(t, read(t, clone, "file"), "<<<<<<<")
		sh(t, dir, "merge", "--abort")
	})
	t.Run("detached", func(t *testing.T) {
		sh(t, dir, "checkout", "--quiet", "--detach")
		write(t, dir, "file", "detached")
		s, clone := snap(t, dir)
		require.Empty(t, s.Branch)
		require.Equal(t, "detached", read(t, clone, "file"))
		sh(t, dir, "checkout", "--quiet", "--force", "main")
	})
	t.Run("index locked and split", func(t *testing.T) {
		sh(t, dir, "update-index", "--split-index", "--untracked-cache")
		write(t, dir, ".git/index.lock", "")
		write(t, dir, "file", "locked")
		_, clone := snap(t, dir)
		require.Equal(t, "locked", read(t, clone, "file"))
		require.NoError(t, os.Remove(filepath.Join(dir, ".git", "index.lock")))
		sh(t, dir, "update-index", "--no-split-index")
	})
	t.Run("worktree", func(t *testing.T) {
		tree := filepath.Join(t.TempDir(), "linked")
		sh(t, dir, "worktree", "add", "--quiet", tree, "side")
		write(t, tree, "file", "in the worktree")
		s, clone := snap(t, tree)
		require.Equal(t, "side", s.Branch)
		require.Equal(t, "in the worktree", read(t, clone, "file"))
	})
	t.Run("shallow", func(t *testing.T) {
		shallow := filepath.Join(t.TempDir(), "shallow")
		sh(t, dir, "clone", "--quiet", "--depth=1", "file://"+dir, shallow)
		write(t, shallow, "file", "shallow")
		_, clone := snap(t, shallow)
		require.Equal(t, "shallow", read(t, clone, "file"))
	})
	t.Run("borrowed objects", func(t *testing.T) {
		shared := filepath.Join(t.TempDir(), "shared\n\"x")
		sh(t, dir, "clone", "--quiet", "--shared", dir, shared)
		write(t, shared, "file", "shared")
		_, clone := snap(t, shared)
		require.Equal(t, "shared", read(t, clone, "file"))
	})
	t.Run("no programs run", func(t *testing.T) {
		mark := filepath.Join(t.TempDir(), "mark")
		for _, hook := range []string{"pre-commit", "post-commit", "reference-transaction", "post-index-change", "post-checkout"} {
			write(t, dir, ".git/hooks/"+hook, "#!/bin/sh\ntouch "+mark+"\n")
			require.NoError(t, os.Chmod(filepath.Join(dir, ".git/hooks", hook), 0o755))
		}
		write(t, dir, ".git/fsmonitor", "#!/bin/sh\ntouch "+mark+"\n")
		require.NoError(t, os.Chmod(filepath.Join(dir, ".git/fsmonitor"), 0o755))
		sh(t, dir, "-c", "core.hooksPath=/dev/null", "config", "core.fsmonitor", filepath.Join(dir, ".git/fsmonitor"))
		write(t, dir, "file", "hooks")
		_ = os.Remove(mark)
		before := everything(t, dir)
		s, err := open(t, dir).Snapshot(t.Context())
		require.NoError(t, err)
		require.NoError(t, s.Close())
		require.Empty(t, cmp.Diff(before, everything(t, dir)))
		require.NoFileExists(t, mark)
	})
}

func TestSnapshotSubmodules(t *testing.T) {
	sub := folder(t)
	commit(t, sub, "sub")
	dir := filepath.Join(t.TempDir(), "acme", "shop")
	sh(t, sub, "init", "--quiet", dir)
	sh(t, dir, "submodule", "--quiet", "add", sub, "lib")
	head := commit(t, dir, "one")
	s, _ := snap(t, dir)
	require.Equal(t, head, s.Revision)

	write(t, filepath.Join(dir, "lib"), "file", "changed within")
	s, _ = snap(t, dir)
	require.Equal(t, head, s.Revision)
	require.Equal(t, []string{"changes within submodule lib are left out"}, s.Warnings)

	moved := commit(t, filepath.Join(dir, "lib"), "new commit")
	s, clone := snap(t, dir)
	require.True(t, s.Dirty)
	require.Contains(t, sh(t, clone, "ls-tree", "HEAD", "lib"), moved)

	nested := filepath.Join(dir, "nested repo")
	sh(t, dir, "init", "--quiet", nested)
	write(t, nested, "x", "x")
	write(t, dir, "beside", "x")
	s, clone = snap(t, dir)
	require.Equal(t, []string{"nested repo is a repository of its own and is left out"}, s.Warnings)
	require.NoDirExists(t, filepath.Join(clone, "nested repo"))
	require.FileExists(t, filepath.Join(clone, "beside"))
}

func TestSnapshotHugeFile(t *testing.T) {
	dir := folder(t)
	commit(t, dir, "one")
	f, err := os.Create(filepath.Join(dir, "huge"))
	require.NoError(t, err)
	require.NoError(t, f.Truncate(51<<20))
	require.NoError(t, f.Close())
	s, err := open(t, dir).Snapshot(t.Context())
	require.NoError(t, err)
	require.Len(t, s.Warnings, 1)
	require.True(t, strings.HasPrefix(s.Warnings[0], "untracked file huge has 51 MB"), s.Warnings[0])
	require.NoError(t, s.Close())
}

func TestSnapshotSHA256(t *testing.T) {
	dir := folder(t, "--object-format=sha256")
	rev := commit(t, dir, "one")
	require.Len(t, rev, 64)
	write(t, dir, "file", "changed")
	s, err := open(t, dir).Snapshot(t.Context())
	require.NoError(t, err)
	defer s.Close()
	data, err := open(t, s.URL).File(t.Context(), s.Revision, "file")
	require.NoError(t, err)
	require.Equal(t, "changed", string(data))
}
