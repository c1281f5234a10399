package forgetest

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Token is the token that a new [GitHub] knows: that of the user "rondo", who
// is admin of every repository, with all scopes.
const Token = "ghp_token_of_rondo_in_a_test"

// A GitHub is a GitHub Enterprise in the test. Its API is below URL + /api/v3.
// All methods are safe for concurrent use. Repositories can be cloned from
// URL/owner/name.git, or from [Repo.Dir].
type GitHub struct {
	t   testing.TB
	url string
	mux *http.ServeMux

	mu     sync.Mutex
	ids    int64
	repos  map[int64]*Repo
	names  map[string]int64 // full names in lower case, old ones too
	tokens map[string]user
	fault  func(*http.Request) Fault
	send   http.RoundTripper
	asked  []string
}

// A user is who a token belongs to.
type user struct {
	login  string
	scopes string // "" is a fine-grained token
	rights string // on every repository: "admin", "push" or "pull"
}

// A Fault is what becomes of a call instead of its answer. The zero Fault is no
// fault.
type Fault struct {
	// Status is the status of the answer.
	Status int
	// RetryAfter makes it a secondary rate limit that ends then.
	RetryAfter time.Duration
	// Done says that the call takes effect all the same.
	Done bool
}

// NewGitHub starts a fake that ends with the test.
func NewGitHub(t testing.TB) *GitHub { return NewEnterprise(t, "127.0.0.1", nil) }

// NewEnterprise is NewGitHub with a name in its addresses, which leads to this
// machine for who is to reach it, and a certificate; nil speaks no TLS.
func NewEnterprise(t testing.TB, host string, cfg *tls.Config) *GitHub {
	g := Unplugged(t)
	server := httptest.NewUnstartedServer(g)
	server.TLS = cfg
	if cfg == nil {
		server.Start()
	} else {
		server.StartTLS()
	}
	t.Cleanup(server.Close)
	g.url = strings.Replace(server.URL, "127.0.0.1", host, 1)
	return g
}

// Unplugged makes a fake that is reached by [GitHub.Transport] only, for tests
// with a clock of their own (testing/synctest).
func Unplugged(t testing.TB) *GitHub {
	g := &GitHub{
		t: t, url: "https://ghe.example.com", mux: http.NewServeMux(), ids: 1000, repos: map[int64]*Repo{}, names: map[string]int64{},
		tokens: map[string]user{Token: {"rondo", "admin:repo_hook, repo", "admin"}}, send: http.DefaultTransport,
	}
	g.routes()
	return g
}

// URL returns the address that people would use.
func (g *GitHub) URL() string { return g.url }

// Transport answers requests to the fake without a network.
func (g *GitHub) Transport() http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		w := httptest.NewRecorder()
		if r.Body == nil {
			r.Body = http.NoBody
		}
		g.ServeHTTP(w, r)
		resp := w.Result()
		resp.Request = r
		return resp, nil
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// SendBy sets how webhooks are sent. At first they go through the network.
func (g *GitHub) SendBy(t http.RoundTripper) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.send = t
}

// SetFault sets what decides, call by call, what goes wrong; nil is nothing.
func (g *GitHub) SetFault(f func(*http.Request) Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = f
}

// AddToken makes a token known. Rights ("admin", "push", "pull", or "" for what
// is public) hold for every repository; no scopes make it a fine-grained one.
func (g *GitHub) AddToken(token, login, scopes, rights string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tokens[token] = user{login, scopes, rights}
}

// Asked returns the calls of the API so far, as "GET /repos/acme/shop".
func (g *GitHub) Asked() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.asked...)
}

// ServeHTTP answers a call of the API, or git.
func (g *GitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, api := strings.CutPrefix(r.URL.Path, "/api/v3")
	if !api {
		g.git(w, r)
		return
	}
	g.mu.Lock()
	g.asked = append(g.asked, r.Method+" "+path)
	fault := g.fault
	who, known := g.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	g.mu.Unlock()

	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	w.Header().Set("X-GitHub-Enterprise-Version", "3.19.0")
	if fault != nil {
		if f := fault(r); f != (Fault{}) {
			if f.Done {
				g.mux.ServeHTTP(httptest.NewRecorder(), r)
			}
			broken(w, f)
			return
		}
	}
	if r.Header.Get("Authorization") != "" && !known {
		problem(w, http.StatusUnauthorized, "Bad credentials")
		return
	}
	if known && who.scopes != "" {
		w.Header().Set("X-OAuth-Scopes", who.scopes)
	}
	w.Header().Set("X-RateLimit-Limit", "5000")
	w.Header().Set("X-RateLimit-Remaining", "4999")
	w.Header().Set("X-RateLimit-Reset", fmt.Sprint(time.Now().Add(time.Hour).Unix()))
	g.mux.ServeHTTP(w, r)
}

// broken answers with a fault.
func broken(w http.ResponseWriter, f Fault) {
	if f.RetryAfter == 0 {
		problem(w, f.Status, http.StatusText(f.Status))
		return
	}
	w.Header().Set("Retry-After", fmt.Sprint(int(f.RetryAfter.Seconds())))
	if f.Status == 0 {
		f.Status = http.StatusForbidden
	}
	answer(w, f.Status, object{
		"message":           "You have exceeded a secondary rate limit.",
		"documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits",
	})
}

// who returns whose token the request has.
func (g *GitHub) who(r *http.Request) user {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
}

// git serves clones.
func (g *GitHub) git(w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	if len(parts) < 3 {
		http.NotFound(w, r)
		return
	}
	repo := g.find(parts[0] + "/" + strings.TrimSuffix(parts[1], ".git"))
	if repo == nil {
		http.NotFound(w, r)
		return
	}
	serveGit(w, r, repo.Dir(), "/"+parts[0]+"/"+parts[1])
}

// find returns a repository by its full name, also by one that it had before.
func (g *GitHub) find(name string) *Repo {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.repos[g.names[strings.ToLower(name)]]
}

// id returns a number that nothing else has.
func (g *GitHub) id() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ids++
	return g.ids
}

// Repo returns the repository of that full name, and makes it, public and with
// one commit on main, if it is new.
func (g *GitHub) Repo(name string) *Repo {
	if r := g.find(name); r != nil && strings.EqualFold(r.FullName(), name) {
		return r
	}
	dir := filepath.Join(g.t.TempDir(), filepath.Base(name)+".git")
	must(g.t, "init", exec.Command("git", "init", "--quiet", "--bare", "--initial-branch=main", dir))
	r := g.Adopt(name, dir)
	r.Commit("main", "first", map[string]string{"README.md": "# " + name + "\n"})
	return r
}

// Adopt makes a repository of a bare git folder.
func (g *GitHub) Adopt(name, dir string) *Repo {
	owner, short, _ := strings.Cut(name, "/")
	r := &Repo{g: g, id: g.id(), owner: owner, name: short, dir: dir, branch: "main", made: time.Now().UTC()}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.repos[r.id], g.names[strings.ToLower(name)] = r, r.id
	return r
}

type object = map[string]any

// answer writes JSON.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// problem writes an error as GitHub does.
func problem(w http.ResponseWriter, status int, text string) {
	answer(w, status, object{"message": text, "documentation_url": "https://docs.github.com/rest", "status": fmt.Sprint(status)})
}
