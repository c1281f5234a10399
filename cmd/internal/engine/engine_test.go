package engine_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/cmd/internal/engine"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/local"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/sqldb"
	"github.com/stretchr/testify/require"
)

const trivial = `
version: 2.1
jobs:
  hi:
    docker: [{image: cimg/base:stable}]
    steps: [{run: echo hi}]
workflows: {main: {jobs: [hi]}}
`

// start runs an engine over a real database with agents in this process.
func start(t testing.TB, source string) *engine.Engine {
	dir := t.TempDir()
	db, err := sqldb.Open(t.Context(), filepath.Join(dir, "db"), sqldb.Config{})
	require.NoError(t, err)
	bucket, err := storage.OpenDir(filepath.Join(dir, "files"))
	require.NoError(t, err)
	logs, err := storage.OpenLogs(filepath.Join(dir, "logs"), storage.LogsConfig{Bucket: bucket})
	require.NoError(t, err)
	var e *engine.Engine
	e = engine.New(engine.Parts{
		DB: db, Backlog: db.Backlog(), Logs: logs, Files: storage.NewFiles(bucket, storage.FilesConfig{}), Key: make(door.Key, 32),
		Compiler: ci.CompilerFunc(func(ctx context.Context, project ci.Project, p ci.Pipeline) (ci.Plan, error) {
			return config.Compile(ctx, []byte(source), config.Options{Values: engine.Values(project, p)})
		}),
		Cluster: local.New(local.Func(func(ctx context.Context, p scheduler.Placement) error {
			return agent.New(e.Door, e.Door, agent.Config{Dir: filepath.Join(dir, "work")}).Run(ctx, p.Task.ID, p.Epoch)
		}), local.Config{Dir: filepath.Join(dir, "agents")}),
	}, engine.Config{})
	require.NoError(t, db.PutProject(t.Context(), ci.Project{ID: "p", Slug: "gh/acme/shop", Org: "acme", Repo: "shop", DefaultBranch: "main"}))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
		require.NoError(t, logs.Close())
		require.NoError(t, db.Close())
	})
	return e
}

// build runs one pipeline to its end.
func build(t testing.TB, e *engine.Engine) ci.Status {
	after, err := e.DB.LastEvent(t.Context())
	require.NoError(t, err)
	p, err := e.Server.Trigger(t.Context(), ci.Trigger{Project: "p", Branch: "main", Revision: "4f1c2d"})
	require.NoError(t, err)
	for ev, err := range e.Server.Follow(t.Context(), after) {
		require.NoError(t, err)
		if ev.Pipeline == p.ID && (ev.Kind == ci.WorkflowEnded || ev.Kind == ci.PipelineErrored) {
			return ev.Status
		}
	}
	return ""
}

func TestEngine(t *testing.T) {
	e := start(t, trivial)
	require.Equal(t, ci.Success, build(t, e))
	require.NoError(t, e.Idle(t.Context()))
}

// BenchmarkTrivial is a trivial pipeline with SQLite and agents in process:
// what Rondo itself costs, without processes other than bash.
func BenchmarkTrivial(b *testing.B) {
	e := start(b, trivial)
	for b.Loop() {
		if s := build(b, e); s != ci.Success {
			b.Fatal(s)
		}
	}
}

// BenchmarkHundred is 100 trivial pipelines at once.
func BenchmarkHundred(b *testing.B) {
	e := start(b, trivial)
	for b.Loop() {
		after, err := e.DB.LastEvent(b.Context())
		require.NoError(b, err)
		for range 100 {
			_, err := e.Server.Trigger(b.Context(), ci.Trigger{Project: "p", Branch: "main", Revision: "4f1c2d"})
			require.NoError(b, err)
		}
		ended := 0
		for ev, err := range e.Server.Follow(b.Context(), after) {
			require.NoError(b, err)
			if ev.Kind == ci.WorkflowEnded {
				if ended++; ended == 100 {
					break
				}
			}
		}
	}
}
