package api_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// A cabinet is chapters that live in memory: variables and keys of projects,
// and who is followed. Its tokens are the real ones.
type cabinet struct {
	mu    sync.Mutex
	world *world
	*auth.Tokens
	variables map[string]ci.Variable
	keys      []ci.Key
	made      int // keys so far
}

// withCabinet gives the API a cabinet.
func withCabinet(c *cabinet) func(*api.Config) {
	c.variables, c.Tokens = map[string]ci.Variable{}, auth.NewTokens(memdb.New())
	return func(cfg *api.Config) {
		cfg.Chapters.Variables, cfg.Chapters.Keys, cfg.Chapters.Tokens = c, c, c
		cfg.Chapters.Follow = c.follow
		cfg.Chapters.PutProject = func(ctx context.Context, p ci.Project) error { return c.world.db.PutProject(ctx, p) }
	}
}

func (c *cabinet) follow(ctx context.Context, slug string, follow bool, _ ci.Actor) (ci.Project, error) {
	p, err := c.world.db.ProjectBySlug(ctx, slug)
	if err != nil && strings.HasPrefix(slug, "gh/acme/") && follow {
		p, err = ci.Project{ID: ci.ProjectID(ci.NewID()), Slug: slug, Org: "acme", Repo: slug[len("gh/acme/"):]}, nil
	}
	if err != nil {
		return p, err
	}
	p.Followed = follow
	return p, c.world.db.PutProject(ctx, p)
}

func (c *cabinet) Variables(context.Context, ci.Holder) ([]ci.Variable, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []ci.Variable
	for _, v := range c.variables {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b ci.Variable) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (c *cabinet) SetVariable(_ context.Context, of ci.Holder, name, value string, _ ci.Actor) (ci.Variable, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if strings.ContainsAny(name, "- ") || of.Project == "" {
		return ci.Variable{}, fmt.Errorf("set variable %q: not a name: %w", name, ci.ErrInvalid)
	}
	v := ci.Variable{Name: name, Masked: "xxxx", Created: time.Now()}
	if len(value) > 4 {
		v.Masked += value[len(value)-4:]
	}
	c.variables[name] = v
	return v, nil
}

func (c *cabinet) DeleteVariable(_ context.Context, _ ci.Holder, name string, _ ci.Actor) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.variables[name]; !ok {
		return ci.ErrNotFound
	}
	delete(c.variables, name)
	return nil
}

func (c *cabinet) Keys(context.Context, ci.ProjectID) ([]ci.Key, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.keys), nil
}

func (c *cabinet) add(k ci.Key) ci.Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made++
	n := c.made
	k.Public, k.MD5, k.SHA256, k.Created = fmt.Sprint("ssh-ed25519 AAAA", n), fmt.Sprintf("c9:0b:%02x", n), fmt.Sprintf("a/b+%d", n), time.Now()
	c.keys = append(c.keys, k)
	return k
}

func (c *cabinet) CreateKey(_ context.Context, _ ci.ProjectID, kind ci.KeyKind, _ ci.Actor) (ci.Key, error) {
	return c.add(ci.Key{Kind: kind, Preferred: true}), nil
}

func (c *cabinet) AddKey(_ context.Context, _ ci.ProjectID, host, private string, _ ci.Actor) (ci.Key, error) {
	if len(private) < ed25519.PublicKeySize {
		return ci.Key{}, fmt.Errorf("add key for %s: not a private key: %w", host, ci.ErrInvalid)
	}
	return c.add(ci.Key{Kind: ci.KeyAdditional, Host: host}), nil
}

func (c *cabinet) DeleteKey(_ context.Context, _ ci.ProjectID, fingerprint string, _ ci.Actor) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.keys)
	c.keys = slices.DeleteFunc(c.keys, func(k ci.Key) bool { return k.MD5 == fingerprint || k.SHA256 == fingerprint })
	if len(c.keys) == before {
		return ci.ErrNotFound
	}
	return nil
}
