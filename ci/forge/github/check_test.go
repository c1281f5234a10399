package github_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/forgetest"
	"github.com/rondo-ci/rondo/ci/forge/github"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// said returns what Check says of a subject, and whether it is good.
func said(t *testing.T, h *github.Host, subject string) (text string, ok bool) {
	t.Helper()
	for _, f := range h.Check(t.Context()) {
		if f.Subject == subject {
			return f.Text, f.OK
		}
	}
	t.Fatalf("nothing about %s", subject)
	return "", false
}

func TestCheck(t *testing.T) {
	w := newWorld(t, nil)
	require.NoError(t, github.Err(w.host.Check(t.Context())))

	token := ""
	w.cfg.Token = func(context.Context) (string, error) { return token, nil }
	w.reopen()
	w.fake.AddToken("little", "bob", "user:email, public_repo", "pull")
	w.fake.AddToken("fine", "bob", "", "admin")
	for given, c := range map[string]struct {
		subject, says string
		ok            bool
	}{
		"revoked-canary": {"token", "not valid", false},
		"little":         {"scopes", "repo, admin:repo_hook", false},
		"fine":           {"scopes", "fine-grained", true},
		forgetest.Token:  {"token", "rondo", true},
	} {
		token = given
		text, ok := said(t, w.host, c.subject)
		require.Contains(t, text, c.says)
		require.Equal(t, c.ok, ok, given)
		require.NotContains(t, text, "canary")
	}
	w.secrets = nil
	text, ok := said(t, w.host, "secret")
	require.False(t, ok)
	require.Contains(t, text, "openssl rand")
	require.ErrorIs(t, github.Err(w.host.Check(t.Context())), ci.ErrInvalid)
	for address, says := range map[string]string{"": "not set", "http://ci.example.com": "https", "https://localhost:8080": "itself"} {
		w.cfg.Server = address
		w.reopen()
		text, ok := said(t, w.host, "address")
		require.False(t, ok)
		require.Contains(t, text, says)
	}
	w.fake.SetFault(func(*http.Request) forgetest.Fault { return forgetest.Fault{Status: 503} })
	text, ok = said(t, w.host, "token")
	require.False(t, ok)
	require.Contains(t, text, "503")
}

// TestTRB02_IntermediateCertificates: a code host that sends no chain is named
// as such; with its authority in the transport all is well.
func TestTRB02_IntermediateCertificates(t *testing.T) {
	fake := forgetest.Unplugged(t)
	server := httptest.NewTLSServer(fake)
	defer server.Close()
	server.Config.ErrorLog = nil
	open := func(roots *x509.CertPool) *github.Host {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
		t.Cleanup(transport.CloseIdleConnections)
		h, err := github.New(memdb.New(), github.Config{URL: server.URL, Transport: transport,
			Token: func(context.Context) (string, error) { return forgetest.Token, nil }})
		require.NoError(t, err)
		return h
	}
	text, ok := said(t, open(x509.NewCertPool()), "reachable")
	require.False(t, ok)
	require.Contains(t, text, "intermediate")
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	text, ok = said(t, open(roots), "token")
	require.True(t, ok, text)
}

func TestNewRefuses(t *testing.T) {
	for _, url := range []string{"ghe.example.com", "ftp://ghe.example.com", "https://", "https://user:pass@ghe.example.com", "https://ghe.example.com?x=1", "://"} {
		_, err := github.New(memdb.New(), github.Config{URL: url})
		require.ErrorIs(t, err, ci.ErrInvalid, url)
	}
	for _, server := range []string{"ci.example.com", "https://ci.example.com/path", "/"} {
		_, err := github.New(memdb.New(), github.Config{Server: server})
		if server != "/" {
			require.ErrorIs(t, err, ci.ErrInvalid, server)
		}
	}
}

// TestAPIAddress: where the API is follows from the address that people use.
func TestAPIAddress(t *testing.T) {
	for url, want := range map[string]string{
		"": "https://api.github.com/user", "https://github.com/": "https://api.github.com/user",
		"https://ghe.example.com": "https://ghe.example.com/api/v3/user", "https://ghe.example.com:8443/": "https://ghe.example.com:8443/api/v3/user",
		"https://acme.ghe.com": "https://api.acme.ghe.com/user",
	} {
		var asked string
		h, err := github.New(memdb.New(), github.Config{URL: url, Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			asked = r.URL.String()
			return nil, errors.New("no network here")
		})})
		require.NoError(t, err)
		h.Check(t.Context())
		require.Equal(t, want, asked)
	}
}

// TestErrors: what the code host answers becomes one of the four refusals, or
// a limit, or a fault that is worth another try.
func TestErrors(t *testing.T) {
	w := newWorld(t, nil)
	w.fake.Repo("acme/shop")
	for fault, want := range map[forgetest.Fault]error{
		{Status: 401}: ci.ErrDenied, {Status: 403}: ci.ErrDenied, {Status: 404}: ci.ErrNotFound, {Status: 410}: ci.ErrNotFound,
		{Status: 409}: ci.ErrConflict, {Status: 422}: ci.ErrInvalid, {Status: 400}: ci.ErrInvalid, {Status: 500}: nil, {Status: 502}: nil,
	} {
		w.fake.SetFault(func(*http.Request) forgetest.Fault { return fault })
		_, err := w.host.Project(t.Context(), "gh/acme/shop")
		require.Error(t, err)
		require.NotContains(t, err.Error(), forgetest.Token)
		if want != nil {
			require.ErrorIs(t, err, want)
			continue
		}
		for _, sentinel := range []error{ci.ErrDenied, ci.ErrNotFound, ci.ErrConflict, ci.ErrInvalid} {
			require.NotErrorIs(t, err, sentinel)
		}
	}
	for _, status := range []int{403, 429} {
		w.reopen()
		n := len(w.fake.Asked())
		w.fake.SetFault(func(*http.Request) forgetest.Fault { return forgetest.Fault{Status: status, RetryAfter: time.Minute} })
		for range 3 {
			_, err := w.host.Project(t.Context(), "gh/acme/shop")
			var limit *github.LimitError
			require.ErrorAs(t, err, &limit)
			require.WithinDuration(t, time.Now().Add(time.Minute), limit.Until, 10*time.Second)
		}
		require.Len(t, w.fake.Asked(), n+1, "nobody asks again before the limit is over")
	}
	w.reopen()
	w.fake.SetFault(nil)
	r, p := w.follow("acme/shop")
	_, q := w.follow("acme/other")
	other := w.fake.Repo("acme/other")
	accept := func(p ci.ProjectID, kind ci.KeyKind, public string, accept bool) error {
		return w.host.AcceptKey(t.Context(), p, ci.Key{Kind: kind, Public: public}, accept, ci.Actor{Login: "ada"})
	}
	require.ErrorIs(t, accept(p.ID, ci.KeyDeploy, "nonsense", true), ci.ErrDenied)
	require.ErrorIs(t, accept("unknown", ci.KeyDeploy, "nonsense", true), ci.ErrNotFound)
	public := r.Keys()[0].Key
	require.ErrorIs(t, accept(q.ID, ci.KeyDeploy, public, true), ci.ErrConflict)
	require.ErrorIs(t, accept(q.ID, ci.KeyUser, public, true), ci.ErrDenied)
	require.NoError(t, accept(p.ID, ci.KeyDeploy, public, false))
	require.NoError(t, accept(p.ID, ci.KeyDeploy, public, false))
	require.Empty(t, r.Keys())
	require.NoError(t, accept(q.ID, ci.KeyDeploy, public+" a comment", true))
	require.NoError(t, accept(q.ID, ci.KeyDeploy, public, true))
	require.Len(t, other.Keys(), 2)
	require.True(t, other.Keys()[1].ReadOnly)
	require.False(t, strings.Contains(w.log.String(), w.keys[p.ID].Private))
}

// TestA124_HostThatLies: an answer of 200 is not believed for its status alone.
func TestA124_HostThatLies(t *testing.T) {
	w := newWorld(t, nil)
	r, p := w.follow("acme/shop")
	sha := r.Commit("main", "one", map[string]string{"a": "1"})
	for _, c := range []struct{ kind, body string }{
		{"text/html", "<html>Sign in</html>"}, {"application/json", "[]"}, {"application/json", "{}"}, {"application/json", "null"}, {"", ""},
		{"application/json", strings.Repeat(" ", 33<<20)}, {"application/json", `{"id":1,"full_name":"../..","name":"..","owner":{"login":"x"},"permissions":{"admin":true}}`},
	} {
		lie := roundTrip(func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {c.kind}, "Link": {`<https://x/?page=2>; rel="next"`}},
				Body: io.NopCloser(strings.NewReader(c.body)), Request: req}, nil
		})
		cfg := w.cfg
		cfg.Transport = lie
		h, err := github.New(w.db, cfg)
		require.NoError(t, err)
		name := fmt.Sprintf("%s %.40q", c.kind, c.body)
		_, err = h.Follow(t.Context(), "gh/acme/other", true, ci.Actor{})
		require.Error(t, err, name)
		_, err = h.Repo(p).File(t.Context(), sha, "a")
		require.Error(t, err, name)
		_, err = h.Repo(p).Trigger(t.Context(), "refs/heads/main")
		require.Error(t, err, name)
	}
	_, err := w.db.ProjectBySlug(t.Context(), "gh/acme/other")
	require.ErrorIs(t, err, ci.ErrNotFound)
}
