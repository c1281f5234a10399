package api_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
	"github.com/rondo-ci/rondo/ci/secret"
	"github.com/rondo-ci/rondo/ci/secret/secrettest"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// A cabinet is the real chapters of variables, keys and tokens in memory, and a
// code host that knows the repositories of gh/acme.
type cabinet struct {
	*secret.Safe
	*auth.Tokens
	world *world
}

// withCabinet gives the API a cabinet.
func withCabinet(c *cabinet) func(*api.Config) {
	c.Safe = secret.New(memdb.New(), secrettest.New(), secret.Config{})
	c.Tokens = auth.NewTokens(memdb.New())
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

// privateKey makes a key as people have one.
func privateKey(t testing.TB) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
