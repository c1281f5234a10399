package authtest

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth/ldap"
)

// Start has the directory listen on loopback until the test ends, and returns
// it as a keeper whose settings lead there.
func Start(t testing.TB, d *Directory, e ldap.Encryption) Keeper {
	t.Helper()
	authority, err := NewAuthority()
	require.NoError(t, err)
	config, err := authority.TLS("localhost", "127.0.0.1")
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := d.Settings()
	s.Encryption = e
	s.Port = l.Addr().(*net.TCPAddr).Port
	s.Network.CA = authority.PEM()
	if e == ldap.LDAPS {
		l = tls.NewListener(l, config)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Serve(l, config) }()
	t.Cleanup(func() {
		_ = l.Close()
		require.NoError(t, <-ended)
	})
	return served{d, s}
}

// Settings are those for the directory, without where it listens.
func (d *Directory) Settings() ldap.Settings {
	s := ldap.Settings{
		Type: ldap.OpenLDAP, Hostname: "127.0.0.1", SearchUser: SearchUser, SearchPassword: SearchPassword,
		BaseDN: Base, UserSearchDN: "ou=people", UsernameField: "uid",
		Network: ldap.Network{Timeout: 5 * time.Second},
	}
	if d.persona == ActiveDirectory {
		s.Type, s.UsernameField = ldap.ActiveDirectory, "sAMAccountName"
	}
	return s
}
