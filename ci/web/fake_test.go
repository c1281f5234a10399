package web_test

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/rondo-ci/rondo/ci"
)

// A countingReader counts what a listing asks for.
type countingReader struct {
	ci.Reader
	calls int
}

func (r *countingReader) Project(ctx context.Context, id ci.ProjectID) (ci.Project, error) {
	r.calls++
	return r.Reader.Project(ctx, id)
}

func (r *countingReader) Pipelines(ctx context.Context, q ci.Query) iter.Seq2[ci.Pipeline, error] {
	r.calls++
	return r.Reader.Pipelines(ctx, q)
}

func (r *countingReader) Workflows(ctx context.Context, id ci.PipelineID) ([]ci.Workflow, error) {
	r.calls++
	return r.Reader.Workflows(ctx, id)
}

func (r *countingReader) Workflow(ctx context.Context, id ci.WorkflowID) (ci.Workflow, error) {
	r.calls++
	return r.Reader.Workflow(ctx, id)
}

// A brokenReader cannot reach its database.
type brokenReader struct{ ci.Reader }

func (brokenReader) LastEvent(context.Context) (uint64, error) {
	return 0, errors.New("dial secret-dsn: connection refused")
}

// A gate is a server of the pages that can be shut for a while: connections
// are cut and new ones refused, and then it is back as a new process would be.
type gate struct {
	*httptest.Server
	mu      sync.Mutex
	handler http.Handler // nil while it is shut
	w       *world
}

func newGate(w *world) *gate {
	g := &gate{w: w, handler: w.handler()}
	g.Server = w.serveFunc(func(rw http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		h := g.handler
		g.mu.Unlock()
		if h == nil {
			if conn, _, err := http.NewResponseController(rw).Hijack(); err == nil {
				_ = conn.Close()
			}
			return
		}
		h.ServeHTTP(rw, r)
	})
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	g.handler = nil
	g.mu.Unlock()
	g.CloseClientConnections()
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.handler = g.w.handler()
}
