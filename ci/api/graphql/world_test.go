package graphql_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
	"github.com/rondo-ci/rondo/ci/api/graphql"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/ci/config/orb"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// A world is the handler with everything behind it, in memory.
type world struct {
	t        testing.TB
	registry *orb.Registry
	vault    *vault
	h        *graphql.Handler
	now      time.Time
}

// People and their tokens: ada owns gh/acme, bob reads it, mallory owns
// gh/evil, and root administers the installation.
var orgs = map[string][]string{"ada": {"gh/acme"}, "bob": {"gh/acme"}, "mallory": {"gh/evil"}, "root": {"gh/ops"}}

func newWorld(t testing.TB) *world {
	w := &world{t: t, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), vault: &vault{}}
	w.registry = orb.New(memdb.New(), orb.Config{Now: func() time.Time { return w.now }})
	w.vault.now = func() time.Time { return w.now }
	w.h = graphql.New(w.registry, graphql.Config{
		Auth: func(_ *http.Request, token string) (ci.Actor, error) {
			if token == "broken" {
				return ci.Actor{}, errors.New("directory is down")
			}
			if orgs[token] == nil {
				return ci.Actor{}, ci.ErrDenied
			}
			return ci.Actor{ID: token, Kind: ci.ActorUser, Login: token}, nil
		},
		Orgs: func(_ context.Context, by ci.Actor) ([]string, error) { return orgs[by.Login], nil },
		MayOrg: func(_ context.Context, by ci.Actor, org string, write bool) error {
			switch {
			case !slices.Contains(orgs[by.Login], org):
				return ci.ErrNotFound
			case write && by.Login == "bob":
				return ci.ErrDenied
			}
			return nil
		},
		Admin: func(_ context.Context, by ci.Actor) error {
			if by.Login != "root" {
				return ci.ErrDenied
			}
			return nil
		},
		Compile: func(ctx context.Context, r api.CompileRequest) (string, error) {
			values := map[string]any{}
			for k, v := range r.Values {
				values[strings.TrimPrefix(k, "pipeline.")] = v
			}
			return config.Process(ctx, []byte(r.Source), config.Options{Orbs: w.registry.For(r.Org), Parameters: r.Parameters, Values: values})
		},
		CompileOrb: func(ctx context.Context, source, org string) (string, error) {
			return config.ProcessOrb(ctx, []byte(source), config.Options{Orbs: w.registry.For(org)})
		},
		Contexts: w.vault, Variables: w.vault,
	})
	return w
}

// post sends a document as somebody and returns the reply.
func (w *world) post(who, document string, variables map[string]any) reply {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{"query": document, "variables": variables})
	require.NoError(w.t, err)
	r := httptest.NewRequest("POST", "/graphql-unstable", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("Authorization", who)
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	require.Equal(w.t, "application/json; charset=utf-8", rec.Header().Get("Content-Type"))
	var out reply
	require.NoError(w.t, json.Unmarshal(rec.Body.Bytes(), &out), rec.Body)
	out.status, out.text = rec.Code, rec.Body.String()
	return out
}

// A reply is one that has been read.
type reply struct {
	Data   map[string]any
	Errors []struct {
		Message   string
		Locations []struct{ Line, Column int }
		Path      []any
	}
	status int
	text   string
}

// ok sends a document that has to succeed and returns the value at the path.
func (w *world) ok(who, document string, variables map[string]any, path ...any) any {
	w.t.Helper()
	r := w.post(who, document, variables)
	require.Equal(w.t, 200, r.status)
	require.Empty(w.t, r.Errors, r.text)
	return dig(w.t, r.Data, path...)
}

func dig(t testing.TB, v any, path ...any) any {
	t.Helper()
	for _, p := range path {
		switch key := p.(type) {
		case string:
			m, ok := v.(map[string]any)
			require.True(t, ok, "no %s in %v", key, v)
			v = m[key]
		case int:
			l, ok := v.([]any)
			require.True(t, ok && key < len(l), "no %d in %v", key, v)
			v = l[key]
		}
	}
	return v
}

// A vault keeps contexts and their variables, in memory.
type vault struct {
	now       func() time.Time
	list      []ci.Context
	variables map[ci.Holder][]ci.Variable
}

func (v *vault) Contexts(_ context.Context, org string) ([]ci.Context, error) {
	return slices.DeleteFunc(slices.Clone(v.list), func(c ci.Context) bool { return org != "" && c.Org != org }), nil
}

func (v *vault) Context(_ context.Context, id ci.ContextID) (ci.Context, error) {
	for _, c := range v.list {
		if c.ID == id {
			return c, nil
		}
	}
	return ci.Context{}, ci.ErrNotFound
}

func (v *vault) CreateContext(_ context.Context, org, name string, _ ci.Actor) (ci.Context, error) {
	for _, c := range v.list {
		if c.Org == org && c.Name == name {
			return c, fmt.Errorf("a context named %s already exists: %w", name, ci.ErrConflict)
		}
	}
	c := ci.Context{ID: ci.ContextID(ci.NewID()), Org: org, Name: name, Created: v.now()}
	v.list = append(v.list, c)
	return c, nil
}

func (v *vault) DeleteContext(_ context.Context, id ci.ContextID, _ ci.Actor) error {
	v.list = slices.DeleteFunc(v.list, func(c ci.Context) bool { return c.ID == id })
	return nil
}

func (v *vault) Restrictions(context.Context, ci.ContextID) ([]ci.Restriction, error) {
	return nil, nil
}

func (v *vault) Restrict(context.Context, ci.ContextID, ci.RestrictionKind, string, ci.Actor) (ci.Restriction, error) {
	return ci.Restriction{}, ci.ErrInvalid
}

func (v *vault) Unrestrict(context.Context, ci.ContextID, string, ci.Actor) error {
	return ci.ErrNotFound
}

func (v *vault) Variables(_ context.Context, of ci.Holder) ([]ci.Variable, error) {
	return v.variables[of], nil
}

func (v *vault) SetVariable(_ context.Context, of ci.Holder, name, _ string, _ ci.Actor) (ci.Variable, error) {
	x := ci.Variable{Name: name, Masked: "xxxx", Created: v.now(), Updated: v.now()}
	if v.variables == nil {
		v.variables = map[ci.Holder][]ci.Variable{}
	}
	v.variables[of] = append(slices.DeleteFunc(v.variables[of], func(y ci.Variable) bool { return y.Name == name }), x)
	return x, nil
}

func (v *vault) DeleteVariable(_ context.Context, of ci.Holder, name string, _ ci.Actor) error {
	before := len(v.variables[of])
	v.variables[of] = slices.DeleteFunc(v.variables[of], func(y ci.Variable) bool { return y.Name == name })
	if len(v.variables[of]) == before {
		return ci.ErrNotFound
	}
	return nil
}
