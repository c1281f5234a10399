package nomad_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/nomad"
	"github.com/rondo-ci/rondo/scheduler/nomad/nomadtest"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
)

// said is a token that does not change.
func said(token string) func() (string, error) {
	return func() (string, error) { return token, nil }
}

// Whatever Nomad refuses, the error says which right is missing, where, and
// whose.
func TestSCH16_MissingRightsAreNamed(t *testing.T) {
	for name, tt := range map[string]struct {
		denied, want string
		call         func(w *world) error
	}{
		"register": {"PUT /v1/jobs|DELETE /v1/job/", "the token the test's lacks the capability submit-job in namespace ci", func(w *world) error { return w.Submit(t.Context(), placement("run")) }},
		"list": {"GET /v1/jobs", "the capability list-jobs in namespace ci", func(w *world) error {
			for _, err := range w.Placements(t.Context()) {
				return err
			}
			return nil
		}},
		"nodes": {"GET /v1/nodes", "the policy node read", func(w *world) error { _, err := w.Nodes(t.Context()); return err }},
		"drain": {"PUT /v1/node/", "the policy node write", func(w *world) error { return w.Drain(t.Context(), "n1", scheduler.Drain{On: true}) }},
		"signal": {"PUT /v1/client/allocation/", "the capability alloc-lifecycle in namespace ci", func(w *world) error {
			p := placement("deaf")
			require.NoError(t, w.Submit(t.Context(), p))
			sees(t, w, p, is(scheduler.PlacementRunning))
			return w.Stop(t.Context(), p, time.Minute)
		}},
		"logs": {"GET /v1/client/fs/logs/", "the capability read-logs in namespace ci", func(w *world) error {
			p := placement("deaf")
			require.NoError(t, w.Submit(t.Context(), p))
			sees(t, w, p, is(scheduler.PlacementRunning))
			_, err := w.Output(t.Context(), p, true)
			return err
		}},
		"token": {"GET /v1/", "Nomad does not know the token, or it has expired", func(w *world) error { _, err := w.Nodes(t.Context()); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			var on atomic.Bool
			w := newWorld(t, nomad.Config{}, func(w *world) nomad.Server {
				s := direct(w)
				s.Token, s.Namespace = said("s3cret-acl"), "ci"
				return s
			}).start(t)
			w.server.SetFault(func(r *http.Request) nomadtest.Fault {
				if on.Load() && regexp.MustCompile("^("+tt.denied+")").MatchString(r.Method+" "+r.URL.Path) {
					return nomadtest.Fault{Status: http.StatusForbidden, Text: "Permission denied"}
				}
				return nomadtest.Fault{}
			})
			if strings.HasPrefix(tt.denied, "PUT /v1/client") || strings.HasPrefix(tt.denied, "GET /v1/client") {
				on.Store(true)
			} else {
				require.NoError(t, w.Check(t.Context()))
				on.Store(true)
				require.ErrorContains(t, w.Check(t.Context()), tt.want, "it is found without doing anything")
			}
			err := tt.call(w)
			require.ErrorIs(t, err, ci.ErrDenied)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "s3cret")
		})
	}
}

// pair writes a certificate and its key.
func pair(t testing.TB, dir string, a *authtest.Authority, hosts ...string) (cert, key string) {
	t.Helper()
	c, k, err := a.Issue(time.Now().Add(24*time.Hour), hosts...)
	require.NoError(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, c, 0o600))
	require.NoError(t, os.WriteFile(key, k, 0o600))
	return cert, key
}

// Token, authority and certificate may be replaced while the server runs.
func TestAccess_FollowsFiles(t *testing.T) {
	dir := t.TempDir()
	server := nomadtest.New(nil)
	server.AddNode("n1", 8, 16384, nil)
	var token atomic.Value
	token.Store("first")
	server.SetFault(func(r *http.Request) nomadtest.Fault {
		if r.Header.Get("X-Nomad-Token") != token.Load() {
			return nomadtest.Fault{Status: http.StatusForbidden, Text: "Permission denied"}
		}
		return nomadtest.Fault{}
	})
	var shows atomic.Pointer[tls.Config]
	h := httptest.NewUnstartedServer(server)
	h.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return shows.Load(), nil }}
	renew := func(name string) *authtest.Authority {
		a, err := authtest.NewAuthority()
		require.NoError(t, err)
		c, err := a.TLS(name)
		require.NoError(t, err)
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		c.ClientCAs.AppendCertsFromPEM(a.PEM())
		shows.Store(c)
		h.CloseClientConnections()
		return a
	}
	a := renew("server.eu.nomad")
	h.StartTLS()
	defer h.Close()
	ca, secret := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(ca, a.PEM(), 0o600))
	cert, key := pair(t, dir, a, "client.eu.nomad")
	require.NoError(t, os.WriteFile(secret, []byte("first"), 0o600))
	c, err := nomad.New(nomad.Server{
		Address: h.URL, CA: ca, Cert: cert, Key: key, ServerName: "server.eu.nomad",
		Token: func() (string, error) { text, err := os.ReadFile(secret); return string(text), err },
	}, nomad.Agent{Command: "a", Door: "http://d"}, nomad.Config{})
	require.NoError(t, err)
	works := func() { t.Helper(); _, err := c.Nodes(t.Context()); require.NoError(t, err) }
	works()

	token.Store("second")
	_, err = c.Nodes(t.Context())
	require.ErrorContains(t, err, "does not know the token")
	require.NoError(t, os.WriteFile(secret, []byte("second"), 0o600))
	works()

	b := renew("server.eu.nomad")
	_, err = c.Nodes(t.Context())
	require.ErrorContains(t, err, "certificate")
	text, err := os.ReadFile(cert)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cert, text[:len(text)/2], 0o600), "somebody is just copying it")
	_, err = c.Nodes(t.Context())
	require.Error(t, err)
	pair(t, dir, b, "client.eu.nomad")
	require.NoError(t, os.WriteFile(ca, b.PEM(), 0o600))
	works()

	for _, broken := range []nomad.Server{{CA: secret}, {CA: ca, Cert: cert}, {CA: filepath.Join(dir, "none")}} {
		broken.Address = h.URL
		_, err = nomad.New(broken, nomad.Agent{Command: "a", Door: "http://d"}, nomad.Config{})
		require.ErrorIs(t, err, ci.ErrInvalid, "the first ones must be good")
	}
}

// secured is what a real Nomad with policies, mutual TLS, a region and a
// namespace of its own is reached by. With a policy it makes a token that may do
// just that.
func secured(t testing.TB, policy string) nomad.Server {
	var files nomadtest.Options
	r := reals.secure.start(t, func(dir string) (nomadtest.Options, error) {
		a, err := authtest.NewAuthority()
		if err != nil {
			return files, err
		}
		files = nomadtest.Options{ACL: true, Region: "eu", CA: filepath.Join(dir, "ca.pem")}
		files.Cert, files.Key = pair(t, dir, a, "server.eu.nomad", "client.eu.nomad", "127.0.0.1", "localhost")
		return files, os.WriteFile(files.CA, a.PEM(), 0o600)
	})
	require.NoError(t, r.Call(http.MethodPost, "/v1/namespace/ci", map[string]string{"Name": "ci"}, nil))
	name := "p" + string(ci.NewID())[:12]
	require.NoError(t, r.Call(http.MethodPost, "/v1/acl/policy/"+name, map[string]string{"Name": name, "Rules": policy}, nil))
	var made struct{ SecretID string }
	require.NoError(t, r.Call(http.MethodPost, "/v1/acl/token", map[string]any{"Name": "rondo", "Type": "client", "Policies": []string{name}}, &made))
	return nomad.Server{
		Address: r.Address, Region: "eu", Namespace: "ci", Token: said(made.SecretID), ServerName: "server.eu.nomad",
		CA: r.With.CA, Cert: r.With.Cert, Key: r.With.Key,
	}
}

// policy is what rondo nomad client-config prints for the server's token.
func policy(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../../cmd/rondo/testdata/nomadclient/cloud/policy.hcl")
	require.NoError(t, err)
	return string(text)
}

// With policies and mutual TLS on, the whole suite passes with just the rights
// that the documentation names.
func TestDAT02_RealNomadWithPoliciesAndTLS(t *testing.T) {
	for name, cfg := range map[string]nomad.Config{
		"Register": {}, "Dispatch": {Dispatch: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := secured(t, policy(t))
			schedulertest.TestCluster(t, func(t *testing.T) scheduler.Cluster { return notMortal{onServer(t, reals.secure.nomad, s, cfg)} })
		})
	}
}

// Each right that is taken away from a real token is the one that is named.
func TestSCH16_RealNomadNamesMissingRights(t *testing.T) {
	check := func(s nomad.Server) error {
		c, err := nomad.New(s, nomad.Agent{Command: "a", Door: "http://d"}, nomad.Config{})
		require.NoError(t, err)
		return c.Check(t.Context())
	}
	full := secured(t, policy(t))
	require.NoError(t, check(full))
	for _, right := range []string{"list-jobs", "submit-job", "dispatch-job"} {
		err := check(secured(t, strings.Replace(policy(t), `"`+right+`",`, "", 1)))
		require.ErrorIs(t, err, ci.ErrDenied, right)
		require.ErrorContains(t, err, "the token rondo lacks the capability "+right+" in namespace ci")
		require.NotContains(t, err.Error(), "\n", "and no other one")
	}
	require.ErrorContains(t, check(secured(t, strings.Replace(policy(t), `"write"`, `"read"`, 1))), "lacks the policy node write")
	s := full
	s.Token = nil
	require.ErrorContains(t, check(s), "no token was set")
	s.Token = said("11111111-1111-1111-1111-111111111111")
	require.ErrorContains(t, check(s), "does not know the token")
	s = full
	s.Namespace = "elsewhere"
	require.Error(t, check(s))
	s = full
	s.Region = "us"
	require.ErrorContains(t, check(s), "region")
	s = full
	s.Cert, s.Key = "", ""
	require.ErrorContains(t, check(s), "certificate")
}
