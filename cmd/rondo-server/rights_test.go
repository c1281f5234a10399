package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/github"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// TestSEC08_RightsAreAskedAnew: a signed webhook that tells of members makes
// what is known of rights be forgotten at once, a forged one or one of a push
// does not.
func TestSEC08_RightsAreAskedAnew(t *testing.T) {
	const secret = "a secret of thirty-two bytes, 32"
	host, err := github.New(memdb.New(), github.Config{
		Server:  "https://ci.example.com",
		Secrets: func(context.Context, ci.ProjectID) ([]string, error) { return []string{secret}, nil },
	})
	require.NoError(t, err)
	asked := 0
	door := onRightsEvent(host.Handler(), func() { asked++ })
	send := func(event, key string) int {
		const body = `{"action":"member_added"}`
		r := httptest.NewRequest(http.MethodPost, github.HookPath, strings.NewReader(body))
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
		r.Header.Set("X-GitHub-Delivery", ci.NewID())
		r.Header.Set("X-GitHub-Event", event)
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		return w.Code
	}
	for i, event := range []string{"organization", "membership", "team"} {
		require.Equal(t, http.StatusNoContent, send(event, secret), event)
		require.Equal(t, i+1, asked, event)
	}
	require.Equal(t, http.StatusUnauthorized, send("organization", "another secret of 32 bytes, it is"))
	send("push", secret)
	require.Equal(t, 3, asked)
}
