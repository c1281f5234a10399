package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// deadlined remembers the deadlines that a handler leaves.
type deadlined struct {
	*httptest.ResponseRecorder
	read, write time.Time
	writes      int
}

func (d *deadlined) SetReadDeadline(t time.Time) error { d.read = t; return nil }

func (d *deadlined) SetWriteDeadline(t time.Time) error {
	d.write = t
	d.writes++
	return nil
}

// TestA154_SlowClients sends bodies that stall and reads pages slowly: a
// deadline must be there for both, and none may be left where it would strike
// a later request.
func TestA154_SlowClients(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	w.run()
	w.cfg.Authorize = func(r *http.Request) (ci.Actor, error) {
		if r.Header.Get("Good") == "" {
			return ci.Actor{}, ci.ErrDenied
		}
		return ci.Actor{}, nil
	}
	h := w.handler()
	send := func(method, path string, good bool) *deadlined {
		d := &deadlined{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest(method, path, strings.NewReader("slow"))
		if good {
			r.Header.Set("Good", "1")
		}
		h.ServeHTTP(d, r)
		require.NotZero(t, d.writes, "a reader may take for ever")
		require.True(t, d.write.IsZero(), "a deadline outlives the request")
		return d
	}
	for name, d := range map[string]*deadlined{
		"stranger":  send("POST", "/workflows/x/cancel", false),
		"page":      send("GET", "/", true),
		"elsewhere": send("PUT", "/nowhere", true),
	} {
		require.False(t, d.read.IsZero(), "%s: the sender may take for ever", name)
	}
	d := send("POST", "/workflows/x/cancel", true)
	require.True(t, d.read.IsZero(), "the body is read, and a deadline would look like a client that goes away")
}
