package proxy_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/proxy"
	"github.com/stretchr/testify/require"
)

// fetchMark makes the test binary a Go program that fetches one address.
const fetchMark = "RONDO_PROXY_FETCH"

// islandMark says that the process is in a network of its own, from which
// nothing leaves: what is not proxied fails at once.
const islandMark = "RONDO_PROXY_ISLAND"

func TestMain(m *testing.M) {
	if u := os.Getenv(fetchMark); u != "" {
		if r, err := http.Get(u); err == nil {
			_ = r.Body.Close()
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// missing skips a test for want of a program, or fails it in CI.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		missing(t, "%s is not installed", program)
	}
	return path
}

// island runs the test once more in a network namespace of its own and returns
// false; there it returns true.
func island(t *testing.T) bool {
	t.Helper()
	if os.Getenv(islandMark) != "" {
		return true
	}
	need(t, "unshare")
	need(t, "ip")
	how := "-rn"
	if os.Geteuid() == 0 { // squid becomes another user, whom a user namespace would not know
		how = "-n"
	}
	cmd := exec.Command("unshare", how, "sh", "-c", `ip link set lo up && exec "$@"`, "sh", os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), islandMark+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil && bytes.Contains(out, []byte("unshare: ")) {
		missing(t, "no network of one's own on this machine: %s", out)
	}
	require.NoError(t, err, string(out))
	return false
}

// A recorder is a proxy that answers everything itself and remembers the
// tokens in the addresses that it was asked for.
type recorder struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[string]bool
}

func newRecorder(t *testing.T) *recorder {
	r := &recorder{seen: map[string]bool{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, token, _ := strings.Cut(q.RequestURI, "token-")
		r.mu.Lock()
		r.seen[strings.TrimRight(token, "/")] = true
		r.mu.Unlock()
		_, _ = io.WriteString(w, "through the proxy\n")
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *recorder) saw(token string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[token]
}

// programs runs the real tools.
func programs(t *testing.T) map[proxy.Tool]func(ctx context.Context, u string) *exec.Cmd {
	self, err := os.Executable()
	require.NoError(t, err)
	helper := "/usr/lib/apt/apt-helper"
	if _, err := os.Stat(helper); err != nil {
		missing(t, "apt is not installed")
	}
	dir := t.TempDir()
	curl, wget, python := need(t, "curl"), need(t, "wget"), need(t, "python3")
	return map[proxy.Tool]func(context.Context, string) *exec.Cmd{
		proxy.Curl: func(ctx context.Context, u string) *exec.Cmd {
			return exec.CommandContext(ctx, curl, "-q", "-s", "-o", os.DevNull, "--max-time", "5", u)
		},
		proxy.Wget: func(ctx context.Context, u string) *exec.Cmd {
			return exec.CommandContext(ctx, wget, "--no-config", "-q", "-O", os.DevNull, "-t", "1", "-T", "5", u)
		},
		proxy.Python: func(ctx context.Context, u string) *exec.Cmd {
			return exec.CommandContext(ctx, python, "-c", "import sys,urllib.request\nurllib.request.urlopen(sys.argv[1],timeout=5)", u)
		},
		proxy.Apt: func(ctx context.Context, u string) *exec.Cmd {
			return exec.CommandContext(ctx, helper, "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=0", "download-file", u, dir+"/file")
		},
		proxy.Go: func(ctx context.Context, u string) *exec.Cmd {
			return exec.CommandContext(ctx, self)
		},
	}
}

// What the models foretell is what the programs of this machine do.
func TestPRX03_RealTools(t *testing.T) {
	if !island(t) {
		return
	}
	run := programs(t)
	rec := newRecorder(t)
	n := 0
	ask := func(tool proxy.Tool, env []string, target string) bool {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		n++
		token := fmt.Sprint(n)
		u := strings.TrimSuffix(target, "/") + "/token-" + token
		cmd := run[tool](ctx, u)
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LC_ALL=C"}, env...)
		if tool == proxy.Go {
			cmd.Env = append(cmd.Env, fetchMark+"="+u)
		}
		_ = cmd.Run() // that it fails where it goes directly is the point
		return rec.saw(token)
	}
	check := func(tool proxy.Tool, env []string, target string) {
		foretold := tool.Verdict(environ(env...), address(t, target))
		asked := ask(tool, env, target)
		if foretold.Refuses != "" {
			require.False(t, asked, "%s %q %s refuses", tool, env, target)
			return
		}
		require.Equal(t, foretold.Proxy != "", asked, "%s %q %s: is the proxy asked?", tool, env, target)
	}
	for _, tool := range columns {
		for _, row := range matrix {
			check(tool, []string{"http_proxy=" + rec.URL, "no_proxy=" + row.list}, row.url)
		}
		check(tool, []string{"HTTP_PROXY=" + rec.URL}, "http://x.test/")
		check(tool, []string{"HTTP_PROXY=" + rec.URL, "NO_PROXY=x.test"}, "http://x.test/")
		check(tool, []string{"http_proxy=" + rec.URL, "NO_PROXY=x.test"}, "http://x.test/")
		check(tool, []string{"http_proxy=" + strings.TrimPrefix(rec.URL, "http://")}, "http://x.test/")
		check(tool, []string{"http_proxy=" + rec.URL, "no_proxy=,,"}, "http://x.test/")
		check(tool, []string{"http_proxy=" + rec.URL, "no_proxy=EXAMPLE.test"}, "http://a.Example.TEST/")
	}
	// What we render is understood by all of them as it is meant.
	s, err := proxy.Parse(rec.URL, "", "example.test,10.0.1.238,s3.amazonaws.com")
	require.NoError(t, err)
	env, lost := s.Environ()
	require.Empty(t, lost)
	for _, tool := range columns {
		for target, proxied := range map[string]bool{
			"http://example.test/": false, "http://a.example.test/": false, "http://notexample.test/": tool != proxy.Apt,
			"http://10.0.1.238/": false, "http://10.0.1.239/": true, "http://b.s3.amazonaws.com/": false,
			"http://github.com/": true, "http://169.254.169.254/": false,
		} {
			require.Equal(t, proxied, ask(tool, env, target), "%s %s", tool, target)
		}
	}
}

func TestPRX05_RealJava(t *testing.T) {
	java := need(t, "java")
	cases := []struct{ props, url string }{}
	const both = "http.proxyHost=p.test\thttp.proxyPort=3128\thttps.proxyHost=p.test\thttps.proxyPort=3129"
	for _, list := range []string{"-", "", "example.test", ".example.test", "*.example.test", "a.*.test", "10.*", "x.test|*.example.test", "*", "example.test,b.test", "10.0.0.0/8", "*.com", "ex*"} {
		props := both
		if list != "-" {
			props += "\thttp.nonProxyHosts=" + list
		}
		for _, u := range []string{"http://example.test/", "https://a.example.test/", "http://a.b.test/", "http://10.1.2.3/", "http://localhost/", "http://127.0.0.1/", "http://[::1]/", "http://github.com/", "http://EXAMPLE.test/"} {
			cases = append(cases, struct{ props, url string }{props, u})
		}
	}
	cases = append(cases, struct{ props, url string }{"http.proxyHost=p.test\thttp.proxyPort=3128", "https://x.test/"}, struct{ props, url string }{"http.proxyHost=p.test", "http://x.test/"})
	var in strings.Builder
	for _, c := range cases {
		fmt.Fprintf(&in, "%s\t%s\n", c.props, c.url)
	}
	cmd := exec.Command(java, "testdata/Select.java")
	cmd.Stdin = strings.NewReader(in.String())
	var bad bytes.Buffer
	cmd.Stderr = &bad
	out, err := cmd.Output()
	require.NoError(t, err, bad.String())
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	require.Len(t, lines, len(cases))
	for i, c := range cases {
		options := ""
		for _, p := range strings.Split(c.props, "\t") {
			options += "'-D" + p + "' "
		}
		require.Equal(t, lines[i], proxy.Java.Verdict(environ("JVM_OPTS="+options), address(t, c.url)).Proxy, "%q %s", c.props, c.url)
	}
}
