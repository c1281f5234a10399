package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
)

// takers are the routes outside v2 that read a body.
var takers = []struct{ method, path string }{
	{"POST", shop1}, {"POST", shop1 + "/tree/main"}, {"POST", shop1 + "/build"}, {"POST", shop1 + "/envvar"},
	{"POST", shop1 + "/checkout-key"}, {"POST", shop1 + "/ssh-key"}, {"DELETE", shop1 + "/ssh-key"},
	{"PUT", shop1 + "/settings"}, {"POST", shop1 + "/token"},
}

// TestA009_HostileBodies sends what no client means. All of it is refused, and
// nothing is a fault of the server.
func TestA009_HostileBodies(t *testing.T) {
	w, _ := newOldWorld(t)
	for name, body := range map[string]string{
		"10 MB":      `{"name":"` + strings.Repeat("x", 10<<20) + `"}`,
		"deep array": strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000),
		"deep value": `{"build_parameters":{"a":` + strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_002),
		"not UTF-8":  "{\"name\":\"\xff\xfe\",\"type\":\"\xff\",\"scope\":\"\xff\",\"branch\":\"\xff\"}",
		"array":      `[]`, "number": `1`, "string": `"x"`, "cut": `{"name":"`, "two": `{} {}`, "no JSON": `<x/>`, "NUL": "\x00",
		"wrong types": `{"name":[],"type":{},"hostname":1,"scope":[],"feature_flags":1,"branch":[],"tag":{}}`,
	} {
		for _, at := range takers {
			r := w.call(at.method, at.path, body)
			require.True(t, r.StatusCode >= 400 && r.StatusCode < 500, "%s: %s %s: %d %s", name, at.method, at.path, r.StatusCode, r.body)
			require.Less(t, len(r.body), 1000)
		}
	}
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json; charset=latin1", "x/y/z", ";"} {
		for _, at := range takers {
			r := w.call(at.method, at.path, `{"name":"a","value":"b"}`, func(r *http.Request) { r.Header.Set("Content-Type", kind) })
			require.Equal(t, 415, r.StatusCode, "%s: %s %s", kind, at.method, at.path)
		}
	}
	require.Empty(t, w.builds(shop1))
	require.Empty(t, w.builds(shop1+"/envvar"))
}

// TestA013_HostileNames puts names that nobody has into addresses.
func TestA013_HostileNames(t *testing.T) {
	w, _ := newOldWorld(t)
	w.trigger(ci.Trigger{})
	for _, name := range []string{
		"%00", "%ff%fe", "%0d%0aSet-Cookie:x=1", "..%2f..%2fetc", "%2e%2e", strings.Repeat("x", 10_000), "%e2%80%ae", "-oProxyCommand=x", "%", "%zz",
		"'%20or%201=1", "<svg%20onload=x>", "%22%3E%3Cscript%3E", "a%2f%2fb", "%2F%2F",
	} {
		for _, path := range []string{
			shop1 + "/tree/%s", shop1 + "/latest/artifacts?branch=%s", shop1 + "?filter=%s", shop1 + "/%s", shop1 + "/%s/tests", shop1 + "/1/artifacts/0/%s",
			shop1 + "/envvar/%s", shop1 + "/checkout-key/%s", "/api/v1.1/project/%s", "/api/v1.1/project/gh/%s/shop", "/api/v1/project/%s/shop",
			"/gh/acme/shop/tree/%s.svg", "/gh/acme/%s.svg", "/gh/acme/%s.cc.xml", "/gh/acme/shop/tree/%s.cc.xml", "/gh/acme/shop/%s", "/gh/%s",
			"/status-badge/img/%s", "/pipelines/gh/%s", "/pipelines/workflows/%s", "/api/private/project?organization-id=%s&page-token=%s",
			"/api/private/me/followed-projects?page-token=%s", "/api/private/output/raw/gh/acme/%s/1/output/0/0", "/api/private/output/raw/gh/acme/shop/1/output/%s/0",
			"/api/v1.1/rondo/output/%s/0/1/0?expires=%s&signature=%s",
		} {
			path = strings.ReplaceAll(path, "%s", name)
			status, header := w.raw(path)
			require.True(t, status >= 200 && status < 500, "%s: %d", path, status)
			require.NotContains(t, header, "Set-Cookie")
			for to := range strings.Lines(header) {
				require.False(t, strings.HasPrefix(strings.ToLower(to), "location: //"), "%s leads to %s", path, to)
			}
		}
	}
}

// raw sends an address that no client library would.
func (w *world) raw(path string) (int, string) {
	w.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	require.NoError(w.t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nCircle-Token: %s\r\nConnection: close\r\n\r\n", path, token)
	require.NoError(w.t, err)
	data, err := io.ReadAll(io.LimitReader(bufio.NewReader(conn), 1<<20))
	require.NoError(w.t, err)
	header, _, _ := strings.Cut(string(data), "\r\n\r\n")
	var status int
	_, err = fmt.Sscanf(header, "HTTP/1.1 %d", &status)
	require.NoError(w.t, err, header)
	return status, header
}

// TestA154_SlowSenders leaves a deadline for bodies that never end, on routes
// that read one and on those that do not.
func TestA154_SlowSenders(t *testing.T) {
	w, _ := newOldWorld(t)
	for _, path := range []string{shop1 + "/envvar", shop1 + "/1/cancel", "/gh/acme/shop.svg", "/cc.xml", "/api/private/project"} {
		d := &deadlined{ResponseRecorder: httptest.NewRecorder()}
		began := time.Now()
		body, sender := io.Pipe()
		r := httptest.NewRequest("POST", path, body)
		with(token)(r)
		r.ContentLength = 100
		go func() { _ = sender.CloseWithError(io.ErrUnexpectedEOF) }()
		w.handler.ServeHTTP(d, r)
		require.True(t, d.Code >= 400 && d.Code < 500, "%s: %d", path, d.Code)
		require.WithinRange(t, d.first, began, began.Add(time.Minute), path)
	}
}

// FuzzOldBody sends bodies to the routes of v1.1 that read one.
func FuzzOldBody(f *testing.F) {
	for i, body := range []string{
		`{"branch":"main","build_parameters":{"a":1}}`, `{"revision":"abcdef0"}`, `{"tag":"v1"}`, `{"name":"KEY","value":"x"}`, `{"type":"deploy-key"}`,
		`{"hostname":"h","private_key":"-----BEGIN PRIVATE KEY-----\n"}`, `{"fingerprint":"c9:0b"}`, `{"feature_flags":{"oss":null}}`, `{"scope":"all","label":"x"}`,
	} {
		f.Add(uint8(i), body)
	}
	w, _ := newOldWorld(f, unlimited, func(c *api.Config) {
		c.Trigger = func(context.Context, ci.Trigger) (ci.Pipeline, error) { return ci.Pipeline{}, ci.ErrNotFound }
	})
	f.Fuzz(func(t *testing.T, i uint8, body string) {
		at := takers[int(i)%len(takers)]
		r := httptest.NewRequest(at.method, at.path, strings.NewReader(body))
		with(token)(r)
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		if rec.Code >= 500 || rec.Code < 200 {
			t.Fatalf("%s %s %q: %d %s", at.method, at.path, body, rec.Code, rec.Body)
		}
	})
}
