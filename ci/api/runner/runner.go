package runner

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/internal/wire"
)

// root is where the API stands.
const root = "/api/v3/runner"

// Config holds what a [Handler] is told about its surroundings. The zero
// Config lets nobody in.
type Config struct {
	// Log receives faults; nil is silent.
	Log *slog.Logger
	// Auth says who sends the token, as api.Config.Auth does.
	Auth func(r *http.Request, token string) (ci.Actor, error)
	// Orgs lists the slugs of the organisations that the actor belongs to.
	Orgs func(ctx context.Context, by ci.Actor) ([]string, error)
	// MayOrg says whether the actor may see the runners of an organisation, or
	// change them: nil, [ci.ErrDenied] or [ci.ErrNotFound]. nil allows it to
	// those of Orgs.
	MayOrg func(ctx context.Context, by ci.Actor, org string, write bool) error
	// Instances lists the agents that have connected for a resource class, as in
	// "acme/linux". nil has none.
	Instances func(ctx context.Context, class string) ([]Instance, error)
	// Unclaimed and Running count the tasks of a resource class that wait for an
	// agent and that have one. nil counts none.
	Unclaimed func(ctx context.Context, class string) (int, error)
	Running   func(ctx context.Context, class string) (int, error)
}

// Namespaces finds the names under which organisations have resource classes:
// those of their orbs. What does not exist is [ci.ErrNotFound].
type Namespaces interface {
	Namespace(ctx context.Context, name string) (ci.Namespace, error)
	NamespaceByID(ctx context.Context, id string) (ci.Namespace, error)
	NamespaceOf(ctx context.Context, org string) (ci.Namespace, error)
}

// An Instance is an agent that has connected at least once. Its times are zero
// for what has not happened.
type Instance struct {
	Name, Hostname, IP, Version string
	// First and Last are when it connected first and was last heard of, Used
	// when it took its last task.
	First, Last, Used time.Time
}

// A Handler serves the routes. It is safe for concurrent use.
type Handler struct {
	docs  ci.Docs
	names Namespaces
	cfg   Config
	log   *slog.Logger
	mux   *http.ServeMux
}

// New returns the handler, which keeps its records in docs. It starts nothing.
func New(docs ci.Docs, names Namespaces, cfg Config) *Handler {
	if cfg.Auth == nil {
		cfg.Auth = func(*http.Request, string) (ci.Actor, error) { return ci.Actor{}, ci.ErrDenied }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Orgs == nil {
		cfg.Orgs = func(context.Context, ci.Actor) ([]string, error) { return nil, nil }
	}
	none := func(context.Context, string) (int, error) { return 0, nil }
	if cfg.Unclaimed == nil {
		cfg.Unclaimed = none
	}
	if cfg.Running == nil {
		cfg.Running = none
	}
	h := &Handler{docs: docs, names: names, cfg: cfg, log: cfg.Log, mux: http.NewServeMux()}
	for pattern, serve := range map[string]func(*call) (any, error){
		"GET " + root:                               (*call).listInstances,
		"GET " + root + "/resource":                 (*call).listClasses,
		"POST " + root + "/resource":                (*call).createClass,
		"DELETE " + root + "/resource/{id}":         (*call).deleteClass,
		"DELETE " + root + "/resource/{id}/{force}": (*call).deleteClass,
		"GET " + root + "/token":                    (*call).listTokens,
		"POST " + root + "/token":                   (*call).createToken,
		"DELETE " + root + "/token/{id}":            (*call).deleteToken,
		"GET " + root + "/tasks":                    (*call).countUnclaimed,
		"GET " + root + "/tasks/running":            (*call).countRunning,
	} {
		h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { h.serve(serve, w, r) })
	}
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		wire.Reply(w, http.StatusNotFound, message{
			"Not found: of version 3 of the API this server has " + root + " only; version 2 and the classic circleci CLI (0.1.x) have the rest."})
	})
	return h
}

// A message is the reply of what has nothing else to say, and of all errors.
type message struct {
	Message string `json:"message"`
}

// ServeHTTP answers a request below /api/v3.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	wire.Head(w, r)
	h.mux.ServeHTTP(w, r)
}

// A call is one request on its way through a route.
type call struct {
	*Handler
	w  http.ResponseWriter
	r  *http.Request
	by ci.Actor
}

// serve authenticates, runs the route and writes its reply.
func (h *Handler) serve(route func(*call) (any, error), w http.ResponseWriter, r *http.Request) {
	by, err := h.cfg.Auth(r, wire.Token(r))
	if errors.Is(err, ci.ErrDenied) || errors.Is(err, ci.ErrNotFound) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="rondo"`)
		wire.Reply(w, http.StatusUnauthorized, message{"You must log in first."})
		return
	}
	var v any
	if err == nil {
		v, err = route(&call{h, w, r, by})
	}
	if err != nil {
		status, text, known := wire.Answer(err)
		if !known && r.Context().Err() == nil {
			h.log.Error("runner api", "call", r.Method+" "+r.URL.Path, "request", w.Header().Get("X-Request-Id"), "err", err)
		}
		wire.Reply(w, status, message{text})
		return
	}
	wire.Reply(w, http.StatusOK, v)
}
