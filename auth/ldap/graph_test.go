package ldap_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/auth/ldap"
)

// nest puts the group into one that is in another, and so on.
func nest(t testing.TB, server *authtest.Directory, inner string, deep int) {
	for i := range deep {
		outer := fmt.Sprintf("outer%d", i)
		require.NoError(t, server.AddGroup(outer, inner))
		inner = outer
	}
}

// LDP-08: a login with warm connections costs a search, a bind and one search
// for groups, ten deep as well; the identity says how old that is, and a lookup
// asks for everything anew.
func TestLDP08_GroupsRemembered(t *testing.T) {
	server, d := start(t, authtest.OpenLDAP, ldap.StartTLS, nil)
	nest(t, server, "devs", 10)
	require.NoError(t, server.AddMember("devs", "outer9"), "a cycle")
	id, err := d.Login(t.Context(), "ada", "pw")
	require.NoError(t, err)
	require.Len(t, id.Groups, 11)
	require.Zero(t, id.AsOf)
	require.NoError(t, d.Refresh(t.Context()))
	server.Requests()
	before := time.Now()
	id, err = d.Login(t.Context(), "ada", "pw")
	require.NoError(t, err)
	require.Len(t, id.Groups, 11)
	require.True(t, id.AsOf.Before(before) && !id.AsOf.IsZero())
	require.Len(t, server.Requests(), 3)

	require.NoError(t, server.AddGroup("new", "outer4"))
	again, err := d.Login(t.Context(), "ada", "pw")
	require.NoError(t, err)
	require.Len(t, again.Groups, 11, "as it was")
	found, err := d.Lookup(t.Context(), id.Subject)
	require.NoError(t, err)
	require.Contains(t, found.Groups, "new", "as it is")
	require.Zero(t, found.AsOf)
	trace := d.Test(t.Context(), "ada", "pw")
	require.NoError(t, trace.Err)
	require.Contains(t, trace.Identity.Groups, "new", "a test asks for everything")
}

// What is remembered is asked for again by Run before it is old, and is
// forgotten when nobody logs in.
func TestLDP08_GroupsRenewed(t *testing.T) {
	server, d := start(t, authtest.OpenLDAP, ldap.Plain, nil)
	nest(t, server, "devs", 3)
	synctest.Test(t, func(t *testing.T) {
		g := ldap.NewGraph()
		direct := ldap.Entries("cn=devs,dc=x")
		_, ok := g.Climb(direct, 20)
		require.False(t, ok)
		flat, nested := g.Due()
		require.Equal(t, []string{"cn=devs,dc=x"}, flat)
		require.Empty(t, nested)
		g.Learn("cn=devs,dc=x", "cn=all,dc=x")
		_, ok = g.Climb(direct, 20)
		require.False(t, ok, "what is above all is not known")
		g.Learn("cn=all,dc=x")
		all, ok := g.Climb(direct, 20)
		require.True(t, ok)
		require.Equal(t, []string{"all"}, all)
		_, ok = g.Climb(direct, 1)
		require.False(t, ok, "deeper than allowed")
		time.Sleep(2 * time.Minute)
		flat, nested = g.Due()
		require.Equal(t, []string{"cn=all,dc=x"}, flat)
		require.Equal(t, []string{"cn=devs,dc=x"}, nested)
		time.Sleep(3 * time.Minute)
		_, ok = g.Climb(direct, 20)
		require.False(t, ok, "nothing older than five minutes is used")
		time.Sleep(2 * time.Hour)
		flat, nested = g.Due()
		require.Empty(t, append(flat, nested...))
	})
	require.NoError(t, d.Refresh(t.Context()), "nothing is wanted")
}
