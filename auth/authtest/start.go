package authtest

import (
	"crypto/tls"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth/ldap"
)

// Start has the directory listen on loopback until the test ends, and returns
// it as a keeper whose settings lead there.
func Start(t testing.TB, d *Directory, e ldap.Encryption) Keeper {
	t.Helper()
	k, stop, err := Listen(d, e)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stop()) })
	return k
}

// Listen is [Start] without a test: it has the directory listen on a free port
// of loopback until stop is called.
func Listen(d *Directory, e ldap.Encryption) (k Keeper, stop func() error, err error) {
	authority, err := NewAuthority()
	if err != nil {
		return nil, nil, err
	}
	config, err := authority.TLS("localhost", "127.0.0.1")
	if err != nil {
		return nil, nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	s := d.Settings()
	s.Encryption = e
	s.Port = l.Addr().(*net.TCPAddr).Port
	s.Network.CA = authority.PEM()
	if e == ldap.LDAPS {
		l = tls.NewListener(l, config)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Serve(l, config) }()
	return served{d, s}, func() error {
		_ = l.Close()
		return <-ended
	}, nil
}

// Settings are those for the directory, without where it listens.
func (d *Directory) Settings() ldap.Settings {
	s := ldap.Settings{
		Type: ldap.OpenLDAP, Hostname: "127.0.0.1", SearchUser: SearchUser, SearchPassword: SearchPassword,
		BaseDN: Base, UserSearchDN: "ou=people", UsernameField: "uid",
	}
	if d.persona == ActiveDirectory {
		s.Type, s.UsernameField = ldap.ActiveDirectory, "sAMAccountName"
	}
	return s
}
