package webhook_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/webhook"
	"github.com/rondo-ci/rondo/storage/memdb"
)

var _ ci.Webhooks = (*webhook.Courier)(nil)

var alice = ci.Actor{ID: "a", Kind: ci.ActorUser, Login: "alice"}

// A box is a keeper that seals in a way that anybody could undo.
type box struct{}

func (box) Seal(_ context.Context, place []string, plain []byte) (string, error) {
	return base64.StdEncoding.EncodeToString([]byte(strings.Join(place, "|") + "=" + string(plain))), nil
}

func (box) Open(_ context.Context, place []string, sealed string) ([]byte, error) {
	b, _ := base64.StdEncoding.DecodeString(sealed)
	plain, ok := strings.CutPrefix(string(b), strings.Join(place, "|")+"=")
	if !ok {
		return nil, errors.New("sealed for another place")
	}
	return []byte(plain), nil
}

// A world is a server with a project and a receiver.
type world struct {
	t      *testing.T
	db     *memdb.DB
	server *ci.Server
	cfg    webhook.Config
	log    lockedBuffer
	got    *receiver
	text   string // of the commit message
	name   string // of the workflow and its jobs, behind what they are
}

// A lockedBuffer is a log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A receiver is a transport that ends in this process, so that time can pass
// as quickly as it likes.
type receiver struct {
	mu     sync.Mutex
	seen   []letter
	answer func(ctx context.Context, l letter, n int) (int, error) // nil is 200
	now    int                                                     // under way
	most   int
}

type letter struct {
	at     time.Time
	host   string
	header http.Header
	body   string
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	text, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	l := letter{time.Now(), req.URL.Host, req.Header, string(text)}
	r.mu.Lock()
	r.seen = append(r.seen, l)
	n := len(r.seen)
	r.now++
	r.most = max(r.most, r.now)
	answer := r.answer
	r.mu.Unlock()
	status := 200
	if answer != nil {
		status, err = answer(req.Context(), l, n)
	}
	r.mu.Lock()
	r.now--
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("topsecret")), Header: http.Header{}, Request: req}, nil
}

func (r *receiver) letters() []letter {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, db: memdb.New(), got: &receiver{}}
	w.server = ci.New(w.db, ci.CompilerFunc(func(context.Context, ci.Project, ci.Pipeline) (ci.Plan, error) {
		return ci.Plan{Workflows: []ci.PlannedWorkflow{{Name: "main" + w.name, Jobs: []ci.PlannedJob{
			{Name: "build" + w.name}, {Name: "hold", Type: ci.JobApproval, Requires: []ci.Requirement{{Job: "build" + w.name}}},
			{Name: "test" + w.name, Requires: []ci.Requirement{{Job: "build" + w.name}}},
		}}}}, nil
	}), ci.Config{})
	w.cfg = webhook.Config{
		Log: slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Follow: w.server.Follow, Keeper: box{}, Transport: w.got,
		WorkflowURL: func(id ci.WorkflowID) string { return "https://ci.acme.test/workflows/" + string(id) },
	}
	w.project("p", "gh/acme/shop")
	w.run(w.server.Run)
	return w
}

func (w *world) project(id ci.ProjectID, slug string) {
	parts := strings.Split(slug, "/")
	require.NoError(w.t, w.db.PutProject(w.t.Context(), ci.Project{ID: id, Slug: slug, Org: parts[1], Repo: parts[2], CloneURL: "git@github.com:acme/shop.git"}))
}

// run runs something until the test ends or stop is called.
func (w *world) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := f(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	w.t.Cleanup(stop)
	return stop
}

func (w *world) courier() *webhook.Courier { return webhook.New(w.db, w.db, w.cfg) }

func (w *world) put(c *webhook.Courier, h ci.Webhook) ci.Webhook {
	w.t.Helper()
	h.Project = "p"
	if h.Name == "" {
		h.Name = "chat"
	}
	if h.URL == "" {
		h.URL = "https://chat.test/hook"
	}
	if h.Events == nil {
		h.Events = []string{webhook.WorkflowCompleted, webhook.JobCompleted}
	}
	h, err := c.PutWebhook(w.t.Context(), h, alice)
	require.NoError(w.t, err)
	return h
}

// build runs a pipeline: build with the status, and what follows.
func (w *world) build(status ci.Status) {
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	after, err := w.db.LastEvent(ctx)
	require.NoError(w.t, err)
	_, err = w.server.Trigger(ctx, ci.Trigger{
		Project: "p", Source: ci.SourceWebhook, Branch: "main", Revision: "abc", Subject: "a\r\nBcc: <b>", Body: w.text, Author: "Ada <ada@acme.test>",
	})
	require.NoError(w.t, err)
	for e, err := range w.server.Follow(ctx, after) {
		require.NoError(w.t, err)
		switch e.Kind {
		case ci.JobQueued:
			require.NoError(w.t, w.server.Report(ctx, ci.Report{Task: e.Task.ID, Epoch: 1, Status: ci.Running}))
			require.NoError(w.t, w.server.Report(ctx, ci.Report{Task: e.Task.ID, Epoch: 1, Status: status}))
		case ci.JobHeld:
			require.NoError(w.t, w.server.Approve(ctx, e.Workflow, e.Job, alice))
		case ci.WorkflowEnded:
			return
		}
	}
}

// valid checks a message against the schema.
func (w *world) valid(text string) map[string]any {
	w.t.Helper()
	raw, err := os.ReadFile("testdata/message.schema.json")
	require.NoError(w.t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	require.NoError(w.t, err)
	c := jsonschema.NewCompiler()
	require.NoError(w.t, c.AddResource("message.json", doc))
	schema, err := c.Compile("message.json")
	require.NoError(w.t, err)
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	require.NoError(w.t, err)
	require.NoError(w.t, schema.Validate(v))
	var out map[string]any
	require.NoError(w.t, json.Unmarshal([]byte(text), &out))
	return out
}
