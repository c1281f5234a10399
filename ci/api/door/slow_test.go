package door_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci/api/door"
)

// deadlined remembers the deadline that a handler leaves for reading.
type deadlined struct {
	*httptest.ResponseRecorder
	read time.Time
}

func (d *deadlined) SetReadDeadline(t time.Time) error { d.read = t; return nil }
func (d *deadlined) SetWriteDeadline(time.Time) error  { return nil }

// TestA154_UnreadBody sends bodies that the handler does not read. net/http
// reads the rest of them before it replies, so a deadline must be left for a
// sender that stalls.
func TestA154_UnreadBody(t *testing.T) {
	h := door.Handler(door.New(nil, nil, nil, nil, nil, door.Config{}), key)
	for name, c := range map[string]struct {
		method, path, token string
		status              int
	}{
		"no token":  {"POST", "/door/v1/tasks/a.0/1/claim", "", http.StatusUnauthorized},
		"bad token": {"GET", "/door/v1/tasks/a.0/1/files", "bad", http.StatusUnauthorized},
		"no door":   {"POST", "/x", "", http.StatusNotFound},
		"refused":   {"POST", "/door/v1/tasks/a.0/1/file?size=x", key.Token("a.0", 1), http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			w := &deadlined{ResponseRecorder: httptest.NewRecorder()}
			r := httptest.NewRequest(c.method, c.path, strings.NewReader("slow"))
			r.Header.Set("Authorization", "Bearer "+c.token)
			h.ServeHTTP(w, r)
			require.Equal(t, c.status, w.Code)
			require.False(t, w.read.IsZero(), "the sender may take for ever")
		})
	}
}
