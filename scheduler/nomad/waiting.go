package nomad

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler/nomad/pointer"
)

// pollTime is how long one request of a warm agent is held open.
const pollTime = 25 * time.Second

// warmToken is good for the waiting of one warm agent.
func (c *Cluster) warmToken(name string) string {
	m := hmac.New(sha256.New, c.cfg.Secret)
	m.Write([]byte("rondo warm v1\n" + name))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// ServeHTTP answers warm agents that ask for a task, below [pointer.Path] of
// the door: 200 with a [pointer.Pointer], 204 to ask again, 410 to end. It
// answers the same again, in case an answer was lost, and only to who asked
// first: all who may read jobs at Nomad see the token.
func (c *Cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/json; charset=utf-8")
	name, ok := strings.CutPrefix(r.URL.Path, pointer.Path)
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case !ok || r.Method != http.MethodPost:
		http.Error(w, `{"message":"no such door"}`, http.StatusNotFound)
		return
	case len(c.cfg.Secret) == 0 || !bearer || !hmac.Equal([]byte(token), []byte(c.warmToken(name))):
		http.Error(w, `{"message":"the token is not good for this agent"}`, http.StatusUnauthorized)
		return
	}
	if c.known(r.Context()) != nil {
		http.Error(w, `{"message":"Nomad does not answer"}`, http.StatusServiceUnavailable)
		return
	}
	if !c.admitWarm(w, r, name) {
		return
	}
	proof := r.Header.Get(pointer.Proof)
	c.mu.Lock()
	a := c.warm[name]
	if a != nil && a.proof != "" && a.proof != proof {
		c.mu.Unlock()
		c.log.Warn("somebody else asks for the task of a warm agent, with its token", "agent", name, "from", r.RemoteAddr)
		http.Error(w, `{"message":"another one waits with this token"}`, http.StatusUnauthorized)
		return
	}
	if a != nil {
		a.proof = proof
		a.waiting++
		if a.state == warmStarting {
			a.state = warmIdle
			c.keeping.fails = backoff{}
		}
	}
	c.mu.Unlock()
	if a == nil {
		w.WriteHeader(http.StatusGone)
		return
	}
	t := time.NewTimer(pollTime)
	defer t.Stop()
	select {
	case <-a.wake:
	case <-t.C:
	case <-r.Context().Done():
	}
	c.mu.Lock()
	a.waiting--
	told, retired := a.told, a.state == warmRetired
	c.mu.Unlock()
	switch {
	case told != nil:
		if text, err := json.Marshal(told); err == nil {
			_, _ = w.Write(text)
		}
	case retired:
		w.WriteHeader(http.StatusGone)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// admitWarm reports whether who asks is the agent of that name, where Nomad has
// signed who it is, and answers everybody else.
func (c *Cluster) admitWarm(w http.ResponseWriter, r *http.Request, name string) bool {
	c.mu.Lock()
	a := c.warm[name]
	if a == nil || !a.signed {
		c.mu.Unlock()
		return true
	}
	job := a.job
	c.mu.Unlock()
	switch err := c.verify(r.Context(), job, r.Header.Get(pointer.Identity)); {
	case err == nil:
		return true
	case errors.Is(err, ci.ErrDenied):
		c.log.Warn("somebody else asks for the task of a warm agent, with its token", "agent", name, "from", r.RemoteAddr, "err", err)
		http.Error(w, `{"message":"Nomad has not started you as this agent"}`, http.StatusUnauthorized)
	default:
		c.log.Warn("verify the identity of a warm agent", "agent", name, "err", err)
		http.Error(w, `{"message":"Nomad does not answer"}`, http.StatusServiceUnavailable)
	}
	return false
}
