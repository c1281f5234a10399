package web_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// SEC-08: the live events of a page end within a minute after the session of
// whoever watches has.
func TestSEC08_LiveEventsEndWithTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, flow(build("a")))
		var out atomic.Bool
		w.cfg.Authorize = func(*http.Request) (ci.Actor, error) {
			if out.Load() {
				return ci.Actor{}, ci.ErrDenied
			}
			return ci.Actor{ID: "1", Kind: ci.ActorUser, Login: "ada"}, nil
		}
		h := w.handler()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequest("GET", "/events?at=0", nil).WithContext(t.Context()))
		}()
		time.Sleep(5 * time.Minute)
		select {
		case <-ended:
			require.Fail(t, "it ended by itself")
		default:
		}
		out.Store(true)
		time.Sleep(time.Minute)
		<-ended
	})
}
