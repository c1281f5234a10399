package ldap_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/auth/ldap"
	"github.com/rondo-ci/rondo/ci"
)

// start returns a directory with ada in two groups, and a client of it.
func start(t testing.TB, p authtest.Persona, e ldap.Encryption, change func(*ldap.Settings)) (*authtest.Directory, *ldap.Directory) {
	t.Helper()
	server := authtest.NewDirectory(p)
	k := authtest.Start(t, server, e)
	require.NoError(t, server.AddPerson(authtest.Person{Login: "ada", Password: "pw", Name: "Ada"}))
	require.NoError(t, server.AddGroup("devs", "ada"))
	return server, open(t, k.Settings(), change)
}

func open(t testing.TB, s ldap.Settings, change func(*ldap.Settings)) *ldap.Directory {
	t.Helper()
	if change != nil {
		change(&s)
	}
	d, err := ldap.New(s, ldap.Config{})
	require.NoError(t, err)
	t.Cleanup(d.Close)
	return d
}

func count(rs []authtest.Request, op string) int {
	n := 0
	for _, r := range rs {
		if r.Op == op {
			n++
		}
	}
	return n
}

// With warm connections a login is a search and a bind, and at most two more
// requests: the groups, and the groups of those.
func TestLogin_RoundTrips(t *testing.T) {
	for _, p := range []authtest.Persona{authtest.OpenLDAP, authtest.ActiveDirectory} {
		server, d := start(t, p, ldap.StartTLS, nil)
		for i := range 5 {
			server.Requests()
			_, err := d.Login(t.Context(), "ada", "pw")
			require.NoError(t, err)
			if i > 0 {
				require.LessOrEqual(t, len(server.Requests()), 2+2, p)
			}
		}
	}
}

// A connection on which somebody searches never carries a person's password,
// nothing is asked unencrypted but StartTLS, and no bind is empty.
func TestLDP04_SeparateConnections(t *testing.T) {
	server, d := start(t, authtest.ActiveDirectory, ldap.StartTLS, nil)
	for range 3 {
		_, err := d.Login(t.Context(), "ada", "pw")
		require.NoError(t, err)
		for _, bad := range []string{"wrong", ""} {
			_, err = d.Login(t.Context(), "ada", bad)
			require.ErrorIs(t, err, ci.ErrDenied)
		}
	}
	searches := map[int]bool{}
	all := server.Requests()
	for _, r := range all {
		searches[r.Connection] = searches[r.Connection] || r.Op == "search"
	}
	for _, r := range all {
		require.False(t, r.Empty)
		require.True(t, r.Encrypted || r.Op == "extended", r)
		if r.Op == "bind" {
			require.Equal(t, r.DN == authtest.SearchUser, searches[r.Connection], r)
		}
	}
}

// The server would answer a bind without a password with success (A097).
func TestLogin_EmptyPassword(t *testing.T) {
	server, d := start(t, authtest.OpenLDAP, ldap.Plain, nil)
	server.SetFault(authtest.Fault{AnonymousSuccess: true})
	_, err := d.Login(t.Context(), "ada", "")
	require.ErrorIs(t, err, ci.ErrDenied)
	require.Empty(t, server.Requests())
}

// StartTLS is not stripped (A101), and what stands behind its answer in the
// clear is not believed (A102).
func TestLDP03_StartTLS(t *testing.T) {
	server, d := start(t, authtest.OpenLDAP, ldap.StartTLS, nil)
	for _, f := range []authtest.Fault{{RefuseStartTLS: true}, {Drop: "extended"}, {InjectStartTLS: true}, {On: "extended", Result: 52}} {
		server.Requests()
		server.SetFault(f)
		_, err := d.Login(t.Context(), "ada", "pw")
		require.Error(t, err)
		require.NotErrorIs(t, err, ci.ErrDenied)
		require.Zero(t, count(server.Requests(), "bind"), "%+v", f)
	}
	server.SetFault(authtest.Fault{})
	_, err := d.Login(t.Context(), "ada", "pw")
	require.NoError(t, err)
}

// Old TLS and a certificate out of date are refused, in words.
func TestLDP03_TLS(t *testing.T) {
	authority, err := authtest.NewAuthority()
	require.NoError(t, err)
	cert, key, err := authority.Issue(time.Now().Add(-time.Hour), "127.0.0.1")
	require.NoError(t, err)
	expired, err := tls.X509KeyPair(cert, key)
	require.NoError(t, err)
	old, err := authority.TLS("127.0.0.1")
	require.NoError(t, err)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	for want, config := range map[string]*tls.Config{"out of date": {Certificates: []tls.Certificate{expired}}, "no TLS 1.2": old} {
		server := authtest.NewDirectory(authtest.OpenLDAP)
		l, err := tls.Listen("tcp", "127.0.0.1:0", config)
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(l, nil) }()
		s := server.Settings()
		s.Encryption, s.Port, s.Network.CA = ldap.LDAPS, l.Addr().(*net.TCPAddr).Port, authority.PEM()
		require.ErrorContains(t, open(t, s, nil).Test(t.Context(), "ada", "pw").Err, want)
		require.NoError(t, l.Close())
		require.NoError(t, <-ended)
	}
}

func TestLDP04_SearchBind(t *testing.T) {
	_, d := start(t, authtest.ActiveDirectory, ldap.LDAPS, func(s *ldap.Settings) { s.SearchPassword = "other" })
	_, err := d.Login(t.Context(), "ada", "pw")
	require.NotErrorIs(t, err, ci.ErrDenied, "says nothing about ada")
	require.ErrorContains(t, err, "search bind")
	require.ErrorContains(t, err, "search_user or search_password is wrong")
	require.NotContains(t, err.Error(), "other")
}

func TestLDP02_Unreachable(t *testing.T) {
	s := authtest.NewDirectory(authtest.OpenLDAP).Settings()
	s.Port = 1
	_, err := open(t, s, nil).Login(t.Context(), "ada", "pw")
	require.ErrorContains(t, err, "cannot reach 127.0.0.1:1")
	require.NotErrorIs(t, err, ci.ErrDenied)
	tr := open(t, s, func(s *ldap.Settings) { s.Hostname, s.Network.AllowPlaintext = "no-such-host.invalid", true }).Test(t.Context(), "ada", "")
	require.Equal(t, "name", tr.Steps[len(tr.Steps)-1].Name)
}

// A mistake in where to search is told apart from a person who is not there.
func TestLDP05_Base(t *testing.T) {
	_, d := start(t, authtest.OpenLDAP, ldap.Plain, func(s *ldap.Settings) { s.UserSearchDN = "ou=pepole" })
	_, err := d.Login(t.Context(), "ada", "pw")
	require.NotErrorIs(t, err, ci.ErrDenied)
	require.ErrorContains(t, err, `user_search_dn ou=pepole,dc=example,dc=org does not exist`)
	require.ErrorContains(t, err, `what exists of it is "dc=example,dc=org"`)
}

// The next server takes over while one is away, and kept connections that died
// don't fail a login.
func TestFailover(t *testing.T) {
	first, second := authtest.NewDirectory(authtest.OpenLDAP), authtest.NewDirectory(authtest.OpenLDAP)
	one, other := authtest.Start(t, first, ldap.Plain), authtest.Start(t, second, ldap.Plain)
	for _, s := range []*authtest.Directory{first, second} {
		require.NoError(t, s.AddPerson(authtest.Person{Login: "ada", Password: "pw", Name: "Ada"}))
	}
	for _, f := range []authtest.Fault{{Drop: "any"}, {Drop: "search"}, {On: "bind", Result: 51}, {Slow: 2 * time.Second}} {
		d := open(t, one.Settings(), func(s *ldap.Settings) {
			s.Network.Others = []string{fmt.Sprintf("127.0.0.1:%d", other.Settings().Port)}
			s.Network.Timeout = time.Second
		})
		login := func() {
			t.Helper()
			_, err := d.Login(t.Context(), "ada", "pw")
			require.NoError(t, err, "%+v", f)
		}
		login()
		require.Empty(t, second.Requests())
		first.SetFault(f)
		login()
		require.NotEmpty(t, second.Requests(), "%+v", f)
		second.SetFault(authtest.Fault{Drop: "any"})
		_, err := d.Login(t.Context(), "ada", "pw")
		require.Error(t, err)
		require.NotErrorIs(t, err, ci.ErrDenied, "a directory that is away is no verdict")
		first.SetFault(authtest.Fault{})
		second.SetFault(authtest.Fault{})
		login()
		second.Requests()
	}
}

// Whatever a directory does, a login ends, and not with a yes (A104).
func TestHostileDirectory(t *testing.T) {
	for name, f := range map[string]authtest.Fault{
		"drop": {Drop: "search"}, "slow": {Slow: 400 * time.Millisecond}, "busy": {On: "search", Result: 51},
		"referral": {On: "search", Result: 10}, "time limit": {On: "search", Result: 3}, "endless": {Endless: true}, "huge": {Padding: 40 << 20},
		"bind referral": {On: "bind", Result: 10}, "bind unavailable": {On: "bind", Result: 52},
	} {
		server, d := start(t, authtest.OpenLDAP, ldap.Plain, func(s *ldap.Settings) { s.Network.Timeout = 200 * time.Millisecond })
		server.SetFault(f)
		_, err := d.Login(t.Context(), "ada", "pw")
		require.Error(t, err, name)
		if name != "endless" { // more than one entry is a refusal, however many follow
			require.NotErrorIs(t, err, ci.ErrDenied, name)
		}
		server.SetFault(authtest.Fault{})
	}
}

// References to other servers are left out, not followed; a size limit hides no
// second match.
func TestSearch_Limits(t *testing.T) {
	server, d := start(t, authtest.ActiveDirectory, ldap.Plain, nil)
	server.SetFault(authtest.Fault{Referral: "ldap://127.0.0.1:1/dc=evil"})
	_, err := d.Login(t.Context(), "ada", "pw")
	require.NoError(t, err)
	server.SetFault(authtest.Fault{SizeLimit: 1})
	_, err = d.Login(t.Context(), "ada", "pw")
	require.ErrorContains(t, err, "raise its limits", "two groups")
	require.NotErrorIs(t, err, ci.ErrDenied)
}

// 1,234 groups of one person come over several pages, and none is lost.
func TestGroups_Paged(t *testing.T) {
	server, d := start(t, authtest.OpenLDAP, ldap.Plain, nil)
	for i := range 1234 {
		require.NoError(t, server.AddGroup(fmt.Sprintf("g%04d", i), "ada"))
	}
	id, err := d.Login(t.Context(), "ada", "pw")
	require.NoError(t, err)
	require.Len(t, id.Groups, 1235)
	require.True(t, slices.IsSorted(id.Groups))
}

// Many at once share few connections.
func TestLogin_Many(t *testing.T) {
	server, d := start(t, authtest.OpenLDAP, ldap.Plain, func(s *ldap.Settings) { s.Network.Connections = 4 })
	var wg sync.WaitGroup
	errs := make(chan error, 200)
	for range cap(errs) {
		wg.Go(func() {
			_, err := d.Login(t.Context(), "ada", "pw")
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	most := 0
	for _, r := range server.Requests() {
		most = max(most, r.Connection)
	}
	require.LessOrEqual(t, most, 8)
}

// A directory without the permanent identifier says what to do; the DN is used
// only if the settings say so.
func TestSubject(t *testing.T) {
	_, d := start(t, authtest.OpenLDAP, ldap.Plain, func(s *ldap.Settings) { s.People.Subject = "ipaUniqueID" })
	_, err := d.Login(t.Context(), "ada", "pw")
	require.ErrorContains(t, err, "set subject_field")
	server, d := start(t, authtest.OpenLDAP, ldap.Plain, func(s *ldap.Settings) { s.People.Subject = "dn" })
	id, err := d.Login(t.Context(), "ada", "pw")
	require.NoError(t, err)
	require.Equal(t, "cn=ada,ou=people,dc=example,dc=org", id.Subject)
	_, err = d.Lookup(t.Context(), id.Subject)
	require.NoError(t, err)
	require.NoError(t, server.Move("ada", "staff"))
	_, err = d.Lookup(t.Context(), id.Subject)
	require.ErrorIs(t, err, ci.ErrNotFound)
	_, err = d.Lookup(t.Context(), authtest.SearchUser)
	require.ErrorIs(t, err, ci.ErrNotFound, "no person")
}

// The entry shows a lock until the next good bind, which OpenLDAP accepts when
// the time of the lock is over.
func TestLogin_LockIsOver(t *testing.T) {
	server, d := start(t, authtest.OpenLDAP, ldap.Plain, nil)
	id, err := d.Login(t.Context(), "ada", "pw")
	require.NoError(t, err)
	require.NoError(t, server.SetAttribute("ada", "pwdAccountLockedTime", "20200101000000Z"))
	_, err = d.Lookup(t.Context(), id.Subject)
	require.ErrorIs(t, err, ci.ErrNotFound)
	_, err = d.Login(t.Context(), "ada", "pw")
	require.NoError(t, err)
	_, err = d.Lookup(t.Context(), id.Subject)
	require.NoError(t, err)
}

func TestObserve(t *testing.T) {
	server := authtest.NewDirectory(authtest.OpenLDAP)
	k := authtest.Start(t, server, ldap.Plain)
	require.NoError(t, server.AddPerson(authtest.Person{Login: "ada", Password: "pw", Name: "Ada"}))
	var seen []string
	d, err := ldap.New(k.Settings(), ldap.Config{Observe: func(operation, outcome string, _ time.Duration) { seen = append(seen, operation+" "+outcome) }})
	require.NoError(t, err)
	defer d.Close()
	var p auth.Provider = d
	id, err := p.Login(t.Context(), "ada", "pw")
	require.NoError(t, err)
	_, err = p.Login(t.Context(), "ada", "no")
	require.Error(t, err)
	_, err = p.Lookup(t.Context(), id.Subject)
	require.NoError(t, err)
	server.SetFault(authtest.Fault{Drop: "any"})
	_, err = p.Lookup(t.Context(), id.Subject)
	require.Error(t, err)
	require.Equal(t, []string{"login ok", "login password", "lookup ok", "lookup error"}, seen)
}

// Run keeps a connection warm, and closes all when it ends.
func TestRun(t *testing.T) {
	server, d := start(t, authtest.OpenLDAP, ldap.Plain, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- d.Run(ctx) }()
	for count(server.Requests(), "search") == 0 {
		runtime.Gosched()
	}
	_, err := d.Login(t.Context(), "ada", "pw")
	require.NoError(t, err)
	cancel()
	require.NoError(t, <-ended)
}

// A trace quotes what people type.
func TestTrace_Quotes(t *testing.T) {
	_, d := start(t, authtest.OpenLDAP, ldap.Plain, nil)
	tr := d.Test(t.Context(), `x'; rm -rf / #`, "pw")
	var r *ldap.Refusal
	require.True(t, errors.As(tr.Err, &r))
	require.Equal(t, "unknown", r.Reason)
	require.Contains(t, tr.Steps[1].Result, "can read every password", "LDP-03")
	last := tr.Steps[len(tr.Steps)-1]
	require.True(t, strings.Contains(last.Command, `(uid=x'\''; rm -rf / #)`), last.Command)
}

// LDP-06: people log in by the attribute that the settings name; where two have
// the same, neither is let in.
func TestLDP06_OneOrNobody(t *testing.T) {
	server, d := start(t, authtest.OpenLDAP, ldap.Plain, func(s *ldap.Settings) { s.UsernameField = "mail" })
	require.NoError(t, server.AddPerson(authtest.Person{Login: "bob", Password: "pw", Name: "Bob", Mail: "bob@example.org"}))
	id, err := d.Login(t.Context(), "bob@example.org", "pw")
	require.NoError(t, err)
	require.Equal(t, "bob@example.org", id.Login)
	_, err = d.Login(t.Context(), "bob", "pw")
	require.ErrorIs(t, err, ci.ErrDenied)
	require.NoError(t, server.AddPerson(authtest.Person{Login: "bob2", Password: "other", Name: "Bob Two", Mail: "bob@example.org"}))
	for _, password := range []string{"pw", "other"} {
		_, err = d.Login(t.Context(), "bob@example.org", password)
		require.ErrorIs(t, err, ci.ErrDenied)
		require.ErrorContains(t, err, "more than one entry")
	}
}
