package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/internal/wire"
)

// Config holds what an [API] is told about its surroundings. The zero Config
// lets nobody in.
type Config struct {
	// Log receives faults; nil is silent.
	Log *slog.Logger
	// URL is the address under which clients reach the server, without a slash
	// at the end, for the addresses in replies. "" makes them relative.
	URL string
	// Auth says who sends the token. It is "" when a request has none; the
	// request is given for those who know the sender otherwise. An error that is
	// [ci.ErrDenied] is answered with 401. nil denies everybody.
	Auth func(r *http.Request, token string) (ci.Actor, error)
	// May says whether the actor may read the project, or change things in it:
	// nil, [ci.ErrDenied], or [ci.ErrNotFound] when the actor may not even know
	// that it exists. A nil May allows everything to whom Auth lets in.
	May func(ctx context.Context, by ci.Actor, p ci.Project, write bool) error
	// Trigger starts a pipeline. The trigger has Project, Actor, Source,
	// Parameters, and a branch or tag; it lacks the commit. The branch is the
	// project's default one if the client names none. If the client names a
	// commit (v1.1 only), Revision is set, and the pipeline must be for that
	// commit of the branch, or refused with [ci.ErrInvalid]. nil refuses.
	Trigger func(ctx context.Context, t ci.Trigger) (ci.Pipeline, error)
	// JobURL returns the address of a job's page; nil leaves it empty.
	JobURL func(p ci.Project, number int64) string
	// User returns the person with an identity; who nobody may know of is
	// [ci.ErrNotFound]. nil knows only who asks.
	User func(ctx context.Context, id string) (ci.Actor, error)
	// Chapters are what there is beyond pipelines.
	Chapters Chapters
	// Pages are where old addresses lead to.
	Pages Pages
	// Rate limits how often clients may call.
	Rate RateConfig
	// OutputKey signs the addresses of output that need no token. nil makes one
	// up: addresses are then good until the next start, or for an hour at most.
	OutputKey []byte
}

// An API serves the routes. It is safe for concurrent use.
type API struct {
	server Conductor
	read   ci.Reader
	logs   ci.LogReader
	files  ci.FileReader
	cfg    Config
	log    *slog.Logger
	mux    *http.ServeMux
	spec   []byte // openapi.json
	spec1  []byte // that of v1.1
	limits limits
	gate   wire.Gate // of compilations
	// outputKey is that of the Config, or one made up.
	outputKey []byte
}

// root is where the API stands.
const root = "/api/v2"

// New returns the API. It starts nothing.
func New(server Conductor, read ci.Reader, logs ci.LogReader, files ci.FileReader, cfg Config) *API {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Auth == nil {
		cfg.Auth = func(*http.Request, string) (ci.Actor, error) { return ci.Actor{}, ci.ErrDenied }
	}
	if cfg.May == nil {
		cfg.May = func(context.Context, ci.Actor, ci.Project, bool) error { return nil }
	}
	cfg.URL = strings.TrimRight(cfg.URL, "/")
	a := &API{server: server, read: read, logs: logs, files: files, cfg: cfg, log: cfg.Log, mux: http.NewServeMux()}
	a.limits, a.outputKey = newLimits(cfg.Rate), outputKey(cfg.OutputKey)
	table, table1 := routes(), routes1()
	a.route(root, table)
	a.route(root1, table1)
	a.route(private, privateRoutes())
	a.route("", publicRoutes())
	a.mux.HandleFunc(unrouted, a.unknown)
	a.spec = describe(table, "v2", cfg.URL+root)
	a.spec1 = describe(table1, "v1.1", cfg.URL+root1)
	return a
}

// route serves a table below a path.
func (a *API) route(below string, table []route) {
	for _, r := range table {
		a.mux.HandleFunc(r.method+" "+below+r.path, func(w http.ResponseWriter, req *http.Request) { a.serve(r, w, req) })
	}
}

// Mount gives the mux all paths that the API answers: those below /api/, and
// the old addresses outside it (badges, cc.xml, redirects to the pages).
func (a *API) Mount(mux *http.ServeMux) {
	for _, path := range mounts {
		mux.Handle(path, a)
	}
}

// unrouted is the pattern of all that no route takes.
const unrouted = "/"

// ServeHTTP answers a request to one of the paths that [API.Mount] names.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Request-Id", wire.RequestID(r))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Cache-Control", "no-store")
	if r.ContentLength != 0 {
		// Also for a body that no route reads: net/http reads the rest of it
		// before it replies, and would wait for a sender that stalls.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	}
	a.mux.ServeHTTP(w, withInsights(withOrg(withSlug(withoutAlias(r)))))
}

// unknown answers what no route takes.
func (a *API) unknown(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		other := &http.Request{Method: m, URL: r.URL, Host: r.Host}
		if _, pattern := a.mux.Handler(other); pattern != "" && pattern != unrouted {
			allowed = append(allowed, m)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		reply(w, http.StatusMethodNotAllowed, message{"Method not allowed"})
		return
	}
	reply(w, http.StatusNotFound, message{"Not found"})
}
