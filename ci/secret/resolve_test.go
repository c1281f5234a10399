package secret_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/secret"
	"github.com/rondo-ci/rondo/storage/memdb"
)

func v(name, value string) ci.Var { return ci.Var{Name: name, Value: value, Secret: true} }

func TestResolve(t *testing.T) {
	w := newWorld(t)
	w.set(ci.Holder{Project: shop.ID}, "A", "project")
	w.set(ci.Holder{Project: shop.ID}, "P", "project")
	w.set(ci.Holder{Project: tools.ID}, "T", "of tools")
	w.context("one", "A", "one", "B", "one")
	w.context("two", "B", "two", "A", "")
	w.context("unasked", "C", "x")

	// A Safe is what a ci.Server asks for.
	asks := ci.Config{Secrets: w.Resolve, Allow: w.Allowed}
	require.NoError(t, asks.Allow(w.ctx, ask(bob, "one", "two")))
	vars, keys, err := asks.Secrets(w.ctx, ask(bob, "one", "two"))
	require.NoError(t, err)
	require.Empty(t, keys)
	require.Equal(t, []ci.Var{v("A", "project"), v("P", "project"), v("A", "one"), v("B", "one"), v("A", ""), v("B", "two")}, vars)

	vars, _, err = w.Resolve(w.ctx, ask(bob, "two", "one"))
	require.NoError(t, err)
	require.Equal(t, v("B", "one"), vars[len(vars)-1], "later wins")

	vars, _, err = w.Resolve(w.ctx, ask(bob))
	require.NoError(t, err)
	require.Len(t, vars, 2)
}

// A value arrives byte for byte.
func TestSEC_ExactBytes(t *testing.T) {
	w := newWorld(t)
	for _, value := range []string{"+++p4$$w0rd+++", `"quotes" 'and' \back\`, "%0A", "a\nb\r\tc", " lead and trail ", "\xff\xfe", "e\u0301 \u00e9", strings.Repeat("ü", 32<<10)} {
		w.set(ci.Holder{Project: shop.ID}, "V", value)
		vars, _, err := w.Resolve(w.ctx, ask(bob))
		require.NoError(t, err)
		require.Equal(t, []ci.Var{v("V", value)}, vars)
	}
}

// TestSEC_UnknownContext proves that a context that does not exist is denied,
// and that one of another organisation looks the same.
func TestSEC_UnknownContext(t *testing.T) {
	w := newWorld(t)
	w.context("prod", "A", "x")
	_, err := w.CreateContext(w.ctx, "gh/evil", "theirs", mallory)
	require.NoError(t, err)
	for _, name := range []string{"nope", "theirs", "PROD", ""} {
		vars, keys, err := w.Resolve(w.ctx, ask(admin, "prod", name))
		require.ErrorIs(t, err, ci.ErrDenied)
		require.EqualError(t, err, fmt.Sprintf("context %q: gh/acme has no context of this name: create it, or correct the name in the configuration: denied", name))
		require.Empty(t, vars)
		require.Empty(t, keys)
	}
	a := ask(mallory, "prod")
	a.Project = abroad
	require.ErrorContains(t, w.Allowed(w.ctx, a), `gh/evil has no context of this name`)

	many := make([]string, secret.MaxAsked+1)
	err = w.Allowed(w.ctx, ask(admin, many...))
	require.ErrorIs(t, err, ci.ErrDenied)
	require.ErrorContains(t, err, "the job asks for 101 contexts, more than 100")
}

// TestSEC_Forks proves that code of a fork gets nothing, whoever starts,
// approves or names it, unless the project says so.
func TestSEC_Forks(t *testing.T) {
	w := newWorld(t)
	w.set(ci.Holder{Project: shop.ID}, "P", "project")
	_, err := w.CreateKey(w.ctx, shop.ID, ci.KeyDeploy, admin)
	require.NoError(t, err)
	w.context("prod", "A", "x")
	before := len(w.notes)
	for _, branch := range []string{"pull/7", "main"} {
		a := ask(admin)
		a.Pipeline.Trigger.Actor, a.Pipeline.Trigger.Branch, a.Pipeline.Trigger.Fork = mallory, branch, "mallory/shop"

		vars, keys, err := w.Resolve(w.ctx, a)
		require.NoError(t, err)
		require.Empty(t, vars)
		require.Empty(t, keys)
		require.Zero(t, w.keeper.Opened.Load())
		require.Len(t, w.notes, before)

		a.Contexts = []string{"prod", "nope"}
		_, _, err = w.Resolve(w.ctx, a)
		require.ErrorIs(t, err, ci.ErrDenied)
		require.ErrorContains(t, err, `context "prod": the pipeline comes from the fork mallory/shop, and gh/acme/shop gives its secrets to no fork: an administrator can change that in the project's settings`)
		require.ErrorContains(t, err, `; context "nope": the pipeline comes from the fork`, "whether it exists does not show")
		w.notes = w.notes[:before]

		a.Project.ForkSecrets = true
		a.Contexts = []string{"prod"}
		vars, keys, err = w.Resolve(w.ctx, a)
		require.NoError(t, err)
		require.Len(t, vars, 2)
		require.Len(t, keys, 1)
		w.notes = w.notes[:before]
		w.keeper.Opened.Store(0)
	}
	c := w.context("team")
	w.restrict(c, ci.RestrictGroup, "deployers")
	a := ask(mallory, "team")
	a.Pipeline.Trigger.Fork, a.Project.ForkSecrets = "mallory/shop", true
	require.ErrorIs(t, w.Allowed(w.ctx, a), ci.ErrDenied, "the group of that name in evil does not count")
}

// TestSEC_GroupMatrix goes through who may use a context of a group, by how the
// job came to be.
func TestSEC_GroupMatrix(t *testing.T) {
	w := newWorld(t)
	c := w.context("prod", "A", "x")
	w.restrict(c, ci.RestrictGroup, "deployers")
	for _, c := range []struct {
		says string
		by   ci.Actor // who answers for the job
		want bool
	}{
		{"a member", alice, true},
		{"another of the organisation", bob, false},
		{"an administrator", admin, true},
		{"a schedule", ci.Actor{Kind: ci.ActorSchedule, Login: "nightly"}, false},
		{"a token of the project", ci.Actor{ID: "token-1", Login: "project token"}, false},
		{"the system", ci.Actor{}, false},
		{"a member of a group of that name elsewhere", mallory, false},
	} {
		for _, pushed := range []ci.Actor{alice, bob} { // pushes, reruns and approvals: who pushed does not count
			a := ask(c.by, "prod")
			a.Pipeline.Trigger.Actor = pushed
			err := w.Allowed(w.ctx, a)
			require.Equal(t, c.want, err == nil, "%s: %v", c.says, err)
			vars, _, err := w.Resolve(w.ctx, a)
			require.Equal(t, c.want, err == nil, "%s: %v", c.says, err)
			require.Equal(t, c.want, len(vars) == 1)
			if !c.want {
				require.ErrorIs(t, err, ci.ErrDenied)
				require.ErrorContains(t, err, `context "prod":`)
			}
		}
	}
	// The decision is that of the moment: between the start of the workflow
	// and that of the job alice leaves.
	require.NoError(t, w.Allowed(w.ctx, ask(alice, "prod")))
	w.groups[acme+" alice"] = []string{secret.AllMembers}
	_, _, err := w.Resolve(w.ctx, ask(alice, "prod"))
	require.ErrorIs(t, err, ci.ErrDenied)
	require.ErrorContains(t, err, "alice is not in the group deployers that it is restricted to")
}

// TestSEC_OneOfEachKind proves that one restriction of each kind must pass.
func TestSEC_OneOfEachKind(t *testing.T) {
	w := newWorld(t)
	c := w.context("prod", "A", "x")
	w.restrict(c, ci.RestrictGroup, "ops")
	w.restrict(c, ci.RestrictGroup, "deployers")
	w.restrict(c, ci.RestrictProject, string(tools.ID))
	w.restrict(c, ci.RestrictProject, string(shop.ID))
	w.restrict(c, ci.RestrictExpression, `pipeline.git.branch == "main" and not job.ssh.enabled`)
	w.restrict(c, ci.RestrictExpression, `pipeline.nope or true`)
	for bits := range 8 {
		a := ask(alice, "prod")
		kind := ci.RestrictionKind("")
		if bits&1 != 0 {
			a.Pipeline.Trigger.Branch, kind = "evil", ci.RestrictExpression
		}
		if bits&2 != 0 {
			a.Project.ID, kind = "p-another", ci.RestrictProject
		}
		if bits&4 != 0 {
			a.Actor, kind = bob, ci.RestrictGroup
		}
		d, err := w.Explain(w.ctx, a)
		require.NoError(t, err)
		require.Len(t, d, 1)
		require.Equal(t, c.ID, d[0].ID)
		require.Equal(t, bits == 0, d[0].Allowed)
		require.Equal(t, kind, d[0].Kind)
		require.NotEmpty(t, d[0].Reason)
		_, _, err = w.Resolve(w.ctx, a)
		require.Equal(t, bits == 0, err == nil)
		if err != nil {
			require.ErrorContains(t, err, d[0].Reason)
		}
	}
	a := ask(alice, "prod")
	w.ssh = true
	d, err := w.Explain(w.ctx, a)
	require.NoError(t, err)
	require.Equal(t, "of its expressions none holds: `pipeline.git.branch == \"main\" and not job.ssh.enabled` is not true here; "+
		"`pipeline.nope or true` cannot be decided here (column 1: pipeline.nope is not known here)", d[0].Reason)
}

func TestExplain(t *testing.T) {
	w := newWorld(t)
	open, group := w.context("open"), w.context("group")
	w.restrict(group, ci.RestrictGroup, "deployers")
	project := w.context("project")
	w.restrict(project, ci.RestrictProject, string(tools.ID))
	before := len(w.notes)
	d, err := w.Explain(w.ctx, ask(alice, "open", "nope", "group", "project"))
	require.NoError(t, err)
	require.Equal(t, []secret.Decision{
		{Context: "open", ID: open.ID, Allowed: true, Reason: "it has no restrictions"},
		{Context: "nope", Reason: "gh/acme has no context of this name: create it, or correct the name in the configuration"},
		{Context: "group", ID: group.ID, Allowed: true, Reason: "the job passes its restrictions"},
		{Context: "project", ID: project.ID, Kind: ci.RestrictProject, Reason: "it is restricted to other projects than gh/acme/shop: an administrator of gh/acme can add this one"},
	}, d)
	require.Len(t, w.notes, before, "to explain is nothing to record")
}

// However much is asked for, a denial stays readable.
func TestDenialIsShort(t *testing.T) {
	w := newWorld(t)
	names := make([]string, secret.MaxAsked)
	for i := range names {
		names[i] = strings.Repeat(fmt.Sprint(i), 100)
	}
	err := w.Allowed(w.ctx, ask(bob, names...))
	require.ErrorIs(t, err, ci.ErrDenied)
	require.ErrorContains(t, err, "; 95 more: denied")
	c := w.context("prod")
	for i := range 20 {
		w.restrict(c, ci.RestrictExpression, fmt.Sprintf("pipeline.number == %d or pipeline.git.branch == %q", 100+i, strings.Repeat("x", 3000)))
	}
	err = w.Allowed(w.ctx, ask(bob, "prod"))
	require.ErrorContains(t, err, "; 15 more: denied")
	require.Less(t, len(err.Error()), 4000)
}

// What those who are asked call a denial is none of the job's.
func TestForeignDenialIsAFault(t *testing.T) {
	w := newWorld(t)
	c := w.context("prod", "A", "x")
	denied := fmt.Errorf("vault: token expired: %w", ci.ErrDenied)
	w.keeper.Fault = func(string) error { return denied }
	_, _, err := w.Resolve(w.ctx, ask(bob, "prod"))
	require.ErrorContains(t, err, "token expired")
	require.NotErrorIs(t, err, ci.ErrDenied)
	w.keeper.Fault = nil
	w.restrict(c, ci.RestrictGroup, "deployers")
	for _, what := range []string{"groups", "admin", "note"} {
		w.broken[what] = denied
		_, _, err = w.Resolve(w.ctx, ask(bob, "prod"))
		require.ErrorContains(t, err, "token expired", what)
		require.NotErrorIs(t, err, ci.ErrDenied, what)
		delete(w.broken, what)
	}
}

// hooked calls a function before each listing of a kind.
type hooked struct {
	*memdb.DB
	kind string
	hook func()
}

func (h *hooked) Docs(ctx context.Context, q ci.DocQuery) iter.Seq2[ci.Doc, error] {
	if q.Kind == h.kind && h.hook != nil {
		f := h.hook
		h.hook = nil
		f()
	}
	return h.DB.Docs(ctx, q)
}

// TestSEC_NoGapAfterTheDecision proves that a restriction which is added while
// a job asks counts for what is stored after it.
func TestSEC_NoGapAfterTheDecision(t *testing.T) {
	db := &hooked{DB: memdb.New(), kind: "context-variable"}
	w := newWorldOver(t, db)
	c := w.context("prod", "A", "old")
	db.hook = func() {
		w.restrict(c, ci.RestrictGroup, "deployers")
		w.set(ci.Holder{Context: c.ID}, "A", "new")
	}
	vars, _, err := w.Resolve(w.ctx, ask(bob, "prod"))
	require.ErrorIs(t, err, ci.ErrDenied)
	require.Empty(t, vars)

	d := w.context("gone", "A", "x")
	db.hook = func() { require.NoError(t, w.DeleteContext(w.ctx, d.ID, admin)) }
	vars, _, err = w.Resolve(w.ctx, ask(bob, "gone"))
	require.ErrorIs(t, err, ci.ErrDenied)
	require.Empty(t, vars)
}

// A fault is no denial, and nothing comes with it.
func TestSEC_FaultsGiveNothing(t *testing.T) {
	w := newWorld(t)
	c := w.context("prod", "A", "x")
	w.restrict(c, ci.RestrictGroup, "deployers")
	w.set(ci.Holder{Project: shop.ID}, "P", "y")
	boom := errors.New("boom")
	for _, what := range []string{"groups", "note", "workflow.job.context.request", "context.secrets.accessed", "project.secrets.accessed"} {
		w.broken[what] = boom
		vars, keys, err := w.Resolve(w.ctx, ask(alice, "prod"))
		require.ErrorIs(t, err, boom, what)
		require.NotErrorIs(t, err, ci.ErrDenied, what)
		require.Empty(t, vars)
		require.Empty(t, keys)
		delete(w.broken, what)
	}
	w.broken["note"] = boom
	err := w.Allowed(w.ctx, ask(bob, "prod"))
	require.ErrorIs(t, err, boom)
	require.NotErrorIs(t, err, ci.ErrDenied, "a denial is on record before it is one")
	delete(w.broken, "note")
	w.broken["admin"] = boom
	require.ErrorIs(t, w.Allowed(w.ctx, ask(bob, "prod")), boom)
	delete(w.broken, "admin")
	w.keeper.Fault = func(string) error { return boom }
	_, _, err = w.Resolve(w.ctx, ask(alice, "prod"))
	require.ErrorIs(t, err, boom)
	require.NoError(t, w.Allowed(w.ctx, ask(alice, "prod")), "a check opens nothing")
}
