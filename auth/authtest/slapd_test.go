package authtest_test

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	wire "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/auth/ldap"
)

const slapdConf = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload refint
moduleload ppolicy
pidfile DIR/slapd.pid
argsfile DIR/slapd.args
TLSCACertificateFile DIR/ca.pem
TLSCertificateFile DIR/cert.pem
TLSCertificateKeyFile DIR/key.pem
database mdb
maxsize 104857600
suffix "dc=example,dc=test"
rootdn "cn=admin,dc=example,dc=test"
rootpw secret
directory DIR/db
index objectClass,uid,mail,uniqueMember,entryUUID eq
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=reader,dc=example,dc=test" read by * none
limits dn.exact="cn=reader,dc=example,dc=test" size.prtotal=unlimited
overlay memberof
memberof-group-oc groupOfUniqueNames
memberof-member-ad uniqueMember
memberof-memberof-ad memberOf
overlay refint
refint_attributes uniqueMember
overlay ppolicy
ppolicy_default "cn=policy,dc=example,dc=test"
ppolicy_use_lockout
`

// startSlapd runs a slapd of the test's own on loopback.
func startSlapd(t testing.TB) admin {
	t.Helper()
	slapd := tool(t, "slapd", "/usr/sbin/slapd")
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "db"), 0o700))
	authority, err := authtest.NewAuthority()
	require.NoError(t, err)
	cert, key, err := authority.Issue(time.Now().Add(24*time.Hour), "ldap.test", "127.0.0.1")
	require.NoError(t, err)
	for name, text := range map[string][]byte{
		"ca.pem": authority.PEM(), "cert.pem": cert, "key.pem": key, "slapd.conf": []byte(strings.ReplaceAll(slapdConf, "DIR", dir)),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	plain, secure := freePort(t), freePort(t)
	said := &strings.Builder{}
	cmd := exec.Command(slapd, "-f", filepath.Join(dir, "slapd.conf"), "-d", "0",
		"-h", fmt.Sprintf("ldap://127.0.0.1:%d ldaps://127.0.0.1:%d", plain, secure))
	cmd.Stdout, cmd.Stderr = said, said
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	a := admin{secure: fmt.Sprintf("127.0.0.1:%d", secure), settings: ldap.Settings{
		Type: ldap.OpenLDAP, Hostname: "127.0.0.1", Port: plain, SearchUser: "cn=reader,dc=example,dc=test", SearchPassword: "reader-pw",
		BaseDN: "dc=example,dc=test", UserSearchDN: "ou=people", UsernameField: "uid", Network: ldap.Network{CA: authority.PEM(), CAFile: filepath.Join(dir, "ca.pem")},
	}}
	a.conn = eventually(t, ended, said.String, func() (*wire.Conn, error) { return wire.DialURL(fmt.Sprintf("ldap://127.0.0.1:%d", plain)) })
	t.Cleanup(func() { _ = a.conn.Close() })
	require.NoError(t, a.conn.Bind("cn=admin,dc=example,dc=test", "secret"))
	for dn, attributes := range map[string]map[string][]string{
		"dc=example,dc=test": {"objectClass": {"dcObject", "organization"}, "dc": {"example"}, "o": {"Example"}},
	} {
		require.NoError(t, addEntry(a.conn, dn, attributes))
	}
	require.NoError(t, addEntry(a.conn, "cn=reader,dc=example,dc=test", map[string][]string{
		"objectClass": {"organizationalRole", "simpleSecurityObject"}, "cn": {"reader"}, "userPassword": {"reader-pw"}}))
	require.NoError(t, addEntry(a.conn, "cn=policy,dc=example,dc=test", map[string][]string{
		"objectClass": {"organizationalRole", "pwdPolicy"}, "cn": {"policy"}, "pwdAttribute": {"userPassword"},
		"pwdLockout": {"TRUE"}, "pwdMaxFailure": {"5"}, "pwdMustChange": {"TRUE"}}))
	require.NoError(t, a.units())
	return a
}

func addEntry(c *wire.Conn, dn string, attributes map[string][]string) error {
	r := wire.NewAddRequest(dn, nil)
	for name, values := range attributes {
		r.Attribute(name, values)
	}
	return c.Add(r)
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// The suite with a real OpenLDAP, over each encryption.
func TestSlapd(t *testing.T) {
	for _, e := range []ldap.Encryption{ldap.Plain, ldap.StartTLS, ldap.LDAPS} {
		t.Run(string(e), func(t *testing.T) {
			a := startSlapd(t)
			a.settings.Encryption = e
			if e == ldap.LDAPS {
				_, port, err := net.SplitHostPort(a.secure)
				require.NoError(t, err)
				_, err = fmt.Sscan(port, &a.settings.Port)
				require.NoError(t, err)
			}
			authtest.TestDirectory(t, func(*testing.T) authtest.Keeper { return a })
			if e == ldap.StartTLS {
				slapdMemberOf(t, a)
				trustedName(t, a)
				sameCommands(t, a)
			}
		})
	}
}

// slapdMemberOf reads direct groups from the overlay: no request for groups.
func slapdMemberOf(t *testing.T, a admin) {
	require.NoError(t, a.AddPerson(authtest.Person{Login: "overlay", Password: "p", Name: "overlay"}))
	require.NoError(t, a.AddGroup("overlaid", "overlay"))
	s := a.settings
	s.Groups.Nested = ldap.MemberOf
	d, err := ldap.New(s, ldap.Config{})
	require.NoError(t, err)
	defer d.Close()
	id, err := d.Login(t.Context(), "overlay", "p")
	require.NoError(t, err)
	require.Equal(t, []string{"overlaid"}, id.Groups)
}

// trustedName: the certificate must be of a known authority and for the name.
func trustedName(t *testing.T, a admin) {
	for name, c := range map[string]struct {
		change func(*ldap.Settings)
		want   string
	}{
		"other name":        {func(s *ldap.Settings) { s.Network.ServerName = "other.test" }, "set hostname, or server_name"},
		"unknown authority": {func(s *ldap.Settings) { s.Network.CA = nil }, "put that one's certificate into ca"},
		"ldaps on 389":      {func(s *ldap.Settings) { s.Encryption = ldap.LDAPS }, "TLS with"},
	} {
		s := a.settings
		c.change(&s)
		d, err := ldap.New(s, ldap.Config{})
		require.NoError(t, err)
		tr := d.Test(t.Context(), "ada", "")
		require.ErrorContains(t, tr.Err, c.want, name)
		require.Equal(t, "encrypt", tr.Steps[len(tr.Steps)-1].Name, name)
	}
}

// sameCommands: the command lines of a trace run as they are printed, and find
// what the trace found.
func sameCommands(t *testing.T, a admin) {
	tool(t, "ldapsearch")
	const login = "o'hara"
	require.NoError(t, a.AddPerson(authtest.Person{Login: login, Password: "his-pw", Name: "Hara, O'"}))
	require.NoError(t, a.AddGroup("irish", login))
	d, err := ldap.New(a.settings, ldap.Config{})
	require.NoError(t, err)
	tr := d.Test(t.Context(), login, "his-pw")
	require.NoError(t, tr.Err)
	ran := 0
	for _, s := range tr.Steps {
		password := a.settings.SearchPassword
		if s.Name == "user bind" {
			password = "his-pw"
		}
		command := strings.Replace(s.Command+" ", " -W ", " -w "+password+" ", 1)
		if !strings.Contains(command, " ldap") {
			continue
		}
		out, err := exec.Command("bash", "-c", command).CombinedOutput()
		require.NoError(t, err, "%s\n%s", command, out)
		ran++
		switch s.Name {
		case "user search":
			require.Contains(t, string(out), "uid: o'hara")
		case "groups, level 1":
			require.Contains(t, string(out), "cn: irish")
		}
	}
	require.GreaterOrEqual(t, ran, 5)
}

// BenchmarkSlapd_Groups logs in somebody who is in 5,000 groups of a real
// OpenLDAP, which are asked for groups of their own.
func BenchmarkSlapd_Groups(b *testing.B) {
	a := startSlapd(b)
	require.NoError(b, a.AddPerson(authtest.Person{Login: "many", Password: "p", Name: "many"}))
	dn, err := a.dn("many")
	require.NoError(b, err)
	for i := range 5000 {
		name := fmt.Sprintf("g%04d", i)
		require.NoError(b, addEntry(a.conn, "cn="+name+","+a.unit("groups"), map[string][]string{
			"objectClass": {"groupOfUniqueNames"}, "cn": {name}, "uniqueMember": {dn}}))
	}
	d, err := ldap.New(a.settings, ldap.Config{})
	require.NoError(b, err)
	defer d.Close()
	for b.Loop() {
		id, err := d.Login(b.Context(), "many", "p")
		require.NoError(b, err)
		require.Len(b, id.Groups, 5000)
	}
}

// An authority that is trusted later is enough, over both encryptions, with the
// same directory.
func TestCRT01_SlapdOfAPrivateAuthority(t *testing.T) {
	a := startSlapd(t)
	require.NoError(t, a.AddPerson(authtest.Person{Login: "ada", Password: "ada-pw", Name: "Ada"}))
	_, port, err := net.SplitHostPort(a.secure)
	require.NoError(t, err)
	for _, e := range []ldap.Encryption{ldap.StartTLS, ldap.LDAPS} {
		s := a.settings
		s.Encryption = e
		if e == ldap.LDAPS {
			_, err = fmt.Sscan(port, &s.Port)
			require.NoError(t, err)
		}
		ours := x509.NewCertPool()
		require.True(t, ours.AppendCertsFromPEM(s.Network.CA))
		s.Network.CA = nil
		trusted := x509.NewCertPool()
		d, err := ldap.New(s, ldap.Config{Roots: func() *x509.CertPool { return trusted }})
		require.NoError(t, err)
		_, err = d.Login(t.Context(), "ada", "ada-pw")
		require.ErrorContains(t, err, "certificate signed by unknown authority", e)
		trusted = ours
		_, err = d.Login(t.Context(), "ada", "ada-pw")
		require.NoError(t, err, e)
		d.Close()
	}
}
