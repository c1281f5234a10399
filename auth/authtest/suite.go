package authtest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/auth/ldap"
	"github.com/rondo-ci/rondo/ci"
)

// A trial is one directory in one test, with the names of its own people.
type trial struct {
	t *testing.T
	k Keeper
	n string // in every login, so that tests can share a directory
}

// TestDirectory checks that [ldap.Directory] lets the right people of a
// directory in, as who they are, and nobody else. open gives the same directory
// again or another one.
func TestDirectory(t *testing.T, open func(t *testing.T) Keeper) {
	for _, c := range []struct {
		name string
		test func(x trial)
	}{
		{"Login", trial.login}, {"Denied", trial.denied}, {"LDP06_Ambiguous", trial.ambiguous}, {"Injection", trial.injection},
		{"MovedAndRenamed", trial.moved}, {"LDP11_States", trial.states}, {"LDP08_NestedTenDeep", trial.nested},
		{"LDP08_Cycle", trial.cycle}, {"RolesAndRequired", trial.roles}, {"NamesOfEntries", trial.names}, {"LDP09_Trace", trial.trace},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(trial{t, open(t), strings.ToLower(fmt.Sprintf("%.6s%d", strings.ReplaceAll(c.name, "_", ""), len(c.name)))})
		})
	}
}

// password is strong enough for every policy.
const password = "Str0ng-Passw0rd!"

func (x trial) add(login string) string {
	x.t.Helper()
	login += "-" + x.n
	require.NoError(x.t, x.k.AddPerson(Person{Login: login, Password: password, Name: login, Mail: login + "@example.test"}))
	return login
}

func (x trial) group(name string, members ...string) string {
	x.t.Helper()
	name += "-" + x.n
	require.NoError(x.t, x.k.AddGroup(name, members...))
	return name
}

func (x trial) open(change func(*ldap.Settings)) *ldap.Directory {
	x.t.Helper()
	s := x.k.Settings()
	if change != nil {
		change(&s)
	}
	d, err := ldap.New(s, ldap.Config{})
	require.NoError(x.t, err)
	x.t.Cleanup(d.Close)
	return d
}

func (x trial) in(d *ldap.Directory, login string) auth.Identity {
	x.t.Helper()
	id, err := d.Login(x.t.Context(), login, password)
	require.NoError(x.t, err)
	return id
}

// out requires a refusal, for one of the reasons.
func (x trial) out(err error, sentinel error, reasons ...string) {
	x.t.Helper()
	require.ErrorIs(x.t, err, sentinel)
	var r *ldap.Refusal
	require.ErrorAs(x.t, err, &r)
	require.Contains(x.t, reasons, r.Reason, err)
	require.NotContains(x.t, err.Error(), password)
	x.t.Logf("%v", err)
}

func (x trial) login() {
	ada := x.add("ada")
	staff := x.group("staff", ada)
	d := x.open(nil)
	id := x.in(d, ada)
	require.Equal(x.t, "ldap", id.Provider)
	require.Equal(x.t, ada, id.Login)
	require.Equal(x.t, ada, id.Name)
	require.Equal(x.t, []string{ada + "@example.test"}, id.Emails)
	require.Contains(x.t, id.Groups, staff)
	require.NotEmpty(x.t, id.Subject)
	require.Empty(x.t, id.Role)
	if x.k.Settings().Type == ldap.ActiveDirectory {
		require.Contains(x.t, id.Groups, "Domain Users", "the primary group is in no list of members")
	}
	for _, typed := range []string{strings.ToUpper(ada), "  " + ada + "\n"} { // A099
		require.Equal(x.t, id, x.in(d, typed), typed)
	}
	again, err := d.Lookup(x.t.Context(), id.Subject)
	require.NoError(x.t, err)
	require.Equal(x.t, id, again)
	_, err = d.Lookup(x.t.Context(), "00000000-0000-0000-0000-000000000000")
	x.out(err, ci.ErrNotFound, "unknown")
	_, err = d.Lookup(x.t.Context(), "*")
	x.out(err, ci.ErrNotFound, "unknown")
}

func (x trial) denied() {
	bob := x.add("bob")
	require.NoError(x.t, x.k.AddPerson(Person{Login: "far-" + x.n, Password: password, Name: "far-" + x.n, Unit: "outside"}))
	d := x.open(nil)
	for _, c := range []struct{ login, password, reason string }{
		{bob, "wrong", "password"}, {bob, "", "password"}, {bob, " ", "password"}, {bob, "\x00", "password"},
		{"nobody-" + x.n, password, "unknown"}, {"far-" + x.n, password, "unknown"},
		{"", password, "login"}, {bob + "\x00", password, "login"}, {strings.Repeat("x", 64<<10), password, "login"}, {"\xff", password, "login"},
	} {
		_, err := d.Login(x.t.Context(), c.login, c.password)
		if c.password == " " || c.password == "\x00" || c.password == "wrong" {
			x.out(err, ci.ErrDenied, "password", "locked")
			continue
		}
		x.out(err, ci.ErrDenied, c.reason)
	}
}

func (x trial) ambiguous() {
	for _, login := range []string{"one", "two"} {
		require.NoError(x.t, x.k.AddPerson(Person{Login: login + "-" + x.n, Password: password, Name: login + "-" + x.n, Mail: x.n + "@example.test"}))
	}
	d := x.open(func(s *ldap.Settings) { s.UsernameField = "mail" })
	_, err := d.Login(x.t.Context(), x.n+"@example.test", password)
	x.out(err, ci.ErrDenied, "ambiguous")
}

func (x trial) injection() {
	x.add("mallory")
	d := x.open(nil)
	for _, login := range []string{"*", "mallory*", "*)(uid=*", "*)(uid=*))(|(uid=*", "mallory-" + x.n + ")(&)", `\2a`, `mallory\00`, "(", `\`, "m\u0131lory", "\uff4dallory"} {
		_, err := d.Login(x.t.Context(), login, password)
		x.out(err, ci.ErrDenied, "unknown", "login")
	}
}

// transcript logs how a login goes, step by step, under -v.
func (x trial) transcript(d *ldap.Directory, what, login string) {
	x.t.Helper()
	var text strings.Builder
	require.NoError(x.t, d.Test(x.t.Context(), login, password).Print(&text))
	require.NotContains(x.t, text.String(), password)
	x.t.Logf("%s\n%s", what, text.String())
}

func (x trial) moved() {
	eve := x.add("eve")
	team := x.group("team", eve)
	d := x.open(nil)
	id := x.in(d, eve)
	require.NoError(x.t, x.k.Move(eve, "staff"))
	require.Equal(x.t, id, x.in(d, eve), "moved below the users")
	x.transcript(d, "moved", eve)
	require.NoError(x.t, x.k.Rename(eve, "eva-"+x.n))
	renamed := x.in(d, "eva-"+x.n)
	require.Equal(x.t, id.Subject, renamed.Subject)
	x.transcript(d, "renamed", "eva-"+x.n)
	require.Equal(x.t, "eva-"+x.n, renamed.Login)
	require.Contains(x.t, renamed.Groups, team, "groups follow")
	now, err := d.Lookup(x.t.Context(), id.Subject)
	require.NoError(x.t, err)
	require.Equal(x.t, renamed, now)
	_, err = d.Login(x.t.Context(), eve, password)
	x.out(err, ci.ErrDenied, "unknown")
	require.NoError(x.t, x.k.Move("eva-"+x.n, "outside"))
	_, err = d.Lookup(x.t.Context(), id.Subject)
	x.out(err, ci.ErrNotFound, "moved")
	x.transcript(d, "moved away", "eva-"+x.n)
	_, err = d.Login(x.t.Context(), "eva-"+x.n, password)
	x.out(err, ci.ErrDenied, "unknown")
}

func (x trial) states() {
	d := x.open(nil)
	for _, s := range []State{Disabled, Expired, Locked, Gone, MustChange} {
		who := x.add(string(s))
		id := x.in(d, who)
		require.NoError(x.t, x.k.Set(who, s))
		_, err := d.Login(x.t.Context(), who, password)
		switch {
		case s == Gone:
			x.out(err, ci.ErrDenied, "unknown")
		case s == Disabled:
			x.out(err, ci.ErrDenied, "disabled", "locked") // OpenLDAP calls both locked when it refuses the bind
		default:
			x.out(err, ci.ErrDenied, string(s))
		}
		x.transcript(d, string(s), who)
		_, err = d.Lookup(x.t.Context(), id.Subject)
		switch s {
		case MustChange:
			require.NoError(x.t, err, "still belongs here")
		case Gone:
			x.out(err, ci.ErrNotFound, "unknown")
		default:
			x.out(err, ci.ErrNotFound, string(s))
		}
	}
}

func (x trial) nested() {
	dot := x.add("dot")
	inner, want := dot, []string(nil)
	for i := range 10 {
		inner = x.group(fmt.Sprintf("level%02d", i), inner)
		want = append(want, inner)
	}
	d := x.open(nil)
	require.Subset(x.t, x.in(d, dot).Groups, want)
	x.transcript(d, "ten groups deep", dot)
	id := x.in(x.open(func(s *ldap.Settings) { s.Groups.Nested = ldap.Off }), dot)
	require.Contains(x.t, id.Groups, want[0])
	require.NotContains(x.t, id.Groups, want[1])
	id = x.in(x.open(func(s *ldap.Settings) { s.Groups.Nested, s.Groups.Depth = ldap.Expand, 4 }), dot)
	require.Contains(x.t, id.Groups, want[3])
	require.NotContains(x.t, id.Groups, want[4], "group_depth ends it")
}

func (x trial) cycle() {
	kim := x.add("kim")
	a := x.group("a", kim)
	b := x.group("b", a)
	c := x.group("c", b)
	require.NoError(x.t, x.k.AddMember(a, c))
	for _, mode := range []ldap.Nested{"", ldap.Expand} {
		d := x.open(func(s *ldap.Settings) { s.Groups.Nested = mode })
		require.Subset(x.t, x.in(d, kim).Groups, []string{a, b, c})
		x.transcript(d, "a group in a cycle", kim)
	}
}

func (x trial) roles() {
	ann := x.add("ann")
	in := x.group("builders", ann)
	admins := x.group("admins", in)
	other := x.group("others", x.add("olaf"))
	d := x.open(func(s *ldap.Settings) {
		s.Groups.Required = strings.ToUpper(admins)
		s.Groups.Roles = []ldap.RoleOf{{Group: other, Role: auth.RoleAuditor}, {Group: admins, Role: auth.RoleAll}, {Group: in, Role: auth.RoleRead}}
	})
	id := x.in(d, ann)
	require.Equal(x.t, auth.RoleAll, id.Role, "by a group of a group")
	_, err := d.Login(x.t.Context(), "olaf-"+x.n, password)
	x.out(err, ci.ErrDenied, "group")
	d = x.open(func(s *ldap.Settings) { s.Groups.Required = other })
	_, err = d.Lookup(x.t.Context(), id.Subject)
	x.out(err, ci.ErrNotFound, "group")
}

// names has what must be escaped in names of entries (A100).
func (x trial) names() {
	for i, name := range []string{`Lovelace, Ada`, `a+b "c" <d>`, `#1 (x) *`, `Zoë = Ω`} {
		login := fmt.Sprintf("n%d-%s", i, x.n)
		name += " " + x.n
		require.NoError(x.t, x.k.AddPerson(Person{Login: login, Password: password, Name: name}))
		g := x.group(fmt.Sprintf("for (%d), x", i), login)
		outer := x.group(fmt.Sprintf("outer%d", i), g)
		d := x.open(nil)
		id := x.in(d, login)
		require.Equal(x.t, name, id.Name)
		require.Subset(x.t, id.Groups, []string{g, outer}, name)
		again, err := d.Lookup(x.t.Context(), id.Subject)
		require.NoError(x.t, err)
		require.Equal(x.t, id, again)
	}
}

func (x trial) trace() {
	ted := x.add("ted")
	d := x.open(nil)
	tr := d.Test(x.t.Context(), ted, password)
	require.NoError(x.t, tr.Err)
	require.NotEmpty(x.t, tr.Identity.Subject)
	var names []string
	for _, s := range tr.Steps {
		names = append(names, s.Name)
		require.True(x.t, s.OK, s)
	}
	require.Subset(x.t, names, []string{"connect", "search bind", "server", "user search", "user bind", "attributes", "decision"})
	var text strings.Builder
	require.NoError(x.t, tr.Print(&text))
	require.NotContains(x.t, text.String(), password)
	require.NotContains(x.t, text.String(), x.k.Settings().SearchPassword)
	require.Contains(x.t, text.String(), "ldapsearch -x -LLL -H ")
	x.t.Logf("\n%s", text.String())
	bad := d.Test(x.t.Context(), ted, "wrong")
	x.out(bad.Err, ci.ErrDenied, "password")
	require.Equal(x.t, "user bind", bad.Steps[len(bad.Steps)-1].Name)
	require.NoError(x.t, d.Test(x.t.Context(), ted, "").Err, "without a password the bind is left out")
}
