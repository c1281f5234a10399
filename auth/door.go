package auth

import (
	"cmp"
	"embed"
	"errors"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

//go:embed pages
var pageFiles embed.FS

// A Button leads to a way to log in elsewhere. It is sent as a POST to Path.
type Button struct {
	Provider string // of the identities, as in "github"
	Title    string // as in "GitHub"
	Path     string
	// To is the origin to which the answer sends the browser, for the policy
	// of the page.
	To string
}

// DoorConfig holds what a [Door] is told about its surroundings.
type DoorConfig struct {
	// Secure says that browsers come by https: cookies are for this host only,
	// then. Without it cookies are as plain http allows.
	Secure bool
	// Address says where a request comes from; nil takes the connection.
	Address func(*http.Request) string
	// Buttons are the ways to log in elsewhere.
	Buttons []Button
	// Local is where the first administrator can be made; nil offers that not.
	Local *Local
	// Title stands at the head of the pages; "" is Rondo. Style is the path of
	// a style sheet, "" is /assets/rondo.css.
	Title, Style string
	// Disconnected is told of identities that their user has disconnected.
	Disconnected func(r *http.Request, id Identity) error
	// Log receives faults; nil is silent.
	Log *slog.Logger
}

// A Door serves the pages of logging in and out: /login, /logout, /bootstrap,
// /create-password, /password, and /accounts, where somebody sees and connects
// accounts. It is safe for concurrent use.
type Door struct {
	users *Users
	cfg   DoorConfig
	pages *template.Template
	log   *slog.Logger
}

// NewDoor returns the door to users.
func NewDoor(u *Users, cfg DoorConfig) *Door {
	if cfg.Address == nil {
		cfg.Address = func(r *http.Request) string {
			host, _, err := net.SplitHostPort(r.RemoteAddr)
			if err != nil {
				return r.RemoteAddr
			}
			return host
		}
	}
	cfg.Title, cfg.Style = cmp.Or(cfg.Title, "Rondo"), cmp.Or(cfg.Style, "/assets/rondo.css")
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Door{users: u, cfg: cfg, log: cfg.Log, pages: template.Must(template.ParseFS(pageFiles, "pages/*.html"))}
}

// Paths are what the handler serves.
func (d *Door) Paths() []string {
	return []string{"/login", "/logout", "/bootstrap", "/create-password", "/password", "/accounts"}
}

// Handler returns what serves the paths.
func (d *Door) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", d.showLogin)
	mux.HandleFunc("POST /login", d.login)
	mux.HandleFunc("POST /logout", d.logout)
	mux.HandleFunc("GET /bootstrap", d.showBootstrap)
	mux.HandleFunc("POST /bootstrap", d.bootstrap)
	mux.HandleFunc("GET /create-password", d.showCreate)
	mux.HandleFunc("POST /create-password", d.create)
	mux.HandleFunc("GET /password", d.showPassword)
	mux.HandleFunc("POST /password", d.password)
	mux.HandleFunc("GET /accounts", d.showAccounts)
	mux.HandleFunc("POST /accounts", d.changeAccounts)
	return d.Protect(mux)
}

// Protect returns a handler whose forms other sites cannot send, whose bodies
// are small, and whose answers are kept nowhere. What logs people in elsewhere
// is to be served by it, too.
func (d *Door) Protect(next http.Handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.Problem(w, r, http.StatusForbidden, "This form was sent by another site. Nothing was done.")
	}))
	targets := "'self'"
	for _, b := range d.cfg.Buttons {
		if b.To != "" {
			targets += " " + b.To
		}
	}
	protected := guard.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action "+targets+"; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(10 * time.Second))
			r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
		}
		protected.ServeHTTP(w, r)
	})
}

// The names of the cookies. A browser takes one with the prefix from this very
// host only, and by https only.
const (
	sessionCookie   = "rondo_session"
	bootstrapCookie = "rondo_bootstrap"
	resetCookie     = "rondo_reset"
	securePrefix    = "__Host-"
)

// Cookie returns a cookie of a name, for so long; a negative age removes it.
func (d *Door) Cookie(name, value string, age time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: d.cookieName(name), Value: value, Path: "/", MaxAge: int(age.Seconds()),
		HttpOnly: true, Secure: d.cfg.Secure, SameSite: http.SameSiteLaxMode,
	}
}

func (d *Door) cookieName(name string) string {
	if d.cfg.Secure {
		return securePrefix + name
	}
	return name
}

// Value returns the value of a cookie of [Door.Cookie], or "".
func (d *Door) Value(r *http.Request, name string) string {
	if c, err := r.Cookie(d.cookieName(name)); err == nil {
		return c.Value
	}
	return ""
}

// Session returns the secret of the session of a request, or "".
func (d *Door) Session(r *http.Request) string { return d.Value(r, sessionCookie) }

// User returns whose session the browser has, or [ci.ErrDenied].
func (d *Door) User(r *http.Request) (ci.User, error) {
	u, _, err := d.users.Session(r.Context(), d.Session(r))
	return u, err
}

// Guard sends who opens a page without a session to the login, and back
// afterwards. Everything else passes: it is for next to decide.
func (d *Door) Guard(next http.Handler) http.Handler {
	return Guard(next, func(r *http.Request) error {
		_, err := d.User(r)
		return err
	})
}

// Guard sends browsers that open a page for which may is [ci.ErrDenied] to the
// login, and back afterwards. Everything else passes.
func Guard(next http.Handler, may func(*http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		browses := r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") &&
			r.Header.Get("Authorization") == "" && r.Header.Get("Circle-Token") == ""
		if browses && errors.Is(may(r), ci.ErrDenied) {
			w.Header().Set("Cache-Control", "no-store")
			redirect(w, "/login?to="+template.URLQueryEscaper(r.URL.RequestURI()))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Enter logs the browser in as an identity that was proven elsewhere, and
// sends it to a path of this site.
func (d *Door) Enter(w http.ResponseWriter, r *http.Request, id Identity, to string) {
	u, secret, err := d.users.Enter(r.Context(), id, d.visit(r))
	d.entered(w, r, u, secret, to, err)
}

func (d *Door) visit(r *http.Request) Visit {
	return Visit{Address: d.cfg.Address(r), Agent: r.UserAgent(), Bootstrap: d.Value(r, bootstrapCookie)}
}

// entered sets the cookie of a new session; the one before ends.
func (d *Door) entered(w http.ResponseWriter, r *http.Request, u ci.User, secret, to string, err error) {
	var many TooMany
	switch {
	case errors.As(err, &many):
		w.Header().Set("Retry-After", "60")
		d.loginPage(w, r, http.StatusTooManyRequests, many.Error()+".")
	case errors.Is(err, ErrLogin):
		d.loginPage(w, r, http.StatusForbidden, "The login or the password is wrong.")
	case errors.Is(err, ErrAway):
		d.loginPage(w, r, http.StatusServiceUnavailable, ErrAway.Error()+".")
	case errors.Is(err, ci.ErrDenied) && u.Suspended != "":
		d.loginPage(w, r, http.StatusForbidden, "This account is suspended ("+u.Suspended+"). An administrator can let you in.")
	case err != nil:
		d.fault(w, r, err)
	default:
		if old := d.Session(r); old != "" && old != secret {
			if err := d.users.LogOut(r.Context(), old); err != nil {
				d.log.Error("end the session before", "err", err)
			}
		}
		http.SetCookie(w, d.Cookie(sessionCookie, secret, d.users.cfg.Life))
		http.SetCookie(w, d.Cookie(bootstrapCookie, "", -time.Second))
		redirect(w, Path(to))
	}
}

// Path returns a path of this site from what a request says, or "/".
func Path(to string) string {
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") || len(to) > 2000 || strings.HasPrefix(to, "/login") {
		return "/"
	}
	return to
}

func redirect(w http.ResponseWriter, path string) {
	w.Header().Set("Location", path)
	w.WriteHeader(http.StatusSeeOther)
}
