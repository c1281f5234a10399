package proxy_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/rondo-ci/rondo/proxy"
	"github.com/stretchr/testify/require"
)

// The measured matrix: what each tool does with an address under a NO_PROXY.
// P asks the proxy, - does not. Columns: curl wget python apt go.
var matrix = []struct{ list, url, want string }{
	{"example.test", "http://example.test/", "-----"},
	{"example.test", "http://a.example.test/", "-----"},
	{"example.test", "http://notexample.test/", "PPP-P"},
	{".example.test", "http://example.test/", "-P-PP"},
	{".example.test", "http://a.example.test/", "-----"},
	{"*.example.test", "http://a.example.test/", "PPPP-"},
	{"*.example.test", "http://example.test/", "PPPPP"},
	{"a.test, example.test", "http://example.test/", "---P-"},
	{"a.test example.test", "http://example.test/", "-PPPP"},
	{"example.test:8080", "http://example.test:8080/", "PP-P-"},
	{"example.test:8080", "http://example.test/", "PPPPP"},
	{"192.0.2.0/24", "http://192.0.2.7/", "-PPP-"},
	{"192.0.2.", "http://192.0.2.7/", "PPPPP"},
	{"192.0.2.*", "http://192.0.2.7/", "PPPPP"},
	{"*", "http://any.test/", "-P-P-"},
	{"a.test,*", "http://any.test/", "PPPP-"},
	{"example.test.", "http://example.test/", "-PPPP"},
}

var columns = []proxy.Tool{proxy.Curl, proxy.Wget, proxy.Python, proxy.Apt, proxy.Go}

// environ is a lookup in pairs.
func environ(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, p := range pairs {
			if v, ok := strings.CutPrefix(p, name+"="); ok {
				return v, true
			}
		}
		return "", false
	}
}

func address(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	return u
}

func TestPRX03_Matrix(t *testing.T) {
	for _, row := range matrix {
		got := ""
		for _, tool := range columns {
			v := tool.Verdict(environ("http_proxy=http://127.0.0.1:1", "no_proxy="+row.list, "HTTP_PROXY=http://127.0.0.1:1", "NO_PROXY="+row.list), address(t, row.url))
			require.Empty(t, v.Refuses)
			got += map[bool]string{true: "P", false: "-"}[v.Proxy != ""]
		}
		require.Equal(t, row.want, got, "no_proxy=%q %s", row.list, row.url)
	}
}

// Java: what JVM_OPTS means.
func TestPRX05_JavaReads(t *testing.T) {
	const both = "-Dhttp.proxyHost=p.test -Dhttp.proxyPort=3128 -Dhttps.proxyHost=p.test -Dhttps.proxyPort=3129 "
	for _, c := range []struct {
		options, url, want string
	}{
		{both, "http://x.test/", "http://p.test:3128"},
		{both, "https://x.test/", "http://p.test:3129"},
		{"-Dhttp.proxyHost=p.test -Dhttp.proxyPort=3128", "https://x.test/", ""},
		{"-Dhttp.proxyHost=p.test", "http://x.test/", "http://p.test:80"},
		{both + "-Dhttp.nonProxyHosts=example.test", "http://example.test/", ""},
		{both + "-Dhttp.nonProxyHosts=example.test", "http://a.example.test/", "http://p.test:3128"},
		{both + "-Dhttp.nonProxyHosts=.example.test", "http://a.example.test/", "http://p.test:3128"},
		{both + "-Dhttp.nonProxyHosts=*.example.test", "https://a.example.test/", ""},
		{both + "-Dhttp.nonProxyHosts=*.example.test", "http://example.test/", "http://p.test:3128"},
		{both + "-Dhttp.nonProxyHosts=a.*.test", "http://a.b.test/", "http://p.test:3128"},
		{both + "-Dhttp.nonProxyHosts=x.test", "http://127.0.0.1/", ""},
		{both + "-Dhttp.nonProxyHosts=", "http://localhost/", "http://p.test:3128"},
		{both, "http://localhost/", ""},
		{both + `"-Dhttp.nonProxyHosts=10.*|EXAMPLE.test"`, "http://10.1.2.3/", ""},
		{both + `'-Dhttp.nonProxyHosts=10.*|EXAMPLE.test'`, "http://example.TEST/", ""},
	} {
		v := proxy.Java.Verdict(environ("JVM_OPTS="+c.options), address(t, c.url))
		require.Equal(t, proxy.Verdict{Proxy: c.want}, v, "%s %s", c.options, c.url)
	}
	require.NotEmpty(t, proxy.Java.Verdict(environ(`JVM_OPTS="-Dhttp.proxyHost=x`), address(t, "http://a/")).Refuses)
}

// Which variables are read at all, in which case.
func TestPRX01_Variables(t *testing.T) {
	u := address(t, "http://x.test/")
	for tool, want := range map[proxy.Tool]string{
		proxy.Curl: "", proxy.Wget: "", proxy.Apt: "", proxy.Python: "http://upper:1", proxy.Go: "http://upper:1",
	} {
		require.Equal(t, want, tool.Verdict(environ("HTTP_PROXY=http://upper:1"), u).Proxy, tool)
	}
	require.Contains(t, proxy.Apt.Verdict(environ("http_proxy=10.0.0.33:3128"), u).Refuses, "protocol")
	require.Equal(t, "10.0.0.33:3128", proxy.Curl.Verdict(environ("http_proxy=10.0.0.33:3128"), u).Proxy)
}

func FuzzRules(f *testing.F) {
	for _, row := range matrix {
		f.Add(row.list, row.url)
	}
	f.Fuzz(func(t *testing.T, list, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		rules, err := proxy.ParseRules(list)
		if err == nil {
			for _, r := range rules { // what is written is read again as the same rule
				again, err := proxy.ParseRules(r.String())
				require.NoError(t, err)
				require.Equal(t, []proxy.Rule{r}, again)
			}
			s, err := proxy.Parse("http://p.test:1", "", list)
			require.NoError(t, err)
			s.For(u)
			s.Check(u)
			for _, target := range proxy.Targets() {
				r, err := s.Render(target)
				require.NoError(t, err)
				text, err := r.Edit(nil)
				require.NoError(t, err)
				again, err := r.Edit(text)
				require.NoError(t, err)
				require.Equal(t, string(text), string(again), "%s twice", target)
			}
		}
		for _, tool := range proxy.Tools() {
			tool.Verdict(environ("http_proxy=http://p.test:1", "no_proxy="+list, "JVM_OPTS="+list), u)
		}
		_, _, _ = proxy.Import([]byte(fmt.Sprintf("NO_PROXY=%s\nJVM_OPTS=%s\n", list, text)))
	})
}
