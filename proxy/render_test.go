package proxy_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/proxy"
	"github.com/stretchr/testify/require"
)

// guide is the example of the operations guide.
func guide(t testing.TB) proxy.Settings {
	t.Helper()
	s, err := proxy.Parse("http://10.0.0.33:3128", "", "10.0.1.238,ghe.example.com,10.0.2.0/24,*.below.test")
	require.NoError(t, err)
	s.Known = []netip.Addr{netip.MustParseAddr("10.0.2.9")}
	return s
}

const guideList = "localhost,127.0.0.0/8,127.0.0.1,::1,169.254.169.254,fd00:ec2::254,169.254.170.2,10.0.1.238,ghe.example.com,10.0.2.9,10.0.2.0/24,.below.test"

func rendered(t testing.TB, s proxy.Settings, target proxy.Target) proxy.Rendering {
	t.Helper()
	r, err := s.Render(target)
	require.NoError(t, err)
	return r
}

func TestPRX07_Environment(t *testing.T) {
	r := rendered(t, guide(t), proxy.Environment)
	require.Equal(t, "/etc/environment", r.Path)
	want := []string{
		"http_proxy=http://10.0.0.33:3128", "HTTP_PROXY=http://10.0.0.33:3128",
		"https_proxy=http://10.0.0.33:3128", "HTTPS_PROXY=http://10.0.0.33:3128",
		"no_proxy=" + guideList, "NO_PROXY=" + guideList,
	}
	lines := strings.Split(strings.TrimSpace(r.Text), "\n")
	require.Empty(t, cmp.Diff(want, lines[:6]))
	require.Equal(t, `JVM_OPTS="-Dhttp.proxyHost=10.0.0.33 -Dhttp.proxyPort=3128 -Dhttps.proxyHost=10.0.0.33 -Dhttps.proxyPort=3128 `+
		`-Dhttp.nonProxyHosts=localhost|*.localhost|127.*|[::1]|169.254.169.254|[fd00:ec2::254]|169.254.170.2|10.0.1.238|ghe.example.com|*.ghe.example.com|10.0.2.*|*.below.test"`, lines[6])
	require.NotContains(t, r.Text, "export")
	require.NotContains(t, r.Text, ", ")
	require.NotContains(t, r.Text, "*.below.test,")
}

// A login goes only where nobody but root reads it.
func TestPRX07_Logins(t *testing.T) {
	s, err := proxy.Parse("http://ci:p@ss:w%25rd@10.0.0.33:3128", "", "")
	require.NoError(t, err)
	for _, target := range proxy.Targets() {
		r := rendered(t, s, target)
		has := strings.Contains(r.Text, "p%40ss")
		switch target {
		case proxy.SecretFile, proxy.Shell, proxy.DockerConfig, proxy.NomadUserData:
			require.True(t, has, target)
		default:
			require.False(t, has, "%s: %s", target, r.Text)
			require.NotEmpty(t, r.Lost, target)
		}
		for _, l := range r.Lost {
			require.NotContains(t, l.String(), "p%40ss")
		}
	}
	require.Equal(t, "EnvironmentFile=/etc/rondo/proxy.env", strings.Split(rendered(t, s, proxy.Systemd).Text, "\n")[1])
	require.EqualValues(t, 0o600, rendered(t, s, proxy.SecretFile).Mode)
}

func TestPRX01_Customizations(t *testing.T) {
	s := guide(t)
	old := "export CIRCLE_URL=\"https://ci.example.com\"\nexport JVM_OPTS=\"-Xmx4g\"\n"
	text, err := rendered(t, s, proxy.Customizations).Edit([]byte(old))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(text), old))
	sh := exec.Command("sh", "-c", `. "$1"; printf '%s\n' "$CIRCLE_URL" "$HTTP_PROXY" "$no_proxy" "$JVM_OPTS"`, "sh", write(t, text))
	sh.Env = []string{}
	out, err := sh.CombinedOutput()
	require.NoError(t, err, string(out))
	lines := strings.Split(string(out), "\n")
	require.Equal(t, []string{"https://ci.example.com", "http://10.0.0.33:3128", guideList}, lines[:3])
	require.True(t, strings.HasPrefix(lines[3], "-Xmx4g -Dhttp.proxyHost=10.0.0.33 "))
	// Reading it back gives the settings again.
	again, odd, err := proxy.Import(text)
	require.NoError(t, err)
	require.Empty(t, odd)
	require.Equal(t, s.HTTP, again.HTTP)
	for _, u := range []string{"http://10.0.1.238/", "https://github.com/", "https://ghe.example.com/", "http://10.0.2.77/"} {
		a, _ := s.For(address(t, u))
		b, _ := again.For(address(t, u))
		require.Equal(t, a, b, u)
	}
}

func write(t testing.TB, text []byte) string {
	t.Helper()
	path := t.TempDir() + "/file"
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}

// Every file: twice is once, revert gives back what was there.
func TestPRX07_EditAndRevert(t *testing.T) {
	s := guide(t)
	olds := map[string]string{"lines": "# mine\nKEEP=1", "json": "{\n  \"debug\": true,\n  \"proxies\": {\"default\": {\"ftpProxy\": \"x\", \"httpProxy\": \"http://old:1\"}, \"http-proxy\": \"http://old:1\"},\n  \"HttpProxy\": \"http://old:1\",\n  \"big\": 12345678901234567890\n}\n"}
	for _, target := range proxy.Targets() {
		r := rendered(t, s, target)
		old := olds["lines"]
		isJSON := strings.HasPrefix(r.Text, "{")
		if isJSON {
			old = olds["json"]
		}
		once, err := r.Edit([]byte(old))
		require.NoError(t, err, target)
		twice, err := r.Edit(once)
		require.NoError(t, err)
		require.Equal(t, string(once), string(twice), target)
		require.Contains(t, string(once), "10.0.0.33", target)
		back, err := r.Revert(once, []byte(old))
		require.NoError(t, err)
		if !isJSON {
			require.Equal(t, old+"\n", string(back), target)
			continue
		}
		require.JSONEq(t, old, string(back), target)
		require.Contains(t, string(once), "12345678901234567890")
		var doc map[string]any
		require.NoError(t, json.Unmarshal(once, &doc))
		require.Equal(t, true, doc["debug"])
		_, err = r.Edit([]byte("[1]"))
		require.ErrorIs(t, err, ci.ErrInvalid)
	}
	for _, bad := range []string{"# END rondo proxy\n", "# BEGIN rondo proxy (rondo proxy apply writes this)\n"} {
		_, err := rendered(t, s, proxy.Environment).Edit([]byte(bad))
		require.ErrorIs(t, err, ci.ErrInvalid)
	}
}

// No settings take everything of ours away again.
func TestPRX10_ChangeLater(t *testing.T) {
	for _, target := range proxy.Targets() {
		on, err := rendered(t, guide(t), target).Edit([]byte(map[bool]string{true: `{"debug":true}`}[strings.HasPrefix(rendered(t, guide(t), target).Text, "{")]))
		require.NoError(t, err)
		off, err := rendered(t, proxy.Settings{}, target).Edit(on)
		require.NoError(t, err)
		require.NotContains(t, string(off), "10.0.0.33", target)
	}
}

func TestPRX05_Conflict(t *testing.T) {
	_, odd, err := proxy.Import([]byte("HTTP_PROXY=10.0.0.33:3128\nexport NO_PROXY=\"a.test, *.b.test\"\nJVM_OPTS=\"-Dhttp.proxyHost=10.0.0.34 -Dhttp.proxyPort=3128 -Dhttp.nonProxyHosts=c.test|*.d.test\"\n"))
	require.NoError(t, err)
	all := strings.Join(odd, "\n")
	for _, says := range []string{"line 1: HTTP_PROXY has no protocol", "line 2: NO_PROXY: curl", "line 2: NO_PROXY: a blank", "HTTP_PROXY is http://10.0.0.33:3128, but JVM_OPTS has 10.0.0.34:3128", "JVM_OPTS sets no https.proxyHost"} {
		require.Contains(t, all, says)
	}
	s, err := proxy.ReadJavaOptions("-Dhttp.proxyHost=10.0.0.33 -Dhttp.proxyPort=3128 '-Dhttp.nonProxyHosts=10.*|x.test'")
	require.NoError(t, err)
	require.True(t, s.HTTPS.IsZero())
	require.Equal(t, "10.0.0.0/8", s.Direct[0].String())
	s, _, err = proxy.Import([]byte(`{"HttpProxy":"http://10.0.0.33:3128","NoProxy":["a.test","10.0.0.0/8"]}`))
	require.NoError(t, err)
	require.Len(t, s.Direct, 2)
	for _, bad := range []string{"HTTP_PROXY=\"x", `{"HttpProxy": 1}`, `{"NoProxy": 1}`, "NO_PROXY=http://x"} {
		_, _, err := proxy.Import([]byte(bad))
		require.ErrorIs(t, err, ci.ErrInvalid, bad)
	}
}

// The real git reads its configuration as it is meant.
func TestPRX08_RealGit(t *testing.T) {
	path := write(t, []byte(rendered(t, guide(t), proxy.GitConfig).Text))
	for u, want := range map[string]string{
		"https://github.com/x": "http://10.0.0.33:3128", "https://ghe.example.com/x": "", "http://a.below.test/x": "", "http://below.test/x": "http://10.0.0.33:3128", "http://10.0.1.238/x": "",
	} {
		cmd := exec.Command("git", "config", "--file", path, "--get-urlmatch", "http.proxy", u)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		require.Equal(t, want, strings.TrimSpace(string(out)), u)
	}
}

// What a tool cannot be told is said for each address.
func TestPRX03_Check(t *testing.T) {
	s, err := proxy.Parse("http://u:secret@10.0.0.33:3128", "", "10.0.2.0/24,example.test:8443")
	require.NoError(t, err)
	advice := map[proxy.Tool]string{}
	for _, f := range s.Check(address(t, "http://10.0.2.7/")) {
		require.NotContains(t, f.Proxy+f.Meant+f.Advice, "secret")
		advice[f.Tool] = f.Advice
	}
	require.Empty(t, advice[proxy.Curl])
	require.Empty(t, advice[proxy.Go])
	require.Empty(t, advice[proxy.Java])
	require.Contains(t, advice[proxy.Wget], "name the addresses in it")
	s.Known = []netip.Addr{netip.MustParseAddr("10.0.2.7")}
	for _, f := range s.Check(address(t, "http://10.0.2.7/")) {
		require.Empty(t, f.Advice)
	}
}
