package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/cmd/internal/engine"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/local"
	"github.com/rondo-ci/rondo/scheduler/nomad/pointer"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// BenchmarkAgentStart is the time from the start of an agent's process until the
// first line of the user's command is at the server: claim, first steps and
// output over HTTP, with the host executor. The floor is bash alone, until its
// first line is in a pipe. The agent may take 100 ms.
func BenchmarkAgentStart(b *testing.B) {
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			cmd := exec.Command("/bin/bash", "-eo", "pipefail", "-c", "echo hi")
			out, err := cmd.StdoutPipe()
			require.NoError(b, err)
			require.NoError(b, cmd.Start())
			_, err = out.Read(make([]byte, 1))
			require.NoError(b, err)
			b.StopTimer()
			require.NoError(b, cmd.Wait())
			b.StartTimer()
		}
	})
	b.Run("rondo", func(b *testing.B) {
		a := newAgents(b)
		var all time.Duration
		for b.Loop() {
			all += a.toLine()
		}
		b.ReportMetric(0, "ns/op") // with the queue before and the report after
		b.ReportMetric(float64(all.Microseconds())/1000/float64(b.N), "ms-to-line")
	})
}

// echo is one job whose only step prints a line.
const echo = `
version: 2.1
jobs: {hi: {docker: [{image: cimg/base:stable}], steps: [{run: echo hi}]}}
workflows: {main: {jobs: [hi]}}
`

// agents is an engine whose agents are processes as Nomad starts them.
type agents struct {
	*engine.Engine
	b      *testing.B
	starts chan time.Time
	ends   chan error
	output sync.Map // path of a step's output -> time.Time
}

// toLine runs a task and returns the time from the start of its agent until the
// line was acknowledged.
func (a *agents) toLine() time.Duration {
	after, err := a.DB.LastEvent(a.b.Context())
	require.NoError(a.b, err)
	_, err = a.Server.Trigger(a.b.Context(), ci.Trigger{Project: "p", Branch: "main", Revision: "4f1c2d"})
	require.NoError(a.b, err)
	began := <-a.starts
	require.NoError(a.b, <-a.ends)
	for e, err := range a.Server.Follow(a.b.Context(), after) {
		require.NoError(a.b, err)
		if e.Kind != ci.StepStarted || e.Step.Kind != ci.StepRun {
			continue
		}
		at, ok := a.output.LoadAndDelete(fmt.Sprintf("%s.0/1/steps/%d/output", e.Job, e.Step.Index))
		require.True(a.b, ok, "no output")
		return at.(time.Time).Sub(began)
	}
	return 0
}

func newAgents(b *testing.B) *agents {
	dir, key := b.TempDir(), make(door.Key, 32)
	a := &agents{b: b, starts: make(chan time.Time, 1), ends: make(chan error, 1)}
	exe := filepath.Join(dir, "rondo-agent")
	out, err := exec.Command("go", "build", "-o", exe, ".").CombinedOutput()
	require.NoError(b, err, "%s", out)
	db, err := sqldb.Open(b.Context(), filepath.Join(dir, "db"), sqldb.Config{})
	require.NoError(b, err)
	bucket, err := storage.OpenDir(filepath.Join(dir, "files"))
	require.NoError(b, err)
	logs, err := storage.OpenLogs(filepath.Join(dir, "logs"), storage.LogsConfig{Bucket: bucket})
	require.NoError(b, err)
	var at string
	a.Engine = engine.New(engine.Parts{
		DB: db, Backlog: db.Backlog(), Logs: logs, Files: storage.NewFiles(bucket, storage.FilesConfig{}), Key: key,
		Compiler: ci.CompilerFunc(func(ctx context.Context, project ci.Project, p ci.Pipeline) (ci.Plan, error) {
			return config.Compile(ctx, []byte(echo), config.Options{Values: engine.Values(project, p)})
		}),
		Cluster: local.New(local.Func(func(ctx context.Context, p scheduler.Placement) error {
			text, err := json.Marshal(pointer.Pointer{Door: at, Task: p.Task.ID, Epoch: p.Epoch, Token: p.Token})
			if err != nil {
				return err
			}
			cmd := exec.CommandContext(ctx, exe, "--dir", filepath.Join(dir, "work"))
			cmd.Env = append(os.Environ(), pointer.Env+"="+string(text))
			a.starts <- time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				a.ends <- fmt.Errorf("%w: %s", err, out)
				return err
			}
			a.ends <- nil
			return nil
		}), local.Config{Dir: filepath.Join(dir, "agents")}),
	}, engine.Config{})
	handler := door.Handler(a.Door, key)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r)
		if task, ok := strings.CutPrefix(r.URL.Path, "/door/v1/tasks/"); ok && strings.HasSuffix(task, "/output") {
			a.output.LoadOrStore(task, time.Now()) // the first of each step
		}
	}))
	at = server.URL
	require.NoError(b, db.PutProject(b.Context(), ci.Project{ID: "p", Slug: "gh/acme/shop", Org: "acme", Repo: "shop", DefaultBranch: "main"}))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	b.Cleanup(func() {
		stop()
		require.NoError(b, <-ended)
		server.Close()
		require.NoError(b, logs.Close())
		require.NoError(b, db.Close())
	})
	return a
}
