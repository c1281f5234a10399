package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// A world is a server with everything behind it, in memory.
type world struct {
	t      testing.TB
	db     *memdb.DB
	server *ci.Server
	logs   *storage.Logs
	files  *storage.Files
	url    string
	now    ci.Project // the project
	cfg    api.Config
	// handler is what the server serves.
	handler *api.API
}

var ada = ci.Actor{ID: "11111111-2222-4333-8444-555555555555", Kind: ci.ActorUser, Login: "ada"}

const token = "secret-token"

// plan is what every pipeline of the world runs.
var plan = ci.Plan{
	Source: "version: 2.1", Expanded: "version: 2",
	Workflows: []ci.PlannedWorkflow{{Name: "main", Jobs: []ci.PlannedJob{
		{Name: "build", Contexts: []string{"deploy-keys"}, JobSpec: ci.JobSpec{
			Executor: ci.Executor{Kind: ci.ExecutorDocker}, ResourceClass: "medium", Parallelism: 2,
		}},
		{Name: "hold", Type: ci.JobApproval, Requires: []ci.Requirement{{Job: "build"}}},
		{Name: "ship", Requires: []ci.Requirement{{Job: "hold"}}, JobSpec: ci.JobSpec{Executor: ci.Executor{Kind: ci.ExecutorDocker}}},
	}}},
}

func newWorld(t testing.TB, edit ...func(*api.Config)) *world {
	w := &world{t: t, db: memdb.New(), now: ci.Project{
		ID: ci.ProjectID(ci.NewID()), Slug: "gh/acme/shop", Org: "acme", Repo: "shop",
		CloneURL: "https://user:password@github.com/acme/shop.git", DefaultBranch: "main",
	}}
	ctx := context.Background()
	require.NoError(t, w.db.PutProject(ctx, w.now))
	w.server = ci.New(w.db, ci.CompilerFunc(func(_ context.Context, _ ci.Project, p ci.Pipeline) (ci.Plan, error) {
		if p.Trigger.Branch == "broken" {
			return ci.Plan{}, fmt.Errorf("config.yml:3:1: no such thing: %w", ci.ErrInvalid)
		}
		return plan, nil
	}), ci.Config{})
	var err error
	w.logs, err = storage.OpenLogs("", storage.LogsConfig{})
	require.NoError(t, err)
	bucket := memblob.OpenBucket(nil)
	w.files = storage.NewFiles(bucket, storage.FilesConfig{})
	cfg := api.Config{
		Auth: func(_ *http.Request, given string) (ci.Actor, error) {
			switch given {
			case token:
				return ada, nil
			case "broken":
				return ci.Actor{}, errors.New("directory is down")
			}
			return ci.Actor{}, ci.ErrDenied
		},
		Trigger: func(ctx context.Context, t ci.Trigger) (ci.Pipeline, error) {
			if t.Branch == "none" {
				return ci.Pipeline{}, ci.ErrNotFound
			}
			t.Revision = strings.Repeat("a", 40)
			return w.server.Trigger(ctx, t)
		},
		JobURL: func(p ci.Project, n int64) string { return fmt.Sprint("https://ci.example/", p.Slug, "/", n) },
	}
	for _, e := range edit {
		e(&cfg)
	}
	w.cfg = cfg
	s := httptest.NewUnstartedServer(nil)
	w.url = "http://" + s.Listener.Addr().String()
	cfg.URL = w.url
	w.handler = api.New(w.server, w.db, w.logs, w.files, cfg)
	s.Config.Handler = w.handler
	s.Start()
	run, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- w.server.Run(run) }()
	t.Cleanup(func() {
		cancel()
		<-done
		s.CloseClientConnections()
		s.Close()
		_ = bucket.Close()
	})
	return w
}

// A result is a reply whose body has been read.
type result struct {
	*http.Response
	body string
}

// call makes a request with the good token.
func (w *world) call(method, path, body string, edit ...func(*http.Request)) result {
	w.t.Helper()
	r, err := http.NewRequest(method, w.url+path, strings.NewReader(body))
	require.NoError(w.t, err)
	r.Header.Set("Circle-Token", token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, e := range edit {
		e(r)
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(w.t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	require.NoError(w.t, err)
	return result{res, string(data)}
}

// get decodes the reply of a GET that must succeed.
func (w *world) get(path string) map[string]any {
	w.t.Helper()
	r := w.call("GET", "/api/v2"+path, "")
	require.Equal(w.t, 200, r.StatusCode, "%s: %s", path, r.body)
	return w.decode(r)
}

func (w *world) decode(r result) map[string]any {
	w.t.Helper()
	require.Equal(w.t, "application/json; charset=utf-8", r.Header.Get("Content-Type"))
	var v map[string]any
	require.NoError(w.t, json.Unmarshal([]byte(r.body), &v), r.body)
	return v
}

// trigger starts a pipeline and waits until it is compiled.
func (w *world) trigger(t ci.Trigger) ci.Pipeline {
	w.t.Helper()
	t.Project = w.now.ID
	if t.Branch == "" && t.Tag == "" {
		t.Branch = "main"
	}
	if t.Source == "" {
		t.Source, t.Actor = ci.SourceWebhook, ci.Actor{Kind: ci.ActorForge, Login: "grace"}
	}
	t.Revision = strings.Repeat("b", 40)
	p, err := w.server.Trigger(context.Background(), t)
	require.NoError(w.t, err)
	return w.compiled(p.ID)
}

func (w *world) compiled(id ci.PipelineID) ci.Pipeline {
	w.t.Helper()
	var p ci.Pipeline
	require.Eventually(w.t, func() bool {
		var err error
		p, err = w.db.Pipeline(context.Background(), id)
		return err == nil && p.State != ci.PipelinePending
	}, 10*time.Second, time.Millisecond)
	return p
}

// workflow returns the only workflow of a pipeline.
func (w *world) workflow(p ci.Pipeline) ci.Workflow {
	w.t.Helper()
	all, err := w.db.Workflows(context.Background(), p.ID)
	require.NoError(w.t, err)
	require.Len(w.t, all, 1)
	return all[0]
}

// run lets an agent take a node of a job.
func (w *world) run(f ci.Workflow, job string, node int) ci.Lease {
	w.t.Helper()
	ctx := context.Background()
	j := f.JobNamed(job)
	task := ci.Task{
		Job: j.ID, Name: j.Name, Number: j.Number, Workflow: f.ID, Pipeline: f.Pipeline, Project: f.Project,
		Org: f.Org, Total: j.Parallelism,
	}.Slice(node)
	l := ci.Lease{Task: task.ID, Epoch: 1, Worker: "node-1"}
	require.NoError(w.t, w.db.Backlog().Put(ctx, 0, ci.Ticket{Task: task, State: ci.TicketLeased, Epoch: 1, Worker: l.Worker}))
	w.report(l, ci.Running, "")
	return l
}

func (w *world) report(l ci.Lease, s ci.Status, reason string) {
	w.t.Helper()
	require.NoError(w.t, w.server.Report(context.Background(), ci.Report{Task: l.Task, Epoch: l.Epoch, Status: s, Reason: reason, Node: "node-1"}))
}
