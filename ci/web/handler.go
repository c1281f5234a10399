package web

import (
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net/http"

	"github.com/rondo-ci/rondo/ci"
)

// Config holds what the pages can do without.
type Config struct {
	// Logs is the output of steps; nil shows none.
	Logs ci.LogReader
	// Artifacts is the files of jobs; nil shows none.
	Artifacts ci.FileReader
	// Explain says why a task waits; nil says nothing.
	Explain func(ctx context.Context, task ci.TaskID) (ci.Reason, error)
	// Authorize returns who asks, or an error that is ci.ErrDenied (or
	// ci.ErrNotFound) when they may not. nil lets everybody be the local user.
	Authorize func(*http.Request) (ci.Actor, error)
	// Retrigger runs a pipeline for the newest commit of a branch. nil shows no
	// button for it.
	Retrigger func(ctx context.Context, project ci.Project, branch string, by ci.Actor) (ci.Pipeline, error)
	// Chapters are contexts, settings and what else people may change.
	Chapters Chapters
	// Queue is what waits and where it may run; the zero Queue has no pages.
	Queue Queue
	// Insights are figures about what has run; nil has no pages.
	Insights Insights
	// Watchers is how many live pages are served at the same time; more are
	// answered with 503 and ask again later. 0 is 4096.
	Watchers int
	// Log receives faults of the machinery; nil is silent.
	Log *slog.Logger
	// Version stands at the foot of the pages, Title at their head; "" is
	// nothing and "Rondo".
	Version string
	Title   string
}

// A site serves the pages.
type site struct {
	conduct Conductor
	read    ci.Reader
	cfg     Config
	log     *slog.Logger
	hub     *hub
	pages   map[string]*template.Template
	assets  map[string]asset
	slots   chan struct{} // one for each watcher
	lines   *lineIndex
	lookers chan struct{} // one for each output that is looked through
}

// New returns the handler of the pages, to be mounted at the root of an
// installation; it may share the mux with others, since it serves /, /assets/,
// /projects/, /pipelines/, /workflows/, /jobs/, /artifacts/, /settings/,
// /insights/, /orgs/, /contexts/, /admin/, /queue, /nodes, /audit, /account and /events. It is safe for
// concurrent use.
func New(conduct Conductor, read ci.Reader, cfg Config) http.Handler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Watchers <= 0 {
		cfg.Watchers = 4096
	}
	if cfg.Title == "" {
		cfg.Title = "Rondo"
	}
	if cfg.Logs == nil {
		cfg.Logs = noLogs{}
	}
	if cfg.Authorize == nil {
		cfg.Authorize = func(*http.Request) (ci.Actor, error) {
			return ci.Actor{Kind: ci.ActorUser, Login: "local"}, nil
		}
	}
	if cfg.Chapters.May != nil {
		read = guarded{read, cfg.Chapters.May}
	}
	s := &site{
		conduct: conduct, read: read, cfg: cfg, log: cfg.Log,
		hub:    newHub(conduct, read, cfg.Log),
		assets: loadAssets(), slots: make(chan struct{}, cfg.Watchers),
		lines: newLineIndex(), lookers: make(chan struct{}, maxLookers),
	}
	s.pages = loadPages(s.assets)
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, errCrossSite)
	}))
	return headers(guard.Handler(s.routes()))
}

// routes returns the mux.
func (s *site) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /assets/{name}", s.serveAsset)
	mux.HandleFunc("GET /favicon.ico", s.serveAsset)
	for pattern, h := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /{$}":                                     s.home,
		"GET /events":                                  s.events,
		"GET /projects":                                s.projects,
		"POST /projects":                               s.follow,
		"GET /projects/{slug...}":                      s.project,
		"POST /projects/{slug...}":                     s.runBranch,
		"GET /pipelines/{pipeline}":                    s.pipeline,
		"POST /pipelines/{pipeline}/again":             s.runAgain,
		"GET /workflows/{workflow}":                    s.workflow,
		"POST /workflows/{workflow}/{verb}":            s.actOnWorkflow,
		"GET /jobs/{rest...}":                          s.jobs,
		"GET /artifacts/{verb}/{job}/{node}/{name...}": s.artifact,
		"GET /orgs":                                    s.orgs,
		"GET /orgs/{slug...}":                          s.org,
		"POST /orgs/{slug...}":                         s.createContext,
		"GET /account":                                 s.account,
		"POST /account":                                s.changeAccount,
		"GET /admin/users":                             s.users,
		"POST /admin/users":                            s.changeUsers,
		"GET /admin/ldap":                              s.ldap,
		"POST /admin/ldap":                             s.testDirectory,
		"GET /admin/ldap/users":                        s.migration,
		"POST /admin/ldap/users":                       s.migrate,
		"GET /settings":                                s.installation,
		"POST /settings":                               s.changeInstallation,
		"GET /queue":                                   s.queue,
		"GET /nodes":                                   s.nodes,
		"POST /nodes":                                  s.changeNode,
		"GET /nodes/{node}":                            s.node,
		"GET /admin/machines":                          s.machines,
		"POST /admin/machines":                         s.changeMachines,
		"GET /audit":                                   s.audit,
		"POST /audit":                                  s.verifyAudit,
		"GET /audit/export":                            s.exportAudit,
		"GET /insights/{slug...}":                      s.insights,
		"/":                                            s.elsewhere,
	} {
		mux.Handle(pattern, s.page(h, smallForm))
	}
	for pattern, h := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /settings/{section}/{slug...}":  s.settings,
		"POST /settings/{section}/{slug...}": s.changeSettings,
		"GET /contexts/{context}":            s.context,
		"POST /contexts/{context}":           s.changeContext,
	} {
		mux.Handle(pattern, s.page(h, largeForm))
	}
	return mux
}

// actorKey is where the asking actor stands in a request's context.
type actorKey struct{}

func actorOf(r *http.Request) ci.Actor { return actorIn(r.Context()) }

func actorIn(ctx context.Context) ci.Actor {
	a, _ := ctx.Value(actorKey{}).(ci.Actor)
	return a
}

// How many bytes a form may have: one of names, and one of keys and variables.
const (
	smallForm = 64 << 10
	largeForm = 1 << 20
)

// page returns a handler that finds out who asks, calls h, and answers an
// error with a page. It is the one place where asking is allowed.
func (s *site) page(h func(http.ResponseWriter, *http.Request) error, limit int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		actor, err := s.cfg.Authorize(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		asked := ci.RequestIn(r.Context())
		asked.Actor = actor
		r = r.WithContext(ci.WithRequest(context.WithValue(r.Context(), actorKey{}, actor), asked))
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
}

// headers sets what every answer carries, and how long a request may take.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
			"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		limitBody(w, r)
		next.ServeHTTP(w, r)
	})
}

// elsewhere answers what no other route does: the short address of a job
// (/gh/acme/shop/12), a wrong method, nothing at all.
func (s *site) elsewhere(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return errMethod
	}
	slug, number, verb, ok := splitJobPath(r.URL.Path[1:])
	if !ok || verb != "" {
		return ci.ErrNotFound
	}
	project, err := s.read.ProjectBySlug(r.Context(), slug)
	if err != nil {
		return err
	}
	redirect(w, JobPath(project, number), http.StatusFound)
	return nil
}

// redirect sends the browser to a path of this site.
func redirect(w http.ResponseWriter, path string, code int) {
	w.Header().Set("Location", path)
	w.WriteHeader(code)
}

// isGone reports whether the one who asked is no longer there.
func isGone(r *http.Request, err error) bool {
	return r.Context().Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}
