package api

import (
	"crypto/sha256"
	"net/http"
	"time"

	"github.com/rondo-ci/rondo/ci/api/internal/wire"
)

// Limit returns a handler that counts the requests of another door (GraphQL,
// runners, live events) with those of the API: by the same tokens and
// addresses, in the same buckets. Who sends too many is answered with 429; who
// may do what stays for next to say.
func (a *API) Limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{API: a, w: w, r: r}
		if err := c.admitDoor(); err != nil {
			w.Header().Set("Cache-Control", "no-store")
			status, text, _ := wire.Answer(err)
			reply(w, status, message{text})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// admitDoor is admit for a request that next authenticates once more.
func (c *call) admitDoor() error {
	now, from, t := time.Now(), c.limits.from(c.r), token(c.r)
	tokens, addresses := c.limits.tokens, c.limits.addresses
	sum := sha256.Sum256([]byte(t))
	key := string(sum[:])
	if t != "" && tokens.knows(key) {
		return c.tell(tokens.take(key, 1, now))
	}
	if a := addresses.take(from, 0, now); !a.ok {
		return c.tell(a)
	}
	if t != "" {
		switch _, err := c.cfg.Auth(c.r, t); {
		case err == nil:
			return c.tell(tokens.take(key, 1, now))
		case !hidden(err):
			return nil // next meets the fault, too, and says so
		}
	}
	return c.tell(addresses.take(from, 1, now))
}
