package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/forgetest"
)

// freePort returns an address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// A push to a followed repository of GitHub is built, and the commit says so.
// A push that came while the server was down is found after the start.
func TestSEC08_GitHub(t *testing.T) {
	hub := forgetest.NewGitHub(t)
	shop := hub.Repo("acme/shop")
	shop.Commit("main", "first", map[string]string{".circleci/config.yml": `
version: 2.1
jobs: {hi: {machine: true, steps: [{run: 'echo "<$DEPLOY>"'}]}}
workflows: {main: {jobs: [{hi: {context: [deploy]}}]}}
`})
	dir, address := serverDir(t), freePort(t)
	secret := filepath.Join(dir, "webhook")
	require.NoError(t, os.WriteFile(secret, []byte(strings.Repeat("s", 40)), 0o600))
	file := filepath.Join(dir, "rondo.yml")
	require.NoError(t, os.WriteFile(file, []byte(fmt.Sprintf(`
url: http://%s
listen: %s
agents: 127.0.0.1:0
data: %s/data
github: {host: %q, token: "env:TEST_GITHUB_TOKEN", webhook_secret: "file:%s", status_prefix: ci/rondo}
`, address, address, dir, hub.URL(), secret)), 0o600))
	launch := func() *server {
		cmd := program(t, "serve", "--json", "--config", file)
		cmd.Env = append(cmd.Env, "TEST_GITHUB_TOKEN="+forgetest.Token)
		s := start(t, cmd)
		token, err := os.ReadFile(filepath.Join(dir, "data", "token"))
		require.NoError(t, err)
		s.Token = strings.TrimSpace(string(token))
		return s
	}
	s := launch()
	code, body := s.call("POST", "/api/v1.1/project/gh/acme/shop/follow", "")
	require.Equal(t, 200, code, body)
	require.Len(t, shop.Hooks(), 1)
	require.Len(t, shop.Keys(), 1)
	code, body = s.call("POST", "/api/v2/context", `{"name":"deploy","owner":{"slug":"gh/acme"}}`)
	require.Equal(t, 200, code, body)

	sha := shop.Push("main", "second", map[string]string{"x": "y"})
	end := s.waitEnd(ci.WorkflowEnded, "main")
	require.Equal(t, ci.Success, end.Status, s.errors())
	s.eventually("the status of the commit", func() bool {
		all := shop.Statuses(sha)
		return len(all) > 0 && all[len(all)-1].State == "success" && all[len(all)-1].Context == "ci/rondo: hi"
	})
	require.Equal(t, 0, s.stop(), s.errors())

	missed := shop.Push("main", "third", map[string]string{"x": "z"}) // nobody listens
	s = launch()
	s.eventually("the push that was missed", func() bool {
		all := s.pipelines()
		return len(all) == 2 && all[0].VCS.Revision == missed
	})
	require.Equal(t, ci.Success, s.waitEnd(ci.WorkflowEnded, "main").Status)
	code, body = s.call("POST", "/api/v1.1/project/gh/acme/shop/unfollow", "")
	require.Equal(t, 200, code, body)
	require.Empty(t, shop.Hooks())
	require.Empty(t, shop.Keys())
	require.NotContains(t, s.errors(), forgetest.Token)
	require.Equal(t, 0, s.stop(), s.errors())
}
