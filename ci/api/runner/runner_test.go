package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/runner"
	"github.com/rondo-ci/rondo/ci/config/orb"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// People and their tokens: ada owns gh/acme, bob reads it, mallory owns
// gh/evil.
var orgs = map[string][]string{"ada": {"gh/acme"}, "bob": {"gh/acme"}, "mallory": {"gh/evil"}}

type world struct {
	t    testing.TB
	docs *memdb.DB
	orbs *orb.Registry
	h    *runner.Handler
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, docs: memdb.New()}
	w.orbs = orb.New(w.docs, orb.Config{})
	_, err := w.orbs.CreateNamespace(context.Background(), "acme", "gh/acme")
	require.NoError(t, err)
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	w.h = runner.New(w.docs, w.orbs, runner.Config{
		Auth: func(_ *http.Request, token string) (ci.Actor, error) {
			if token == "broken" {
				return ci.Actor{}, errors.New("directory is down")
			}
			if orgs[token] == nil {
				return ci.Actor{}, ci.ErrDenied
			}
			return ci.Actor{ID: token, Kind: ci.ActorUser, Login: token}, nil
		},
		Orgs: func(_ context.Context, by ci.Actor) ([]string, error) { return orgs[by.Login], nil },
		MayOrg: func(_ context.Context, by ci.Actor, org string, write bool) error {
			switch {
			case !slices.Contains(orgs[by.Login], org):
				return ci.ErrNotFound
			case write && by.Login == "bob":
				return ci.ErrDenied
			}
			return nil
		},
		Instances: func(_ context.Context, class string) ([]runner.Instance, error) {
			if class != "acme/arm" {
				return nil, nil
			}
			return []runner.Instance{{Name: "board", Hostname: "rack-1", IP: "10.0.0.7", Version: "1.2", First: noon, Last: noon.Add(time.Hour)}}, nil
		},
		Unclaimed: func(_ context.Context, class string) (int, error) { return 3, nil },
		Running:   func(_ context.Context, class string) (int, error) { return 2, nil },
	})
	return w
}

func (w *world) call(who, method, path string, body any) (int, map[string]any) {
	w.t.Helper()
	text := ""
	if body != nil {
		data, err := json.Marshal(body)
		require.NoError(w.t, err)
		text = string(data)
	}
	r := httptest.NewRequest(method, path, strings.NewReader(text))
	r.Header.Set("Circle-Token", who)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	require.Equal(w.t, "application/json; charset=utf-8", rec.Header().Get("Content-Type"))
	var v map[string]any
	require.NoError(w.t, json.Unmarshal(rec.Body.Bytes(), &v), rec.Body)
	return rec.Code, v
}

// TestRecorded sends what clients send, written down from the wire with values
// of our own, in the order of their commands.
func TestRecorded(t *testing.T) {
	text, err := os.ReadFile("testdata/cli/runners.json")
	require.NoError(t, err)
	var script []struct {
		Command, Method, Path string
		Body                  any
		Status                int
		Want                  map[string]any // "*" is any text, "$name" what was saved
		Save                  map[string]string
	}
	require.NoError(t, json.Unmarshal(text, &script))
	w := newWorld(t)
	saved := map[string]string{"org": ci.OrgID("gh/acme")}
	fill := func(s string) string {
		for name, v := range saved {
			s = strings.ReplaceAll(s, "$"+name, v)
		}
		return s
	}
	for _, r := range script {
		status, got := w.call("ada", r.Method, fill(r.Path), r.Body)
		require.Equal(t, r.Status, status, "%s: %v", r.Command, got)
		for name, key := range r.Save {
			saved[name] = got[key].(string)
		}
		require.Equal(t, expand(r.Want, fill), blur(expand(r.Want, fill), got), r.Command)
	}
}

func expand(v any, fill func(string) string) any {
	data, _ := json.Marshal(v)
	var out any
	_ = json.Unmarshal([]byte(fill(string(data))), &out)
	return out
}

// blur replaces texts where any will do.
func blur(want, got any) any {
	switch g := got.(type) {
	case string:
		if want == "*" && g != "" {
			return "*"
		}
	case []any:
		w, _ := want.([]any)
		for i := range min(len(g), len(w)) {
			g[i] = blur(w[i], g[i])
		}
	case map[string]any:
		w, _ := want.(map[string]any)
		for k := range g {
			g[k] = blur(w[k], g[k])
		}
	}
	return got
}

func TestRights(t *testing.T) {
	w := newWorld(t)
	_, class := w.call("ada", "POST", "/api/v3/runner/resource", map[string]any{"resource_class": "acme/arm"})
	_, token := w.call("ada", "POST", "/api/v3/runner/token", map[string]any{"resource_class": "acme/arm"})
	for path, status := range map[string][2]int{ // of bob, of mallory
		"GET /api/v3/runner/resource?namespace=acme":                        {200, 404},
		"GET /api/v3/runner/resource?resource-class=acme/arm":               {200, 404},
		"GET /api/v3/runner/resource?org-id=" + ci.OrgID("gh/acme"):         {200, 404},
		"GET /api/v3/runner/token?resource-class=acme/arm":                  {200, 404},
		"GET /api/v3/runner/tasks?resource-class=acme/arm":                  {200, 404},
		"GET /api/v3/runner/tasks":                                          {400, 400},
		"GET /api/v3/runner":                                                {400, 400},
		"POST /api/v3/runner/resource":                                      {403, 404},
		"POST /api/v3/runner/token":                                         {403, 404},
		"DELETE /api/v3/runner/token/" + token["id"].(string):               {403, 404},
		"DELETE /api/v3/runner/resource/" + class["id"].(string):            {403, 404},
		"DELETE /api/v3/runner/resource/" + class["id"].(string) + "/force": {403, 404},
		"DELETE /api/v3/runner/resource/" + class["id"].(string) + "/other": {404, 404},
	} {
		method, path, _ := strings.Cut(path, " ")
		var body any
		if method == "POST" {
			body = map[string]any{"resource_class": "acme/arm"}
		}
		for i, who := range []string{"bob", "mallory"} {
			got, v := w.call(who, method, path, body)
			require.Equal(t, status[i], got, "%s %s %s: %v", who, method, path, v)
		}
		got, v := w.call("nobody", method, path, body)
		require.Equal(t, "401 map[message:You must log in first.]", fmt.Sprint(got, " ", v))
	}
	got, _ := w.call("broken", "GET", "/api/v3/runner", nil)
	require.Equal(t, 500, got)
	got, v := w.call("mallory", "GET", "/api/v3/runner/resource?org-id="+ci.OrgID("gh/evil"), nil)
	require.Equal(t, "200 map[items:[] next_page_token:<nil>]", fmt.Sprint(got, " ", v), "it has no namespace")
	for _, name := range []string{"", "arm", "acme/", "acme/A", "acme/a b", "acme/" + strings.Repeat("a", 101)} {
		got, v := w.call("ada", "POST", "/api/v3/runner/resource", map[string]any{"resource_class": name})
		require.Equal(t, 400, got, name)
		require.Contains(t, v["message"], "like acme/linux")
	}
	got, _ = w.call("ada", "POST", "/api/v3/runner/resource", map[string]any{"resource_class": "acme/x", "description": strings.Repeat("a", 1001)})
	require.Equal(t, 400, got)
	got, _ = w.call("ada", "POST", "/api/v3/runner/resource", map[string]any{"resource_class": strings.Repeat("a", 100_000)})
	require.Equal(t, 413, got)
	got, _ = w.call("ada", "POST", "/api/v3/runner/token", nil)
	require.Equal(t, 415, got)
}

// TestA121_WithoutMayOrg: where nobody says more closely who may, it is those
// who belong to the organisation.
func TestA121_WithoutMayOrg(t *testing.T) {
	w := newWorld(t)
	w.h = runner.New(w.docs, w.orbs, runner.Config{
		Auth: func(_ *http.Request, token string) (ci.Actor, error) {
			return ci.Actor{ID: token, Kind: ci.ActorUser, Login: token}, nil
		},
		Orgs: func(_ context.Context, by ci.Actor) ([]string, error) { return orgs[by.Login], nil },
	})
	class := map[string]string{"resource_class": "acme/arm", "description": "d"}
	status, _ := w.call("mallory", "POST", "/api/v3/runner/resource", class)
	require.Equal(t, 404, status)
	status, made := w.call("ada", "POST", "/api/v3/runner/resource", class)
	require.Equal(t, 200, status)
	for _, path := range []string{"/api/v3/runner/resource?namespace=acme", "/api/v3/runner/token?resource-class=acme/arm"} {
		status, _ = w.call("mallory", "GET", path, nil)
		require.Equal(t, 404, status, path)
	}
	status, _ = w.call("mallory", "DELETE", "/api/v3/runner/resource/"+made["id"].(string), nil)
	require.Equal(t, 404, status)
	status, _ = w.call("ada", "DELETE", "/api/v3/runner/resource/"+made["id"].(string), nil)
	require.Equal(t, 200, status)
}

// TestTokensAreKeptAsDigests: a token works until it is deleted, is shown once,
// and is nowhere in the records.
func TestTokensAreKeptAsDigests(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	_, class := w.call("ada", "POST", "/api/v3/runner/resource", map[string]any{"resource_class": "acme/arm"})
	_, token := w.call("ada", "POST", "/api/v3/runner/token", map[string]any{"resource_class": "acme/arm", "nickname": "a"})
	text := token["token"].(string)
	name, err := w.h.Class(ctx, text)
	require.NoError(t, err)
	require.Equal(t, "acme/arm", name)
	for d, err := range w.docs.Docs(ctx, ci.DocQuery{Kind: "runner-token", AllScopes: true}) {
		require.NoError(t, err)
		require.NotContains(t, string(d.Body), text[32:])
	}
	for _, wrong := range []string{"", text[1:], text + "0", strings.Repeat("0", 96), text[:95] + "x", text[:32] + strings.Repeat("0", 64)} {
		_, err := w.h.Class(ctx, wrong)
		require.ErrorIs(t, err, ci.ErrDenied)
		if wrong != "" {
			require.NotContains(t, err.Error(), wrong)
		}
	}
	n, err := w.orbs.Namespace(ctx, "acme")
	require.NoError(t, err)
	_, err = w.orbs.RenameNamespace(ctx, n.ID, "acme-inc")
	require.NoError(t, err)
	name, err = w.h.Class(ctx, text)
	require.NoError(t, err)
	require.Equal(t, "acme-inc/arm", name)
	status, _ := w.call("ada", "DELETE", "/api/v3/runner/resource/"+class["id"].(string)+"/force", nil)
	require.Equal(t, 200, status)
	_, err = w.h.Class(ctx, text)
	require.ErrorIs(t, err, ci.ErrDenied)
}

func ExampleNew() {
	docs := memdb.New()
	names := orb.New(docs, orb.Config{})
	if _, err := names.CreateNamespace(context.Background(), "acme", "gh/acme"); err != nil {
		fmt.Println(err)
		return
	}
	h := runner.New(docs, names, runner.Config{
		Auth: func(*http.Request, string) (ci.Actor, error) { return ci.Actor{Login: "ada"}, nil },
		Orgs: func(context.Context, ci.Actor) ([]string, error) { return []string{"gh/acme"}, nil },
	})
	r := httptest.NewRequest("GET", "/api/v3/runner/resource?namespace=acme", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output: 200 {"items":[],"next_page_token":null}
}
