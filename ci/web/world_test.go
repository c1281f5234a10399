package web_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// A world is a whole installation in memory, whose agent is the test.
type world struct {
	t       testing.TB
	ctx     context.Context
	db      *memdb.DB
	server  *ci.Server
	logs    *storage.Logs
	files   *storage.Files
	project ci.Project
	cfg     web.Config
	epochs  map[ci.TaskID]int64
	refuse  error // of the compiler
}

// newWorld returns a world in which every pipeline has the plan.
func newWorld(t testing.TB, plan ci.Plan) *world {
	ctx, cancel := context.WithCancel(context.Background())
	w := &world{t: t, ctx: ctx, db: memdb.New(), logs: storage.NewMemLogs(), epochs: map[ci.TaskID]int64{}}
	bucket := memblob.OpenBucket(nil)
	w.files = storage.NewFiles(bucket, storage.FilesConfig{})
	w.project = ci.Project{
		ID: ci.ProjectID(ci.NewID()), Slug: "local/home/shop", Org: "home", Repo: "shop",
		CloneURL: "https://user:hunter2hunter2@git.example/shop.git", DefaultBranch: "main",
	}
	require.NoError(t, w.db.PutProject(ctx, w.project))
	w.server = ci.New(w.db, ci.CompilerFunc(func(context.Context, ci.Project, ci.Pipeline) (ci.Plan, error) {
		return plan, w.refuse
	}), ci.Config{})
	w.cfg = web.Config{
		Logs: w.logs, Artifacts: w.files, Version: "v0.0-test",
		Explain: func(_ context.Context, task ci.TaskID) (ci.Reason, error) {
			return ci.Reason{Code: "capacity", Text: "all 4 places of class small are taken", Position: 3, Starts: time.Now().Add(90 * time.Second)}, nil
		},
		Retrigger: func(ctx context.Context, p ci.Project, branch string, by ci.Actor) (ci.Pipeline, error) {
			return w.server.Trigger(ctx, ci.Trigger{Project: p.ID, Branch: branch, Revision: revision, Source: ci.SourceAPI, Actor: by})
		},
		Log: slog.New(slog.NewTextHandler(testWriter{t}, nil)),
	}
	done := make(chan error, 1)
	go func() { done <- w.server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		require.NoError(t, w.logs.Close())
		require.NoError(t, bucket.Close())
	})
	return w
}

const revision = "0123456789abcdef0123456789abcdef01234567"

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// handler returns the pages of the world.
func (w *world) handler() http.Handler { return web.New(w.server, w.db, w.cfg) }

// serve returns a server of the pages.
func (w *world) serve() *httptest.Server { return w.serveFunc(w.handler().ServeHTTP) }

func (w *world) serveFunc(f http.HandlerFunc) *httptest.Server {
	srv := httptest.NewUnstartedServer(f)
	ctx, cancel := context.WithCancel(context.Background())
	srv.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	srv.Start()
	w.t.Cleanup(func() { cancel(); srv.Close() })
	return srv
}

// run triggers a pipeline and returns it with its workflows.
func (w *world) run(change ...func(*ci.Trigger)) (ci.Pipeline, []ci.Workflow) {
	w.t.Helper()
	trigger := ci.Trigger{
		Project: w.project.ID, Branch: "main", Revision: revision, Source: ci.SourceWebhook,
		Subject: "Sell more", Author: "Ada", Actor: ci.Actor{Kind: ci.ActorUser, Login: "ada"},
	}
	for _, c := range change {
		c(&trigger)
	}
	p, err := w.server.Trigger(w.ctx, trigger)
	require.NoError(w.t, err)
	require.Eventually(w.t, func() bool {
		got, err := w.db.Pipeline(w.ctx, p.ID)
		return err == nil && got.State != ci.PipelinePending
	}, 5*time.Second, time.Millisecond)
	p, err = w.db.Pipeline(w.ctx, p.ID)
	require.NoError(w.t, err)
	workflows, err := w.db.Workflows(w.ctx, p.ID)
	require.NoError(w.t, err)
	return p, workflows
}

// workflow returns how a workflow stands.
func (w *world) workflow(id ci.WorkflowID) ci.Workflow {
	w.t.Helper()
	wf, err := w.db.Workflow(w.ctx, id)
	require.NoError(w.t, err)
	return wf
}

// job returns how a job stands.
func (w *world) job(id ci.WorkflowID, name string) ci.Job {
	w.t.Helper()
	wf := w.workflow(id)
	j := wf.JobNamed(name)
	require.NotNil(w.t, j)
	return *j
}

// claim hands a task out.
func (w *world) claim(id ci.WorkflowID, task ci.TaskID) ci.Lease {
	w.t.Helper()
	w.epochs[task]++
	l := ci.Lease{Task: task, Epoch: w.epochs[task], Worker: "w"}
	job, index, _ := task.Split()
	wf := w.workflow(id)
	j := wf.Attempt(job)
	require.NoError(w.t, w.db.Backlog().Put(w.ctx, 0, ci.Ticket{
		Task:  ci.Task{ID: task, Job: job, Name: j.Name, Number: j.Number, Workflow: id, Pipeline: wf.Pipeline, Project: wf.Project, Index: index, Total: len(j.Tasks)},
		State: ci.TicketLeased, Epoch: l.Epoch, Worker: "w",
	}))
	w.report(l, ci.Running, "")
	return l
}

func (w *world) report(l ci.Lease, s ci.Status, reason string) {
	w.t.Helper()
	require.NoError(w.t, w.server.Report(w.ctx, ci.Report{Task: l.Task, Epoch: l.Epoch, Status: s, Reason: reason, Node: "node-7"}))
}

// step begins or ends a step.
func (w *world) step(l ci.Lease, s ci.Step) {
	w.t.Helper()
	if s.Started.IsZero() {
		s.Started = time.Now().Add(-1500 * time.Millisecond)
	}
	if s.Status.Ended() && s.Stopped.IsZero() {
		s.Stopped = time.Now()
		n, err := w.logs.Size(w.ctx, ci.LogKey{Task: l.Task, Epoch: l.Epoch, Step: s.Index})
		require.NoError(w.t, err)
		s.Bytes = n
	}
	require.NoError(w.t, w.db.PutStep(w.ctx, l, s))
}

// print appends to the output of a step.
func (w *world) print(l ci.Lease, step int, text string) {
	w.t.Helper()
	key := ci.LogKey{Task: l.Task, Epoch: l.Epoch, Step: step}
	at, err := w.logs.Size(w.ctx, key)
	require.NoError(w.t, err)
	for len(text) > 0 {
		n := min(len(text), storage.MaxAppend)
		at, err = w.logs.Append(w.ctx, key, at, []byte(text[:n]))
		require.NoError(w.t, err)
		text = text[n:]
	}
}

// finish ends a task.
func (w *world) finish(l ci.Lease, s ci.Status) {
	w.t.Helper()
	require.NoError(w.t, w.logs.End(w.ctx, l.Task, l.Epoch))
	w.report(l, s, "")
}

// store stores an artifact.
func (w *world) store(l ci.Lease, name, content string) {
	w.t.Helper()
	_, err := w.files.PutFile(w.ctx, w.project.ID, ci.File{Kind: ci.FileArtifact, Task: l.Task, Epoch: l.Epoch, Name: name}, strings.NewReader(content))
	require.NoError(w.t, err)
}

// get returns the answer to a GET.
func get(t testing.TB, h http.Handler, path string) (*http.Response, string) {
	t.Helper()
	return ask(t, h, httptest.NewRequest("GET", path, nil))
}

func ask(t testing.TB, h http.Handler, r *http.Request) (*http.Response, string) {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	res := rec.Result()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(b)
}

// post returns the answer to a form sent by a browser from the same site.
func post(t testing.TB, h http.Handler, path, body string) *http.Response {
	t.Helper()
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	res, _ := ask(t, h, r)
	return res
}

// build returns a planned job that requires others.
func build(name string, requires ...string) ci.PlannedJob {
	j := ci.PlannedJob{Name: name, JobSpec: ci.JobSpec{
		Executor: ci.Executor{Kind: ci.ExecutorDocker, Images: []ci.Image{{Image: "cimg/go:1.26"}}}, ResourceClass: "small",
	}}
	for _, r := range requires {
		j.Requires = append(j.Requires, ci.Requirement{Job: r})
	}
	return j
}

// flow returns a plan of one workflow.
func flow(jobs ...ci.PlannedJob) ci.Plan {
	return ci.Plan{
		Workflows: []ci.PlannedWorkflow{{Name: "build-and-ship", Jobs: jobs}},
		Source:    "version: 2.1\njobs:\n  build: {}\n", Expanded: "version: 2\n", Warnings: []string{".circleci/config.yml:2:3: jobs: image without a tag"},
	}
}

func number(j ci.Job) string { return fmt.Sprint(j.Number) }

func itoa(n uint64) string { return fmt.Sprint(n) }
