package agent_test

import (
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/agenttest"
)

// git runs git in a directory and returns what it prints.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_CONFIG_GLOBAL=/dev/null")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return strings.TrimSpace(string(out))
}

// A repository with two commits on main, a tag on the first, a branch feature,
// and a commit that only the ref of pull request 5 has.
type repository struct{ dir, first, main, feature, pull string }

func newRepository(t *testing.T) repository {
	t.Helper()
	r := repository{dir: filepath.Join(t.TempDir(), "repo")}
	require.NoError(t, os.MkdirAll(r.dir, 0o755))
	git(t, r.dir, "init", "-q", "-b", "main")
	commit := func(content string) string {
		require.NoError(t, os.WriteFile(filepath.Join(r.dir, "f"), []byte(content), 0o644))
		git(t, r.dir, "add", "f")
		git(t, r.dir, "commit", "-qm", content)
		return git(t, r.dir, "rev-parse", "HEAD")
	}
	r.first = commit("one")
	git(t, r.dir, "tag", "v1")
	r.main = commit("two")
	git(t, r.dir, "checkout", "-qb", "feature/x", r.first)
	r.feature = commit("three")
	git(t, r.dir, "checkout", "-q", "--detach")
	r.pull = commit("pull")
	git(t, r.dir, "update-ref", "refs/pull/5/head", r.pull)
	git(t, r.dir, "checkout", "-q", "main")
	return r
}

func checkoutWork(url string, tr ci.Trigger, spec ci.StepSpec) ci.Work {
	spec.Kind = ci.StepCheckout
	w := agenttest.Work(spec, agenttest.Run(`cat f; echo; git rev-parse HEAD; git rev-parse --abbrev-ref HEAD; git status --porcelain | wc -l; git log --oneline | wc -l; git remote get-url origin`))
	w.Project.CloneURL = url
	w.Pipeline.Trigger = tr
	return w
}

func TestCheckout(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	web := httptest.NewServer(&cgi.Handler{
		Path: filepath.Join(git(t, r.dir, "--exec-path"), "git-http-backend"), Root: "/",
		Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(r.dir), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	})
	defer web.Close()
	branch := func(name, rev string) ci.Trigger { return ci.Trigger{Branch: name, Revision: rev} }
	cases := []struct {
		name    string
		trigger ci.Trigger
		spec    ci.StepSpec
		want    string // content, revision, branch, changes, commits
	}{
		{"head of branch", branch("main", r.main), ci.StepSpec{}, "two " + r.main + " main 0 2"},
		{"branch with slash", branch("feature/x", r.feature), ci.StepSpec{}, "three " + r.feature + " feature/x 0 2"},
		{"older revision", branch("main", r.first), ci.StepSpec{}, "one " + r.first + " main 0 1"},
		{"branch that is gone", branch("gone", r.main), ci.StepSpec{}, "two " + r.main + " gone 0 2"},
		{"tag", ci.Trigger{Tag: "v1", Revision: r.first}, ci.StepSpec{}, "one " + r.first + " HEAD 0 1"},
		{"pull request", branch("pull/5", r.pull), ci.StepSpec{}, "pull " + r.pull + " pull/5 0 3"},
		{"shallow", branch("main", r.main), ci.StepSpec{Method: "shallow"}, "two " + r.main + " main 0 1"},
		{"shallow older", branch("main", r.first), ci.StepSpec{Method: "shallow", Depth: 3}, "one " + r.first + " main 0 1"},
		{"shallow pull request", branch("pull/5", r.pull), ci.StepSpec{Method: "shallow"}, "pull " + r.pull + " pull/5 0 1"},
		{"blobless", branch("main", r.main), ci.StepSpec{Method: "blobless"}, "two " + r.main + " main 0 2"},
	}
	for name, url := range map[string]string{"path": r.dir, "file": "file://" + r.dir, "http": web.URL + "/repo"} {
		for _, c := range cases {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				s := new(agenttest.Server)
				w := checkoutWork(url, c.trigger, c.spec)
				rep := run(t, s, w)
				require.Equal(t, ci.Success, rep.Status, rep.Reason+s.Output(w.Lease.Task, 1))
				got := strings.Fields(s.Output(w.Lease.Task, 2))
				require.Equal(t, c.want, strings.Join(got[:5], " "))
			})
		}
	}
}

func TestCheckoutIntoWhatIsThere(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	s := new(agenttest.Server)
	w := checkoutWork(r.dir, ci.Trigger{Branch: "main", Revision: r.main}, ci.StepSpec{})
	// As a restored source cache: an old clone with changes in it.
	w.Job.Steps = append([]ci.StepSpec{agenttest.Run("git clone -q " + r.dir + " .; git checkout -q " + r.first + "; echo dirt > f; git remote set-url origin /elsewhere")}, w.Job.Steps...)
	rep := run(t, s, w)
	require.Equal(t, ci.Success, rep.Status, rep.Reason+s.Output(w.Lease.Task, 2))
	require.Equal(t, []string{"two", r.main, "main", "0", "2", r.dir}, strings.Fields(s.Output(w.Lease.Task, 3)))

	w = checkoutWork(r.dir, ci.Trigger{Branch: "main", Revision: r.main}, ci.StepSpec{Path: "sub/dir"})
	w.Job.Steps[1].WorkingDirectory = "sub/dir"
	require.Equal(t, ci.Success, run(t, s, w).Status)

	w = checkoutWork(r.dir, ci.Trigger{Branch: "main", Revision: r.main}, ci.StepSpec{})
	w.Job.Steps = append([]ci.StepSpec{agenttest.Run("touch x")}, w.Job.Steps...)
	rep = run(t, s, w)
	require.Equal(t, ci.Failed, rep.Status)
	require.Contains(t, rep.Reason, "directory ~/project is not empty and not a git repository")
}

// A repository may belong to another user of this machine.
func TestCheckoutOfAnothersRepository(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	r := newRepository(t)
	require.NoError(t, filepath.WalkDir(filepath.Dir(r.dir), func(p string, _ os.DirEntry, _ error) error { return os.Lchown(p, 4242, 4242) }))
	for _, method := range []string{"", "shallow", "blobless"} {
		s := new(agenttest.Server)
		w := checkoutWork(r.dir, ci.Trigger{Branch: "main", Revision: r.main}, ci.StepSpec{Method: method})
		rep := run(t, s, w)
		require.Equal(t, ci.Success, rep.Status, rep.Reason+s.Output(w.Lease.Task, 1))
	}
}

func TestSEC04_CheckoutRefuses(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	empty := t.TempDir()
	good := ci.Trigger{Branch: "main", Revision: r.main}
	cases := []struct {
		url     string
		trigger ci.Trigger
		want    string
	}{
		{"/no/such/repo", good, "there is no repository at /no/such/repo"},
		{empty, good, "not a git repository"},
		{r.dir, ci.Trigger{Branch: "main", Revision: strings.Repeat("ab", 20)}, "is not in " + r.dir},
		{r.dir, ci.Trigger{Branch: "main", Revision: "--upload-pack=touch /tmp/pwn-rondo"}, "is no commit hash"},
		{r.dir, ci.Trigger{Branch: "main", Revision: ""}, "is no commit hash"},
		{r.dir, ci.Trigger{Branch: "-oProxyCommand=x", Revision: r.main}, "is no name of a branch"},
		{r.dir, ci.Trigger{Branch: "a..b", Revision: r.main}, "is no name of a branch"},
		{r.dir, ci.Trigger{Branch: "a\nb", Revision: r.main}, "is no name of a branch"},
		{"ext::sh -c 'touch /tmp/pwn-rondo'", good, "is no address that can be cloned"},
		{"ssh://-oProxyCommand=touch/x", good, "is no address that can be cloned"},
		{"-x:y", good, "is no address that can be cloned"},
		{"", good, "has no address"},
		{"http://user:passw0rd@127.0.0.1:1/x", good, "cannot clone http://****@127.0.0.1:1/x"},
	}
	for _, c := range cases {
		s := new(agenttest.Server)
		w := checkoutWork(c.url, c.trigger, ci.StepSpec{})
		rep := run(t, s, w)
		require.Equal(t, ci.Failed, rep.Status)
		require.Contains(t, rep.Reason, c.want)
		require.NotContains(t, rep.Reason+s.Output(w.Lease.Task, 1), "passw0rd")
	}
	require.NoFileExists(t, "/tmp/pwn-rondo")
}
