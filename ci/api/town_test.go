package api_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
)

// A town is a world with all chapters, and something in each.
type town struct {
	*world
	*rooms
	mu       sync.Mutex
	refuse   error  // what MayOrg answers
	writes   bool   // whether only to those who would write
	followed []bool // what was asked of the code host
	compiled api.CompileRequest
	goneOn   string // with which key a pipeline was continued
}

const (
	slug    = "gh/acme/shop"
	orgSlug = "gh/acme"
)

func newTown(t testing.TB, edit ...func(*api.Config)) *town {
	n := &town{rooms: newRooms()}
	n.world = newWorld(t, append([]func(*api.Config){n.furnish, operate(newFloor())}, edit...)...)
	return n
}

// furnish gives the API the chapters.
func (n *town) furnish(cfg *api.Config) {
	cfg.User = func(_ context.Context, id string) (ci.Actor, error) {
		if id != grace.ID {
			return ci.Actor{}, fmt.Errorf("user %s: %w", id, ci.ErrNotFound)
		}
		return grace, nil
	}
	cfg.Chapters = api.Chapters{
		Contexts: n.rooms, Variables: n.rooms, Keys: n.rooms, Schedules: n.rooms, Webhooks: n.rooms,
		PutProject: func(ctx context.Context, p ci.Project) error { return n.world.db.PutProject(ctx, p) },
		Docs:       lateDocs{n},
		Keyring:    ring{},
		Audit:      ledger{},
		Users:      folks{},
		Insights:   newMemory(n.rooms),
		Follow:     n.follow,
		Orgs: func(context.Context, ci.Actor) ([]string, error) {
			return []string{orgSlug, "gh/empty", "bb/acme"}, nil
		},
		MayOrg: func(_ context.Context, _ ci.Actor, org string, write bool) error {
			if strings.HasSuffix(org, "/none") {
				return ci.ErrNotFound
			}
			n.mu.Lock()
			defer n.mu.Unlock()
			if n.writes && !write {
				return nil
			}
			return n.refuse
		},
		Compile: func(_ context.Context, r api.CompileRequest) (string, error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.compiled = r
			if strings.Contains(r.Source, "broken") {
				return "", errors.Join(
					fmt.Errorf("config.yml:1:1: no such thing: %w", ci.ErrInvalid), fmt.Errorf("config.yml:2:1: nor this: %w", ci.ErrInvalid),
				)
			}
			return "version: 2\n", nil
		},
		Continue: func(_ context.Context, key, _ string, _ map[string]any) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			if key != "the-key" {
				return ci.ErrNotFound
			}
			if n.goneOn == key {
				return fmt.Errorf("continue: it was continued before: %w", ci.ErrConflict)
			}
			n.goneOn = key
			return nil
		},
	}
}

var grace = ci.Actor{ID: "99999999-2222-4333-8444-555555555555", Kind: ci.ActorUser, Login: "grace"}

func (n *town) follow(ctx context.Context, slug string, follow bool, _ ci.Actor) (ci.Project, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.followed = append(n.followed, follow)
	parts := strings.Split(slug, "/")
	if parts[0] != "gh" || parts[2] == "nowhere" {
		return ci.Project{}, fmt.Errorf("follow %s: no such repository: %w", slug, ci.ErrNotFound)
	}
	p, err := n.world.db.ProjectBySlug(ctx, slug)
	if errors.Is(err, ci.ErrNotFound) {
		p = ci.Project{
			ID: ci.ProjectID(ci.NewID()), Slug: slug, Org: parts[1], Repo: parts[2], DefaultBranch: "main", RepoID: "4711",
			CloneURL: "git@github.com:" + parts[1] + "/" + parts[2] + ".git",
		}
	}
	p.Followed = follow
	return p, n.world.db.PutProject(ctx, p)
}

// lateDocs are those of the world's database, which is made after the Config.
type lateDocs struct{ n *town }

func (d lateDocs) Doc(ctx context.Context, kind, id string) (ci.Doc, error) {
	return d.n.world.db.Doc(ctx, kind, id)
}

func (d lateDocs) Docs(ctx context.Context, q ci.DocQuery) iter.Seq2[ci.Doc, error] {
	return d.n.world.db.Docs(ctx, q)
}

func (d lateDocs) WriteDocs(ctx context.Context, changes ...ci.DocChange) ([]ci.Doc, error) {
	return d.n.world.db.WriteDocs(ctx, changes...)
}

// say makes a request that must be answered with the status, and decodes the
// reply.
func (n *town) say(status int, method, path, body string) map[string]any {
	n.world.t.Helper()
	r := n.call(method, "/api/v2"+path, body)
	require.Equal(n.world.t, status, r.StatusCode, "%s %s: %s", method, path, r.body)
	v := n.decode(r)
	if status >= 400 {
		require.NotEmpty(n.world.t, v["message"])
	}
	return v
}

// ids are the identities of what a populated town has.
type ids struct {
	org, project, context, restriction, schedule, webhook, definition, trigger, prefix string
	fingerprint, export                                                                string
}

// populate puts one of each into the town.
func (n *town) populate() ids {
	n.world.t.Helper()
	id := func(v map[string]any) string { return v["id"].(string) }
	at := ids{org: n.say(200, "GET", "/organization/gh/acme", "")["id"].(string), project: string(n.world.now.ID)}
	at.context = id(n.say(200, "POST", "/context", `{"name":"deploy","owner":{"id":"`+at.org+`","type":"organization"}}`))
	n.say(200, "PUT", "/context/"+at.context+"/environment-variable/TOKEN", `{"value":"abcdefgh"}`)
	at.restriction = id(n.say(201, "POST", "/context/"+at.context+"/restrictions", `{"project_id":"`+at.project+`"}`))
	n.say(201, "POST", "/project/"+slug+"/envvar", `{"name":"KEY","value":"12345678"}`)
	at.fingerprint = n.say(201, "POST", "/project/"+slug+"/checkout-key", `{"type":"deploy-key"}`)["fingerprint"].(string)
	at.schedule = id(n.say(201, "POST", "/project/"+slug+"/schedule", nightly))
	at.webhook = id(n.say(201, "POST", "/webhook", `{"name":"hook","url":"https://hooks.example/x","events":["job-completed"],"verify-tls":true,`+
		`"signing-secret":"sesame-open","scope":{"id":"`+at.project+`","type":"project"}}`))
	at.definition = id(n.say(201, "POST", "/projects/"+at.project+"/pipeline-definitions", `{"name":"other"}`))
	at.trigger = id(n.say(201, "POST", "/projects/"+at.project+"/pipeline-definitions/"+at.definition+"/triggers",
		`{"event_source":{"provider":"github_app"},"event_preset":"all-pushes"}`))
	at.prefix = id(n.say(201, "POST", "/organization/"+at.org+"/url-orb-allow-list", `{"name":"ours","prefix":"https://orbs.example/"}`))
	at.export = n.say(201, "POST", "/organizations/gh/acme/usage_export_job", `{"start":"2026-11-01","end":"2026-11-02"}`)["usage_export_job_id"].(string)
	return at
}

const nightly = `{"name":"nightly","description":"every night","attribution-actor":"current","parameters":{"branch":"main","n":3},` +
	`"timetable":{"per-hour":1,"hours-of-day":[3],"days-of-week":["MON","TUE"]}}`
