package api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
)

// asker makes requests to an API of nothing but limits.
func asker(t *testing.T, rate api.RateConfig) func(from, token string) *httptest.ResponseRecorder {
	t.Helper()
	tried := 0
	h := api.New(nil, nil, nil, nil, api.Config{Rate: rate, Auth: func(_ *http.Request, given string) (ci.Actor, error) {
		tried++
		if given == "good" || given == "too" {
			return ada, nil
		}
		return ci.Actor{}, ci.ErrDenied
	}})
	t.Cleanup(func() { t.Logf("%d tokens were tried", tried) })
	return func(from, token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/api/v2/me", nil)
		r.RemoteAddr = from
		r.Header.Set("X-Forwarded-For", "10.0.0."+strconv.Itoa(tried%250))
		with(token)(r)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ask := asker(t, api.RateConfig{Token: 60, Address: 6})
		for i := range 60 {
			w := ask("1.2.3.4:5", "good")
			require.Equal(t, 200, w.Code)
			require.Equal(t, []string{"60", strconv.Itoa(59 - i)}, []string{w.Header().Get("RateLimit-Limit"), w.Header().Get("RateLimit-Remaining")})
			require.Equal(t, w.Header().Get("RateLimit-Remaining"), w.Header().Get("X-RateLimit-Remaining-Minute"))
		}
		w := ask("1.2.3.4:5", "good")
		require.Equal(t, 429, w.Code)
		require.Equal(t, []string{"1", "60"}, []string{w.Header().Get("Retry-After"), w.Header().Get("RateLimit-Reset")})
		require.Contains(t, w.Body.String(), `{"message":"Too many requests`)
		require.Equal(t, 200, ask("1.2.3.4:5", "too").Code, "another token")
		time.Sleep(time.Second)
		require.Equal(t, 200, ask("1.2.3.4:5", "good").Code, "as Retry-After said")
		require.Equal(t, 429, ask("1.2.3.4:5", "good").Code)
		require.Equal(t, 429, ask("9.9.9.9:5", "good").Code, "from wherever")

		// Who guesses is stopped by address, whatever the request says of it,
		// and locks nobody out who was known before.
		for i := range 6 {
			require.Equal(t, 401, ask("1.2.3.4:5", fmt.Sprint("guess", i)).Code)
		}
		require.Equal(t, 429, ask("1.2.3.4:6", "guess").Code)
		require.Equal(t, 429, ask("1.2.3.4:6", "").Code)
		require.Equal(t, 200, ask("1.2.3.4:6", "too").Code)
		require.Equal(t, 401, ask("1.2.3.5:6", "guess").Code, "another address")
		for i := range 6 {
			require.Equal(t, 401, ask(fmt.Sprintf("[2001:db8::%x]:1", i), "").Code)
		}
		require.Equal(t, 429, ask("[2001:db8::ffff]:1", "").Code, "one host has a /64")
		require.Equal(t, 401, ask("[2001:db8:0:1::1]:1", "").Code)
		time.Sleep(10 * time.Second)
		require.Equal(t, 401, ask("1.2.3.4:5", "guess").Code)
		require.Equal(t, 429, ask("1.2.3.4:5", "guess").Code)
	})
}

func TestRateLimitOff(t *testing.T) {
	ask := asker(t, api.RateConfig{Token: -1, Address: -1})
	for range 100 {
		w := ask("1.2.3.4:5", "good")
		require.Equal(t, []any{200, ""}, []any{w.Code, w.Header().Get("RateLimit-Limit")})
	}
	ask = asker(t, api.RateConfig{})
	require.Equal(t, "30000", ask("1.2.3.4:5", "good").Header().Get("RateLimit-Limit"), "generous")
	require.Equal(t, "6000", ask("1.2.3.4:5", "").Header().Get("RateLimit-Limit"))
}

// The doors beside the API share its buckets, and a stranger who guesses at one
// of them is stopped at all.
func TestRateLimit_OtherDoors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := api.New(nil, nil, nil, nil, api.Config{Rate: api.RateConfig{Token: 4, Address: 3}, Auth: func(_ *http.Request, given string) (ci.Actor, error) {
			if given == "good" {
				return ada, nil
			}
			return ci.Actor{}, ci.ErrDenied
		}})
		let := 0
		door := a.Limit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { let++ }))
		ask := func(h http.Handler, path, token string) *httptest.ResponseRecorder {
			r := httptest.NewRequest("GET", path, nil)
			with(token)(r)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w
		}
		for range 2 {
			require.Equal(t, 200, ask(door, "/graphql-unstable", "good").Code)
			require.Equal(t, 200, ask(a, "/api/v2/me", "good").Code)
		}
		w := ask(door, "/graphql-unstable", "good")
		require.Equal(t, []any{429, "15"}, []any{w.Code, w.Header().Get("Retry-After")})
		require.Contains(t, w.Body.String(), "Too many requests")
		require.Equal(t, 200, ask(door, "/app/rondo", "").Code)
		require.Equal(t, 200, ask(door, "/pusher/auth", "guess").Code)
		require.Equal(t, 401, ask(a, "/api/v2/me", "guess").Code)
		require.Equal(t, 429, ask(door, "/pusher/auth", "guess again").Code)
		require.Equal(t, 429, ask(a, "/api/v2/me", "").Code)
		require.Equal(t, 4, let)
	})
}
