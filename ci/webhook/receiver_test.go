package webhook_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/webhook"
)

// loopback lets messages go to this machine.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// real is a world whose messages go over the network.
func real(t *testing.T) *world {
	w := newWorld(t)
	w.cfg.Transport, w.cfg.Allow, w.cfg.Follow = nil, loopback, nil
	return w
}

func (w *world) ping(url string, change func(*ci.Webhook)) ci.Delivery {
	w.t.Helper()
	c := w.courier()
	h := ci.Webhook{Name: url, URL: url}
	if change != nil {
		change(&h)
	}
	d, err := c.PingWebhook(w.t.Context(), w.put(c, h).ID, alice)
	require.NoError(w.t, err)
	return d
}

// A receiver with faults, over real connections.
func TestPingWebhook(t *testing.T) {
	w := real(t)
	var second atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { second.Add(1) }))
	defer elsewhere.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(rw http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		body := w.valid(string(text))
		require.Equal(t, "ping", body["type"])
		require.Equal(t, webhook.Signature([]byte("hunter2hunter2"), text), r.Header.Get("circleci-signature"))
		rw.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("/500", func(rw http.ResponseWriter, r *http.Request) {
		http.Error(rw, "topsecret", 500)
	})
	mux.HandleFunc("/reset", func(rw http.ResponseWriter, r *http.Request) {
		conn, _, err := rw.(http.Hijacker).Hijack()
		require.NoError(t, err)
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	})
	mux.HandleFunc("/garbage", func(rw http.ResponseWriter, r *http.Request) {
		conn, _, err := rw.(http.Hijacker).Hijack()
		require.NoError(t, err)
		_, _ = conn.Write([]byte("SSH-2.0-topsecret\r\n"))
		_ = conn.Close()
	})
	mux.HandleFunc("/away", func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/endless", func(rw http.ResponseWriter, r *http.Request) {
		for {
			if _, err := rw.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/header", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("X-Long", strings.Repeat("x", 1<<20))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	signed := func(h *ci.Webhook) { h.Secret = "hunter2hunter2" }
	for path, want := range map[string]string{
		"/ok": "delivered 202 ", "/500": "failed 500 it answered 500, not 2xx", "/reset": "failed 0 the connection failed",
		"/garbage": "failed 0 the connection failed", "/away": "failed 307 it answered 307, not 2xx",
		"/endless": "delivered 200 ", "/header": "failed 0 the connection failed",
	} {
		d := w.ping(server.URL+path, signed)
		require.Equal(t, want, fmt.Sprintf("%s %d %s", d.State, d.Status, d.Error), path)
		require.Equal(t, "ping", d.Event)
		text, err := json.Marshal(d) // A150: nothing of an answer reaches people
		require.NoError(t, err)
		require.NotContains(t, string(text), "topsecret")
	}
	require.Zero(t, second.Load(), "redirects are not followed")
	require.Equal(t, "its name was not found", w.ping("http://nowhere.invalid/", nil).Error)
	server.Close()
	require.Equal(t, "the connection failed", w.ping(server.URL, nil).Error)
	_, err := w.courier().PingWebhook(t.Context(), "nobody", alice)
	require.ErrorIs(t, err, ci.ErrNotFound)
	require.NotContains(t, w.log.String(), "hunter2", "no secret in the log")
}

func TestPingWebhook_Certificates(t *testing.T) {
	w := real(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	require.Equal(t, "its certificate is not trusted", w.ping(server.URL, nil).Error)
	require.Equal(t, "delivered", w.ping(server.URL, func(h *ci.Webhook) { h.NoVerify = true }).State)
}

// A147: whatever form the address is written in, nothing of this machine is
// reached unless it is allowed.
func TestA147_OutboundGuard(t *testing.T) {
	w := real(t)
	w.cfg.Allow = nil
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	var reached atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			_ = c.Close()
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	c := w.courier()
	for _, host := range []string{"127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "169.254.169.254", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]"} {
		_, err := c.PutWebhook(t.Context(), ci.Webhook{Project: "p", Name: host, URL: fmt.Sprintf("http://%s:%d/", host, port), Events: []string{webhook.JobCompleted}}, alice)
		require.ErrorIs(t, err, ci.ErrInvalid, host)
	}
	for _, host := range []string{"localhost", "localhost.", "LOCALHOST", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127。0。0。1"} {
		d := w.ping(fmt.Sprintf("http://%s:%d/", host, port), nil)
		require.Equal(t, "failed", d.State, host)
		require.Contains(t, []string{"the address is not allowed", "its name was not found"}, d.Error, host)
	}
	for _, u := range []string{"FILE:///etc/passwd", "gopher://h/", "http://ok@127.0.0.1", "http://h:22/", "http://h:0x50/", "//h/", "http:///", "http://h/#x", "http://h/\n", "javascript:alert(1)", "http://[::1", "http://127%2e0%2e0%2e1/", "http://" + strings.Repeat("h", 3000)} {
		_, err := c.PutWebhook(t.Context(), ci.Webhook{Project: "p", Name: "n", URL: u, Events: []string{webhook.JobCompleted}}, alice)
		require.ErrorIs(t, err, ci.ErrInvalid, u)
		require.ErrorContains(t, err, "webhook: url: ", u)
	}
	require.Zero(t, reached.Load())
}

// Behind a proxy the proxy may be anywhere, but not what it is asked for.
func TestA147_Proxy(t *testing.T) {
	w := real(t)
	w.cfg.Allow = nil
	var asked atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { asked.Store(r.URL.String()) }))
	defer proxy.Close()
	w.cfg.Proxy = func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "broken.test" {
			return nil, errors.New("no settings")
		}
		return url.Parse(proxy.URL)
	}
	require.Equal(t, "delivered", w.ping("http://hooks.invalid/x", nil).State)
	require.Equal(t, "http://hooks.invalid/x", asked.Load())
	require.Equal(t, "the address is not allowed", w.ping("http://localhost:8080/", nil).Error)
	require.Equal(t, "the connection failed", w.ping("http://broken.test/", nil).Error)
	times := 0
	w.cfg.Proxy = func(*http.Request) (*url.URL, error) {
		if times++; times == 1 {
			return url.Parse(proxy.URL)
		}
		return nil, nil
	}
	require.Equal(t, "the address is not allowed", w.ping("http://hooks.invalid/", nil).Error, "it has changed its mind")
	w.cfg.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	require.Equal(t, "the address is not allowed", w.ping("http://localhost:8080/", nil).Error)
}

func TestPutWebhook(t *testing.T) {
	w := newWorld(t)
	w.cfg.Follow = nil
	c, ctx := w.courier(), t.Context()
	const canary = "canary-0123456789-wxyz"
	h := w.put(c, ci.Webhook{Name: " b ", Secret: canary, URL: "https://chat.test/?token=t0ken"})
	require.Equal(t, "****wxyz", h.Secret)
	require.Equal(t, "b", h.Name)
	got, err := c.Webhook(ctx, h.ID)
	require.NoError(t, err)
	require.Equal(t, h, got)
	w.put(c, ci.Webhook{Name: "a", Secret: "short"})
	list, err := c.Webhooks(ctx, "p")
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, []string{list[0].Name, list[1].Name})
	require.Equal(t, "****", list[0].Secret)

	// The secret is only in the sealed part, and stays through a change.
	signature := func() string {
		d, err := c.PingWebhook(ctx, h.ID, alice)
		require.NoError(t, err)
		require.Equal(t, "delivered", d.State)
		l := w.got.letters()
		return fmt.Sprint(l[len(l)-1].header.Get("circleci-signature") == webhook.Signature([]byte(canary), []byte(l[len(l)-1].body)))
	}
	require.Equal(t, "true", signature())
	for _, secret := range []string{"", "****wxyz"} {
		h.Secret, h.Name = secret, "renamed"
		h, err = c.PutWebhook(ctx, h, alice)
		require.NoError(t, err)
		require.Equal(t, "****wxyz", h.Secret)
		require.Equal(t, "true", signature())
	}
	for _, kind := range []string{"webhook", "webhook-delivery", "webhook-cursor"} {
		for d, err := range w.db.Docs(ctx, ci.DocQuery{Kind: kind, AllScopes: true}) {
			require.NoError(t, err)
			require.False(t, bytes.Contains(d.Body, []byte("canary")), "%s", d.Body)
		}
	}
	h.Secret = "another one"
	h, err = c.PutWebhook(ctx, h, alice)
	require.NoError(t, err)
	require.Equal(t, "false", signature())
	require.NotContains(t, w.log.String(), "canary")
	require.NotContains(t, w.log.String(), "t0ken")

	for says, spoil := range map[string]func(*ci.Webhook){
		"name is":                  func(h *ci.Webhook) { h.Name = "" },
		"of one line":              func(h *ci.Webhook) { h.Name = "a\r\nb" },
		"events is empty":          func(h *ci.Webhook) { h.Events = nil },
		`events has "push"`:        func(h *ci.Webhook) { h.Events = []string{"push"} },
		"signing-secret is longer": func(h *ci.Webhook) { h.Secret = strings.Repeat("x", 2000) },
		"belongs to another":       func(h *ci.Webhook) { h.Project = "q" },
	} {
		bad := h
		spoil(&bad)
		_, err := c.PutWebhook(ctx, bad, alice)
		require.ErrorIs(t, err, ci.ErrInvalid, says)
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "xxxx")
	}
	bad := h
	bad.ID = "nobody"
	_, err = c.PutWebhook(ctx, bad, alice)
	require.ErrorIs(t, err, ci.ErrNotFound)
	bad.ID, bad.Project = "", "nobody"
	_, err = c.PutWebhook(ctx, bad, alice)
	require.ErrorIs(t, err, ci.ErrNotFound)
	_, err = c.Deliveries(ctx, "nobody")
	require.ErrorIs(t, err, ci.ErrNotFound)
	w.cfg.Keeper = nil
	_, err = w.courier().PutWebhook(ctx, ci.Webhook{Project: "p", Name: "n", URL: "https://h.test/", Events: h.Events, Secret: "s"}, alice)
	require.ErrorIs(t, err, ci.ErrInvalid)
}
