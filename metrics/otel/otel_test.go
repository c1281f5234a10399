package otel_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/metrics/otel"
	"github.com/rondo-ci/rondo/storage/memdb"
	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver takes OTLP over HTTP, as a collector does.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	away  bool
	spans []*tracepb.Span
	got   chan struct{}
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{got: make(chan struct{}, 100)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		text, err := io.ReadAll(q.Body)
		var in collector.ExportTraceServiceRequest
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil || q.URL.Path != "/v1/traces" || q.Header.Get("X-Key") != "k" || proto.Unmarshal(text, &in) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if r.away {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		for _, rs := range in.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				r.spans = append(r.spans, ss.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
		r.got <- struct{}{}
	}))
	t.Cleanup(r.Close)
	return r
}

// world is a database with one pipeline that has ended.
type world struct {
	*memdb.DB
	pipeline ci.Pipeline
	workflow ci.Workflow
}

func (w world) Project(context.Context, ci.ProjectID) (ci.Project, error) {
	return ci.Project{ID: "p", Slug: "gh/acme/shop", Org: "acme", Repo: "shop"}, nil
}
func (w world) Pipeline(context.Context, ci.PipelineID) (ci.Pipeline, error) { return w.pipeline, nil }
func (w world) Workflow(context.Context, ci.WorkflowID) (ci.Workflow, error) { return w.workflow, nil }
func (w world) Workflows(context.Context, ci.PipelineID) ([]ci.Workflow, error) {
	return []ci.Workflow{w.workflow}, nil
}
func (w world) LastEvent(context.Context) (uint64, error) { return 0, nil }
func (w world) Steps(context.Context, ci.TaskID, int64) ([]ci.Step, error) {
	at := w.pipeline.Created
	return []ci.Step{{Index: 1, Kind: ci.StepRun, Name: "go test", Command: "secret command", Status: ci.Failed, ExitCode: 2, Started: at.Add(3 * time.Second), Stopped: at.Add(5 * time.Second)}}, nil
}

func newWorld() world {
	at := time.Unix(1_700_000_000, 0)
	w := world{DB: memdb.New(), pipeline: ci.Pipeline{ID: "pipe", Number: 7, Created: at, Trigger: ci.Trigger{Branch: "main", Revision: "abc"}}}
	w.workflow = ci.Workflow{ID: "flow", Pipeline: "pipe", Name: "build", Status: ci.Failed, Created: at.Add(time.Second), Stopped: at.Add(6 * time.Second), Jobs: []ci.Job{
		{ID: "job", Name: "test", Status: ci.Failed, Class: "medium", Executor: ci.ExecutorDocker, Queued: at.Add(time.Second), Started: at.Add(2 * time.Second), Stopped: at.Add(6 * time.Second),
			Tasks: []ci.TaskState{{Status: ci.Failed, Epoch: 1, Node: "n1", Started: at.Add(2 * time.Second), Stopped: at.Add(6 * time.Second)}}},
		{ID: "later", Name: "deploy", Status: ci.NotRun},
	}}
	return w
}

// follow yields one ended workflow and waits.
func follow(ctx context.Context, after uint64) iter.Seq2[ci.Event, error] {
	return func(yield func(ci.Event, error) bool) {
		if after < 5 && !yield(ci.Event{Seq: 5, Kind: ci.WorkflowEnded, Pipeline: "pipe", Workflow: "flow", Time: time.Unix(1_700_000_006, 0)}, nil) {
			return
		}
		<-ctx.Done()
		yield(ci.Event{}, ctx.Err())
	}
}

func TestMET_Trace(t *testing.T) {
	r, w := newReceiver(t), newWorld()
	r.away = true
	tracer, err := otel.New(t.Context(), w, w, otel.Config{Endpoint: r.URL, Headers: map[string]string{"X-Key": "k"}})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tracer.Follow(ctx, follow) }()
	time.Sleep(50 * time.Millisecond) // it is refused meanwhile, and tries again
	r.mu.Lock()
	r.away = false
	r.mu.Unlock()
	<-r.got
	require.Eventually(t, func() bool { // once the cursor is written, nothing is sent again
		_, err := w.Doc(t.Context(), "trace-cursor", "events")
		return err == nil
	}, 10*time.Second, time.Millisecond)
	stop()
	require.NoError(t, <-done)

	got := map[string]*tracepb.Span{}
	for _, s := range r.spans {
		got[s.Name] = s
		trace := w.pipeline.ID.TraceID()
		require.Equal(t, trace[:], s.TraceId)
		require.NotContains(t, s.String(), "secret command")
	}
	require.Len(t, got, 5)
	root, flow, job, task, step := got["gh/acme/shop"], got["build"], got["test"], got["test/0"], got["go test"]
	require.Empty(t, root.ParentSpanId)
	for _, pair := range [][2]*tracepb.Span{{flow, root}, {job, flow}, {task, job}, {step, task}} {
		require.Equal(t, pair[1].SpanId, pair[0].ParentSpanId)
	}
	require.EqualValues(t, 6e9, root.EndTimeUnixNano-root.StartTimeUnixNano)
	require.Equal(t, tracepb.Status_STATUS_CODE_ERROR, step.Status.Code)
	// What the job finds in TRACEPARENT is its task's span.
	parent := ci.Task{Pipeline: "pipe", Job: "job"}.TraceParent()
	require.Equal(t, "00-"+hex.EncodeToString(task.TraceId)+"-"+hex.EncodeToString(task.SpanId)+"-01", parent)

	// A second start goes on behind what was sent.
	ctx, stop = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	again, err := otel.New(ctx, w, w, otel.Config{Endpoint: r.URL, Headers: map[string]string{"X-Key": "k"}})
	require.NoError(t, err)
	require.NoError(t, again.Follow(ctx, follow))
	require.Len(t, r.spans, 5, "not twice")
}

func TestMET_TraceSettings(t *testing.T) {
	for _, endpoint := range []string{"", "collector:4318", "grpc://collector:4317", "http://"} {
		_, err := otel.New(t.Context(), newWorld(), memdb.New(), otel.Config{Endpoint: endpoint})
		require.ErrorIs(t, err, ci.ErrInvalid, endpoint)
		require.ErrorContains(t, err, "http://host:4318")
	}
}

func ExampleNew() {
	_, err := otel.New(context.Background(), newWorld(), memdb.New(), otel.Config{Endpoint: "collector:4318"})
	fmt.Println(err)
	// Output: invalid: traces: endpoint "collector:4318" is none: write http://host:4318
}
