package proxy_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/proxy"
	"github.com/rondo-ci/rondo/proxy/proxytest"
	"github.com/rondo-ci/rondo/proxy/trust"
)

// An origin is a server that only squid knows the way to, with and without TLS.
type origin struct {
	plain, secure string // addresses
	ca            []byte
	file          string // with ca
}

func newOrigin(t *testing.T) origin {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "from the origin\n") })
	ca, err := authtest.NewAuthority()
	require.NoError(t, err)
	plain, secure := httptest.NewServer(h), httptest.NewUnstartedServer(h)
	secure.TLS, err = ca.TLS("origin.test")
	require.NoError(t, err)
	secure.StartTLS()
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	o := origin{ca: ca.PEM(), file: filepath.Join(t.TempDir(), "ca.pem")}
	o.plain = strings.Replace(plain.URL, "127.0.0.1", "origin.test", 1)
	o.secure = strings.Replace(secure.URL, "127.0.0.1", "origin.test", 1)
	require.NoError(t, os.WriteFile(o.file, o.ca, 0o644))
	return o
}

var originHosts = map[string]string{"origin.test": "127.0.0.1", "direct.test": "127.0.0.1"}

// What we render leads curl, wget, Python, apt and Go through a real squid, by
// GET and by CONNECT, with and without a login, and past it where it should.
func TestPRX01_PRX02_ToolsThroughSquid(t *testing.T) {
	if !island(t) {
		return
	}
	o := newOrigin(t)
	run := programs(t)
	options := map[proxy.Tool][]string{proxy.Wget: {"--ca-certificate=" + o.file}, proxy.Apt: {"-o", "Acquire::https::CaInfo=" + o.file}}
	for _, login := range []string{"", "ci:p@ss:w%rd"} {
		squid := proxytest.Start(t, proxytest.Config{Login: login, Hosts: originHosts})
		for _, c := range []struct {
			login, target, method string
			status                int // 0 is that squid is not asked
		}{
			{login, o.plain, "GET", 200},
			{login, o.secure, "CONNECT", 200},
			{login, strings.Replace(o.plain, "origin.", "direct.", 1), "GET", 0},
			{"ci:wrong", o.plain, "GET", 407},
			{"ci:wrong", o.secure, "CONNECT", 407},
		} {
			if login == "" && c.status == 407 {
				continue
			}
			address := squid.URL
			if c.login != "" {
				address = squid.With(c.login)
			}
			s, err := proxy.Parse(address, "", "direct.test")
			require.NoError(t, err)
			env, lost := s.Environ()
			require.Empty(t, lost)
			for _, tool := range columns {
				before := len(squid.Log())
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				cmd := run[tool](ctx, c.target+"/x")
				cmd.Args = slices.Insert(cmd.Args, 1, options[tool]...)
				cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LC_ALL=C", "SSL_CERT_FILE=" + o.file, "CURL_CA_BUNDLE=" + o.file}, env...)
				if tool == proxy.Go {
					cmd.Env = append(cmd.Env, fetchMark+"="+c.target+"/x")
				}
				said, _ := cmd.CombinedOutput() // what squid has seen is what counts
				cancel()
				if c.status == 0 {
					continue
				}
				require.Eventually(t, func() bool { // it notes a tunnel when that ends
					seen := squid.Log()[before:]
					return strings.Contains(seen, fmt.Sprintf("/%d ", c.status)) && strings.Contains(seen, " "+c.method+" ")
				}, 20*time.Second, 5*time.Millisecond, "%s %q %s: %s", tool, c.login, c.target, said)
			}
		}
		require.NotContains(t, squid.Log(), "direct.test")
	}
}

// Our own client says in one sentence what squid's refusal means, and never the
// password.
func TestPRX09_SquidRefuses(t *testing.T) {
	o := newOrigin(t)
	squid := proxytest.Start(t, proxytest.Config{Login: "ci:s3cret", Hosts: originHosts, Deny: []string{"closed.test"}})
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "ours.crt"), o.ca, 0o644))
	roots, err := trust.Open(trust.Config{Folders: []string{folder}})
	require.NoError(t, err)
	for _, c := range []struct{ proxy, target, says string }{
		{squid.With("ci:s3cret"), o.plain, ""},
		{squid.With("ci:s3cret"), o.secure, ""},
		{squid.With("ci:wr0ng"), o.plain, "the proxy refuses the login of ci (407)"},
		{squid.With("ci:wr0ng"), o.secure, "the proxy refuses the login of ci (407)"},
		{squid.URL, o.plain, "the proxy wants a login (407)"},
		{squid.URL, o.secure, "the proxy wants a login (407)"},
		{squid.With("ci:s3cret"), "https://closed.test/", "its rules do not let this address through"},
		{squid.With("ci:s3cret"), "https://nobody.test/", "the proxy cannot connect to nobody.test:443 (50"},
	} {
		s, err := proxy.Parse(c.proxy, "", "")
		require.NoError(t, err)
		client := http.Client{Transport: trust.NewWay(roots, s, nil), Timeout: 20 * time.Second}
		res, err := client.Get(c.target)
		probe := s.Try(t.Context(), address(t, c.target), roots.Pool(), 20*time.Second)
		if c.says == "" {
			require.NoError(t, err)
			require.Equal(t, 200, res.StatusCode)
			require.NoError(t, res.Body.Close())
			require.Empty(t, probe.Advice)
			continue
		}
		require.ErrorContains(t, err, c.says)
		require.NotContains(t, err.Error(), "wr0ng")
		require.Contains(t, probe.Advice, c.says)
	}
	require.Eventually(t, func() bool { return squid.Saw("GET", 200, "origin.test") && squid.Saw("CONNECT", 200, "origin.test") }, 20*time.Second, 5*time.Millisecond, squid.Log())
	// Without the authority, squid's tunnel is one to a stranger.
	s, err := proxy.Parse(squid.With("ci:s3cret"), "", "")
	require.NoError(t, err)
	require.Contains(t, s.Try(t.Context(), address(t, o.secure), x509.NewCertPool(), 0).Advice, "add its certificate to")
}
