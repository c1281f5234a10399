package local_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/local"
)

// sh runs git in a folder as a user would.
func sh(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com",
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "git %v: %s", args, out)
	return strings.TrimSpace(string(out))
}

// home gives the test a home folder of its own, without a configuration.
func home(t testing.TB) {
	h := t.TempDir()
	t.Setenv("HOME", h)
	t.Setenv("XDG_CONFIG_HOME", h)
	require.NoError(t, os.WriteFile(filepath.Join(h, ".gitconfig"),
		[]byte("[init]\n\tdefaultBranch = main\n[protocol \"file\"]\n\tallow = always\n[user]\n\tname = Ada\n\temail = ada@example.com\n"), 0o600))
}

// folder makes an empty repository called acme/shop.
func folder(t testing.TB, args ...string) string {
	t.Helper()
	home(t)
	dir := filepath.Join(t.TempDir(), "acme", "shop")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	sh(t, dir, append([]string{"init", "--quiet"}, args...)...)
	return dir
}

func write(t testing.TB, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
}

// commit makes a commit with one new file content and returns its hash.
func commit(t testing.TB, dir, message string) string {
	t.Helper()
	write(t, dir, "file", message+"\n")
	sh(t, dir, "add", "-A")
	sh(t, dir, "commit", "--quiet", "--allow-empty", "-m", message)
	return sh(t, dir, "rev-parse", "HEAD")
}

func open(t testing.TB, dir string) *local.Repo {
	t.Helper()
	r, err := local.Open(t.Context(), dir)
	require.NoError(t, err)
	return r
}

func TestOpen(t *testing.T) {
	dir := folder(t)
	first := commit(t, dir, "one")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755))
	bare := filepath.Join(t.TempDir(), "bare.git")
	sh(t, dir, "clone", "--quiet", "--bare", dir, bare)
	tree := filepath.Join(t.TempDir(), "linked")
	sh(t, dir, "worktree", "add", "--quiet", "-b", "side", tree)
	odd := filepath.Join(t.TempDir(), "-o dd\n\"#'", "ü")
	sh(t, dir, "clone", "--quiet", dir, odd)

	for path, top := range map[string]string{
		dir: dir, filepath.Join(dir, "a", "b"): dir, filepath.Join(dir, "file"): dir, filepath.Join(dir, ".git"): dir,
		bare: bare, filepath.Join(bare, "objects"): bare, tree: tree, odd: odd,
	} {
		r := open(t, path)
		require.Equal(t, top, r.Dir(), path)
		branch, rev, err := r.Head(t.Context())
		require.NoError(t, err)
		require.Equal(t, first, rev)
		require.Equal(t, map[bool]string{true: "side", false: "main"}[top == tree], branch)
	}
	t.Chdir(filepath.Join(dir, "a"))
	require.Equal(t, dir, open(t, ".").Dir())
}

func TestOpenErrors(t *testing.T) {
	home(t)
	_, err := local.Open(t.Context(), filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, ci.ErrNotFound)
	require.NotErrorIs(t, err, local.ErrNoRepository)
	require.ErrorContains(t, err, "no such folder")
	_, err = local.Open(t.Context(), t.TempDir())
	require.ErrorIs(t, err, ci.ErrNotFound)
	require.ErrorIs(t, err, local.ErrNoRepository)
	require.ErrorContains(t, err, "not a git repository")

	dir := folder(t)
	r := open(t, dir)
	branch, _, err := r.Head(t.Context())
	require.ErrorIs(t, err, ci.ErrNotFound)
	require.ErrorContains(t, err, "no commits yet")
	require.Equal(t, "main", branch)
	require.Equal(t, "main", r.Project().DefaultBranch)
	_, err = r.Commit(t.Context(), "HEAD")
	require.ErrorIs(t, err, ci.ErrNotFound)
	_, err = r.Trigger(t.Context(), "HEAD")
	require.ErrorIs(t, err, ci.ErrNotFound)

	if os.Getuid() == 0 {
		require.NoError(t, os.Chown(dir, 12345, 12345))
		_, err = local.Open(t.Context(), dir)
		require.ErrorIs(t, err, ci.ErrDenied)
		require.ErrorContains(t, err, "safe.directory")
	}
	t.Setenv("PATH", t.TempDir())
	_, err = local.Open(t.Context(), dir)
	require.ErrorContains(t, err, "git is not installed")
}

func TestEnvironmentDoesNotSteer(t *testing.T) {
	dir := folder(t)
	rev := commit(t, dir, "one")
	other := folder(t)
	commit(t, other, "two")
	t.Setenv("GIT_DIR", filepath.Join(other, ".git"))
	t.Setenv("GIT_INDEX_FILE", "/nowhere")
	_, got, err := open(t, dir).Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, rev, got)
}

func TestHeadDetached(t *testing.T) {
	dir := folder(t)
	rev := commit(t, dir, "one")
	sh(t, dir, "checkout", "--quiet", "--detach")
	branch, got, err := open(t, dir).Head(t.Context())
	require.NoError(t, err)
	require.Empty(t, branch)
	require.Equal(t, rev, got)
	tr, err := open(t, dir).Trigger(t.Context(), "HEAD")
	require.NoError(t, err)
	require.Equal(t, "HEAD", tr.Branch)
}

func TestCommit(t *testing.T) {
	dir := folder(t)
	rev := commit(t, dir, "subject\nstill subject\n\nbody ü\n\n  more\x7f\n")
	sh(t, dir, "tag", "-m", "annotated", "v1")
	r := open(t, dir)
	for _, name := range []string{"HEAD", "main", "v1", rev, rev[:10], "refs/heads/main"} {
		c, err := r.Commit(t.Context(), name)
		require.NoError(t, err, name)
		require.Equal(t, rev, c.Revision)
		require.Equal(t, "subject still subject", c.Subject)
		require.Equal(t, "body ü\n\n  more\x7f", c.Body)
		require.Equal(t, "Ada", c.Author)
		require.Equal(t, "ada@example.com", c.Email)
		require.False(t, c.Time.IsZero())
	}
	for _, name := range []string{"", "-x", "--help", "--upload-pack=touch /tmp/pwn", "-c core.sshCommand=x", "a\nb", "a\x00b"} {
		_, err := r.Commit(t.Context(), name)
		require.ErrorIs(t, err, ci.ErrInvalid, name)
	}
	for _, name := range []string{"none", strings.Repeat("0", 40), strings.Repeat("a", 40), "main:file", "main..main", "^main", "HEAD~5", "ext::sh -c id"} {
		_, err := r.Commit(t.Context(), name)
		require.ErrorIs(t, err, ci.ErrNotFound, name)
	}
}

func TestFile(t *testing.T) {
	dir := folder(t)
	old := commit(t, dir, "one")
	binary := "\x00\xff" + strings.Repeat("x", 100_000)
	write(t, dir, ".circleci/config.yml", "version: 2.1\r\n")
	write(t, dir, "-odd name/ü \"'.yml", binary)
	write(t, dir, "big", strings.Repeat("x", local.MaxFile+1))
	require.NoError(t, os.Symlink(".circleci/config.yml", filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "out")))
	require.NoError(t, os.Symlink("../../../etc/passwd", filepath.Join(dir, "up")))
	require.NoError(t, os.Symlink("nothing", filepath.Join(dir, "dangling")))
	require.NoError(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	commit(t, dir, "two")
	write(t, dir, "uncommitted", "x")
	r := open(t, dir)
	for path, want := range map[string]string{
		".circleci/config.yml": "version: 2.1\r\n", "link": "version: 2.1\r\n", "-odd name/ü \"'.yml": binary, "file": "two\n",
	} {
		got, err := r.File(t.Context(), "main", path)
		require.NoError(t, err, path)
		require.True(t, want == string(got), path)
	}
	got, err := r.File(t.Context(), old, "file")
	require.NoError(t, err)
	require.Equal(t, "one\n", string(got))
	for _, path := range []string{"none", ".circleci", ".circleci/none", "file/below", "out", "up", "dangling", "loop", "uncommitted", "FILE"} {
		_, err := r.File(t.Context(), "main", path)
		require.ErrorIs(t, err, ci.ErrNotFound, path)
	}
	for _, path := range []string{"", ".", "/etc/passwd", "../x", "a//b", "a\nb", "big"} {
		_, err := r.File(t.Context(), "main", path)
		require.ErrorIs(t, err, ci.ErrInvalid, path)
	}
	for _, rev := range []string{"none", strings.Repeat("a", 40)} {
		_, err := r.File(t.Context(), rev, "file")
		require.ErrorIs(t, err, ci.ErrNotFound)
		require.ErrorContains(t, err, "revision")
	}
}

func TestProject(t *testing.T) {
	dir := folder(t)
	commit(t, dir, "one")
	p := open(t, dir).Project()
	require.Equal(t, "local/acme/shop", p.Slug)
	require.Equal(t, []string{"acme", "shop", dir, "main"}, []string{p.Org, p.Repo, p.CloneURL, p.DefaultBranch})
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, p.ID)
	require.Equal(t, p, open(t, dir).Project())

	sh(t, dir, "remote", "add", "origin", "x")
	for url, slug := range map[string]string{
		"https://github.com/org/repo.git":              "gh/org/repo",
		"https://user:secret@GitHub.com/org/re.po/":    "gh/org/re.po",
		"git@github.com:org/repo.git":                  "gh/org/repo",
		"ssh://git@ssh.github.com:443/org/repo":        "gh/org/repo",
		"git@bitbucket.org:team/repo.git":              "bb/team/repo",
		"https://github.com/only":                      "local/acme/shop",
		"https://github.com/a/b/c":                     "local/acme/shop",
		"https://gitlab.com/org/repo":                  "local/acme/shop",
		"git@evil.example:github.com/org":              "local/acme/shop",
		"https://github.com.evil.example/org/repo.git": "local/acme/shop",
		"../relative": "local/acme/shop",
		"/abs/path":   "local/acme/shop",
	} {
		sh(t, dir, "remote", "set-url", "origin", url)
		require.Equal(t, slug, open(t, dir).Project().Slug, url)
	}
}

func TestProjectInsteadOf(t *testing.T) {
	dir := folder(t)
	sh(t, dir, "remote", "add", "origin", "hub:org/repo")
	sh(t, dir, "config", "url.https://github.com/.insteadOf", "hub:")
	sh(t, dir, "config", "url.https://gitlab.com/.insteadOf", "h")
	require.Equal(t, "gh/org/repo", open(t, dir).Project().Slug)
}

func TestDefaultBranch(t *testing.T) {
	dir := folder(t, "--initial-branch=work")
	commit(t, dir, "one")
	require.Equal(t, "work", open(t, dir).Project().DefaultBranch)
	for _, branch := range []string{"master", "main", "trunk"} {
		sh(t, dir, "branch", branch)
		sh(t, dir, "config", "init.defaultBranch", "trunk")
		require.Equal(t, branch, open(t, dir).Project().DefaultBranch)
	}
	sh(t, dir, "update-ref", "refs/remotes/origin/rel/ease", "HEAD")
	sh(t, dir, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/rel/ease")
	require.Equal(t, "rel/ease", open(t, dir).Project().DefaultBranch)
}

func Example() {
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)
	run := func(args ...string) {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=Ada", "-c", "user.email=ada@example.com"}, args...)...)
		var b bytes.Buffer
		cmd.Stderr = &b
		if err := cmd.Run(); err != nil {
			fmt.Println(err, b.String())
		}
	}
	run("init", "--quiet", "--initial-branch=main")
	_ = os.WriteFile(filepath.Join(dir, "hello"), []byte("world"), 0o600)
	run("add", ".")
	run("commit", "--quiet", "-m", "First commit")

	ctx, repo := exampleOpen(dir)
	branch, rev, _ := repo.Head(ctx)
	c, _ := repo.Commit(ctx, rev)
	data, _ := repo.File(ctx, rev, "hello")
	fmt.Println(branch, c.Subject, c.Author, string(data))
	// Output: main First commit Ada world
}
