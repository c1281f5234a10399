package github

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"context"
	"golang.org/x/oauth2"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
)

// flowCookie holds the secret of a browser that has begun to log in, and to
// where it wants to go afterwards.
const flowCookie = "rondo_oauth"

// flowTime is for how long somebody may take to log in at GitHub.
const flowTime = 10 * time.Minute

// maxUsed is how many states that were answered are remembered.
const maxUsed = 10_000

// What a flow is for.
const (
	toLogin   = "login"
	toConnect = "connect"
)

// Handler serves [CallbackPath]: a POST begins, GitHub comes back with a GET.
func (l *Login) Handler(door *auth.Door, users *auth.Users) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+CallbackPath, func(w http.ResponseWriter, r *http.Request) { l.begin(door, w, r) })
	mux.HandleFunc("GET "+CallbackPath, func(w http.ResponseWriter, r *http.Request) { l.back(door, users, w, r) })
	return door.Protect(mux)
}

// begin sends the browser to GitHub.
func (l *Login) begin(door *auth.Door, w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		door.Problem(w, r, http.StatusBadRequest, "This is no form of this page.")
		return
	}
	conf, err := l.oauth()
	if err != nil {
		door.Answer(w, r, err)
		return
	}
	purpose, session := toLogin, ""
	if r.PostForm.Get("connect") != "" {
		purpose, session = toConnect, door.Session(r)
	}
	secret := rand.Text()
	value := secret + "." + base64.RawURLEncoding.EncodeToString([]byte(auth.Path(r.PostForm.Get("to"))))
	http.SetCookie(w, door.Cookie(flowCookie, value, flowTime))
	state := l.state(secret, purpose, session, l.cfg.Now().Add(flowTime))
	w.Header().Set("Location", conf.AuthCodeURL(state, oauth2.S256ChallengeOption(l.verifier(secret))))
	w.WriteHeader(http.StatusSeeOther)
}

// state is what GitHub hands back: purpose, end, and a proof that they are
// ours, of this browser, and with connect of this session.
func (l *Login) state(secret, purpose, session string, end time.Time) string {
	head := purpose + "." + strconv.FormatInt(end.Unix(), 36)
	return head + "." + l.mac("state", secret, head, session)
}

func (l *Login) mac(parts ...string) string {
	m := hmac.New(sha256.New, l.key)
	for _, p := range parts {
		fmt.Fprintf(m, "%d:%s", len(p), p)
	}
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// verifier is the browser's secret of PKCE.
func (l *Login) verifier(secret string) string { return l.mac("pkce", secret) }

// check returns the purpose of a state that is good, once.
func (l *Login) check(state, secret, session string) (string, error) {
	bad := fmt.Errorf("this answer belongs to no login of this browser, or it came too late; begin again: %w", ci.ErrInvalid)
	parts := strings.Split(state, ".")
	if len(parts) != 3 || secret == "" || len(state) > 200 {
		return "", bad
	}
	purpose := parts[0]
	if purpose != toConnect {
		session = ""
	}
	want := l.mac("state", secret, parts[0]+"."+parts[1], session)
	end, err := strconv.ParseInt(parts[1], 36, 64)
	now := l.cfg.Now()
	if !hmac.Equal([]byte(parts[2]), []byte(want)) || err != nil || now.Unix() > end {
		return "", bad
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, again := l.used[state]; again {
		return "", bad
	}
	for old, until := range l.used {
		if now.After(until) || len(l.used) >= maxUsed {
			delete(l.used, old)
		}
	}
	l.used[state] = time.Unix(end, 0)
	return purpose, nil
}

// back is where GitHub sends the browser.
func (l *Login) back(door *auth.Door, users *auth.Users, w http.ResponseWriter, r *http.Request) {
	secret, place, _ := strings.Cut(door.Value(r, flowCookie), ".")
	http.SetCookie(w, door.Cookie(flowCookie, "", -time.Second))
	q := r.URL.Query()
	session := door.Session(r)
	purpose, err := l.check(q.Get("state"), secret, session)
	if err != nil {
		door.Problem(w, r, http.StatusBadRequest, "This answer belongs to no login of this browser, or it came too late. Begin again.")
		return
	}
	if q.Get("code") == "" { // what else stands in the address is anybody's text
		door.Problem(w, r, http.StatusForbidden, "GitHub did not confirm the login. Whoever looks after this server finds the reason in its log.")
		l.log.Warn("github refused a login", "error", fmt.Sprintf("%.100q", q.Get("error")))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
	defer cancel()
	token, err := l.exchange(ctx, q.Get("code"), secret)
	var id auth.Identity
	if err == nil {
		id, err = l.identity(ctx, token)
	}
	if err != nil && !errors.Is(err, ci.ErrDenied) {
		l.log.Error("log in by github", "err", err)
		door.Problem(w, r, http.StatusBadGateway, "GitHub did not confirm the login. Whoever looks after this server finds the reason in its log.")
		return
	}
	if err == nil && purpose == toConnect {
		if _, err = users.Connect(ctx, session, id); err == nil {
			err = l.keep(ctx, id.Subject, token)
		}
		if err == nil {
			w.Header().Set("Location", "/")
			w.WriteHeader(http.StatusSeeOther)
			return
		}
	}
	if err == nil {
		err = l.keep(ctx, id.Subject, token)
	}
	if err != nil {
		door.Answer(w, r, err)
		return
	}
	to, _ := base64.RawURLEncoding.DecodeString(place)
	door.Enter(w, r, id, string(to))
}

// exchange gets a token for a code. Nothing of the answer goes into the error:
// it may be the token.
func (l *Login) exchange(ctx context.Context, code, secret string) (string, error) {
	conf, err := l.oauth()
	if err != nil {
		return "", err
	}
	client := *l.client
	client.Transport = small{client.Transport}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &client)
	token, err := conf.Exchange(ctx, code, oauth2.VerifierOption(l.verifier(secret)))
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused):
		return "", fmt.Errorf("exchange code: github answered %d %.60q", refused.Response.StatusCode, refused.ErrorCode)
	case err != nil && ctx.Err() == nil && strings.Contains(err.Error(), "oauth2:"):
		return "", errors.New("exchange code: the answer is none of an OAuth server")
	case err != nil:
		return "", fmt.Errorf("exchange code: %w", err)
	case !strings.EqualFold(token.TokenType, "bearer") || len(token.AccessToken) > 1000:
		return "", errors.New("exchange code: the token is of a kind that is not known")
	}
	return token.AccessToken, nil
}
