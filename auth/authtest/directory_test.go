package authtest_test

import (
	"testing"

	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/auth/ldap"
)

// LDP-01 and LDP-03: both types, all encryptions.
func TestLDP01_LDP03_Directory(t *testing.T) {
	for _, p := range []authtest.Persona{authtest.OpenLDAP, authtest.ActiveDirectory} {
		for _, e := range []ldap.Encryption{ldap.Plain, ldap.StartTLS, ldap.LDAPS} {
			t.Run(string(p)+"/"+string(e), func(t *testing.T) {
				authtest.TestDirectory(t, func(t *testing.T) authtest.Keeper {
					return authtest.Start(t, authtest.NewDirectory(p), e)
				})
			})
		}
	}
}
