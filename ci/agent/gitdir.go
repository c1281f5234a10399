package agent

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/rondo-ci/rondo/ci/agent/archive"
)

// gitDir returns the git directory of a repository, bare or not, "" if there
// is none.
func gitDir(repository string) string {
	for _, dir := range []string{filepath.Join(repository, ".git"), repository} {
		if info, err := os.Stat(dir); err != nil {
			continue
		} else if info.Mode().IsRegular() { // a worktree's or submodule's
			return dir
		}
		if _, err := os.Stat(filepath.Join(dir, "HEAD")); err == nil {
			if _, err := os.Stat(filepath.Join(dir, "objects")); err == nil {
				return dir
			}
		}
	}
	return ""
}

// headOf returns the commit that a branch of a repository on this machine is
// at, "" if that takes more than reading a file: git then has to be asked.
func headOf(repository, branch string) string {
	dir := gitDir(repository)
	// A job may have put anything in their place, so a pipe is not waited for
	// and an endless file not read to its end.
	if f, _, err := archive.OpenFile(filepath.Join(dir, "refs", "heads", filepath.FromSlash(branch))); err == nil {
		defer f.Close()
		b, _ := io.ReadAll(io.LimitReader(f, 256))
		return strings.TrimSpace(string(b))
	}
	f, _, err := archive.OpenFile(filepath.Join(dir, "packed-refs"))
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if commit, ok := strings.CutSuffix(lines.Text(), " refs/heads/"+branch); ok {
			return commit
		}
	}
	return ""
}
