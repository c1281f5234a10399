package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/auth/ldap"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/forgetest"
	"github.com/rondo-ci/rondo/cmd/internal/datadir"
	"github.com/rondo-ci/rondo/metrics"
	"github.com/rondo-ci/rondo/metrics/cloudwatch"
	"github.com/rondo-ci/rondo/metrics/metricstest"
	"github.com/rondo-ci/rondo/scheduler/nomad/nomadtest"
	"github.com/rondo-ci/rondo/storage/s3/s3test"
	"github.com/rondo-ci/rondo/storage/secrets/secretstest"
	"github.com/rondo-ci/rondo/vmservice/ec2/ec2test"
)

// A private is an authority that nobody knows yet, and the folder where
// operators make it known.
type private struct {
	t      *testing.T
	ca     *authtest.Authority
	folder string
	host   string // by which clients are told to reach what it serves
}

func newPrivate(t *testing.T) private {
	ca, err := authtest.NewAuthority()
	require.NoError(t, err)
	return private{t, ca, serverDir(t), "127.0.0.1"}
}

// trust puts the authority into the folder.
func (p private) trust() {
	require.NoError(p.t, os.WriteFile(filepath.Join(p.folder, "ours.crt"), p.ca.PEM(), 0o644))
}

// config is that of a server here.
func (p private) config() *tls.Config {
	cfg, err := p.ca.TLS("127.0.0.1", p.host)
	require.NoError(p.t, err)
	return cfg
}

// serve serves over TLS and returns the address.
func (p private) serve(h http.Handler) string {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.TLS = p.config()
	s.StartTLS()
	p.t.Cleanup(s.Close)
	return p.named(s.URL)
}

// named is an address of loopback with the name for it.
func (p private) named(address string) string {
	return strings.Replace(address, "127.0.0.1", p.host, 1)
}

// files writes a certificate and its key.
func (p private) files() (cert, key string) {
	dir := p.t.TempDir()
	c, k, err := p.ca.Issue(time.Now().Add(time.Hour), "127.0.0.1", p.host)
	require.NoError(p.t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(p.t, errors.Join(os.WriteFile(cert, c, 0o600), os.WriteFile(key, k, 0o600)))
	return cert, key
}

// inEnv puts a secret into the environment and returns its reference.
func inEnv(t *testing.T, name, value string) secretRef {
	t.Setenv(name, value)
	return secretRef("env:" + name)
}

// Each client of the server, made as the server makes it, refuses a server whose
// authority is private, and takes it as soon as that is in the folder.
func TestCRT01_EveryClientFollowsTheFolder(t *testing.T) {
	p := newPrivate(t)
	r, err := openReach(nil, []string{p.folder}, nil)
	require.NoError(t, err)
	clients := map[string]func(context.Context) error{
		"s3": p.s3(r), "vault": p.vault(r), "ldaps": p.ldap(r, ldap.LDAPS), "starttls": p.ldap(r, ldap.StartTLS),
		"nomad": p.nomad(r), "ec2": p.ec2(r), "syslog": p.syslog(r), "audit webhook": p.auditHook(r),
		"datadog": p.datadog(r), "cloudwatch": p.cloudwatch(r),
	}
	for name, try := range clients {
		require.ErrorContains(t, try(t.Context()), "certificate signed by unknown authority", name)
	}
	p.trust()
	r.roots.Look()
	for name, try := range clients {
		require.NoError(t, try(t.Context()), name)
	}
}

// A part whose settings name authorities trusts these alone.
func TestCRT01_CANamesTheOnlyOnes(t *testing.T) {
	p, other := newPrivate(t), newPrivate(t)
	p.trust()
	r, err := openReach(nil, []string{p.folder}, nil)
	require.NoError(t, err)
	file := filepath.Join(other.folder, "only.pem")
	require.NoError(t, os.WriteFile(file, other.ca.PEM(), 0o600))
	sink, err := sinkSettings{Syslog: p.listen(), CA: file}.open(r)
	require.NoError(t, err)
	require.ErrorContains(t, sink.Send(t.Context(), []audit.Line{{Text: []byte(`{}`)}}), "unknown authority")
	_, err = sinkSettings{Syslog: "h:1", CA: p.folder}.open(r)
	require.Error(t, err)
	require.NoError(t, os.WriteFile(file, []byte("nothing"), 0o600))
	_, err = sinkSettings{Syslog: "h:1", CA: file}.open(r)
	require.ErrorContains(t, err, "holds no certificate in PEM form")
}

func (p private) s3(r *reach) func(context.Context) error {
	cert, key := p.files()
	server := s3test.StartTLS(p.t, cert, key)
	server.Bucket("rondo")
	set := s3Settings{
		Bucket: "rondo", Endpoint: p.named(server.URL), PathStyle: true,
		AccessKey: inEnv(p.t, "TEST_S3_KEY", s3test.AccessKey), SecretKey: inEnv(p.t, "TEST_S3_SECRET", s3test.SecretKey),
	}
	store, err := set.open(p.t.Context(), r)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = store.Blobs().Close() })
	return store.Check
}

func (p private) vault(r *reach) func(context.Context) error {
	v := secretstest.NewVault()
	set := &vaultSettings{Address: p.serve(v), Token: inEnv(p.t, "TEST_VAULT_TOKEN", "root")}
	transit, err := set.open(r, nil)
	require.NoError(p.t, err)
	return func(ctx context.Context) error {
		err := transit.Create(ctx)
		if err == nil {
			err = transit.Ready(ctx)
		}
		return err
	}
}

func (p private) ldap(r *reach, e ldap.Encryption) func(context.Context) error {
	server := authtest.NewDirectory(authtest.OpenLDAP)
	require.NoError(p.t, server.AddPerson(authtest.Person{Login: "ada", Password: "ada-secret", Name: "Ada"}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(p.t, err)
	port := l.Addr().(*net.TCPAddr).Port
	if e == ldap.LDAPS {
		l = tls.NewListener(l, p.config())
	}
	go func() { _ = server.Serve(l, p.config()) }() // until it is closed
	p.t.Cleanup(func() { _ = l.Close() })
	set := &ldapSettings{
		Type: ldap.OpenLDAP, Hostname: "127.0.0.1", Port: port, Encryption: e, SearchUser: authtest.SearchUser,
		SearchPassword: inEnv(p.t, "TEST_LDAP_SEARCH", authtest.SearchPassword), BaseDN: authtest.Base, UserSearchDN: "ou=people", UsernameField: "uid",
	}
	d, err := set.directory(ldap.Config{Roots: r.roots.Pool})
	require.NoError(p.t, err)
	p.t.Cleanup(d.Close)
	return func(ctx context.Context) error {
		_, err := d.Login(ctx, "ada", "ada-secret")
		return err
	}
}

func (p private) nomad(r *reach) func(context.Context) error {
	folder, err := datadir.Open(serverDir(p.t))
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = folder.Close() })
	in := &installation{folder: folder, reach: r, log: slog.New(slog.DiscardHandler)}
	cluster, err := in.openNomad(&nomadSettings{Address: p.serve(nomadtest.New(nil)), nomadAgent: nomadAgent{Door: "http://127.0.0.1:1"}})
	require.NoError(p.t, err)
	return func(ctx context.Context) error {
		_, err := cluster.Nodes(ctx)
		return err
	}
}

func (p private) ec2(r *reach) func(context.Context) error {
	s, err := parseSettings([]byte("url: https://ci\ndata: d\nmachines:\n  " + goodEC2 +
		"  aws_authentication: keys\n  access_key: env:TEST_EC2_KEY\n  secret_key: env:TEST_EC2_SECRET\n  endpoint: " + p.serve(ec2test.New(ec2test.Config{}))))
	require.NoError(p.t, err)
	inEnv(p.t, "TEST_EC2_KEY", "AKIAEXAMPLEEXAMPLE00")
	inEnv(p.t, "TEST_EC2_SECRET", "secret")
	d, err := s.Machines.ec2Driver("test", "", r.client(time.Minute))
	require.NoError(p.t, err)
	return func(ctx context.Context) error {
		_, err := d.List(ctx)
		return err
	}
}

// listen is a server that reads over TLS.
func (p private) listen() string {
	l, err := tls.Listen("tcp", "127.0.0.1:0", p.config())
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

func (p private) syslog(r *reach) func(context.Context) error {
	sink, err := sinkSettings{Syslog: p.listen()}.open(r)
	require.NoError(p.t, err)
	return p.send(sink)
}

func (p private) auditHook(r *reach) func(context.Context) error {
	address := p.serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	sink, err := sinkSettings{Webhook: address, Secret: inEnv(p.t, "TEST_HOOK", "0123456789abcdef")}.open(r)
	require.NoError(p.t, err)
	return p.send(sink)
}

func (p private) send(sink audit.Sink) func(context.Context) error {
	return func(ctx context.Context) error { return sink.Send(ctx, []audit.Line{{Text: []byte(`{"id": "1"}`)}}) }
}

func (p private) datadog(r *reach) func(context.Context) error {
	d := metricstest.NewDataDog(strings.Repeat("0", 32))
	p.t.Cleanup(d.Close)
	sink, err := (&datadogSettings{APIKey: inEnv(p.t, "TEST_DATADOG", d.Key), URL: p.serve(d)}).open(r.client(time.Minute))
	require.NoError(p.t, err)
	return p.write(sink)
}

func (p private) cloudwatch(r *reach) func(context.Context) error {
	c := metricstest.NewCloudWatch()
	p.t.Cleanup(c.Close)
	sink, err := cloudwatch.New(p.t.Context(), cloudwatch.Config{
		Auth: cloudwatch.Keys, AccessKey: "AKIA", SecretKey: "s", Region: "us-west-2", Namespace: "ci", Endpoint: p.serve(c), HTTP: r.client(time.Minute),
	})
	require.NoError(p.t, err)
	return p.write(sink)
}

func (p private) write(sink metrics.Sink) func(context.Context) error {
	return func(ctx context.Context) error {
		return sink.Write(ctx, []metrics.Sample{{Name: "x", Kind: metrics.Gauge, Value: 1, Time: time.Now()}})
	}
}

// A server that runs learns of the authority of its GitHub Enterprise: its API,
// the receiver of a webhook and git in a job.
func TestCRT01_CRT04_RunningServerFollowsTheFolder(t *testing.T) {
	p := newPrivate(t)
	hub := forgetest.NewEnterprise(t, p.host, p.config())
	shop := hub.Repo("acme/shop")
	shop.Commit("main", "first", map[string]string{".circleci/config.yml": fmt.Sprintf(`
version: 2.1
jobs: {hi: {machine: true, steps: [{run: git ls-remote %s/acme/shop.git HEAD}]}}
workflows: {main: {jobs: [hi]}}
`, hub.URL())})
	told := make(chan string, 10)
	receiver := p.serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- string(body)
	}))
	s := hooked(t, fmt.Sprintf("trust: [%s]\nwebhooks: {allow: [127.0.0.0/8]}\n"+
		"github: {host: %q, token: \"env:TEST_GITHUB_TOKEN\", webhook_secret: \"env:TEST_WEBHOOK\"}\n", p.folder, hub.URL()))
	follow := func() (int, string) { return s.call("POST", "/api/v1.1/project/gh/acme/shop/follow", "") }
	code, body := follow()
	require.NotEqual(t, 200, code)
	require.Contains(t, s.errors(), "certificate signed by unknown authority", "%d %s", code, body)
	require.Contains(t, s.errors(), "give its authority to Rondo (github.ca, or a file in a folder of trust)")

	p.trust()
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGHUP)) // it need not wait for the minute to be over
	s.eventually("the code host is trusted", func() bool { code, body = follow(); return code == 200 })
	var project struct{ Items []struct{ ID string } }
	code, body = s.call("GET", "/api/v2/rondo/projects", "")
	require.Equal(t, 200, code, body)
	require.NoError(t, json.Unmarshal([]byte(body), &project))
	code, body = s.call("POST", "/api/v2/webhook", fmt.Sprintf(
		`{"name":"n","url":%q,"events":["job-completed"],"scope":{"type":"project","id":%q},"signing-secret":"0123456789abcdef","verify-tls":true}`, receiver, project.Items[0].ID))
	require.Equal(t, 201, code, body)
	shop.Push("main", "second", map[string]string{"x": "y"})
	end := s.waitEnd(ci.WorkflowEnded, "main")
	require.Equal(t, ci.Success, end.Status, s.errors())
	require.Contains(t, <-told, "job-completed")
	require.Equal(t, 0, s.stop(), s.errors())
}
