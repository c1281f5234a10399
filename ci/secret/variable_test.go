package secret_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/secret"
)

func TestVariables(t *testing.T) {
	w := newWorld(t)
	c := w.context("prod")
	for _, of := range []ci.Holder{{Context: c.ID}, {Project: shop.ID}} {
		list, err := w.Variables(w.ctx, of)
		require.NoError(t, err)
		require.Empty(t, list)
		b, err := w.SetVariable(w.ctx, of, "B", "secret-1234", admin)
		require.NoError(t, err)
		require.Equal(t, "xxxx1234", b.Masked)
		require.Equal(t, b.Created, b.Updated)
		w.set(of, "A", "")
		again, err := w.SetVariable(w.ctx, of, "B", "other-5678", admin)
		require.NoError(t, err)
		require.Equal(t, "xxxx5678", again.Masked)
		require.Equal(t, b.Created, again.Created)

		list, err = w.Variables(w.ctx, of)
		require.NoError(t, err)
		require.Len(t, list, 2)
		require.Equal(t, "A", list[0].Name)
		require.Equal(t, "xxxx", list[0].Masked)
		require.Equal(t, again, list[1])

		require.NoError(t, w.DeleteVariable(w.ctx, of, "B", admin))
		require.ErrorIs(t, w.DeleteVariable(w.ctx, of, "B", admin), ci.ErrNotFound)
		list, err = w.Variables(w.ctx, of)
		require.NoError(t, err)
		require.Len(t, list, 1)
	}
	require.Zero(t, w.keeper.Opened.Load(), "nothing of this opens a value")
}

func TestMasked(t *testing.T) {
	w := newWorld(t)
	for value, want := range map[string]string{"": "xxxx", "1234": "xxxx", "12345": "xxxx2345", "aäöüß": "xxxxäöüß", "日本": "xxxx"} {
		v, err := w.SetVariable(w.ctx, ci.Holder{Project: shop.ID}, "V", value, admin)
		require.NoError(t, err)
		require.Equal(t, want, v.Masked)
	}
}

func TestVariableRules(t *testing.T) {
	w := newWorld(t)
	c := w.context("prod")
	of := ci.Holder{Context: c.ID}
	for name, value := range map[string]string{
		"_": "x", "a1_B": "x", strings.Repeat("N", 300): "x", "LONG": strings.Repeat("ü", 32*1024), "EMPTY": "", "BYTES": "+++p4$$w0rd+++\n\t\"'\\%0A \xff\xfe",
	} {
		_, err := w.SetVariable(w.ctx, of, name, value, admin)
		require.NoError(t, err, name)
	}
	for name, want := range map[string]string{
		"": "begins with a letter", "1A": "begins with a letter", "A-B": "letters, digits and _", "A B": "letters", "A=": "letters",
		"Ä": "letters", "A\n": "letters", "[": "letters", "`": "letters", "{": "letters", "@": "letters", strings.Repeat("N", 301): "301 characters, more than 300",
	} {
		_, err := w.SetVariable(w.ctx, of, name, "canary", admin)
		require.ErrorIs(t, err, ci.ErrInvalid, name)
		require.ErrorContains(t, err, want, name)
		require.NotContains(t, err.Error(), "canary")
	}
	for value, want := range map[string]string{
		strings.Repeat("ü", 32*1024+1): "the value of V has 32769 characters, more than 32768: split it", "canary\x00": "NUL",
	} {
		_, err := w.SetVariable(w.ctx, of, "V", value, admin)
		require.ErrorIs(t, err, ci.ErrInvalid)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "canary")
	}
	for _, of := range []ci.Holder{{}, {Context: c.ID, Project: shop.ID}} {
		_, err := w.SetVariable(w.ctx, of, "V", "x", admin)
		require.ErrorIs(t, err, ci.ErrInvalid)
		_, err = w.Variables(w.ctx, of)
		require.ErrorIs(t, err, ci.ErrInvalid)
		require.ErrorIs(t, w.DeleteVariable(w.ctx, of, "V", admin), ci.ErrInvalid)
	}
	for _, of := range []ci.Holder{{Context: "nope"}, {Project: "nope"}} {
		_, err := w.SetVariable(w.ctx, of, "V", "x", admin)
		require.ErrorIs(t, err, ci.ErrNotFound)
		_, err = w.Variables(w.ctx, of)
		require.ErrorIs(t, err, ci.ErrNotFound)
	}
}

func TestVariableLimit(t *testing.T) {
	w := newWorld(t)
	c := w.context("prod")
	of := ci.Holder{Context: c.ID}
	for i := range secret.MaxVariables {
		w.set(of, fmt.Sprint("V", i), "x")
	}
	_, err := w.SetVariable(w.ctx, of, "ONE_MORE", "x", admin)
	require.ErrorIs(t, err, ci.ErrInvalid)
	require.ErrorContains(t, err, "context prod has 100 variables and cannot have more: delete one")
	w.set(of, "V7", "another value")
	require.NoError(t, w.DeleteVariable(w.ctx, of, "V7", admin))
	w.set(of, "ONE_MORE", "x")
	project := ci.Holder{Project: shop.ID}
	for i := range secret.MaxOfProject {
		w.set(project, fmt.Sprint("V", i), "x")
	}
	_, err = w.SetVariable(w.ctx, project, "ONE_MORE", "x", admin)
	require.ErrorIs(t, err, ci.ErrInvalid)
	require.ErrorContains(t, err, "the project has 1000 variables and cannot have more")
	w.set(project, "V7", "another value")
}

// TestSEC_GroupsEdit proves that only members of its groups change what is in
// a context, and only administrators who may use it.
func TestSEC_GroupsEdit(t *testing.T) {
	w := newWorld(t)
	c := w.context("prod", "A", "x")
	of := ci.Holder{Context: c.ID}
	_, err := w.SetVariable(w.ctx, of, "A", "by bob", bob)
	require.NoError(t, err, "it has no group")
	r := w.restrict(c, ci.RestrictGroup, "deployers")

	_, err = w.SetVariable(w.ctx, of, "A", "canary", bob)
	require.ErrorIs(t, err, ci.ErrDenied)
	require.ErrorContains(t, err, "bob is not in the group deployers")
	require.ErrorIs(t, w.DeleteVariable(w.ctx, of, "A", bob), ci.ErrDenied)
	require.ErrorIs(t, w.DeleteContext(w.ctx, c.ID, bob), ci.ErrDenied)
	require.Equal(t, []string{"context.env_var.store false", "context.env_var.delete false", "context.delete false"}, w.last(3))
	for _, by := range []ci.Actor{alice, admin} {
		_, err = w.SetVariable(w.ctx, of, "A", "y", by)
		require.NoError(t, err, by)
	}
	for _, by := range []ci.Actor{alice, bob, mallory} {
		_, err = w.Restrict(w.ctx, c.ID, ci.RestrictProject, string(shop.ID), by)
		require.ErrorIs(t, err, ci.ErrDenied, by)
		require.ErrorIs(t, w.Unrestrict(w.ctx, c.ID, r.ID, by), ci.ErrDenied, by)
	}
	_, err = w.CreateContext(w.ctx, acme, "mine", mallory)
	require.ErrorIs(t, err, ci.ErrDenied)
	require.ErrorIs(t, w.DeleteContext(w.ctx, c.ID, mallory), ci.ErrDenied)
}
