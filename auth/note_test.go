package auth_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// A ledger is documents of which it is known what was written together.
type under = ci.Docs

type ledger struct {
	under
	mu     sync.Mutex
	bare   []string // kinds of people that were written without an event
	events []ci.Act
}

func (l *ledger) WriteDocs(ctx context.Context, changes ...ci.DocChange) ([]ci.Doc, error) {
	kept, err := l.under.WriteDocs(ctx, changes...)
	if err != nil {
		return kept, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	with := slices.ContainsFunc(changes, func(c ci.DocChange) bool { return c.Doc.Kind == "test-event" })
	for _, c := range changes {
		var act ci.Act
		switch {
		case c.Doc.Kind == "test-event" && json.Unmarshal(c.Doc.Body, &act) == nil:
			l.events = append(l.events, act)
		case slices.Contains([]string{"user", "user-identity", "user-roster", "user-password", "user-reset"}, c.Doc.Kind) && !with:
			l.bare = append(l.bare, c.Doc.Kind)
		}
	}
	return kept, nil
}

// TestAUD09_EventsOfPeople: what becomes of people is written together with
// its event, once, also in a race; who is refused is on record as refused.
// What cannot be put on record is not done.
func TestAUD09_EventsOfPeople(t *testing.T) {
	l := &ledger{under: memdb.New()}
	var full error
	p := newPlace(l, func(c *auth.Config) {
		c.Note = func(_ context.Context, act ci.Act) ([]ci.DocChange, error) {
			body, err := json.Marshal(act)
			if full != nil {
				err = full
			}
			return []ci.DocChange{{Doc: ci.Doc{Kind: "test-event", ID: ci.NewID(), Body: body}}}, err
		}
	})
	p.dir.put("1", "ada")
	p.dir.put("2", "bob")
	ada, session := p.in(t, "ada")
	var wg sync.WaitGroup
	var in atomic.Int64
	for range 8 {
		wg.Go(func() { // some are refused, unasked, for being too many
			if _, _, err := p.users.Login(t.Context(), "bob", "bob-password", auth.Visit{Address: "192.0.2.2"}); err == nil {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	_, _, err := p.users.Login(t.Context(), "ada", "wrong", auth.Visit{Address: "192.0.2.1"})
	require.ErrorIs(t, err, auth.ErrLogin)
	by := ci.Actor{ID: ada.ID, Kind: ci.ActorUser, Login: "ada"}
	all, err := p.users.Users(t.Context(), by)
	require.NoError(t, err)
	require.Len(t, all, 2)
	bob := all[1]
	_, err = p.users.Suspend(t.Context(), bob.ID, true, by)
	require.NoError(t, err)
	_, _, err = p.users.Login(t.Context(), "bob", "bob-password", auth.Visit{Address: "192.0.2.2"})
	require.ErrorIs(t, err, ci.ErrDenied)
	require.NoError(t, p.users.LogOut(t.Context(), session))
	_, session = p.administrator(t)
	_, err = p.users.ChangePassword(t.Context(), session, "in case of fire", "in case of water", auth.Visit{})
	require.NoError(t, err)
	reset, err := p.users.ResetPassword(t.Context(), "root", auth.Operator)
	require.NoError(t, err)
	_, err = p.users.CreatePassword(t.Context(), reset, "in case of earth", auth.Visit{})
	require.NoError(t, err)
	require.Empty(t, l.bare)

	count := map[string]int{}
	for _, e := range l.events {
		key := e.Action + " " + e.Target["login"]
		if !e.Success {
			key += ": " + e.Reason
		} else {
			require.True(t, e.Action == "rondo.user.invite" || e.Target["type"] == "user" && e.Target["id"] != "", key)
			require.NotEmpty(t, e.Actor.ID, key)
		}
		count[key]++
	}
	require.Equal(t, map[string]int{
		"user.create ada": 1, "user.create bob": 1, "user.logged_in bob": int(in.Load()) - 1, "user.suspended bob": 1, "user.logged_out ada": 1,
		"user.logged_in ada: wrong login or password": 1, "user.logged_in bob: suspended": 1,
		"rondo.user.invite ": 1, "user.create root": 1, "rondo.user.password_change root": 3, "rondo.user.password_reset root": 1,
	}, count)

	full = ci.ErrConflict
	_, err = p.users.Suspend(t.Context(), bob.ID, false, by)
	require.ErrorIs(t, err, ci.ErrConflict)
	bob, err = p.users.User(t.Context(), bob.ID)
	require.NoError(t, err)
	require.NotEmpty(t, bob.Suspended, "the book was full")
}
