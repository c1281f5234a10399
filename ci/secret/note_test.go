package secret_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// TestAUD_EachActIsOnRecord goes through all acts.
func TestAUD_EachActIsOnRecord(t *testing.T) {
	w := newWorld(t)
	c := w.context("prod", "B", "x", "A", "y")
	g := w.restrict(c, ci.RestrictGroup, "deployers")
	w.restrict(c, ci.RestrictProject, string(shop.ID))
	w.set(ci.Holder{Project: shop.ID}, "P", "z")
	k, err := w.CreateKey(w.ctx, shop.ID, ci.KeyDeploy, admin)
	require.NoError(t, err)
	_, _, err = w.Resolve(w.ctx, ask(alice, "prod"))
	require.NoError(t, err)
	_, _, err = w.Resolve(w.ctx, ask(bob, "prod"))
	require.Error(t, err)
	require.NoError(t, w.Unrestrict(w.ctx, c.ID, g.ID, admin))
	require.NoError(t, w.DeleteVariable(w.ctx, ci.Holder{Context: c.ID}, "A", admin))
	require.NoError(t, w.DeleteVariable(w.ctx, ci.Holder{Project: shop.ID}, "P", admin))
	require.NoError(t, w.DeleteKey(w.ctx, shop.ID, k.MD5, admin))
	require.NoError(t, w.DeleteContext(w.ctx, c.ID, admin))

	context := func(more ...string) map[string]string {
		return with(map[string]string{"type": "context", "id": string(c.ID), "name": "prod", "org": acme}, more)
	}
	project := func(more ...string) map[string]string {
		return with(map[string]string{"type": "project", "id": "p-shop", "name": "gh/acme/shop"}, more)
	}
	key := project("key", "SHA256:"+k.SHA256, "kind", "deploy-key")
	asking := []string{"project", "gh/acme/shop", "pipeline", "pipe-1", "job", "deploy"}
	want := []note{
		{"context.create", "admin", context()},
		{"context.env_var.store", "admin", context("variable", "B")},
		{"context.env_var.store", "admin", context("variable", "A")},
		{"context.restriction.create", "admin", context("restriction", "group", "value", "deployers")},
		{"context.restriction.create", "admin", context("restriction", "project", "value", "gh/acme/shop")},
		{"project.env_var.create", "admin", project("variable", "P")},
		{"project.checkout_key.create", "admin", key},
		{"workflow.job.context.request", "alice", with(project("contexts", "prod"), asking)},
		{"context.secrets.accessed", "alice", with(context("variables", "A,B"), asking)},
		{"project.secrets.accessed", "alice", with(project("variables", "P", "keys", "SHA256:"+k.SHA256), asking)},
		{"workflow.job.context.request", "bob", with(project("contexts", "prod", "success", "false", "reason", err.Error()), asking)},
		{"context.restriction.delete", "admin", context("restriction", "group", "value", "deployers")},
		{"context.env_var.delete", "admin", context("variable", "A")},
		{"project.env_var.delete", "admin", project("variable", "P")},
		{"project.checkout_key.delete", "admin", key},
		{"context.delete", "admin", context()},
	}
	require.Empty(t, cmp.Diff(want, w.notes, cmp.AllowUnexported(note{})))
	require.Equal(t, []string{"project.checkout_key.create", "project.checkout_key.delete"}, w.announced, "before the code host heard of it")
	kept := 0
	for _, err := range w.db.Docs(w.ctx, ci.DocQuery{Kind: "line"}) {
		require.NoError(t, err)
		kept++
	}
	require.Equal(t, len(want), kept, "each record is kept, with its act")
}

func with(m map[string]string, more []string) map[string]string {
	for i := 0; i < len(more); i += 2 {
		m[more[i]] = more[i+1]
	}
	return m
}

// TestAUD_NoRecordNoAct proves that what cannot be put on record is not done.
func TestAUD_NoRecordNoAct(t *testing.T) {
	w := newWorld(t)
	c := w.context("prod", "A", "x")
	of := ci.Holder{Context: c.ID}
	r := w.restrict(c, ci.RestrictProject, string(shop.ID))
	k, err := w.CreateKey(w.ctx, shop.ID, ci.KeyDeploy, admin)
	require.NoError(t, err)
	told := len(w.told)
	boom := errors.New("the book is full")
	w.broken["note"] = boom
	acts := map[string]func() error{
		"create":     func() error { _, err := w.CreateContext(w.ctx, acme, "more", admin); return err },
		"delete":     func() error { return w.DeleteContext(w.ctx, c.ID, admin) },
		"set":        func() error { _, err := w.SetVariable(w.ctx, of, "A", "y", admin); return err },
		"unset":      func() error { return w.DeleteVariable(w.ctx, of, "A", admin) },
		"restrict":   func() error { _, err := w.Restrict(w.ctx, c.ID, ci.RestrictGroup, "g", admin); return err },
		"unrestrict": func() error { return w.Unrestrict(w.ctx, c.ID, r.ID, admin) },
		"key":        func() error { _, err := w.CreateKey(w.ctx, shop.ID, ci.KeyUser, admin); return err },
		"unkey":      func() error { return w.DeleteKey(w.ctx, shop.ID, k.SHA256, admin) },
		"resolve":    func() error { _, _, err := w.Resolve(w.ctx, ask(admin, "prod")); return err },
	}
	for name, act := range acts {
		require.ErrorIs(t, act(), boom, name)
	}
	delete(w.broken, "note")
	require.Len(t, w.told, told, "the code host has heard of nothing")
	list, err := w.Contexts(w.ctx, acme)
	require.NoError(t, err)
	require.Len(t, list, 1)
	rs, err := w.Restrictions(w.ctx, c.ID)
	require.NoError(t, err)
	require.Equal(t, []ci.Restriction{r}, rs)
	vars, keys, err := w.Resolve(w.ctx, ask(admin, "prod"))
	require.NoError(t, err)
	require.Equal(t, []ci.Var{v("A", "x")}, vars)
	require.Len(t, keys, 1)
}
