package api_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci/api"
)

// deadlined remembers the deadline that a handler leaves for reading.
type deadlined struct {
	*httptest.ResponseRecorder
	read  time.Time
	first time.Time
}

func (d *deadlined) SetReadDeadline(t time.Time) error {
	if d.first.IsZero() {
		d.first = t
	}
	d.read = t
	return nil
}

// TestA154_UnreadBody sends bodies that no route reads. net/http reads the rest
// of them before it replies, so a deadline must be left for a sender that
// stalls.
func TestA154_UnreadBody(t *testing.T) {
	h := api.New(nil, nil, nil, nil, api.Config{})
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"POST", "/api/v2/workflow/x/cancel", 401},
		{"GET", "/api/v2/me", 401},
		{"GET", "/api/v2/openapi.json", 200},
		{"POST", "/api/v2/nowhere", 404},
	} {
		w := &deadlined{ResponseRecorder: httptest.NewRecorder()}
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader("slow")))
		require.Equal(t, c.status, w.Code, c.path)
		require.False(t, w.read.IsZero(), "%s: the sender may take for ever", c.path)
	}
}
