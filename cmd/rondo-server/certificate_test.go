package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/ci/forge/forgetest"
)

// "Test GitHub authentication" turns from an error of x509 into success when the
// authority is in the folder.
func TestCRT04_TestGitHubAuthentication(t *testing.T) {
	p := newPrivate(t)
	hub := forgetest.NewEnterprise(t, p.host, p.config())
	s := hooked(t, fmt.Sprintf("trust: [%s]\ngithub: {host: %q, token: \"env:TEST_GITHUB_TOKEN\", webhook_secret: \"env:TEST_WEBHOOK\"}\n", p.folder, hub.URL()))
	ask := browser(t, s)
	_, _ = ask("GET", "/login?token="+s.Token, nil)
	code, text := ask("GET", "/settings", nil)
	require.Equal(t, 200, code)
	require.Contains(t, text, "Test GitHub authentication")
	try := func() string {
		code, text := ask("POST", "/settings", url.Values{"section": {"github"}, "do": {"try"}})
		require.Equal(t, 200, code, text)
		return text
	}
	text = try()
	require.Contains(t, text, "Failure: GitHub cannot be used.")
	require.Contains(t, text, "x509: certificate signed by unknown authority")
	require.NotContains(t, text, "Success")
	p.trust()
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGHUP))
	s.eventually("success", func() bool { return strings.Contains(try(), "Success: GitHub answers, and takes the token.") })
	code, _ = ask("POST", "/settings", url.Values{"section": {"github"}, "do": {"save"}})
	require.Equal(t, http.StatusConflict, code)
	require.Equal(t, 0, s.stop(), s.errors())
}

// A server that began with a certificate of its own is given one: what is for
// another host is refused with both names, what fits is shown at once, to pages
// and agents, and the one of the start is never shown again. People are sent to
// the code host with a callback by https. The guide's own openssl will do.
func TestCRT08_CRT09_UploadCertificate(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil && os.Getenv("CI") != "true" {
		t.Skip("needs openssl")
	}
	hub := authtest.NewGitHub("https://ci.example.com/auth/github")
	defer hub.Close()
	inEnv(t, "TEST_OAUTH", hub.Secret)
	serve := func(more string) (*server, string) {
		dir := serverDir(t)
		data, file := filepath.Join(dir, "data"), filepath.Join(dir, "rondo.yml")
		require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, "url: https://ci.example.com\nlisten: 127.0.0.1:0\nagents: 127.0.0.1:0\ndata: %s\ntls: {self_signed: true, agents: true}\n%s", data, more), 0o600))
		s := start(t, program(t, "serve", "--json", "--config", file))
		return s, strings.TrimSpace(string(mustRead(filepath.Join(data, "token"))))
	}
	s, token := serve("")
	anybody := http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	shown := func(address string) *x509.Certificate {
		c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, ServerName: "ci.example.com"})
		require.NoError(t, err)
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0]
	}
	page, agents := strings.TrimPrefix(s.URL, "https://"), strings.TrimPrefix(s.Agents, "https://")
	provisional := shown(page)
	require.NoError(t, provisional.VerifyHostname("ci.example.com"))

	make509 := func(host string) (cert, key string) {
		cmd := exec.Command("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-x509", "-days", "30", "-out", "certificate.pem", "-subj", "/CN="+host)
		cmd.Dir = t.TempDir()
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(mustRead(filepath.Join(cmd.Dir, "certificate.pem"))), string(mustRead(filepath.Join(cmd.Dir, "key.pem")))
	}
	ask := browserBy(t, s, anybody)
	code, _ := ask("GET", "/login?token="+token, nil)
	require.Less(t, code, 400)
	upload := func(cert, key string) (int, string) {
		return ask("POST", "/settings", url.Values{"section": {"privacy"}, "do": {"save"}, "cert": {cert}, "key": {key}})
	}
	cert, key := make509("other.example.com")
	code, text := upload(cert, key)
	require.Equal(t, 400, code, text)
	require.Contains(t, text, "for other.example.com, not for ci.example.com")
	require.True(t, shown(page).Equal(provisional), "refused")
	require.Contains(t, html.UnescapeString(text), strings.TrimSpace(cert), "what was typed is kept as it was")
	cert, key = make509("ci.example.com")
	code, text = upload(cert, key)
	require.Less(t, code, 400, text)
	for _, address := range []string{page, agents} {
		require.Equal(t, "ci.example.com", shown(address).Subject.CommonName)
		require.False(t, shown(address).Equal(provisional))
	}
	require.Equal(t, 0, s.stop(), s.errors())
	require.NotContains(t, s.errors(), "PRIVATE KEY")

	s, _ = serve(fmt.Sprintf("auth: {github: {host: %q, client_id: app, client_secret: \"env:TEST_OAUTH\"}}\n", hub.URL))
	code, text = browserBy(t, s, anybody)("POST", "/auth/github", url.Values{})
	require.Equal(t, http.StatusSeeOther, code, text)
	require.Contains(t, text, "redirect_uri="+url.QueryEscape("https://ci.example.com/auth/github"))
	require.Equal(t, 0, s.stop(), s.errors())
}
