package pointer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler/nomad/pointer"
)

func ExampleParse() {
	p, err := pointer.Parse([]byte(`{"door":"https://ci.example.com:8585","task":"0190.0","epoch":2,"token":"s3cret"}`))
	fmt.Println(p, err)
	_, err = pointer.Parse([]byte(`{"door":"https://ci.example.com:8585","token":"s3cret"}`))
	fmt.Println(err)
	// Output:
	// task 0190.0 epoch 2 of https://ci.example.com:8585 <nil>
	// read placement: it names no task with a token: invalid
}

func FuzzParse(f *testing.F) {
	f.Add(`{"door":"http://x","task":"t","epoch":1,"token":"s3cret"}`)
	f.Add(`{"door":"http://x","warm":"w","token":"s3cret"}`)
	f.Add(`{"door":":","warm":"w"}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := pointer.Parse([]byte(text))
		if err != nil {
			require.ErrorIs(t, err, ci.ErrInvalid)
			require.NotContains(t, err.Error(), "s3cret")
			return
		}
		require.NotContains(t, p.String(), "s3cret")
		again, err := json.Marshal(p)
		require.NoError(t, err)
		if len(again) <= pointer.MaxSize {
			same, err := pointer.Parse(again)
			require.NoError(t, err)
			require.Equal(t, p, same)
		}
	})
}

func TestRead(t *testing.T) {
	const text = `{"door":"http://x","task":"t","epoch":1,"token":"s3cret"}`
	t.Setenv(pointer.Env, "")
	t.Setenv(pointer.EnvFile, "")
	_, err := pointer.Read()
	require.ErrorIs(t, err, ci.ErrNotFound)

	t.Setenv(pointer.Env, text)
	p, err := pointer.Read()
	require.NoError(t, err)
	require.Equal(t, ci.TaskID("t"), p.Task)
	_, there := os.LookupEnv(pointer.Env)
	require.False(t, there, "children do not find the token")

	file := filepath.Join(t.TempDir(), "placement.json")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	t.Setenv(pointer.EnvFile, file)
	p, err = pointer.Read()
	require.NoError(t, err)
	require.Equal(t, int64(1), p.Epoch)
	require.NoFileExists(t, file)

	_, err = pointer.Parse([]byte(`{"token":"` + strings.Repeat("x", pointer.MaxSize) + `"}`))
	require.ErrorContains(t, err, "more than 16384")
}

// A warm agent asks again after what is no answer, and takes each answer for
// what it is.
func TestAwait(t *testing.T) {
	var answers []int
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "POST "+pointer.Path+"w1 Bearer tok", r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
		status := answers[0]
		answers = answers[1:]
		w.WriteHeader(status)
		if status == 200 {
			_, _ = w.Write([]byte(`{"door":"http://x","task":"t","epoch":1,"token":"other"}`))
		}
	}))
	defer h.Close()
	p := pointer.Pointer{Door: h.URL + "/", Warm: "w1", Token: "tok"}
	answers = []int{204, 500, 204, 200}
	got, err := p.Await(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, pointer.Pointer{Door: "http://x", Task: "t", Epoch: 1, Token: "other"}, got)
	same, err := got.Await(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, got, same, "one that has a task waits for nothing")
	answers = []int{410}
	_, err = p.Await(t.Context(), nil)
	require.ErrorIs(t, err, ci.ErrConflict)
	answers = []int{401}
	_, err = p.Await(t.Context(), nil)
	require.ErrorIs(t, err, ci.ErrDenied)

	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Await(stopped, nil)
	require.True(t, errors.Is(err, context.Canceled), err)
}

// What Nomad signs about an agent is shown where it is asked for, and taken out
// of the environment.
func TestIdentity(t *testing.T) {
	t.Setenv(pointer.Env, `{"door":"http://x","task":"t","epoch":1,"token":"s3cret"}`)
	t.Setenv(pointer.EnvFile, "")
	t.Setenv(pointer.EnvIdentity, "signed")
	p, err := pointer.Read()
	require.NoError(t, err)
	require.Empty(t, os.Getenv(pointer.EnvIdentity))
	require.Equal(t, "signed", p.Identity)
	text, err := json.Marshal(p)
	require.NoError(t, err)
	require.NotContains(t, string(text)+p.String(), "signed")
	shown := map[string]string{}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { shown[r.URL.Path] = r.Header.Get(pointer.Identity) }))
	defer s.Close()
	hc := &http.Client{Transport: p.Over(nil)}
	for _, path := range []string{"/door/v1/tasks/t/1/claim", pointer.Path + "w", "/door/v1/tasks/t/1/renew"} {
		res, err := hc.Post(s.URL+path, "", nil)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
	}
	require.Equal(t, map[string]string{"/door/v1/tasks/t/1/claim": "signed", pointer.Path + "w": "signed", "/door/v1/tasks/t/1/renew": ""}, shown)
	require.Equal(t, http.DefaultTransport, pointer.Pointer{}.Over(nil))
}
