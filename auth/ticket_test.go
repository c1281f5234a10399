package auth_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// SEC-08: a ticket is good as long as the token or session that it names, and
// opens nothing itself.
func TestSEC08_Tickets(t *testing.T) {
	docs := memdb.New()
	p := newPlace(docs)
	p.dir.put("1", "ada")
	ada, session := p.in(t, "ada")
	tokens := auth.NewTokens(docs)
	gate := auth.NewGate(p.users, tokens, auth.GateConfig{Operator: "of the folder", Session: func(r *http.Request) string { return r.Header.Get("X-Session") }})
	by := ci.Actor{ID: ada.ID, Kind: ci.ActorUser, Login: "ada"}
	one, token, err := tokens.CreatePersonalToken(t.Context(), by, "t", 0)
	require.NoError(t, err)
	r := httptest.NewRequest("POST", "/pusher/auth", nil)
	require.Empty(t, gate.Ticket(r, ""))
	mine := gate.Ticket(r, token)
	r.Header.Set("X-Session", session)
	here, operator := gate.Ticket(r, ""), gate.Ticket(r, "of the folder")
	require.NotContains(t, mine+here, token)
	require.NotContains(t, mine+here, session)
	for _, ticket := range []string{mine, here} {
		got, err := gate.Still(t.Context(), ticket)
		require.NoError(t, err)
		require.Equal(t, by, got)
		_, err = gate.API(r, ticket)
		require.ErrorIs(t, err, ci.ErrDenied)
	}
	got, err := gate.Still(t.Context(), operator)
	require.NoError(t, err)
	require.Equal(t, auth.Operator, got)
	require.NoError(t, tokens.DeletePersonalToken(t.Context(), by, one.ID))
	require.NoError(t, p.users.LogOut(t.Context(), session))
	for _, ticket := range []string{mine, here, "", "token ", "session x"} {
		_, err := gate.Still(t.Context(), ticket)
		require.ErrorIs(t, err, ci.ErrDenied)
	}
}
