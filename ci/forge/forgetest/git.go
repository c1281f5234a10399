package forgetest

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// gitEnv is the environment of git: nothing of the machine's configuration.
func gitEnv() []string {
	return append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull, "LC_ALL=C",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")
}

// must runs a command that cannot fail in a sane test.
func must(t testing.TB, what string, cmd *exec.Cmd) string {
	t.Helper()
	if cmd.Env == nil {
		cmd.Env = gitEnv()
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v: %s", what, err, errs.String())
	}
	return strings.TrimSpace(string(out))
}

// git runs git in the repository.
func (r *Repo) git(args ...string) string {
	r.g.t.Helper()
	return must(r.g.t, args[0], exec.Command("git", append([]string{"-C", r.dir}, args...)...))
}

// look runs git and returns false when it says no.
func (r *Repo) look(stdin string, args ...string) (string, bool) {
	cmd := exec.Command("git", append([]string{"-C", r.dir}, args...)...)
	cmd.Env, cmd.Stdin = gitEnv(), strings.NewReader(stdin)
	out, err := cmd.Output()
	return string(out), err == nil
}

// commitFiles adds a commit to a branch of a bare repository and returns its
// hash. A file whose content begins with "symlink:" is a link to the rest.
func commitFiles(t testing.TB, dir, branch, message string, files map[string]string) string {
	t.Helper()
	ref := "refs/heads/" + branch
	var b strings.Builder
	fmt.Fprintf(&b, "commit %s\nauthor Ada <ada@example.com> %d +0000\ncommitter Ada <ada@example.com> %[2]d +0000\n", ref, time.Now().Unix())
	fmt.Fprintf(&b, "data %d\n%s\n", len(message), message)
	there := exec.Command("git", "-C", dir, "rev-parse", "--verify", "--quiet", ref)
	there.Env = gitEnv()
	if there.Run() == nil {
		fmt.Fprintf(&b, "from %s^0\n", ref)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		mode, content := "100644", files[name]
		if target, link := strings.CutPrefix(content, "symlink:"); link {
			mode, content = "120000", target
		}
		fmt.Fprintf(&b, "M %s inline %s\ndata %d\n%s\n", mode, name, len(content), content)
	}
	cmd := exec.Command("git", "-C", dir, "fast-import", "--quiet", "--force")
	cmd.Stdin = strings.NewReader(b.String())
	must(t, "fast-import", cmd)
	return must(t, "rev-parse", exec.Command("git", "-C", dir, "rev-parse", ref))
}

// serveGit answers a clone over HTTP.
func serveGit(w http.ResponseWriter, r *http.Request, dir, prefix string) {
	folder := exec.Command("git", "--exec-path")
	out, err := folder.Output()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	(&cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"), Root: prefix,
		Env: append(gitEnv(), "GIT_PROJECT_ROOT="+dir, "GIT_HTTP_EXPORT_ALL=1"),
	}).ServeHTTP(w, r)
}

// A gitCommit is what the API tells of a commit.
type gitCommit struct {
	sha, tree, author, email, date, message string
	parents                                 []string
}

// commit reads a commit by whatever names it.
func (r *Repo) commit(rev string) (gitCommit, bool) {
	if rev == "" || strings.HasPrefix(rev, "-") {
		return gitCommit{}, false
	}
	out, ok := r.look("", "log", "-1", "--no-color", "--format=%H%x00%T%x00%an%x00%ae%x00%aI%x00%P%x00%B", "--end-of-options", rev+"^{commit}", "--")
	f := strings.SplitN(strings.TrimSuffix(out, "\n"), "\x00", 7)
	if !ok || len(f) != 7 {
		return gitCommit{}, false
	}
	return gitCommit{sha: f[0], tree: f[1], author: f[2], email: f[3], date: f[4], parents: strings.Fields(f[5]), message: strings.TrimRight(f[6], "\n")}, true
}

// A gitRef is a reference and what it stands for; a tag may stand for a tag.
type gitRef struct{ name, kind, sha, commit string }

// refs lists the references below a prefix.
func (r *Repo) refs(prefix string) []gitRef {
	out, _ := r.look("", "for-each-ref", "--format=%(refname)%00%(objecttype)%00%(objectname)%00%(*objectname)", prefix)
	var all []gitRef
	for row := range strings.Lines(out) {
		f := strings.Split(strings.TrimSuffix(row, "\n"), "\x00")
		if len(f) == 4 {
			ref := gitRef{f[0], f[1], f[2], f[2]}
			if f[3] != "" {
				ref.commit = f[3]
			}
			all = append(all, ref)
		}
	}
	return all
}
