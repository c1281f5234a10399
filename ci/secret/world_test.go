package secret_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/secret"
	"github.com/rondo-ci/rondo/ci/secret/secrettest"
	"github.com/rondo-ci/rondo/storage/memdb"
)

var (
	_ ci.Contexts  = (*secret.Safe)(nil)
	_ ci.Variables = (*secret.Safe)(nil)
	_ ci.Keys      = (*secret.Safe)(nil)
)

// The people and projects of the tests.
var (
	admin   = ci.Actor{ID: "1", Kind: ci.ActorUser, Login: "admin"}
	alice   = ci.Actor{ID: "2", Kind: ci.ActorUser, Login: "alice"} // in the group deployers
	bob     = ci.Actor{ID: "3", Kind: ci.ActorUser, Login: "bob"}
	mallory = ci.Actor{ID: "4", Kind: ci.ActorForge, Login: "mallory"} // of another organisation

	shop   = ci.Project{ID: "p-shop", Slug: "gh/acme/shop", Org: "acme", Repo: "shop"}
	tools  = ci.Project{ID: "p-tools", Slug: "gh/acme/tools", Org: "acme", Repo: "tools"}
	abroad = ci.Project{ID: "p-evil", Slug: "gh/evil/x", Org: "evil", Repo: "x"}
)

const acme = "gh/acme"

// A note is one line of the record.
type note struct {
	action string
	by     string
	target map[string]string
}

// A world is a safe and its surroundings.
type world struct {
	*secret.Safe
	t      *testing.T
	ctx    context.Context
	db     ci.Docs
	keeper *secrettest.Keeper

	mu     sync.Mutex
	groups map[string][]string // by org and login
	notes  []note
	// announced are the actions whose code host was to be told first.
	announced []string
	ssh       bool
	// broken fails calls by the name of the function in Config, or by action.
	broken map[string]error
	told   []string // what the code host was told
	// meanwhile is what others do while it is told.
	meanwhile func()
}

func newWorld(t *testing.T) *world { return newWorldOver(t, memdb.New()) }

func newWorldOver(t *testing.T, db ci.Docs) *world {
	w := &world{t: t, ctx: context.Background(), db: db, keeper: secrettest.New(), broken: map[string]error{}, groups: map[string][]string{
		acme + " alice": {secret.AllMembers, "deployers"}, acme + " bob": {secret.AllMembers}, acme + " admin": {secret.AllMembers},
		"gh/evil mallory": {secret.AllMembers, "deployers"},
	}}
	w.Safe = secret.New(w.db, w.keeper, secret.Config{
		Values: func(n ci.Need) map[string]any {
			return map[string]any{"pipeline.git.branch": n.Pipeline.Trigger.Branch, "pipeline.number": n.Pipeline.Number, "job.ssh.enabled": w.ssh}
		},
		Groups: func(_ context.Context, org string, of ci.Actor) ([]string, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.groups[org+" "+of.Login], w.broken["groups"]
		},
		Admin: func(_ context.Context, org string, of ci.Actor) (bool, error) {
			return org == acme && of == admin, w.broken["admin"]
		},
		May: func(_ context.Context, by ci.Actor, org string, write bool) error {
			if org == acme && by == mallory {
				return fmt.Errorf("%s is not yours: %w", org, ci.ErrDenied)
			}
			return w.broken["may"]
		},
		Project: func(_ context.Context, id ci.ProjectID) (ci.Project, error) {
			for _, p := range []ci.Project{shop, tools, abroad} {
				if p.ID == id {
					return p, w.broken["project"]
				}
			}
			return ci.Project{}, fmt.Errorf("project %s: %w", id, ci.ErrNotFound)
		},
		CodeHost: func(_ context.Context, p ci.ProjectID, k ci.Key, accept bool, by ci.Actor) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told = append(w.told, fmt.Sprint(p, " ", k.SHA256, " ", accept))
			if w.meanwhile != nil {
				w.meanwhile()
			}
			return w.broken["codehost"]
		},
		Note: func(_ context.Context, a ci.Act) ([]ci.DocChange, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			target := with(map[string]string{}, nil)
			maps.Copy(target, a.Target)
			if !a.Success {
				target["success"], target["reason"] = "false", a.Reason
			}
			if a.Target["phase"] == "announced" {
				w.announced = append(w.announced, a.Action)
				return nil, errors.Join(w.broken["note"], w.broken[a.Action])
			}
			w.notes = append(w.notes, note{a.Action, a.Actor.Login, target})
			line := ci.Doc{Kind: "line", ID: ci.NewID(), Body: []byte(a.Action)}
			return []ci.DocChange{{Doc: line}}, errors.Join(w.broken["note"], w.broken[a.Action])
		},
	})
	return w
}

// context makes a context with variables NAME, value, NAME, value.
func (w *world) context(name string, vars ...string) ci.Context {
	w.t.Helper()
	c, err := w.CreateContext(w.ctx, acme, name, admin)
	require.NoError(w.t, err)
	for i := 0; i < len(vars); i += 2 {
		w.set(ci.Holder{Context: c.ID}, vars[i], vars[i+1])
	}
	return c
}

func (w *world) set(of ci.Holder, name, value string) {
	w.t.Helper()
	_, err := w.SetVariable(w.ctx, of, name, value, admin)
	require.NoError(w.t, err)
}

func (w *world) restrict(c ci.Context, kind ci.RestrictionKind, value string) ci.Restriction {
	w.t.Helper()
	r, err := w.Restrict(w.ctx, c.ID, kind, value, admin)
	require.NoError(w.t, err)
	return r
}

// ask is a job of the shop on main, for the actor.
func ask(by ci.Actor, contexts ...string) ci.Need {
	return ci.Need{Project: shop, Job: "deploy", Contexts: contexts, Actor: by, Pipeline: ci.Pipeline{
		ID: "pipe-1", Number: 7,
		Trigger: ci.Trigger{Project: shop.ID, Source: ci.SourceWebhook, Actor: bob, Branch: "main", Revision: "abc"},
	}}
}

// last returns the newest lines of the record, without the actors.
func (w *world) last(n int) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, n := range w.notes[len(w.notes)-n:] {
		out = append(out, n.action+" "+n.target["success"])
	}
	return out
}
