package ldap_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/auth/ldap"
)

// BenchmarkLogin logs in with warm connections and counts the requests, of
// which two (a search, a bind) can't be done without; four are the goal, however
// deep the groups are nested.
func BenchmarkLogin(b *testing.B) {
	for _, p := range []authtest.Persona{authtest.OpenLDAP, authtest.ActiveDirectory} {
		for _, nested := range []int{0, 1, 10} {
			b.Run(fmt.Sprintf("%s/nested-%d", p, nested), func(b *testing.B) {
				server, d := start(b, p, ldap.StartTLS, nil)
				nest(b, server, "devs", nested)
				_, err := d.Login(b.Context(), "ada", "pw")
				require.NoError(b, err)
				require.NoError(b, d.Refresh(b.Context())) // as Run does
				server.Requests()
				requests := 0
				for b.Loop() {
					_, err := d.Login(b.Context(), "ada", "pw")
					require.NoError(b, err)
					requests += len(server.Requests())
				}
				b.ReportMetric(float64(requests)/float64(b.N), "requests/op")
			})
		}
	}
}

// BenchmarkGroups_Many finds the groups of somebody in 5,000, all nested in one.
func BenchmarkGroups_Many(b *testing.B) {
	server, d := start(b, authtest.OpenLDAP, ldap.Plain, nil)
	require.NoError(b, server.AddGroup("all"))
	for i := range 5000 {
		g := fmt.Sprintf("g%04d", i)
		require.NoError(b, server.AddGroup(g, "ada"))
	}
	for b.Loop() {
		id, err := d.Login(b.Context(), "ada", "pw")
		require.NoError(b, err)
		require.Len(b, id.Groups, 5001)
	}
}
