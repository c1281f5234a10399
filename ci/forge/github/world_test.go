package github_test

import (
	"bytes"
	"context"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/forgetest"
	"github.com/rondo-ci/rondo/ci/forge/github"
	"github.com/rondo-ci/rondo/storage/memdb"
)

const (
	secret  = "0123456789abcdef0123456789abcdef"
	address = "https://ci.example.com"
)

// A world is a fake GitHub, a host over it, and a server behind it, all in one
// process: nothing goes through the network.
type world struct {
	t    testing.TB
	db   *memdb.DB
	fake *forgetest.GitHub
	host *github.Host
	cfg  github.Config
	log  *bytes.Buffer

	mu       sync.Mutex
	down     bool // the server is off
	triggers []ci.Trigger
	keys     map[ci.ProjectID]ci.SSHKey
	secrets  map[ci.ProjectID][]string
}

// newWorld makes one. change may alter the configuration.
func newWorld(t testing.TB, change func(*github.Config)) *world {
	w := &world{
		t: t, db: memdb.New(), fake: forgetest.Unplugged(t), log: &bytes.Buffer{},
		keys: map[ci.ProjectID]ci.SSHKey{}, secrets: map[ci.ProjectID][]string{"": {secret}},
	}
	server := ci.New(w.db, nil, ci.Config{})
	w.cfg = github.Config{
		URL: w.fake.URL(), Server: address, Transport: w.fake.Transport(),
		Token: func(context.Context) (string, error) { return forgetest.Token, nil },
		Secrets: func(_ context.Context, p ci.ProjectID) ([]string, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.secrets[p], nil
		},
		KeepKey: func(_ context.Context, p ci.ProjectID, k ci.SSHKey) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.keys[p] = k
			return nil
		},
		Trigger: func(ctx context.Context, tr ci.Trigger) (ci.Pipeline, error) {
			w.mu.Lock()
			w.triggers = append(w.triggers, tr)
			w.mu.Unlock()
			return server.Trigger(ctx, tr)
		},
		Events: func(ctx context.Context, after uint64) iter.Seq2[ci.Event, error] { return server.Follow(ctx, after) },
		Log:    slog.New(slog.NewTextHandler(&locked{w: w.log}, nil)),
	}
	if change != nil {
		change(&w.cfg)
	}
	w.reopen()
	w.fake.SendBy(roundTrip(w.hook))
	return w
}

// reopen makes the host anew, as a restart does.
func (w *world) reopen() {
	h, err := github.New(w.db, w.cfg)
	require.NoError(w.t, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.host = h
}

// off switches the server off or on.
func (w *world) off(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// hook carries a webhook to the door.
func (w *world) hook(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	host, down := w.host, w.down
	w.mu.Unlock()
	if down || !strings.HasPrefix(r.URL.String(), address+github.HookPath) {
		return nil, io.ErrUnexpectedEOF
	}
	rec := httptest.NewRecorder()
	host.Handler().ServeHTTP(rec, r)
	return rec.Result(), nil
}

// follow follows a new repository and returns it with its project.
func (w *world) follow(name string) (*forgetest.Repo, ci.Project) {
	w.t.Helper()
	r := w.fake.Repo(name)
	p, err := w.host.Follow(w.t.Context(), "gh/"+name, true, ci.Actor{Kind: ci.ActorUser, Login: "ada"})
	require.NoError(w.t, err)
	return r, p
}

// set changes the settings of a project.
func (w *world) set(p ci.Project, s ci.Settings) {
	w.t.Helper()
	p, err := w.db.Project(w.t.Context(), p.ID)
	require.NoError(w.t, err)
	p.Settings = s
	require.NoError(w.t, w.db.PutProject(w.t.Context(), p))
}

// pipelines returns the triggers of the pipelines there are, oldest first.
func (w *world) pipelines() []ci.Trigger {
	w.t.Helper()
	var all []ci.Trigger
	for p, err := range w.db.Pipelines(context.Background(), ci.Query{Limit: 10_000}) {
		require.NoError(w.t, err)
		all = append([]ci.Trigger{p.Trigger}, all...)
	}
	return all
}

// last returns the newest delivery of a repository.
func last(t testing.TB, r *forgetest.Repo) forgetest.Delivery {
	t.Helper()
	all := r.Deliveries()
	require.NotEmpty(t, all)
	return all[len(all)-1]
}

// run runs the host until the test or the returned function ends it.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	w.mu.Lock()
	host := w.host
	w.mu.Unlock()
	go func() {
		defer close(done)
		_ = host.Run(ctx)
	}()
	return func() { cancel(); <-done }
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// A locked writer is one that several goroutines may use.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
