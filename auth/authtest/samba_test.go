package authtest_test

import (
	"context"
	"crypto/tls"
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

const sambaPassword = "Adm1n-Passw0rd!"

// startSamba makes a domain and runs its controller, with LDAP only. The ports
// are fixed; the address is one of loopback that nobody else has.
func startSamba(t *testing.T) admin {
	t.Helper()
	makeDomain, samba := tool(t, "samba-tool"), tool(t, "samba", "/usr/sbin/samba")
	if os.Geteuid() != 0 {
		t.Skip("only root can listen on port 636 and keep the files of a domain")
	}
	dir, err := os.MkdirTemp("", "rondo-ad") // t.TempDir is too long a path for its sockets
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ip := freeAddress(t)
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, makeDomain, "domain", "provision", "--realm=AD.EXAMPLE.TEST", "--domain=ADX", "--server-role=dc",
		"--dns-backend=NONE", "--adminpass="+sambaPassword, "--host-name=dc1", "--host-ip="+ip, "--targetdir="+dir,
		"--option=interfaces="+ip+"/8", "--option=bind interfaces only=yes", "--option=server services=ldap",
		"--option=dcerpc endpoint servers=none", "--option=vfs objects=acl_xattr").CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("samba-tool domain provision took %s", time.Since(began).Round(100*time.Millisecond))
	authority, err := authtest.NewAuthority()
	require.NoError(t, err)
	cert, key, err := authority.Issue(time.Now().Add(24*time.Hour), "dc1.ad.example.test", ip)
	require.NoError(t, err)
	private := filepath.Join(dir, "private", "tls")
	require.NoError(t, os.MkdirAll(private, 0o700))
	for name, text := range map[string][]byte{"our.pem": cert, "our.key": key, "ca.pem": authority.PEM()} {
		require.NoError(t, os.WriteFile(filepath.Join(private, name), text, 0o600))
	}
	conf := filepath.Join(dir, "etc", "smb.conf")
	text, err := os.ReadFile(conf)
	require.NoError(t, err)
	ours := fmt.Sprintf("[global]\n\tinterfaces = %s/8\n\tbind interfaces only = yes\n\tserver services = ldap\n\tldap server require strong auth = yes\n"+
		"\ttls enabled = yes\n\ttls keyfile = tls/our.key\n\ttls certfile = tls/our.pem\n\ttls cafile = tls/ca.pem\n", ip)
	require.NoError(t, os.WriteFile(conf, []byte(strings.Replace(string(text), "[global]\n", ours, 1)), 0o600))
	said := &strings.Builder{}
	cmd := exec.Command(samba, "-s", conf, "--foreground", "--no-process-group", "--debuglevel=1", "--model=single")
	cmd.Stdout, cmd.Stderr = said, said
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	const base = "DC=ad,DC=example,DC=test"
	a := admin{secure: ip + ":636", settings: ldap.Settings{
		Type: ldap.ActiveDirectory, Hostname: ip, Port: 636, Encryption: ldap.LDAPS, SearchUser: "cn=reader,cn=Users," + base, SearchPassword: "Read-Passw0rd!",
		BaseDN: base, UserSearchDN: "ou=people", UsernameField: "sAMAccountName", Network: ldap.Network{CA: authority.PEM()},
	}}
	a.conn = eventually(t, ended, said.String, func() (*wire.Conn, error) {
		return wire.DialURL("ldaps://"+a.secure, wire.DialWithTLSConfig(&tls.Config{InsecureSkipVerify: true})) // loopback
	})
	t.Cleanup(func() { _ = a.conn.Close() })
	require.NoError(t, a.conn.Bind("cn=Administrator,cn=Users,"+base, sambaPassword))
	t.Logf("the domain controller answers after %s", time.Since(began).Round(100*time.Millisecond))
	lockout := wire.NewModifyRequest(base, nil)
	lockout.Replace("lockoutThreshold", []string{"5"})
	require.NoError(t, a.conn.Modify(lockout))
	require.NoError(t, a.units())
	require.NoError(t, addEntry(a.conn, a.settings.SearchUser, map[string][]string{"objectClass": {"user"}, "sAMAccountName": {"reader"},
		"userAccountControl": {"512"}, "unicodePwd": {quoted(a.settings.SearchPassword)}}))
	return a
}

// freeAddress returns one of loopback whose LDAP ports are free.
func freeAddress(t *testing.T) string {
	t.Helper()
	for i := range 200 {
		ip := fmt.Sprintf("127.%d.%d.%d", 100+os.Getpid()/250/250%100, os.Getpid()/250%250+1, (os.Getpid()+i)%250+1)
		free := true
		for _, port := range []string{"389", "636", "3268", "3269"} {
			l, err := net.Listen("tcp", ip+":"+port)
			if free = free && err == nil; err == nil {
				_ = l.Close()
			}
		}
		if free {
			return ip
		}
	}
	t.Skip("no address of loopback has free LDAP ports")
	return ""
}

// The suite with a real domain of Active Directory, as Samba makes it.
func TestSambaAD(t *testing.T) {
	a := startSamba(t)
	authtest.TestDirectory(t, func(*testing.T) authtest.Keeper { return a })
	t.Run("other ways in", func(t *testing.T) {
		require.NoError(t, a.AddPerson(authtest.Person{Login: "upn", Password: "Str0ng-Passw0rd!", Name: "upn"}))
		d, err := ldap.New(a.settings, ldap.Config{})
		require.NoError(t, err)
		defer d.Close()
		for _, login := range []string{"upn", "UPN@ad.example.test", `ADX\upn`} {
			id, err := d.Login(t.Context(), login, "Str0ng-Passw0rd!")
			require.NoError(t, err, login)
			require.Equal(t, "upn", id.Login)
		}
		s := a.settings
		s.SearchUser, s.Encryption, s.Port = "reader@ad.example.test", ldap.StartTLS, 389
		d, err = ldap.New(s, ldap.Config{})
		require.NoError(t, err)
		defer d.Close()
		_, err = d.Login(t.Context(), "upn", "Str0ng-Passw0rd!")
		require.NoError(t, err, "StartTLS, and a search user that is no DN")
		s.Encryption = ldap.Plain
		d, err = ldap.New(s, ldap.Config{})
		require.NoError(t, err)
		defer d.Close()
		_, err = d.Login(t.Context(), "upn", "Str0ng-Passw0rd!")
		require.ErrorContains(t, err, "set encryption to starttls or ldaps")
	})
}
