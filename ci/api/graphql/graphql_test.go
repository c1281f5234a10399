package graphql_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/graphql"
	"github.com/rondo-ci/rondo/ci/config/orb"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// send makes a request of any form.
func (w *world) send(method, body string, edit func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/graphql-unstable", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "ada")
	if edit != nil {
		edit(r)
	}
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	return rec
}

const typename = `{"query":"{ __typename }"}`

func TestTokens(t *testing.T) {
	w := newWorld(t)
	for name, edit := range map[string]func(*http.Request){
		"bare":         func(r *http.Request) { r.Header.Set("Authorization", "ada") },
		"bearer":       func(r *http.Request) { r.Header.Set("Authorization", "Bearer ada") },
		"circle-token": func(r *http.Request) { r.Header.Del("Authorization"); r.Header.Set("Circle-Token", "ada") },
		"basic":        func(r *http.Request) { r.Header.Del("Authorization"); r.SetBasicAuth("ada", "") },
	} {
		rec := w.send("POST", typename, edit)
		require.Equal(t, `200 {"data":{"__typename":"Query"}}`, fmt.Sprint(rec.Code, " ", rec.Body), name)
		require.NotEmpty(t, rec.Header().Get("X-Request-Id"))
	}
	for name, edit := range map[string]func(*http.Request){
		"none":     func(r *http.Request) { r.Header.Del("Authorization") },
		"wrong":    func(r *http.Request) { r.Header.Set("Authorization", "nobody") },
		"password": func(r *http.Request) { r.Header.Del("Authorization"); r.SetBasicAuth("ada", "x") },
		"digest":   func(r *http.Request) { r.Header.Set("Authorization", "Digest ada") },
	} {
		rec := w.send("POST", typename, edit)
		require.Equal(t, `200 {"errors":[{"message":"You must log in first."}]}`, fmt.Sprint(rec.Code, " ", rec.Body), name)
	}
	rec := w.send("POST", typename, func(r *http.Request) { r.Header.Set("Authorization", "broken") })
	require.Equal(t, `500 {"errors":[{"message":"Internal server error"}]}`, fmt.Sprint(rec.Code, " ", rec.Body))
	zero := httptest.NewRecorder()
	graphql.New(nil, graphql.Config{}).ServeHTTP(zero, httptest.NewRequest("POST", "/", strings.NewReader(typename)))
	require.Contains(t, zero.Body.String(), "log in")
}

// TestHostileRequests: what is no request is 4xx, and never more than that.
func TestHostileRequests(t *testing.T) {
	w := newWorld(t)
	for name, tc := range map[string]struct {
		method, body string
		edit         func(*http.Request)
		status       int
	}{
		"GET":          {"GET", "", nil, 405},
		"empty":        {"POST", "", nil, 400},
		"no JSON":      {"POST", "{", nil, 400},
		"two values":   {"POST", typename + typename, nil, 400},
		"a list":       {"POST", "[" + typename + "]", nil, 400},
		"UTF-8":        {"POST", "{\"query\":\"\xff\"}", nil, 400},
		"10 MB":        {"POST", `{"query":"` + strings.Repeat("a", 10<<20) + `"}`, nil, 413},
		"content type": {"POST", typename, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415},
		"no type":      {"POST", typename, func(r *http.Request) { r.Header.Del("Content-Type") }, 415},
		"charset":      {"POST", typename, func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=latin1") }, 415},
		"deep JSON":    {"POST", `{"query":"{ __typename }","variables":{"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}}`, nil, 400},
		"breaks off":   {"POST", "", func(r *http.Request) { r.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), broken{})) }, 400},
	} {
		rec := w.send(tc.method, tc.body, tc.edit)
		require.Equal(t, tc.status, rec.Code, "%s: %.200s", name, rec.Body)
		require.Equal(t, "application/json; charset=utf-8", rec.Header().Get("Content-Type"))
		var v struct{ Errors []struct{ Message string } }
		require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &v), name)
		require.NotEmpty(t, v.Errors[0].Message, name)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestMistakes: documents that say nothing sensible are refused with a place
// and a reason, before anything is done.
func TestMistakes(t *testing.T) {
	w := newWorld(t)
	deep := strings.Repeat("{ a ", 30) + strings.Repeat("}", 30)
	for document, want := range map[string]string{
		"":                                    "line 1, column 1: the document has no operation",
		"{":                                   "} is missing at the end",
		"{}":                                  "nothing between { and }",
		"{ a } }":                             "line 1, column 7: a name is expected, not }",
		"subscription { a }":                  "subscription is not served here",
		"{ ~ }":                               "line 1, column 3: '~' means nothing here",
		"{\n  é }":                            "line 2, column 3: 'é' means nothing here",
		`{ orb(name: "x }`:                    "does not end",
		"{ orb(name: \"a\nb\") { id } }":      "does not end in its line",
		`{ orb(name: "\q") { id } }`:          "no escape",
		`{ orb(name: """x) { id } }`:          "does not end",
		"{ orb(name: 01) { id } }":            "01 is no number",
		"{ orb(name: ) { id } }":              "a value is expected, not )",
		"{ orb(name \"a\") { id } }":          ": is expected, not a string",
		"query ($a String) { a }":             ": is expected, not String",
		"{ nothing }":                         "Query has no field nothing; it has buildConfig, context, orb,",
		"{ orb(name: \"a/b\") }":              "say which fields of orb are wanted, of categories, createdAt,",
		"{ orb(name: \"a/b\") { id { x } } }": "id is a plain value and has no fields",
		"{ orb { id } }":                      "the argument name of orb is required",
		"{ orb(name: null) { id } }":          "the argument name of orb is required",
		"{ orb(name: 7) { id } }":             "the argument name of orb has to be of type String",
		"{ orb(name: \"a\", tag: 1) { id } }": "orb takes no argument tag",
		"{ organization(name: \"a\", vcsType: SVN) { id } }":     "has to be one of GITHUB, BITBUCKET, CIRCLECI, LOCAL, GH, BB, not SVN",
		"{ orbs(first: \"x\") { totalCount } }":                  "the argument first of orbs has to be of type Int",
		"{ orbs(first: 99999999999) { totalCount } }":            "has to be of type Int",
		"{ orbConfig(orbYaml: \"\", ownerId: \"x\") { valid } }": "has to be a UUID, not \"x\"",
		"{ a: __typename a: orbs { totalCount } }":               "two fields would be called a",
		"{ ...f }":                              "there is no fragment f",
		"{ ...f } fragment f on Query { ...f }": "the fragment f contains itself",
		"{ ...f } fragment f at Query { a }":    "on and a type are expected, not at",
		"{ __typename @skip(if: 3) }":           "the condition of @skip has to be of type Boolean",
		"{ __typename @defer }":                 "the directives are @include(if: ...) and @skip(if: ...)",
		"{ a } { b }":                           "several operations",
		"query($a: [" + strings.Repeat(strings.Repeat("T", 70)+" ", 49_000) + "]) { __typename }": "a list has one type", // A155: text that grows by itself
		deep: "nested more than 20 deep",
		"{ a(x: " + strings.Repeat("[", 60) + ") }":      "nested more than 20 deep",
		"{ " + strings.Repeat("__typename ", 3000) + "}": "more than 2000 fields",
		"{ " + strings.Repeat("a ", 60_000) + "}":        "more than 50000 words",
		"mutation { createOrb(name: \"x\", registryNamespaceId: \"69d15f87-0f75-4f5b-b06f-08400109c114\") { nonsense } }": "CreateOrbPayload has no field nonsense",
	} {
		r := w.post("ada", document, nil)
		require.Equal(t, 200, r.status)
		require.NotEmpty(t, r.Errors, "%.200s", document)
		require.Contains(t, r.Errors[0].Message, want, "%.200s", document)
		require.Nil(t, r.Data)
	}
	bomb := "{ ...a0 }"
	for i := range 20 {
		bomb += fmt.Sprintf(" fragment a%d on Query { x%d: __typename ...a%d y%d: __typename ...a%d }", i, i, i+1, i, i+1)
	}
	bomb += " fragment a20 on Query { z: __typename }"
	require.Contains(t, w.post("ada", bomb, nil).Errors[0].Message, "more than 2000 fields")
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	n, err := w.registry.CreateNamespace(t.Context(), "acme", "gh/acme")
	require.NoError(t, err)
	for i := range 45 {
		_, err := w.registry.CreateOrb(t.Context(), n.ID, fmt.Sprintf("orb%02d", i), false)
		require.NoError(t, err)
	}
	r := w.post("ada", `query A { a: __typename } query B($x: [Int!]) { b: __typename }`, nil)
	require.Contains(t, r.Errors[0].Message, "operationName")
	rec := w.send("POST", `{"query":"query A { a: __typename } query B { b: __typename }","operationName":"B"}`, nil)
	require.Equal(t, `{"data":{"b":"Query"}}`, rec.Body.String())
	rec = w.send("POST", `{"query":"query A { a: __typename }","operationName":"C"}`, nil)
	require.Contains(t, rec.Body.String(), `no operation \"C\"`)

	// Pages, as the CLI walks through them.
	var names []string
	after := ""
	for pages := 1; ; pages++ {
		v := w.ok("ada", `query($a: String!) { orbs(first: 20, after: $a) { totalCount edges { cursor node { name } } pageInfo { hasNextPage } } }`, map[string]any{"a": after}, "orbs")
		require.EqualValues(t, 45, dig(t, v, "totalCount"))
		for _, e := range dig(t, v, "edges").([]any) {
			names = append(names, dig(t, e, "node", "name").(string))
			after = dig(t, e, "cursor").(string)
		}
		if dig(t, v, "pageInfo", "hasNextPage") == false {
			require.Equal(t, 3, pages)
			break
		}
	}
	require.Len(t, names, 45)
	require.Equal(t, "acme/orb44", names[44])
	require.Len(t, w.ok("ada", `{ orbs(first: -3) { edges { cursor } } }`, nil, "orbs", "edges"), 20)
}

func TestExecution_Fragments(t *testing.T) {
	w := newWorld(t)
	_, err := w.registry.CreateNamespace(t.Context(), "acme", "gh/acme")
	require.NoError(t, err)
	rec := w.send("POST", `{"query":"query($full: Boolean = true, $n: String = \"\"\"\n acme\n\"\"\") { space: registryNamespace(name: $n) { ...names, orbs(first: 2,) { totalCount } orbs(first: 2) { pageInfo { hasNextPage } } } hidden: __typename @skip(if: $full) shown: __typename @include(if: $full) ... on Query { inline: orbCategoryByName(name: \"Test\\u0069ng\") { __typename name } } ... on Mutation { nothing } } fragment names on RegistryNamespace { called: name }"}`, nil)
	require.JSONEq(t, `{"data":{"space":{"called":"acme","orbs":{"totalCount":0,"pageInfo":{"hasNextPage":false}}},"shown":"Query","inline":{"__typename":"OrbCategory","name":"Testing"}}}`, rec.Body.String())
	// The command line passes on what people write for the code host.
	require.Equal(t, "GITHUB", w.ok("ada", `{ organization(name: "acme", vcsType: GH) { vcsType } }`, nil, "organization", "vcsType"))
	require.Equal(t, "acme", w.ok("ada", `{ organization(name: "acme") { name } }`, nil, "organization", "name"))
	require.Contains(t, w.post("ada", `{ organization(name: "acme", vcsType: BB) { name } }`, nil).Errors[0].Message, "organization bb/acme: there is none")
	require.Contains(t, w.post("ada", `{ organization { name } }`, nil).Errors[0].Message, "give its id")
	// A variable that is used without being declared is tolerated.
	v := w.ok("ada", `query($n: String!) { orb(name: $n) { id } registryNamespace(name: $other) { name } }`, map[string]any{"n": "acme/x", "other": "acme"})
	require.Equal(t, map[string]any{"orb": nil, "registryNamespace": map[string]any{"name": "acme"}}, v)
}

// TestPartialErrors: a field that fails is null and says why, the others are
// there.
func TestPartialErrors(t *testing.T) {
	w := newWorld(t)
	r := w.post("ada", `{ a: orbVersion(orbVersionRef: "no@such@thing") { id } b: __typename organization(id: "x") { name } }`, nil)
	require.Equal(t, map[string]any{"a": nil, "b": "Query", "organization": nil}, r.Data)
	require.Len(t, r.Errors, 2)
	require.Equal(t, []any{"a"}, r.Errors[0].Path)
	require.Equal(t, 3, r.Errors[0].Locations[0].Column)
	require.Contains(t, r.Errors[0].Message, "is not of the form namespace/name@version")
	require.Contains(t, r.Errors[1].Message, "you do not belong to it")
	h := graphql.New(nil, graphql.Config{Auth: func(*http.Request, string) (ci.Actor, error) { return ci.Actor{}, nil }})
	w.h = h
	for _, document := range []string{
		`{ orb(name: "a/b") { id } }`, `{ orbs { totalCount } }`, `{ context(id: "x") { id } }`, `{ orbConfig(orbYaml: "x") { valid } }`, `{ buildConfig(configYaml: "x") { valid } }`,
	} {
		r := w.post("ada", document, nil)
		require.Contains(t, r.Errors[0].Message, "this installation", document)
	}
}

// TestReplyIsBounded: one small request cannot make the server answer with
// everything that it has many times over, or compile all day.
func TestReplyIsBounded(t *testing.T) {
	w := newWorld(t)
	n, err := w.registry.CreateNamespace(t.Context(), "acme", "gh/acme")
	require.NoError(t, err)
	o, err := w.registry.CreateOrb(t.Context(), n.ID, "big", false)
	require.NoError(t, err)
	_, err = w.registry.PublishOrb(t.Context(), o.ID, "1.0.0", bytes.Repeat([]byte("# long\n"), orb.MaxSource/7))
	require.NoError(t, err)
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, "a%d: orbVersion(orbVersionRef: \"acme/big@1\") { source } ", i)
	}
	r := w.post("ada", "{ "+many.String()+"}", nil)
	require.Contains(t, r.Errors[0].Message, "ask for less at once")
	require.Nil(t, r.Data)
	many.Reset()
	for i := range 6 {
		fmt.Fprintf(&many, "a%d: orbConfig(orbYaml: \"commands: {}\") { valid } ", i)
	}
	r = w.post("ada", "{ "+many.String()+"}", nil)
	require.Len(t, r.Errors, 1)
	require.Contains(t, r.Errors[0].Message, "more than 5 texts to be compiled")
	many.Reset()
	for i := range 60 {
		fmt.Fprintf(&many, "a%d: orbs { totalCount } ", i)
	}
	require.Len(t, w.post("ada", "{ "+many.String()+"}", nil).Errors, 10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rec := w.send("POST", typename, func(r *http.Request) { *r = *r.WithContext(ctx) })
	require.Contains(t, rec.Body.String(), "the client has gone")
}

// TestA037_CompilesAreFew: one person has four texts compiled at a time, and
// none for longer than five seconds.
func TestA037_CompilesAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.h = graphql.New(w.registry, graphql.Config{
			Auth: func(_ *http.Request, token string) (ci.Actor, error) { return ci.Actor{ID: token}, nil },
			CompileOrb: func(ctx context.Context, _, _ string) (string, error) {
				<-ctx.Done()
				return "", fmt.Errorf("compile orb.yml: %w", ctx.Err())
			},
		})
		const document = `{ orbConfig(orbYaml: "x") { errors { message } } }`
		began := time.Now()
		replies := make(chan reply, 4)
		for range 4 {
			go func() { replies <- w.post("ada", document, nil) }()
		}
		synctest.Wait()
		require.Contains(t, w.post("ada", document, nil).text, "4 texts of yours are being compiled")
		go func() { replies <- w.post("bob", document, nil) }() // others are not in the way
		for range 5 {
			require.Contains(t, (<-replies).text, "more than 5s to compile")
		}
		require.Equal(t, 5*time.Second, time.Since(began))
	})
}

// FuzzDocument: whatever is sent, the answer is JSON with data or errors.
func FuzzDocument(f *testing.F) {
	for _, s := range []string{
		"{ __typename }", `query A($a: [String!]! = ["x", 1, {b: null}]) @d { a: orb(name: $a) @skip(if: true) { ...f ... on Orb { id } } } fragment f on Orb { name }`,
		`mutation { createOrb(name: """x\"""y""", registryNamespaceId: "\ud83d\ude00", isPrivate: false) { errors { message } } }`, "#\n\ufeff{a(b:-1.5e3)}",
		`{ orbs(first: 2) { edges { node { namespace { orbs { totalCount } } versions(count: 1) { source } } } } }`,
	} {
		f.Add(s)
	}
	w := newWorld(f)
	_, err := w.registry.CreateNamespace(f.Context(), "acme", "gh/acme")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, document string) {
		body, err := json.Marshal(map[string]any{"query": document, "variables": map[string]any{"a": "acme/x"}})
		require.NoError(t, err)
		rec := w.send("POST", string(body), nil)
		var v map[string]any
		require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &v), rec.Body)
		require.Equal(t, 200, rec.Code)
		require.True(t, v["data"] != nil || v["errors"] != nil)
	})
}

func ExampleNew() {
	registry := orb.New(memdb.New(), orb.Config{})
	h := graphql.New(registry, graphql.Config{
		Auth: func(_ *http.Request, token string) (ci.Actor, error) {
			if token != "secret" {
				return ci.Actor{}, ci.ErrDenied
			}
			return ci.Actor{Kind: ci.ActorUser, Login: "ada"}, nil
		},
		Orgs: func(context.Context, ci.Actor) ([]string, error) { return []string{"gh/acme"}, nil },
	})
	r := httptest.NewRequest("POST", "/graphql-unstable", strings.NewReader(`{"query":"{ organization(name: \"acme\", vcsType: GITHUB) { name vcsType } }"}`))
	r.Header.Set("Authorization", "secret")
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Body)
	// Output: {"data":{"organization":{"name":"acme","vcsType":"GITHUB"}}}
}
