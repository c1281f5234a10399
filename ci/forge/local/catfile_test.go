package local

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The short cut must say what the long way says, and nothing where that says
// more.
func TestCatFileAgreesWithGit(t *testing.T) {
	dir := t.TempDir()
	run := func(args ...string) {
		cmd := exec.Command("git", append([]string{"-c", "user.name=Ä <x", "-c", "user.email=a@b", "-C", dir}, args...)...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	run("init", "-q", "-b", "main")
	for _, message := range []string{
		"one", "one\ntwo", "one\n\nbody", "one\ntwo\n\nbody\nmore\n\n\nend\n", "\n\n  one  \n\n\nbody", "x", "ä ö\n\nü", "a\t\n b \n \t\n c", " \n",
	} {
		run("commit", "-q", "--allow-empty", "--allow-empty-message", "--cleanup=verbatim", "-m", message)
		r, err := Open(t.Context(), dir)
		require.NoError(t, err)
		hash, err := r.resolve(t.Context(), "HEAD")
		require.NoError(t, err)
		want, err := r.commits(t.Context(), hash)
		require.NoError(t, err)
		got, err := r.Commit(t.Context(), "HEAD")
		require.NoError(t, err)
		require.Equal(t, want[hash], got, "%q", message)
	}
	r, err := Open(t.Context(), dir)
	require.NoError(t, err)
	for _, name := range []string{"missing", "HEAD:missing", "a b missing", "HEAD:", "\n", strings.Repeat("x", 5000)} {
		_, kind, _, ok := r.objects.object(t.Context(), name, 100)
		require.False(t, ok && kind == "blob", name)
	}
	_, _, _, ok := r.objects.object(t.Context(), "HEAD", 5)
	require.False(t, ok, "too large")
	hash, kind, _, ok := r.objects.object(t.Context(), "HEAD", 1<<20)
	require.True(t, ok)
	require.Equal(t, "commit", kind)
	r.objects.mu.Lock()
	require.NoError(t, r.objects.cmd.Process.Kill())
	r.objects.mu.Unlock()
	c, err := r.Commit(t.Context(), "HEAD")
	require.NoError(t, err, "a dead git costs the short cut, not the answer")
	require.Equal(t, hash, c.Revision)
}
