package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/docker/dockertest"
	"github.com/rondo-ci/rondo/ci/forge/forgetest"
	"github.com/rondo-ci/rondo/proxy/proxytest"
)

// behind returns an authority for a name that only the squid knows.
func behind(t *testing.T, login string) (private, *proxytest.Squid) {
	p := newPrivate(t)
	p.host = "origin.test"
	p.trust()
	return p, proxytest.Start(t, proxytest.Config{Login: login, Hosts: map[string]string{p.host: "127.0.0.1"}})
}

// Each client of the server that speaks HTTP goes through a real squid, with and
// without a login, to a server whose authority is private.
func TestPRX01_ClientsThroughSquid(t *testing.T) {
	for _, login := range []string{"", "ci:p@ss:w%rd"} {
		p, squid := behind(t, login)
		inEnv(t, "TEST_PROXY_LOGIN", "ci:wrong")
		for _, good := range []bool{true, false} {
			set := &proxySettings{HTTP: squid.URL}
			if login != "" {
				set.Login = "env:TEST_PROXY_LOGIN"
			}
			if good && login != "" {
				inEnv(t, "TEST_PROXY_LOGIN", login)
			} else if !good {
				inEnv(t, "TEST_PROXY_LOGIN", "ci:wr0ng")
			}
			if !good && login == "" {
				continue
			}
			r, err := openReach(set, []string{p.folder}, nil)
			require.NoError(t, err)
			for name, try := range map[string]func(context.Context) error{
				"s3": p.s3(r), "vault": p.vault(r), "nomad": p.nomad(r), "ec2": p.ec2(r),
				"audit webhook": p.auditHook(r), "datadog": p.datadog(r), "cloudwatch": p.cloudwatch(r),
			} {
				err := try(t.Context())
				if good {
					require.NoError(t, err, name)
					continue
				}
				require.ErrorContains(t, err, "the proxy refuses the login of ci (407)", name)
				require.NotContains(t, err.Error(), "wr0ng", name)
			}
		}
	}
}

// hooked starts a server that a GitHub on this machine can reach.
func hooked(t *testing.T, settings string) *server {
	inEnv(t, "TEST_GITHUB_TOKEN", forgetest.Token)
	inEnv(t, "TEST_WEBHOOK", strings.Repeat("s", 40))
	inEnv(t, "TEST_DATADOG", strings.Repeat("0", 32))
	address := freePort(t)
	s, _ := teamWith(t, program(t), address, address, settings)
	return s
}

// A server behind a squid with a login builds what is pushed to a GitHub
// Enterprise that only squid reaches. With a wrong password its log says so,
// once, whoever suffers from it.
func TestPRX01_ServerBehindSquid(t *testing.T) {
	p, squid := behind(t, "ci:s3cret")
	hub := forgetest.NewEnterprise(t, p.host, p.config())
	shop := hub.Repo("acme/shop")
	shop.Commit("main", "first", map[string]string{".circleci/config.yml": "version: 2.1\njobs: {hi: {machine: true, steps: [{run: \"true\"}]}}\nworkflows: {main: {jobs: [hi]}}\n"})
	settings := fmt.Sprintf("trust: [%s]\nproxy: {http: %q, login: \"env:TEST_PROXY_LOGIN\"}\n"+
		"github: {host: %q, token: \"env:TEST_GITHUB_TOKEN\", webhook_secret: \"env:TEST_WEBHOOK\"}\n"+
		"metrics: {datadog: {api_key: \"env:TEST_DATADOG\", url: \"https://origin.test:1\"}}\n", p.folder, squid.URL, hub.URL())
	inEnv(t, "TEST_PROXY_LOGIN", "ci:s3cret")
	s := hooked(t, settings)
	code, body := s.call("POST", "/api/v1.1/project/gh/acme/shop/follow", "")
	require.Equal(t, 200, code, body)
	shop.Push("main", "second", map[string]string{"x": "y"})
	require.Equal(t, ci.Success, s.waitEnd(ci.WorkflowEnded, "main").Status, s.errors())
	require.Equal(t, 0, s.stop(), s.errors())
	s.eventually("squid has noted it", func() bool { return squid.Saw("CONNECT", 200, "origin.test") })

	inEnv(t, "TEST_PROXY_LOGIN", "ci:wr0ng")
	s = hooked(t, settings)
	const diagnosis = `msg="proxy: the proxy refuses the login of ci (407)"`
	s.eventually("the diagnosis", func() bool { return strings.Contains(s.errors(), diagnosis) })
	require.Equal(t, 0, s.stop(), s.errors())
	require.Equal(t, 1, strings.Count(s.errors(), diagnosis), s.errors())
	require.Contains(t, s.errors(), `for="github, metrics.datadog"`)
	require.NotContains(t, s.errors(), "wr0ng")
}

// A proxy that takes connections and says nothing holds up what has to be asked
// for through it, and no build: a job in a container ends as ever.
func TestPRX09_BlackHole(t *testing.T) {
	engine := dockertest.Start(t)
	require.NoError(t, engine.Import("rondo-hole:1", dockertest.Busybox()))
	hole, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer hole.Close()
	r := newRepo(t, "version: 2.1\njobs: {hi: {docker: [{image: \"rondo-hole:1\"}], steps: [{run: echo in a container}]}}\nworkflows: {main: {jobs: [hi]}}\n")
	inEnv(t, "TEST_GITHUB_TOKEN", forgetest.Token)
	inEnv(t, "TEST_WEBHOOK", strings.Repeat("s", 40))
	inEnv(t, "TEST_DATADOG", strings.Repeat("0", 32))
	static := filepath.Join(t.TempDir(), "rondo-server") // its tool runs in images
	build := exec.Command("go", "build", "-o", static, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	s, _ := teamWith(t, exec.Command(static), "ci.example.com", "127.0.0.1:0", fmt.Sprintf("folders: [%s]\nproxy: {http: \"http://%s\"}\nexecutor: {docker: {host: %q, pull: missing}}\n"+
		"github: {token: \"env:TEST_GITHUB_TOKEN\", webhook_secret: \"env:TEST_WEBHOOK\"}\n"+
		"metrics: {datadog: {api_key: \"env:TEST_DATADOG\"}, cloudwatch: {auth: keys, access_key: \"env:TEST_GITHUB_TOKEN\", secret_key: \"env:TEST_GITHUB_TOKEN\", region: us-west-2, namespace: ci}}\n"+
		"machines: {provider: none}\n", r.dir, hole.Addr(), engine.Host))
	require.Equal(t, ci.Success, s.waitEnd(ci.WorkflowEnded, "main").Status, s.errors())
	diagnosis := fmt.Sprintf(`msg="proxy: the proxy http://%s takes the connection and then says nothing for 10s"`, hole.Addr())
	s.eventually("the diagnosis", func() bool { return strings.Contains(s.errors(), diagnosis) })
	require.Equal(t, 1, strings.Count(s.errors(), `msg="proxy: `), s.errors())
	require.Contains(t, s.errors(), `for="github, metrics.cloudwatch, metrics.datadog"`)
	require.Equal(t, 0, s.stop(), s.errors())

	// The API of EC2: each call ends, with the proxy in its words.
	reach, err := openReach(&proxySettings{HTTP: "http://" + hole.Addr().String()}, nil, nil)
	require.NoError(t, err)
	inEnv(t, "TEST_EC2_KEY", "AKIAEXAMPLEEXAMPLE00")
	set, err := parseSettings([]byte("url: https://ci\ndata: d\nmachines:\n  " + goodEC2 +
		"  aws_authentication: keys\n  access_key: env:TEST_EC2_KEY\n  secret_key: env:TEST_GITHUB_TOKEN\n"))
	require.NoError(t, err)
	driver, err := set.Machines.ec2Driver("test", "", reach.client(time.Minute))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err = driver.List(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, "https://ec2.us-west-2.amazonaws.com", set.beyond()["machines"])
}
