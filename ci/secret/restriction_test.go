package secret_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/secret"
	"github.com/rondo-ci/rondo/ci/secret/secrettest"
	"github.com/rondo-ci/rondo/storage/memdb"
)

func TestRestrictions(t *testing.T) {
	w := newWorld(t)
	c := w.context("prod")
	list, err := w.Restrictions(w.ctx, c.ID)
	require.NoError(t, err)
	require.Empty(t, list)
	p := w.restrict(c, ci.RestrictProject, string(shop.ID))
	require.Equal(t, "gh/acme/shop", p.Name)
	require.Equal(t, c.ID, p.Context)
	g := w.restrict(c, ci.RestrictGroup, "deployers")
	long := w.restrict(c, ci.RestrictExpression, `pipeline.git.branch == "`+strings.Repeat("x", 4000)+`"`)
	e := w.restrict(c, ci.RestrictExpression, `pipeline.git.branch == "main"`)
	list, err = w.Restrictions(w.ctx, c.ID)
	require.NoError(t, err)
	require.Equal(t, []ci.Restriction{e, long, g, p}, list)

	for _, r := range list {
		_, err = w.Restrict(w.ctx, c.ID, r.Kind, r.Value, admin)
		require.ErrorIs(t, err, ci.ErrConflict)
	}
	other := w.context("other")
	require.ErrorIs(t, w.Unrestrict(w.ctx, other.ID, g.ID, admin), ci.ErrNotFound, "of another context")
	for _, r := range list {
		require.NoError(t, w.Unrestrict(w.ctx, c.ID, r.ID, admin))
		require.ErrorIs(t, w.Unrestrict(w.ctx, c.ID, r.ID, admin), ci.ErrNotFound)
	}
	list, err = w.Restrictions(w.ctx, c.ID)
	require.NoError(t, err)
	require.Empty(t, list)
	_, err = w.Restrictions(w.ctx, "nope")
	require.ErrorIs(t, err, ci.ErrNotFound)
}

func TestRestrictionRules(t *testing.T) {
	w := newWorld(t)
	c := w.context("prod")
	for _, bad := range []struct {
		kind        ci.RestrictionKind
		value, want string
	}{
		{ci.RestrictProject, "", "no project with the ID"},
		{ci.RestrictProject, "nope", "no project with the ID"},
		{ci.RestrictProject, string(abroad.ID), "gh/acme has no project with the ID"},
		{ci.RestrictGroup, " ", "1 to 200 characters"},
		{ci.RestrictGroup, strings.Repeat("g", 201), "1 to 200 characters"},
		{ci.RestrictExpression, "", "column 1: a value is expected"},
		{ci.RestrictExpression, `pipeline.parameters.deploy == true`, "whoever triggers the pipeline chooses"},
		{ci.RestrictExpression, `not pipeline.git.branch starts-with "x"`, "write not (... starts-with ...)"},
		{"team", "x", "there is no kind of restriction"},
	} {
		_, err := w.Restrict(w.ctx, c.ID, bad.kind, bad.value, admin)
		require.ErrorIs(t, err, ci.ErrInvalid, bad.value)
		require.ErrorContains(t, err, bad.want)
	}
	_, err := w.Restrict(w.ctx, "nope", ci.RestrictGroup, "x", admin)
	require.ErrorIs(t, err, ci.ErrNotFound)
	for i := range secret.MaxRestrictions {
		w.restrict(c, ci.RestrictGroup, fmt.Sprint("g", i))
	}
	_, err = w.Restrict(w.ctx, c.ID, ci.RestrictGroup, "one more", admin)
	require.ErrorIs(t, err, ci.ErrInvalid)
	require.ErrorContains(t, err, "500 restrictions and cannot have more")
}

// TestSEC_LastGroup proves that the removal of the last group does not open a
// context.
func TestSEC_LastGroup(t *testing.T) {
	w := newWorld(t)
	c := w.context("prod", "A", "x")
	require.NoError(t, w.Allowed(w.ctx, ask(bob, "prod")))
	g, h := w.restrict(c, ci.RestrictGroup, "deployers"), w.restrict(c, ci.RestrictGroup, "ops")
	require.NoError(t, w.Allowed(w.ctx, ask(alice, "prod")))
	require.ErrorIs(t, w.Allowed(w.ctx, ask(bob, "prod")), ci.ErrDenied)
	require.NoError(t, w.Unrestrict(w.ctx, c.ID, g.ID, admin))
	require.NoError(t, w.Unrestrict(w.ctx, c.ID, h.ID, admin))
	for _, by := range []ci.Actor{alice, bob, {}} {
		err := w.Allowed(w.ctx, ask(by, "prod"))
		require.ErrorIs(t, err, ci.ErrDenied)
		require.ErrorContains(t, err, `only administrators of gh/acme may use it, and `+by.String()+` is none: an administrator can open it to the group "All members"`)
	}
	require.NoError(t, w.Allowed(w.ctx, ask(admin, "prod")))
	_, err := w.SetVariable(w.ctx, ci.Holder{Context: c.ID}, "A", "y", alice)
	require.ErrorIs(t, err, ci.ErrDenied)

	w.restrict(c, ci.RestrictGroup, secret.AllMembers)
	require.NoError(t, w.Allowed(w.ctx, ask(bob, "prod")))
	require.ErrorIs(t, w.Allowed(w.ctx, ask(mallory, "prod")), ci.ErrDenied)
}

// Without anybody to ask, everybody is a member and nobody an administrator.
func TestSEC_ZeroConfig(t *testing.T) {
	w := newWorld(t)
	w.Safe = secret.New(memdb.New(), secrettest.New(), secret.Config{})
	c := w.context("prod", "A", "x")
	w.set(ci.Holder{Project: "any"}, "B", "y")
	w.restrict(c, ci.RestrictProject, "p-shop")
	w.restrict(c, ci.RestrictGroup, secret.AllMembers)
	require.NoError(t, w.Allowed(w.ctx, ask(bob, "prod")))
	e := w.restrict(c, ci.RestrictExpression, `pipeline.git.branch == "main"`)
	require.ErrorContains(t, w.Allowed(w.ctx, ask(bob, "prod")), "pipeline.git.branch is not known here")
	require.NoError(t, w.Unrestrict(w.ctx, c.ID, e.ID, bob))
	_, err := w.CreateKey(w.ctx, "any", ci.KeyDeploy, bob)
	require.NoError(t, err)

	d := w.context("team")
	w.restrict(d, ci.RestrictGroup, "deployers")
	require.ErrorIs(t, w.Allowed(w.ctx, ask(admin, "team")), ci.ErrDenied)
}
