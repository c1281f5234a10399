package github_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/forgetest"
	"github.com/rondo-ci/rondo/ci/forge/github"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// TestP2a_WholeRoad goes from a push over the network and SQLite to a commit
// status and back, and sends every webhook five times at once: one pipeline
// each, also after a restart.
func TestP2a_WholeRoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rondo.db")
	db, err := sqldb.Open(t.Context(), file, sqldb.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	fake := forgetest.NewGitHub(t)
	mux := http.NewServeMux()
	web := httptest.NewServer(mux)
	defer web.Close()
	open := func() *github.Host {
		server := ci.New(db, ci.CompilerFunc(func(context.Context, ci.Project, ci.Pipeline) (ci.Plan, error) {
			return ci.Plan{}, fmt.Errorf("config.yml:3:1: no such key: %w", ci.ErrInvalid)
		}), ci.Config{})
		h, err := github.New(db, github.Config{
			URL: fake.URL(), Server: web.URL, Trigger: server.Trigger, Events: server.Follow,
			Token:   func(context.Context) (string, error) { return forgetest.Token, nil },
			Secrets: func(context.Context, ci.ProjectID) ([]string, error) { return []string{secret}, nil },
		})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { _ = h.Run(ctx) })
		wg.Go(func() { _ = server.Run(ctx) })
		t.Cleanup(func() { cancel(); wg.Wait() })
		return h
	}
	host := open()
	mux.Handle(github.HookPath, host.Handler())
	repo := fake.Repo("acme/shop")
	p, err := host.Follow(t.Context(), "gh/acme/shop", true, ci.Actor{})
	require.NoError(t, err)
	require.Equal(t, fake.URL()+"/acme/shop.git", p.CloneURL, "without deploy keys")

	sha := repo.Push("main", "one", nil)
	require.Equal(t, http.StatusOK, last(t, repo).Status, last(t, repo).Answer)
	eventually(t, "the status", func() bool { return len(repo.Statuses(sha)) == 1 })
	require.Equal(t, "config.yml:3:1: no such key", repo.Statuses(sha)[0].Description[:27])
	require.Equal(t, "ci/circleci: Build Error", repo.Statuses(sha)[0].Context)

	send := func() {
		var wg sync.WaitGroup
		for i := range 100 {
			for range 5 {
				wg.Go(func() {
					body := push(repo.ID(), "refs/heads/main", fmt.Sprintf("%040x", i+1), "x")
					w := world{host: host}
					status, answer := w.send(post{event: "push", guid: fmt.Sprint("guid-", i), body: body})
					if status != http.StatusOK {
						t.Error(status, answer)
					}
				})
			}
		}
		wg.Wait()
	}
	count := func() (n int) {
		for _, err := range db.Pipelines(t.Context(), ci.Query{Project: p.ID, Limit: 1000}) {
			require.NoError(t, err)
			n++
		}
		return n
	}
	send()
	require.Equal(t, 101, count())
	host = open()
	send()
	require.Equal(t, 101, count())
}
