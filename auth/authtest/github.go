package authtest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// A GitHub is an OAuth server and the part of the API of a GitHub Enterprise
// that says who somebody is and what they may do. It is strict where GitHub
// is: the secret, the redirect address, the code, which is good once, and the
// proof of PKCE have to be right. All methods are safe for concurrent use.
type GitHub struct {
	URL string // of the site; the API is below /api/v3
	// ID and Secret are those of the app, Redirect its callback address.
	ID, Secret, Redirect string

	server *httptest.Server
	mu     sync.Mutex
	people map[string]*GitHubUser
	as     string
	codes  map[string]grant
	tokens map[string]string // to the login
	calls  int
	fault  func(w http.ResponseWriter, r *http.Request) bool
}

// A GitHubUser is a person of a [GitHub].
type GitHubUser struct {
	ID     int64
	Login  string
	Name   string
	Emails []string          // verified, the first is the main one
	Claims []string          // addresses that nobody has verified
	Orgs   map[string]string // role by name: "admin" or "member"
	Teams  map[string]string // organisation by name
	Repos  []GitHubRepo
}

// A GitHubRepo is what a person may do in a repository.
type GitHubRepo struct {
	ID       int64
	FullName string
	May      string // "admin", "push" or "pull"
}

type grant struct{ login, challenge, redirect string }

// NewGitHub starts one, for an app whose callback is the redirect address.
// Close ends it.
func NewGitHub(redirect string) *GitHub {
	g := &GitHub{
		ID: "app", Secret: "app-secret", Redirect: redirect,
		people: map[string]*GitHubUser{}, codes: map[string]grant{}, tokens: map[string]string{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login/oauth/authorize", g.authorize)
	mux.HandleFunc("POST /login/oauth/access_token", g.exchange)
	mux.HandleFunc("GET /api/v3/{path...}", g.api)
	g.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.calls++
		fault := g.fault
		g.mu.Unlock()
		if fault == nil || !fault(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	g.URL = g.server.URL
	return g
}

// Close ends the server.
func (g *GitHub) Close() { g.server.Close() }

// Put makes a person, or replaces the one of the same number.
func (g *GitHub) Put(u GitHubUser) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for login, old := range g.people {
		if old.ID == u.ID {
			delete(g.people, login)
			for token, of := range g.tokens {
				if of == login {
					g.tokens[token] = u.Login
				}
			}
		}
	}
	g.people[u.Login] = &u
}

// As says who is logged in at GitHub from now on, and grants what is asked
// for; "" is somebody who refuses.
func (g *GitHub) As(login string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.as = login
}

// Revoke makes all tokens of a person worthless.
func (g *GitHub) Revoke(login string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for token, of := range g.tokens {
		if of == login {
			delete(g.tokens, token)
		}
	}
}

// Fault is asked about each request first, and returns true if it has answered;
// nil ends that.
func (g *GitHub) Fault(f func(w http.ResponseWriter, r *http.Request) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = f
}

// Calls returns how many requests there were.
func (g *GitHub) Calls() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls
}

func (g *GitHub) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != g.ID || q.Get("redirect_uri") != g.Redirect {
		http.Error(w, "The redirect_uri is not associated with this application.", http.StatusNotFound)
		return
	}
	back := url.Values{"state": {q.Get("state")}}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.as == "" {
		back.Set("error", "access_denied")
		back.Set("error_description", "The user has denied your application access.")
	} else {
		code := rand.Text()
		challenge := ""
		if q.Get("code_challenge_method") == "S256" {
			challenge = q.Get("code_challenge")
		}
		g.codes[code] = grant{g.as, challenge, q.Get("redirect_uri")}
		back.Set("code", code)
	}
	w.Header().Set("Location", g.Redirect+"?"+back.Encode())
	w.WriteHeader(http.StatusFound)
}

func (g *GitHub) exchange(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "bad form", http.StatusBadRequest)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	code := r.PostForm.Get("code")
	c, ok := g.codes[code]
	delete(g.codes, code)
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	answer := map[string]string{}
	switch {
	case r.PostForm.Get("client_id") != g.ID || r.PostForm.Get("client_secret") != g.Secret:
		answer["error"] = "incorrect_client_credentials"
	case !ok || c.challenge != "" && c.challenge != base64.RawURLEncoding.EncodeToString(sum[:]):
		answer["error"] = "bad_verification_code"
	case r.PostForm.Get("redirect_uri") != c.redirect:
		answer["error"] = "redirect_uri_mismatch"
	default:
		token := "gho_" + rand.Text()
		g.tokens[token] = c.login
		answer = map[string]string{"access_token": token, "token_type": "bearer", "scope": "repo,user:email,read:org"}
	}
	if r.Header.Get("Accept") != "application/json" { // as GitHub answers by default
		form := url.Values{}
		for k, v := range answer {
			form.Set(k, v)
		}
		w.Header().Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		_, _ = w.Write([]byte(form.Encode()))
		return
	}
	answerJSON(w, http.StatusOK, answer)
}

func answerJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

func (g *GitHub) api(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	u := g.people[g.tokens[token]]
	if u == nil {
		answerJSON(w, http.StatusUnauthorized, map[string]string{"message": "Bad credentials"})
		return
	}
	type object = map[string]any
	list := []object{}
	switch r.PathValue("path") {
	case "user":
		answerJSON(w, http.StatusOK, object{"id": u.ID, "login": u.Login, "name": u.Name, "email": nil})
		return
	case "user/emails":
		for i, e := range u.Emails {
			list = append(list, object{"email": e, "primary": i == 0, "verified": true})
		}
		for _, e := range u.Claims {
			list = append(list, object{"email": e, "primary": false, "verified": false})
		}
	case "user/orgs":
		for name := range u.Orgs {
			list = append(list, object{"login": name})
		}
	case "user/memberships/orgs":
		for name, role := range u.Orgs {
			list = append(list, object{"state": "active", "role": role, "organization": object{"login": name}})
		}
	case "user/teams":
		for name, org := range u.Teams {
			list = append(list, object{"name": name, "slug": strings.ToLower(name), "organization": object{"login": org}})
		}
	case "user/repos":
		for _, repo := range u.Repos {
			list = append(list, object{"id": repo.ID, "full_name": repo.FullName, "permissions": object{
				"admin": repo.May == "admin", "push": repo.May == "admin" || repo.May == "push", "pull": true,
			}})
		}
	default:
		answerJSON(w, http.StatusNotFound, map[string]string{"message": "Not Found"})
		return
	}
	page(w, r, list)
}

// page answers with a page of a list.
func page[T any](w http.ResponseWriter, r *http.Request, list []T) {
	number := func(name string, absent int) int {
		if n, err := strconv.Atoi(r.URL.Query().Get(name)); err == nil && n > 0 {
			return n
		}
		return absent
	}
	per, n := min(number("per_page", 30), 100), number("page", 1)
	from := min((n-1)*per, len(list))
	to := min(from+per, len(list))
	if to < len(list) {
		w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?per_page=%d&page=%d>; rel="next"`, r.Host, r.URL.Path, per, n+1))
	}
	answerJSON(w, http.StatusOK, list[from:to])
}
