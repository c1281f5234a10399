package forgetest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/apitest"
	"github.com/rondo-ci/rondo/ci/forge/forgetest"
	"github.com/rondo-ci/rondo/ci/forge/github"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// A judge holds calls and answers to GitHub's published description.
type judge struct {
	t        *testing.T
	spec     map[string]any
	compiler *jsonschema.Compiler
	paths    map[string]*regexp.Regexp // by template

	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema
	seen    map[string]int // "GET /repos/{owner}/{repo} 200"
}

// newJudge reads the description of GitHub Enterprise Server, newest edition.
func newJudge(t *testing.T, home string) *judge {
	files, err := filepath.Glob(filepath.Join(home, "node_modules/@octokit/openapi/generated/ghes-*[0-9].json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	slices.Sort(files)
	text, err := os.ReadFile(files[len(files)-1])
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	nullable(doc)
	j := &judge{t: t, spec: doc.(map[string]any), compiler: jsonschema.NewCompiler(), paths: map[string]*regexp.Regexp{}, schemas: map[string]*jsonschema.Schema{}, seen: map[string]int{}}
	require.NoError(t, j.compiler.AddResource("file:///openapi.json", doc))
	j.compiler.DefaultDraft(jsonschema.Draft7)
	variable := regexp.MustCompile(`\\\{[a-z_]+\\\}`)
	for path := range j.spec["paths"].(map[string]any) {
		expr := variable.ReplaceAllStringFunc(regexp.QuoteMeta(path), func(name string) string {
			if name == `\{path\}` || name == `\{ref\}` && strings.Contains(path, "/git/") {
				return ".+"
			}
			return "[^/]+"
		})
		j.paths[path] = regexp.MustCompile("^" + expr + "$")
	}
	return j
}

// nullable turns what OpenAPI 3.0 says of null into JSON Schema.
func nullable(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, child := range v {
			nullable(child)
		}
		if v["nullable"] != true {
			return
		}
		if kind, ok := v["type"].(string); ok {
			v["type"] = []any{kind, "null"}
		}
		if enum, ok := v["enum"].([]any); ok {
			v["enum"] = append(enum, nil)
		}
		for _, word := range []string{"oneOf", "anyOf"} {
			if list, ok := v[word].([]any); ok {
				v[word] = append(list, map[string]any{"type": "null"})
			}
		}
	case []any:
		for _, child := range v {
			nullable(child)
		}
	}
}

// template returns the path of the description that a call goes to, the most
// literal one that fits.
func (j *judge) template(method, path string) (string, bool) {
	best, found := "", false
	for template, expr := range j.paths {
		item := j.spec["paths"].(map[string]any)[template].(map[string]any)
		if item[strings.ToLower(method)] == nil || !expr.MatchString(path) {
			continue
		}
		if !found || strings.Count(template, "{") < strings.Count(best, "{") {
			best, found = template, true
		}
	}
	return best, found
}

// follow resolves references and returns the JSON pointer of the value.
func (j *judge) follow(pointer string) (any, string) {
	var v any = j.spec
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "#/"), "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		m, ok := v.(map[string]any)
		if !ok {
			return nil, pointer
		}
		v = m[part]
	}
	if m, ok := v.(map[string]any); ok {
		if ref, ok := m["$ref"].(string); ok {
			return j.follow(ref)
		}
	}
	return v, pointer
}

func escape(s string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(s) }

// check holds one body to a schema.
func (j *judge) check(what, pointer string, body []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.schemas[pointer]
	if s == nil {
		var err error
		s, err = j.compiler.Compile("file:///openapi.json" + strings.NewReplacer("{", "%7B", "}", "%7D").Replace(pointer))
		require.NoError(j.t, err, pointer)
		j.schemas[pointer] = s
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	require.NoError(j.t, err, what)
	if err := s.Validate(v); err != nil {
		j.t.Errorf("%s: %v\n%.2000s", what, err, body)
	}
	// A schema that takes anything would prove nothing.
	if err := s.Validate(json.Number("1")); err == nil {
		j.t.Errorf("%s: its schema takes a number too", what)
	}
}

// RoundTrip makes a call of the fake and judges both sides of it.
func (j *judge) over(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		var asked []byte
		if r.Body != nil {
			asked, _ = io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(asked))
		}
		resp, err := next.RoundTrip(r)
		if err != nil {
			return resp, err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body = io.NopCloser(bytes.NewReader(body))
		if err != nil {
			return resp, err
		}
		path := strings.TrimPrefix(r.URL.Path, "/api/v3")
		template, ok := j.template(r.Method, path)
		if strings.HasPrefix(path, "/repositories/") { // not described, but as the repository under its name
			template, ok = "/repos/{owner}/{repo}", true
		}
		if !ok {
			j.t.Errorf("%s %s is no call of GitHub", r.Method, path)
			return resp, nil
		}
		what := fmt.Sprintf("%s %s %d", r.Method, template, resp.StatusCode)
		j.mu.Lock()
		j.seen[what]++
		j.mu.Unlock()
		operation := "#/paths/" + escape(template) + "/" + strings.ToLower(r.Method)
		if len(asked) > 0 {
			j.check("asked: "+what, operation+"/requestBody/content/application~1json/schema", asked)
		}
		j.answer(what, operation, resp, body)
		return resp, nil
	})
}

// answer judges an answer.
func (j *judge) answer(what, operation string, resp *http.Response, body []byte) {
	described, pointer := j.follow(fmt.Sprintf("%s/responses/%d", operation, resp.StatusCode))
	if described == nil {
		if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusNotFound || resp.StatusCode >= 500 {
			j.check(what, "#/components/schemas/basic-error", body) // any call may be answered so
			return
		}
		j.t.Errorf("%s is no answer of GitHub", what)
		return
	}
	if resp.StatusCode == http.StatusNoContent || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return
	}
	if content, _ := j.follow(pointer + "/content/application~1json/schema"); content != nil {
		j.check(what, pointer+"/content/application~1json/schema", body)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

const secret = "0123456789abcdef0123456789abcdef"

// TestAnswersAreGitHubs makes every call that Rondo makes, and some that go
// wrong, and holds questions and answers to the published description.
func TestAnswersAreGitHubs(t *testing.T) {
	j := newJudge(t, apitest.Npm(t, "testdata/npm"))
	fake := forgetest.Unplugged(t)
	transport := j.over(fake.Transport())
	token := forgetest.Token
	host, err := github.New(memdb.New(), github.Config{
		URL: fake.URL(), Server: "https://ci.example.com", Transport: transport,
		Token:   func(context.Context) (string, error) { return token, nil },
		Secrets: func(context.Context, ci.ProjectID) ([]string, error) { return []string{secret}, nil },
		KeepKey: func(context.Context, ci.ProjectID, ci.SSHKey) error { return nil },
	})
	require.NoError(t, err)
	fake.SendBy(roundTrip(func(r *http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }))

	repo := fake.Repo("acme/shop")
	sha := repo.Commit("main", "subject\n\nbody", map[string]string{"dir/file": "x"})
	p, err := host.Follow(t.Context(), "gh/acme/shop", true, ci.Actor{})
	require.NoError(t, err)
	_, err = host.Follow(t.Context(), "gh/acme/shop", true, ci.Actor{})
	require.NoError(t, err)
	repo.PushTag("v1", sha, "annotated")
	repo.PushTag("v2", sha, "")
	repo.OpenPull(repo.Fork("mallory"), "main", "from a fork")
	repo.Commit("side", "side", nil)
	repo.OpenPull(repo, "side", "from here")
	r := host.Repo(p)
	for _, ref := range []string{"HEAD", "refs/heads/main", "refs/tags/v1", "refs/tags/v2", "refs/pull/1/head", "refs/pull/2/head"} {
		_, err := r.Trigger(t.Context(), ref)
		require.NoError(t, err, ref)
	}
	_, err = r.Refs(t.Context())
	require.NoError(t, err)
	_, err = r.Pulls(t.Context(), "side")
	require.NoError(t, err)
	_, err = r.File(t.Context(), sha, "dir/file")
	require.NoError(t, err)
	for _, f := range host.Check(t.Context()) {
		require.True(t, f.OK, f.Text)
	}

	ask := func(status int, method, path, body string) []byte {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, fake.URL()+"/api/v3"+path, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := transport.RoundTrip(req)
		require.NoError(t, err)
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, status, resp.StatusCode, "%s %s: %s", method, path, text)
		return text
	}
	hook := fmt.Sprintf("/repos/acme/shop/hooks/%d", repo.Hooks()[0].ID)
	for _, state := range []string{"pending", "success"} {
		ask(201, "POST", "/repos/acme/shop/statuses/"+sha, `{"state":"`+state+`","context":"ci/circleci: build","description":"d","target_url":"https://ci.example.com/1"}`)
	}
	ask(200, "GET", "/repos/acme/shop/commits/"+sha+"/statuses?per_page=1", "")
	ask(200, "GET", "/repos/acme/shop/contents/dir/file", "")
	ask(200, "GET", "/repos/acme/shop/contents/dir", "")
	var list []struct{ ID int64 }
	require.NoError(t, json.Unmarshal(ask(200, "GET", hook+"/deliveries", ""), &list))
	require.NotEmpty(t, list)
	ask(200, "GET", fmt.Sprintf("%s/deliveries/%d", hook, list[0].ID), "")
	ask(202, "POST", fmt.Sprintf("%s/deliveries/%d/attempts", hook, list[0].ID), "")
	repo.Rename("acme/market")
	ask(301, "GET", "/repos/acme/shop", "")
	ask(200, "GET", fmt.Sprintf("/repositories/%d", repo.ID()), "")
	ask(404, "GET", "/repos/acme/missing", "")
	ask(404, "GET", "/repos/acme/market/contents/missing", "")
	ask(422, "POST", "/repos/acme/market/hooks", `{"config":{"url":"https://ci.example.com/hooks/github"}}`)
	ask(422, "POST", "/repos/acme/market/keys", `{"key":"nonsense"}`)
	ask(422, "GET", "/repos/acme/market/commits/"+strings.Repeat("1", 40), "")
	fake.SetFault(func(*http.Request) forgetest.Fault { return forgetest.Fault{RetryAfter: 1e9} })
	ask(403, "GET", "/repos/acme/market", "")
	fake.SetFault(nil)
	_, err = host.Follow(t.Context(), "gh/acme/shop", false, ci.Actor{})
	require.NoError(t, err)
	token = "unknown"
	ask(401, "GET", "/user", "")
	t.Logf("%d kinds of calls and answers held", len(j.seen))
}
