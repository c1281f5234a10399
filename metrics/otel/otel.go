// Package otel makes OpenTelemetry traces of pipelines: one trace a pipeline, a
// span for it, and below it spans of its workflows, jobs, tasks and steps. The
// identities come from package ci, so what a job traces itself, with the
// TRACEPARENT that it finds, belongs to the same trace.
//
// A [Tracer] follows the events of a server and sends a workflow's spans when it
// has ended; how far it is is kept, so none is lost and, after a crash, some are
// sent twice with the same identities. Names and attributes are those of
// OpenTelemetry's conventions for CI/CD.
//
// The package never sends the output or the command of a step.
package otel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// A Reader reads what events tell of. A database of records is one.
type Reader interface {
	Project(ctx context.Context, id ci.ProjectID) (ci.Project, error)
	Pipeline(ctx context.Context, id ci.PipelineID) (ci.Pipeline, error)
	Workflow(ctx context.Context, id ci.WorkflowID) (ci.Workflow, error)
	Workflows(ctx context.Context, id ci.PipelineID) ([]ci.Workflow, error)
	Steps(ctx context.Context, t ci.TaskID, epoch int64) ([]ci.Step, error)
	LastEvent(ctx context.Context) (uint64, error)
}

// Config says where traces go.
type Config struct {
	// Endpoint is the address of an OTLP/HTTP receiver: http://host:4318.
	Endpoint string
	// Headers are sent with every request; values are secret.
	Headers map[string]string
	// HTTP is the client; nil is the default one.
	HTTP *http.Client
	// Version is that of the server.
	Version string
	Log     *slog.Logger // nil is silent
}

// A Tracer sends traces. See the package.
type Tracer struct {
	read     Reader
	docs     ci.Docs
	exporter trace.SpanExporter
	resource *resource.Resource
	log      *slog.Logger
	version  string
}

// New returns a tracer that keeps how far it is in docs. A wrong endpoint is an
// error that wraps [ci.ErrInvalid].
func New(ctx context.Context, read Reader, docs ci.Docs, cfg Config) (*Tracer, error) {
	u, err := url.Parse(cfg.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: traces: endpoint %q is none: write http://host:4318", ci.ErrInvalid, cfg.Endpoint)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	opts := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(u.String()), otlptracehttp.WithHeaders(cfg.Headers), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{})}
	if cfg.HTTP != nil {
		opts = append(opts, otlptracehttp.WithHTTPClient(cfg.HTTP))
	}
	exporter, err := otlptrace.New(ctx, otlptracehttp.NewClient(opts...))
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Tracer{
		read: read, docs: docs, exporter: exporter, log: cfg.Log, version: cfg.Version,
		resource: resource.NewSchemaless(attribute.String("service.name", "rondo"), attribute.String("service.version", cfg.Version)),
	}, nil
}

// kindCursor is the kind of the document that says how far a tracer is.
const kindCursor = "trace-cursor"

// Follow sends what the events tell of until ctx ends; then it returns nil.
// follow yields the events after a number and waits for more
// (ci.Server.Follow). While the receiver is away it waits, and says so once.
func (t *Tracer) Follow(ctx context.Context, follow func(ctx context.Context, after uint64) iter.Seq2[ci.Event, error]) error {
	wait, said := time.Second, false
	for ctx.Err() == nil {
		err := t.advance(ctx, follow, func() {
			if said {
				t.log.Info("traces are sent again")
			}
			wait, said = time.Second, false
		})
		if ctx.Err() != nil {
			break
		}
		if !said {
			t.log.Error("traces cannot be sent, will try again", "err", err)
			said = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, time.Minute)
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = t.exporter.Shutdown(stop) // what was not sent is sent after the next start
	return nil
}

// advance reads events from the cursor on until something fails.
func (t *Tracer) advance(ctx context.Context, follow func(context.Context, uint64) iter.Seq2[ci.Event, error], fine func()) error {
	doc, err := t.docs.Doc(ctx, kindCursor, "events")
	var at struct{ Seq uint64 }
	switch {
	case errors.Is(err, ci.ErrNotFound):
		doc = ci.Doc{Kind: kindCursor, ID: "events"}
		at.Seq, err = t.read.LastEvent(ctx) // what was before the first tracer is history
	case err == nil:
		err = json.Unmarshal(doc.Body, &at)
	}
	if err != nil {
		return fmt.Errorf("cursor: %w", err)
	}
	for e, err := range follow(ctx, at.Seq) {
		if err != nil {
			return err
		}
		if e.Kind != ci.WorkflowEnded && e.Kind != ci.PipelineErrored {
			continue
		}
		if err := t.send(ctx, e); err != nil {
			return err
		}
		at.Seq = e.Seq
		if doc.Body, err = json.Marshal(at); err != nil {
			return err
		}
		now, err := t.docs.WriteDocs(ctx, ci.DocChange{Doc: doc})
		if err != nil {
			return err
		}
		doc = now[0]
		fine()
	}
	return ctx.Err()
}

// send sends the spans of what an event ended. What was deleted meanwhile has
// none.
func (t *Tracer) send(ctx context.Context, e ci.Event) error {
	spans, err := t.spans(ctx, e)
	if errors.Is(err, ci.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return t.exporter.ExportSpans(ctx, spans)
}

// spans makes the spans of a workflow, and that of its pipeline when all its
// workflows have ended.
func (t *Tracer) spans(ctx context.Context, e ci.Event) ([]trace.ReadOnlySpan, error) {
	p, err := t.read.Pipeline(ctx, e.Pipeline)
	if err != nil {
		return nil, err
	}
	project, err := t.read.Project(ctx, p.Trigger.Project)
	if err != nil {
		return nil, err
	}
	b := builder{tracer: t, trace: p.ID.TraceID()}
	root := ci.SpanID(string(p.ID))
	if e.Kind == ci.PipelineErrored {
		b.add(root, [8]byte{}, project.Slug, p.Created, e.Time, ci.Failed, append(attributes(p, project), attribute.String("error.type", "configuration"))...)
		return b.spans.Snapshots(), nil
	}
	w, err := t.read.Workflow(ctx, e.Workflow)
	if err != nil {
		return nil, err
	}
	if err := b.workflow(ctx, root, w); err != nil {
		return nil, err
	}
	all, err := t.read.Workflows(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	status, last := ci.Success, p.Created
	for _, w := range all {
		if w.Stopped.IsZero() {
			return b.spans.Snapshots(), nil
		}
		if w.Stopped.After(last) {
			last = w.Stopped
		}
		if w.Status != ci.Success {
			status = w.Status
		}
	}
	b.add(root, [8]byte{}, project.Slug, p.Created, last, status, attributes(p, project)...)
	return b.spans.Snapshots(), nil
}

func attributes(p ci.Pipeline, project ci.Project) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("cicd.pipeline.name", project.Slug),
		attribute.String("cicd.pipeline.run.id", string(p.ID)),
		attribute.Int64("cicd.pipeline.run.number", p.Number),
		attribute.String("vcs.ref.head.name", p.Trigger.Branch+p.Trigger.Tag),
		attribute.String("vcs.ref.head.revision", p.Trigger.Revision),
	}
}

// A builder collects the spans of one trace. The SDK makes spans only where they
// happen; the stubs of its test package are its one way to make them afterwards,
// with identities and times that are given.
type builder struct {
	tracer *Tracer
	trace  [16]byte
	spans  tracetest.SpanStubs
}

// add adds a span; parent is zero for the root.
func (b *builder) add(id, parent [8]byte, name string, start, end time.Time, status ci.Status, attrs ...attribute.KeyValue) {
	context := func(id [8]byte) oteltrace.SpanContext {
		return oteltrace.NewSpanContext(oteltrace.SpanContextConfig{TraceID: b.trace, SpanID: id, TraceFlags: oteltrace.FlagsSampled})
	}
	s := tracetest.SpanStub{
		Name: name, SpanContext: context(id), SpanKind: oteltrace.SpanKindInternal, StartTime: start, EndTime: end,
		Attributes: append(attrs, attribute.String("cicd.pipeline.result", result(status))),
		Resource:   b.tracer.resource, InstrumentationScope: instrumentation.Scope{Name: "github.com/rondo-ci/rondo", Version: b.tracer.version},
	}
	if parent != [8]byte{} {
		s.Parent = context(parent)
	}
	switch status {
	case ci.Success, ci.NotRun, ci.Canceled:
	default:
		s.Status = trace.Status{Code: codes.Error, Description: string(status)}
	}
	b.spans = append(b.spans, s)
}

// result is a status in OpenTelemetry's words.
func result(s ci.Status) string {
	switch s {
	case ci.Success:
		return "success"
	case ci.Canceled:
		return "cancellation"
	case ci.TimedOut:
		return "timeout"
	case ci.NotRun:
		return "skip"
	case ci.InfraFailed:
		return "error"
	}
	return "failure"
}

func (b *builder) workflow(ctx context.Context, root [8]byte, w ci.Workflow) error {
	id := ci.SpanID(string(w.ID))
	b.add(id, root, w.Name, w.Created, w.Stopped, w.Status, attribute.String("rondo.workflow.id", string(w.ID)))
	for _, j := range append(w.Past[:len(w.Past):len(w.Past)], w.Jobs...) {
		if j.Queued.IsZero() || j.Stopped.IsZero() || j.Kept {
			continue
		}
		job := ci.SpanID(string(j.ID))
		b.add(job, id, j.Name, j.Queued, j.Stopped, j.Status,
			attribute.String("cicd.pipeline.task.name", j.Name), attribute.String("cicd.pipeline.task.run.id", string(j.ID)),
			attribute.String("rondo.resource_class", j.Class), attribute.String("rondo.executor", string(j.Executor)),
			attribute.Float64("rondo.queue.seconds", max(0, j.Started.Sub(j.Queued).Seconds())))
		for i, t := range j.Tasks {
			if t.Started.IsZero() || t.Stopped.IsZero() {
				continue
			}
			task := ci.SpanID(string(j.ID), strconv.Itoa(i))
			b.add(task, job, j.Name+"/"+strconv.Itoa(i), t.Started, t.Stopped, t.Status, attribute.String("cicd.worker.name", t.Node))
			steps, err := b.tracer.read.Steps(ctx, j.ID.Task(i), t.Epoch)
			if err != nil && !errors.Is(err, ci.ErrNotFound) {
				return err
			}
			for _, s := range steps {
				if s.Stopped.IsZero() {
					continue
				}
				b.add(ci.SpanID(string(j.ID), strconv.Itoa(i), strconv.Itoa(s.Index)), task, s.Name, s.Started, s.Stopped, s.Status,
					attribute.String("rondo.step.kind", string(s.Kind)), attribute.Int("process.exit.code", s.ExitCode))
			}
		}
	}
	return nil
}
