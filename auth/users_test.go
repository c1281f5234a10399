package auth_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// A directory knows who is put into it; passwords are the logins.
type directory struct {
	mu     sync.Mutex
	people map[string]auth.Identity
	down   error
	asked  int
}

func (*directory) Name() string { return "ldap" }

func (d *directory) Login(_ context.Context, login, password string) (auth.Identity, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down != nil {
		return auth.Identity{}, d.down
	}
	for _, p := range d.people {
		if p.Login == login && password == login+"-password" {
			return p, nil
		}
	}
	return auth.Identity{}, fmt.Errorf("52e: %w", ci.ErrDenied)
}

func (d *directory) Lookup(_ context.Context, subject string) (auth.Identity, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.down != nil {
		return auth.Identity{}, d.down
	}
	p, ok := d.people[subject]
	if !ok {
		return p, ci.ErrNotFound
	}
	return p, nil
}

func (d *directory) put(subject, login string, emails ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.people[subject] = auth.Identity{Provider: "ldap", Subject: subject, Login: login, Emails: emails}
}

// A place is users with a directory, local accounts and a clock.
type place struct {
	dir   *directory
	local *auth.Local
	users *auth.Users
	now   time.Time
	notes []string
}

func newPlace(docs ci.Docs, edit ...func(*auth.Config)) *place {
	p := &place{dir: &directory{people: map[string]auth.Identity{}}, local: auth.NewLocal(docs), now: time.Now()}
	var mu sync.Mutex
	cfg := auth.Config{
		Providers: []auth.Provider{p.local, p.dir}, OpenFirst: true, Now: func() time.Time { return p.now },
		Note: func(_ context.Context, act ci.Act) ([]ci.DocChange, error) {
			mu.Lock()
			defer mu.Unlock()
			p.notes = append(p.notes, act.Action+" "+act.Target["login"]+act.Target["reason"])
			return nil, nil
		},
	}
	for _, e := range edit {
		e(&cfg)
	}
	p.users = auth.NewUsers(docs, cfg)
	return p
}

func (p *place) in(t *testing.T, login string) (ci.User, string) {
	t.Helper()
	u, secret, err := p.users.Login(t.Context(), login, login+"-password", auth.Visit{Address: "192.0.2.1"})
	require.NoError(t, err)
	return u, secret
}

// A hundred first logins at once make one administrator, in memory and in a
// database, of a hundred people and of one.
func TestOPS06_FirstUserRace(t *testing.T) {
	db, err := sqldb.Open(t.Context(), filepath.Join(t.TempDir(), "db"), sqldb.Config{})
	require.NoError(t, err)
	defer db.Close()
	for name, docs := range map[string]ci.Docs{"memory": memdb.New(), "sqlite": db} {
		p := newPlace(docs)
		var wg sync.WaitGroup
		errs := make([]error, 100)
		for i := range errs {
			wg.Go(func() {
				id := auth.Identity{Provider: "ldap", Subject: fmt.Sprint("s", i/2), Login: fmt.Sprint("u", i/2)}
				_, _, errs[i] = p.users.Enter(t.Context(), id, auth.Visit{})
			})
		}
		wg.Wait()
		require.NoError(t, errors.Join(errs...), name)
		all, err := p.users.Users(t.Context(), auth.Operator)
		require.NoError(t, err)
		require.Len(t, all, 50, "two logins of each are one user")
		admins := 0
		for _, u := range all {
			require.Equal(t, 2, u.SignIns)
			if u.Role == "all" {
				admins++
			}
		}
		require.Equal(t, 1, admins, name)
	}
}

// A118: a stranger who comes first wins nothing; the link is good once.
func TestOPS06_Bootstrap(t *testing.T) {
	p := newPlace(memdb.New(), func(c *auth.Config) { c.OpenFirst = false })
	token, err := p.users.Bootstrap(t.Context(), false)
	require.NoError(t, err)
	enter := func(name, bootstrap string) ci.User {
		u, _, err := p.users.Enter(t.Context(), auth.Identity{Provider: "ldap", Subject: name, Login: name}, auth.Visit{Bootstrap: bootstrap})
		require.NoError(t, err)
		return u
	}
	require.Empty(t, enter("mallory", "").Role)
	require.Empty(t, enter("mallory", token+"x").Role)
	require.Equal(t, "all", enter("ada", token).Role)
	require.Empty(t, enter("eve", token).Role, "once")
	again, err := p.users.Bootstrap(t.Context(), false)
	require.NoError(t, err)
	require.Empty(t, again, "there is an administrator")
	again, err = p.users.Bootstrap(t.Context(), true)
	require.NoError(t, err)
	require.Equal(t, "all", enter("eve", again).Role, "whoever can restart the server can help")
}

func TestOPS04_RolesAndLastAdministrator(t *testing.T) {
	p := newPlace(memdb.New())
	ctx := t.Context()
	p.dir.put("1", "ada")
	p.dir.put("2", "bob")
	ada, session := p.in(t, "ada")
	bob, _ := p.in(t, "bob")
	by := ci.Actor{ID: ada.ID, Kind: ci.ActorUser}
	_, err := p.users.SetRole(ctx, ada.ID, "all", ci.Actor{ID: bob.ID, Kind: ci.ActorUser})
	require.ErrorIs(t, err, ci.ErrDenied)
	for _, role := range []string{"read-settings", "auditor"} {
		_, err = p.users.SetRole(ctx, ada.ID, role, by)
		require.ErrorIs(t, err, ci.ErrConflict, "the last one")
	}
	_, err = p.users.Suspend(ctx, ada.ID, true, by)
	require.ErrorIs(t, err, ci.ErrConflict)
	require.ErrorIs(t, p.users.DeleteUser(ctx, "ada", "ldap", by), ci.ErrConflict)
	_, err = p.users.SetRole(ctx, bob.ID, "king", by)
	require.ErrorIs(t, err, ci.ErrInvalid)
	for _, role := range []string{"write-settings", "all"} {
		u, err := p.users.SetRole(ctx, bob.ID, role, by)
		require.NoError(t, err)
		require.Equal(t, role, u.Role)
	}
	_, _, err = p.users.Session(ctx, session)
	require.NoError(t, err)

	// Two administrators who remove each other at once: one stays.
	other := ci.Actor{ID: bob.ID, Kind: ci.ActorUser}
	var wg sync.WaitGroup
	var errs [2]error
	wg.Go(func() { _, errs[0] = p.users.SetRole(ctx, bob.ID, "", by) })
	wg.Go(func() { _, errs[1] = p.users.SetRole(ctx, ada.ID, "", other) })
	wg.Wait()
	require.True(t, (errs[0] == nil) != (errs[1] == nil), "%v", errs)
}

func TestOPS03_DeleteByLoginAndForge(t *testing.T) {
	p := newPlace(memdb.New())
	p.dir.put("1", "ada")
	p.dir.put("2", "bob")
	p.in(t, "ada")
	_, session := p.in(t, "bob")
	ctx := t.Context()
	require.ErrorIs(t, p.users.DeleteUser(ctx, "bob", "github", auth.Operator), ci.ErrNotFound)
	_, _, err := p.users.Session(ctx, session)
	require.NoError(t, err, "the wrong forge deletes nobody")
	require.NoError(t, p.users.DeleteUser(ctx, "Bob", "ldap", auth.Operator))
	_, _, err = p.users.Session(ctx, session)
	require.ErrorIs(t, err, ci.ErrDenied)
	all, err := p.users.Users(ctx, auth.Operator)
	require.NoError(t, err)
	require.Len(t, all, 1)
}

func TestSuspendNew(t *testing.T) {
	p := newPlace(memdb.New())
	ctx := t.Context()
	require.NoError(t, p.users.SetSuspendNew(ctx, true, auth.Operator))
	p.dir.put("1", "ada")
	p.dir.put("2", "bob")
	ada, _ := p.in(t, "ada")
	require.Equal(t, "all", ada.Role, "the first one is not")
	bob, _, err := p.users.Login(ctx, "bob", "bob-password", auth.Visit{})
	require.ErrorIs(t, err, ci.ErrDenied)
	_, err = p.users.Suspend(ctx, bob.ID, false, ci.Actor{ID: ada.ID, Kind: ci.ActorUser})
	require.NoError(t, err)
	p.in(t, "bob")
}

func TestMigration(t *testing.T) {
	p := newPlace(memdb.New())
	ctx := t.Context()
	enter := func(name string, emails ...string) ci.User {
		u, _, err := p.users.Enter(ctx, auth.Identity{Provider: "github", Subject: name, Login: name, Emails: emails}, auth.Visit{})
		require.NoError(t, err)
		return u
	}
	ada := enter("ada-gh", "ada@example.com")
	enter("twin1", "twin@example.com")
	enter("twin2", "twin@example.com")
	enter("shy")
	plan, err := p.users.Preview(ctx, "ldap", "email", auth.Operator)
	require.NoError(t, err)
	problems := map[string]string{}
	for _, j := range plan {
		problems[j.User.Login] = j.Problem
	}
	require.Empty(t, problems["ada-gh"])
	require.Contains(t, problems["twin1"], "shares")
	require.Contains(t, problems["shy"], "no verified address")

	p.dir.put("9", "ada", "Ada@Example.com")
	require.ErrorIs(t, p.users.Join(ctx, "github", "login", auth.Operator), ci.ErrInvalid, "a code host's logins are anybody's")
	require.NoError(t, p.users.Join(ctx, "ldap", "email", auth.Operator))
	u, _ := p.in(t, "ada")
	require.Equal(t, ada.ID, u.ID)
	require.Equal(t, map[string]string{"github": "ada-gh", "ldap": "ada"}, u.Logins)
	p.dir.put("10", "twin", "twin@example.com")
	u, _ = p.in(t, "twin")
	require.Len(t, u.Logins, 1, "an ambiguous one is a user of their own")
}

// LDP-12: who comes by the directory sees of projects at the code host what
// their account there may, and without one nothing.
func TestLDP12_PermissionsStayWithTheCodeHost(t *testing.T) {
	p := newPlace(memdb.New(), func(c *auth.Config) { c.OpenFirst, c.Hosts = false, []auth.Directory{hub{}} })
	p.dir.put("1", "ada")
	ada, session := p.in(t, "ada")
	gate := auth.NewGate(p.users, auth.NewTokens(memdb.New()), auth.GateConfig{Hosts: []auth.Host{hub{}}})
	by := ci.Actor{ID: ada.ID, Kind: ci.ActorUser, Login: "ada"}
	shop := ci.Project{Slug: "gh/acme/shop", Org: "acme", Repo: "shop"}
	require.ErrorIs(t, gate.May(t.Context(), by, shop, false), ci.ErrNotFound)
	require.ErrorIs(t, gate.MayOrg(t.Context(), by, "gh/acme", false), ci.ErrNotFound)
	_, err := p.users.Connect(t.Context(), session, auth.Identity{Provider: "github", Subject: "reader", Login: "reader"})
	require.NoError(t, err)
	require.NoError(t, gate.May(t.Context(), by, shop, false))
	require.ErrorIs(t, gate.May(t.Context(), by, shop, true), ci.ErrDenied)
	require.ErrorIs(t, gate.May(t.Context(), by, ci.Project{Slug: "gh/other/x", Org: "other", Repo: "x"}, false), ci.ErrNotFound)
}
