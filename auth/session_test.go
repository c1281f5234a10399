package auth_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
)

func TestSessions(t *testing.T) {
	p := newPlace(memdb.New())
	ctx := t.Context()
	p.dir.put("1", "ada")
	u, a := p.in(t, "ada")
	_, b := p.in(t, "ada")
	require.NotEqual(t, a, b)
	by := ci.Actor{ID: u.ID, Kind: ci.ActorUser}
	list, err := p.users.Sessions(ctx, u.ID, by)
	require.NoError(t, err)
	require.Len(t, list, 2)
	_, err = p.users.Sessions(ctx, u.ID, ci.Actor{ID: "x", Kind: ci.ActorUser})
	require.ErrorIs(t, err, ci.ErrDenied)
	require.NoError(t, p.users.LogOut(ctx, a))
	require.NoError(t, p.users.LogOut(ctx, a), "twice is no error")
	dead := func(secret string) {
		t.Helper()
		_, _, err := p.users.Session(ctx, secret)
		require.ErrorIs(t, err, ci.ErrDenied)
	}
	dead(a)
	dead("")
	dead(b + "x")
	dead(strings.ToUpper(b))
	p.now = p.now.Add(11 * time.Hour)
	_, _, err = p.users.Session(ctx, b)
	require.NoError(t, err)
	p.now = p.now.Add(11 * time.Hour)
	_, _, err = p.users.Session(ctx, b)
	require.NoError(t, err, "use keeps it")
	for range 20 {
		p.now = p.now.Add(11 * time.Hour)
		_, _, err = p.users.Session(ctx, b)
	}
	require.ErrorIs(t, err, ci.ErrDenied, "not for more than seven days")
	_, c := p.in(t, "ada")
	p.now = p.now.Add(12 * time.Hour)
	dead(c)
	_, d := p.in(t, "ada")
	require.NoError(t, p.users.EndSessions(ctx, u.ID, by))
	dead(d)
	for range 110 {
		p.in(t, "ada")
	}
	list, err = p.users.Sessions(ctx, u.ID, by)
	require.NoError(t, err)
	require.LessOrEqual(t, len(list), 100)
}

// LDP-11, A105: the directory takes everything within the quarter of an hour,
// also from who does nothing, and a login elsewhere does not bring it back.
func TestLDP11_Removed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		docs := memdb.New()
		p := newPlace(docs, func(c *auth.Config) { c.Now = time.Now })
		ctx := t.Context()
		p.dir.put("1", "ada")
		p.dir.put("2", "bob")
		p.in(t, "ada")
		bob, session := p.in(t, "bob")
		_, err := p.users.Connect(ctx, session, auth.Identity{Provider: "github", Subject: "7", Login: "bob-gh"})
		require.NoError(t, err)
		tokens := auth.NewTokens(docs)
		_, token, err := tokens.CreatePersonalToken(ctx, ci.Actor{ID: bob.ID, Kind: ci.ActorUser}, "x", 0)
		require.NoError(t, err)
		gate := auth.NewGate(p.users, tokens, auth.GateConfig{})
		r := httptest.NewRequest("GET", "/", nil)
		_, err = gate.API(r, token)
		require.NoError(t, err)

		go func() { _ = p.users.Run(ctx) }()
		p.dir.mu.Lock()
		delete(p.dir.people, "2")
		p.dir.mu.Unlock()
		time.Sleep(16 * time.Minute)
		synctest.Wait()
		u, err := p.users.User(ctx, bob.ID)
		require.NoError(t, err)
		require.Equal(t, "removed from ldap", u.Suspended, "without any request of theirs")
		require.EqualValues(t, 1, p.users.Figures().Removed)
		require.Contains(t, p.notes, "user.suspended bobldap_removed")
		_, _, err = p.users.Session(ctx, session)
		require.ErrorIs(t, err, ci.ErrDenied)
		_, err = gate.API(r, token)
		require.ErrorIs(t, err, ci.ErrDenied)
		require.ErrorIs(t, gate.May(ctx, ci.Actor{ID: bob.ID, Kind: ci.ActorUser}, ci.Project{Slug: "local/x/y"}, false), ci.ErrDenied)
		_, _, err = p.users.Enter(ctx, auth.Identity{Provider: "github", Subject: "7", Login: "bob-gh"}, auth.Visit{})
		require.ErrorIs(t, err, ci.ErrDenied)
		p.dir.put("2", "bob")
		p.in(t, "bob") // the directory itself takes them back
		_, err = gate.API(r, token)
		require.NoError(t, err)
	})
}

// A104: an outage of the directory ends nothing for a while, and begins
// nothing.
func TestLDP11_DirectoryDown(t *testing.T) {
	p := newPlace(memdb.New())
	ctx := t.Context()
	_, err := p.local.SetPassword(ctx, "break-glass", "in case of fire")
	require.NoError(t, err)
	p.dir.put("1", "ada")
	_, session := p.in(t, "ada")
	p.dir.down = errors.New("no route")
	p.now = p.now.Add(3 * time.Hour)
	_, _, err = p.users.Session(ctx, session)
	require.NoError(t, err)
	asked := p.dir.asked
	_, _, err = p.users.Session(ctx, session)
	require.NoError(t, err)
	require.Equal(t, asked, p.dir.asked, "it is not asked at each request")
	_, _, err = p.users.Login(ctx, "ada", "ada-password", auth.Visit{})
	require.ErrorIs(t, err, auth.ErrAway)
	_, _, err = p.users.Login(ctx, "break-glass", "in case of fire", auth.Visit{})
	require.NoError(t, err)
	p.now = p.now.Add(2 * time.Hour)
	_, _, err = p.users.Session(ctx, session)
	require.ErrorIs(t, err, ci.ErrDenied, "the grace is over")
	p.dir.down = nil
	_, _, err = p.users.Session(ctx, session)
	require.ErrorIs(t, err, ci.ErrDenied)
	p.now = p.now.Add(time.Minute)
	_, _, err = p.users.Session(ctx, session)
	require.NoError(t, err)
}

func TestSEC10_LegacyPassword(t *testing.T) {
	docs := memdb.New()
	local := auth.NewLocal(docs)
	ctx := t.Context()
	sum := sha256.Sum256([]byte("0123456789" + "secret of old"))
	_, err := local.Import(ctx, "Root", "0123456789", hex.EncodeToString(sum[:]))
	require.NoError(t, err)
	_, err = local.Login(ctx, "root", "wrong")
	require.ErrorIs(t, err, ci.ErrDenied)
	before, err := local.Login(ctx, "root", "secret of old")
	require.NoError(t, err)
	d, err := docs.Doc(ctx, "user-password", "root")
	require.NoError(t, err)
	require.Contains(t, string(d.Body), "argon2id$v=19$m=19456,t=2,p=1$")
	require.NotContains(t, string(d.Body), "sha256$")
	after, err := local.Login(ctx, "ROOT ", "secret of old")
	require.NoError(t, err)
	require.Equal(t, before, after)
	_, err = local.SetPassword(ctx, "root", "short")
	require.ErrorIs(t, err, ci.ErrInvalid)
	_, err = local.Login(ctx, "nobody", "")
	require.ErrorIs(t, err, ci.ErrDenied)
}

// A112, A113: guesses are few, spellings and addresses are one, and nobody
// learns who exists.
func TestLoginLimits(t *testing.T) {
	p := newPlace(memdb.New())
	ctx := t.Context()
	p.dir.put("1", "ada")
	spellings := []string{"ada", "ADA ", "corp\\ada", "ada@corp", "ada"}
	var many auth.TooMany
	for i, login := range spellings {
		_, _, err := p.users.Login(ctx, login, "wrong", auth.Visit{Address: fmt.Sprint("2001:db8::", i)})
		require.ErrorIs(t, err, ci.ErrDenied)
		require.Equal(t, i == 4, errors.As(err, &many), login)
	}
	_, _, err := p.users.Login(ctx, "ada", "ada-password", auth.Visit{})
	require.ErrorAs(t, err, &many)
	p.now = p.now.Add(5 * time.Minute)
	p.in(t, "ada")

	p = newPlace(memdb.New())
	for i := range 21 {
		_, _, err := p.users.Login(ctx, fmt.Sprint("user", i), "summer", auth.Visit{Address: fmt.Sprintf("2001:db8::%x", i)})
		require.Equal(t, i == 20, errors.As(err, &many), "a network is one client")
		if i < 20 {
			require.Equal(t, auth.ErrLogin, err)
		}
	}
	for _, odd := range []string{"", "a\x00b", strings.Repeat("x", 300), "\xff"} {
		_, _, err := p.users.Login(ctx, odd, "x", auth.Visit{Address: odd})
		require.Equal(t, auth.ErrLogin, err)
	}
}

// LDP-11: what a login knows from some minutes ago is asked about that much
// sooner, so that the quarter of an hour holds for it, too.
func TestLDP11_Remembered(t *testing.T) {
	p := newPlace(memdb.New())
	p.dir.put("1", "ada")
	_, session, err := p.users.Enter(t.Context(), auth.Identity{Provider: "ldap", Subject: "1", Login: "ada", AsOf: p.now.Add(-4 * time.Minute)}, auth.Visit{})
	require.NoError(t, err)
	delete(p.dir.people, "1")
	p.now = p.now.Add(10 * time.Minute)
	_, _, err = p.users.Session(t.Context(), session)
	require.NoError(t, err)
	p.now = p.now.Add(time.Minute)
	_, _, err = p.users.Session(t.Context(), session)
	require.ErrorIs(t, err, ci.ErrDenied)
}
