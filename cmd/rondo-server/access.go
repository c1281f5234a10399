package main

import (
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// access decides who may use a dev server. There is one token and one user:
// whoever started it. Where the server listens on a loopback address only, the
// pages need no token: whoever reaches them is on this machine.
type access struct {
	token string
	local bool // listens on a loopback address
}

const cookie = "rondo_token"

func newAccess(token string, listen net.Addr) access {
	tcp, ok := listen.(*net.TCPAddr)
	return access{token: token, local: ok && tcp.IP.IsLoopback()}
}

// owner is the one user.
func (a access) owner() ci.Actor {
	login := os.Getenv("USER")
	if login == "" {
		login = "local"
	}
	return ci.Actor{Kind: ci.ActorUser, ID: login, Login: login}
}

// api lets in whoever has the token.
func (a access) api(_ *http.Request, token string) (ci.Actor, error) {
	if !a.matches(token) {
		return ci.Actor{}, ci.ErrDenied
	}
	return a.owner(), nil
}

// page lets in whoever has the token, in a header or the cookie, and on a
// loopback address everybody whose browser was really asked for this machine:
// a foreign name that resolves to it (DNS rebinding) is refused.
func (a access) page(r *http.Request) (ci.Actor, error) {
	if c, err := r.Cookie(cookie); err == nil && a.matches(c.Value) {
		return a.owner(), nil
	}
	if a.matches(r.Header.Get("Circle-Token")) || a.matches(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
		return a.owner(), nil
	}
	if a.local && loopback(r.Host) {
		return a.owner(), nil
	}
	return ci.Actor{}, fmt.Errorf("open /login?token=... with the token that the server printed: %w", ci.ErrDenied)
}

// login takes the token from the address and puts it into a cookie.
func (a access) login(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	if !a.matches(r.URL.Query().Get("token")) {
		http.Error(w, "This is not the token of this server. It is printed when the server starts.", http.StatusForbidden)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookie, Value: a.token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil,
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (a access) matches(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(a.token)) == 1
}

// loopback reports whether a Host header names this machine.
func loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
