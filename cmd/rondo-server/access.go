package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// access decides who may use a dev server. There is one token and one user:
// whoever started it. Where the server listens on a loopback address only, the
// pages need no token: whoever reaches them is on this machine.
type access struct {
	token string
	local bool // listens on a loopback address
	// secure says that browsers come by TLS, which a proxy ends.
	secure bool
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

// page lets in whoever has the token in a header, or the cookie of a login;
// and on a loopback address everybody whose browser was really asked for this
// machine: a foreign name that resolves to it (DNS rebinding) is refused, and
// so is what a proxy passes on, since whoever asked that may be anywhere.
func (a access) page(r *http.Request) (ci.Actor, error) {
	for _, c := range r.CookiesNamed(cookie) { // one of another port may be among them
		if same(c.Value, a.session()) {
			return a.owner(), nil
		}
	}
	bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if a.matches(r.Header.Get("Circle-Token")) || ok && a.matches(bearer) {
		return a.owner(), nil
	}
	if a.local && loopback(r.Host) && !proxied(r) {
		return a.owner(), nil
	}
	return ci.Actor{}, fmt.Errorf("log in at /login with the token of this server: %w", ci.ErrDenied)
}

// session is the value of the cookie. It is not the token, because browsers
// send a cookie to every port of a host, and what listens on another one (a
// job's web server) must not learn what opens the API.
func (a access) session() string {
	m := hmac.New(sha256.New, []byte(a.token))
	m.Write([]byte("rondo page v1"))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func (a access) matches(token string) bool { return same(token, a.token) }

// same compares secrets in a time that does not tell how much of them is the
// same. An empty one is never right.
func same(given, want string) bool {
	return want != "" && subtle.ConstantTimeCompare([]byte(given), []byte(want)) == 1
}

// proxied reports whether a request says that it was passed on.
func proxied(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"} {
		if len(r.Header.Values(name)) > 0 {
			return true
		}
	}
	return false
}

// clientAddress returns what says where a request comes from: the connection,
// or if that is one of the proxies, the last address before them that they
// passed on.
func clientAddress(proxies networks) func(*http.Request) string {
	return func(r *http.Request) string {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			return r.RemoteAddr
		}
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for _, hop := range slices.Backward(hops) {
			if a, err := netip.ParseAddr(host); err != nil || !proxies.contain(a) {
				break
			}
			a, err := netip.ParseAddr(strings.TrimSpace(hop))
			if err != nil {
				break
			}
			host = a.String()
		}
		return host
	}
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
