package door_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/door"
)

// Who reads a ticket where agents are started gets nothing with it once the
// agent has claimed its task, also with the agent's name. The agent itself may
// claim again.
func TestA132_TicketIsWorthlessAfterTheClaim(t *testing.T) {
	w := newWorld()
	s := httptest.NewServer(door.Handler(newDoor(w, door.Config{}), key))
	defer s.Close()
	w.hand("test.0", 1, "")
	ticket, ctx := key.Ticket("test.0", 1), t.Context()
	agent := door.NewClient(s.URL, ticket, nil)

	_, err := agent.Renew(ctx, ci.Lease{Task: "test.0", Epoch: 1, Worker: "host/7"})
	require.Error(t, err, "a ticket opens nothing but the claim")
	work, err := agent.Claim(ctx, "test.0", 1, "host/7")
	require.NoError(t, err)
	require.NotEqual(t, "host/7", work.Lease.Worker, "names of agents may be the same")
	again, err := agent.Claim(ctx, "test.0", 1, "host/7")
	require.NoError(t, err, "its answer may have got lost")
	require.Equal(t, work.Lease, again.Lease)
	_, err = agent.Renew(ctx, work.Lease)
	require.NoError(t, err)

	thief := door.NewClient(s.URL, ticket, nil)
	for _, name := range []string{"host/7", work.Lease.Worker, "thief"} {
		_, err = thief.Claim(ctx, "test.0", 1, name)
		require.ErrorIs(t, err, ci.ErrConflict, name)
	}
	_, err = thief.Renew(ctx, work.Lease)
	require.Error(t, err)
	require.NotErrorIs(t, err, ci.ErrConflict, "it is not even asked about the lease")
	_, err = door.NewClient(s.URL, key.Ticket("test.0", 2), nil).Claim(ctx, "test.0", 1, "x")
	require.Error(t, err, "a ticket of another hand-out")

	old, err := http.NewRequest("POST", s.URL+"/door/v1/tasks/test.0/1/claim?worker=old", nil)
	require.NoError(t, err)
	old.Header.Set("Authorization", "Bearer "+ticket)
	res, err := http.DefaultClient.Do(old)
	require.NoError(t, err)
	defer res.Body.Close()
	var said struct{ Message string }
	require.NoError(t, json.NewDecoder(res.Body).Decode(&said))
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
	require.Contains(t, said.Message, "older than the server")
	require.NoError(t, agent.Finish(ctx, work.Lease, ci.Report{Status: ci.Success}))
	require.Equal(t, "host/7", w.outcome["test.0"].Node, "people read the name that the agent gave itself")
	require.False(t, door.Key(nil).Admits(door.Key(nil).Ticket("t.0", 1), "t.0", 1), "no key")
}

// A sender changes requests before they go out.
type sender func(*http.Request)

func (s sender) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	s(r)
	return http.DefaultTransport.RoundTrip(r)
}

// Where the cluster knows its agents, a ticket is good in their hands only.
func TestA059_AdmitsTheAgentOnly(t *testing.T) {
	w := newWorld()
	away := errors.New("the cluster does not answer")
	asked := 0
	s := httptest.NewServer(door.Handler(newDoor(w, door.Config{Admit: func(_ context.Context, task ci.TaskID, epoch int64, identity string) error {
		asked++
		switch {
		case task != "test.0" || epoch != 1:
			return errors.New("another one")
		case identity == "away":
			return away
		case identity != "the agent":
			return fmt.Errorf("who? %w", ci.ErrDenied)
		}
		return nil
	}}), key))
	defer s.Close()
	w.hand("test.0", 1, "")
	claim := func(ticket, identity string) error {
		hc := &http.Client{Transport: sender(func(r *http.Request) { r.Header.Set("Rondo-Identity", identity) })}
		_, err := door.NewClient(s.URL, ticket, hc).Claim(t.Context(), "test.0", 1, "host/7")
		return err
	}
	require.Error(t, claim("guess", "the agent"))
	require.Zero(t, asked, "the ticket comes first")
	ticket := key.Ticket("test.0", 1)
	require.ErrorIs(t, claim(ticket, ""), ci.ErrDenied)
	require.ErrorIs(t, claim(ticket, "a thief"), ci.ErrDenied)
	err := claim(ticket, "away")
	require.Error(t, err)
	require.False(t, door.Final(err), "it asks again: %v", err)
	require.NoError(t, claim(ticket, "the agent"))
	asked = 0
	_, err = door.NewClient(s.URL, key.Token("test.0", 1), nil).Claim(t.Context(), "test.0", 1, w.holder["test.0"].Worker)
	require.NoError(t, err, "the token is known to the agent alone")
	require.Zero(t, asked)
}
