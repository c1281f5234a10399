package github_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/auth/github"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// plain seals nothing, but keeps values apart.
type plain struct{}

func (plain) Seal(_ context.Context, place []string, v []byte) (string, error) {
	return strings.Join(place, "|") + "|" + string(v), nil
}

func (plain) Open(_ context.Context, place []string, sealed string) ([]byte, error) {
	v, ok := strings.CutPrefix(sealed, strings.Join(place, "|")+"|")
	if !ok {
		return nil, errors.New("sealed elsewhere")
	}
	return []byte(v), nil
}

// A world is a server of ours with a login by a GitHub.
type world struct {
	t      *testing.T
	hub    *authtest.GitHub
	users  *auth.Users
	local  *auth.Local
	login  *github.Login
	url    string
	now    time.Time
	tokens *auth.Tokens
	gate   *auth.Gate
}

func newWorld(t *testing.T, orgs ...string) *world {
	w := &world{t: t, now: time.Now()}
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	w.url = s.URL
	w.hub = authtest.NewGitHub(s.URL + github.CallbackPath)
	t.Cleanup(w.hub.Close)
	db := memdb.New()
	clock := func() time.Time { return w.now }
	var err error
	w.login, err = github.New(db, plain{}, github.Config{
		URL: w.hub.URL, Server: s.URL, ID: w.hub.ID, Secret: func() (string, error) { return w.hub.Secret, nil }, Orgs: orgs, Now: clock,
	})
	require.NoError(t, err)
	w.local = auth.NewLocal(db)
	w.users = auth.NewUsers(db, auth.Config{Providers: []auth.Provider{w.local}, Hosts: []auth.Directory{w.login}, OpenFirst: true, Now: clock})
	door := auth.NewDoor(w.users, auth.DoorConfig{Buttons: []auth.Button{w.login.Button()}, Local: w.local, Disconnected: w.login.Disconnect})
	for _, path := range door.Paths() {
		mux.Handle(path, door.Handler())
	}
	mux.Handle(github.CallbackPath, w.login.Handler(door, w.users))
	w.tokens = auth.NewTokens(db)
	w.gate = auth.NewGate(w.users, w.tokens, auth.GateConfig{Hosts: []auth.Host{w.login}, Page: door.User})
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		by, err := w.gate.Page(r)
		if err != nil {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(rw, by.Login)
	})
	return w
}

// browser returns a browser without cookies.
func (w *world) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	require.NoError(w.t, err)
	return &http.Client{Jar: jar}
}

// post sends a form and returns the status and text of where that leads.
func (w *world) post(b *http.Client, path string, form url.Values) (int, string) {
	w.t.Helper()
	r, err := b.PostForm(w.url+path, form)
	require.NoError(w.t, err)
	return w.read(r)
}

func (w *world) get(b *http.Client, path string) (int, string) {
	w.t.Helper()
	r, err := b.Get(w.url + path)
	require.NoError(w.t, err)
	return w.read(r)
}

func (w *world) read(r *http.Response) (int, string) {
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	require.NoError(w.t, err)
	return r.StatusCode, string(text)
}
