package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

const testToken = "rondo_0123456789abcdefghijklmnop"

func accessAt(ip string) access {
	return newAccess(testToken, &net.TCPAddr{IP: net.ParseIP(ip), Port: 7070})
}

// request is a GET of the first page with the given header fields.
func request(fields ...string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "127.0.0.1:7070"
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == "Host" {
			r.Host = fields[i+1]
			continue
		}
		r.Header.Add(fields[i], fields[i+1])
	}
	return r
}

// TestA120_NoSpecialPower tells who may use the pages with no token: whoever
// sits at this machine, and nobody who comes by way of something else.
func TestA120_NoSpecialPower(t *testing.T) {
	for name, c := range map[string]struct {
		listen string
		fields []string
		ok     bool
	}{
		"at this machine":           {"127.0.0.1", nil, true},
		"by name":                   {"127.0.0.1", []string{"Host", "localhost:7070"}, true},
		"IPv6":                      {"::1", []string{"Host", "[::1]:7070"}, true},
		"DNS rebinding":             {"127.0.0.1", []string{"Host", "evil.example:7070"}, false},
		"a name that begins so":     {"127.0.0.1", []string{"Host", "127.0.0.1.nip.io"}, false},
		"a name that ends so":       {"127.0.0.1", []string{"Host", "evillocalhost"}, false},
		"no host":                   {"127.0.0.1", []string{"Host", ""}, false},
		"through a proxy":           {"127.0.0.1", []string{"X-Forwarded-For", "203.0.113.9"}, false},
		"claims to be from here":    {"127.0.0.1", []string{"X-Forwarded-For", "127.0.0.1"}, false},
		"through a newer proxy":     {"127.0.0.1", []string{"Forwarded", "for=203.0.113.9"}, false},
		"proxy with the token":      {"127.0.0.1", []string{"X-Forwarded-For", "203.0.113.9", "Circle-Token", testToken}, true},
		"open address":              {"0.0.0.0", nil, false},
		"open address, lying host":  {"192.0.2.1", []string{"Host", "localhost"}, false},
		"open address, lying proxy": {"192.0.2.1", []string{"X-Forwarded-For", "127.0.0.1", "X-Webauth-User", "admin"}, false},
		"open address, bearer":      {"192.0.2.1", []string{"Authorization", "Bearer " + testToken}, true},
		"open address, no scheme":   {"192.0.2.1", []string{"Authorization", testToken}, false},
		"open address, cut token":   {"192.0.2.1", []string{"Circle-Token", testToken[:20]}, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := accessAt(c.listen).page(request(c.fields...))
			if c.ok {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, ci.ErrDenied)
			}
		})
	}
	_, err := access{}.api(nil, "")
	require.ErrorIs(t, err, ci.ErrDenied, "a server without a token")
}

// TestA111_Cookie looks at what a login leaves in a browser.
func TestA111_Cookie(t *testing.T) {
	a := accessAt("192.0.2.1")
	login := func(token string) *http.Response {
		w := httptest.NewRecorder()
		a.login(w, httptest.NewRequest("GET", "/login?token="+url.QueryEscape(token), nil))
		return w.Result()
	}
	refused := login(testToken + "x")
	require.Equal(t, http.StatusForbidden, refused.StatusCode)
	require.Empty(t, refused.Cookies())

	got := login(testToken)
	require.Equal(t, "/", got.Header.Get("Location"), "the token stays in no address")
	require.Len(t, got.Cookies(), 1)
	c := got.Cookies()[0]
	require.True(t, c.HttpOnly)
	require.Equal(t, http.SameSiteLaxMode, c.SameSite)
	require.NotContains(t, c.Value, testToken, "other ports of the host see the cookie")
	require.False(t, c.Secure, "this server is not reached by TLS")
	a.secure = true
	require.True(t, login(testToken).Cookies()[0].Secure, "where a proxy ends TLS, no cookie goes without it")

	_, err := a.page(request("Cookie", cookie+"=of-another-server; "+cookie+"="+c.Value))
	require.NoError(t, err)
	_, err = a.page(request("Cookie", cookie+"="+testToken))
	require.ErrorIs(t, err, ci.ErrDenied)
	_, err = a.api(nil, c.Value)
	require.ErrorIs(t, err, ci.ErrDenied, "the cookie opens the API")
}

// A browser that has not logged in is asked for the token, and then gets what it
// had asked for; programs are refused.
func TestLogin_AsksForTheToken(t *testing.T) {
	a := accessAt("192.0.2.1")
	h := a.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := a.page(r); err != nil {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	get := func(fields ...string) *http.Response {
		r := request(fields...)
		r.URL.Path, r.URL.RawQuery = "/queue", "a=b"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	sent := get("Accept", "text/html,*/*")
	require.Equal(t, http.StatusSeeOther, sent.StatusCode)
	require.Equal(t, "/login?to=%2Fqueue%3Fa%3Db", sent.Header.Get("Location"))
	require.Equal(t, http.StatusForbidden, get("Accept", "application/json").StatusCode)
	require.Equal(t, http.StatusForbidden, get("Accept", "text/html", "Circle-Token", "x").StatusCode)

	post := func(form url.Values) (*http.Response, string) {
		r := httptest.NewRequest("POST", "/login", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		a.login(w, r)
		return w.Result(), w.Body.String()
	}
	asked := httptest.NewRecorder()
	a.login(asked, httptest.NewRequest("GET", "/login?to=%2Fqueue%3Fa%3Db", nil))
	require.Equal(t, http.StatusOK, asked.Code)
	require.Contains(t, asked.Body.String(), `value="/queue?a=b"`)
	res, body := post(url.Values{"token": {"guess"}, "to": {`/"><script>`}})
	require.Equal(t, http.StatusForbidden, res.StatusCode)
	require.Contains(t, body, "not the token")
	require.NotContains(t, body, "guess")
	require.NotContains(t, body, "<script>")
	require.Empty(t, res.Cookies())
	res, _ = post(url.Values{"token": {" " + testToken + "\n"}, "to": {"/queue?a=b"}})
	require.Equal(t, http.StatusSeeOther, res.StatusCode)
	require.Equal(t, "/queue?a=b", res.Header.Get("Location"))
	require.Equal(t, http.StatusOK, get("Accept", "text/html", "Cookie", cookie+"="+res.Cookies()[0].Value).StatusCode)
	res, _ = post(url.Values{"token": {testToken}, "to": {"//evil.example/"}})
	require.Equal(t, "/", res.Header.Get("Location"))
	res, _ = post(url.Values{"token": {strings.Repeat("x", 20<<10)}})
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
}

// What a proxy passes on is believed of our own proxies only, and only as far
// as they go.
func TestClientAddress(t *testing.T) {
	from := clientAddress(networks{netip.MustParsePrefix("10.0.0.0/8")})
	for _, tt := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:5", "", "192.0.2.1"},
		{"192.0.2.1:5", "203.0.113.9", "192.0.2.1"},
		{"10.0.0.1:5", "203.0.113.9", "203.0.113.9"},
		{"[::ffff:10.0.0.1]:5", "203.0.113.9", "203.0.113.9"},
		{"10.0.0.1:5", "198.51.100.1, 203.0.113.9", "203.0.113.9"},
		{"10.0.0.1:5", "203.0.113.9, 10.0.0.2", "203.0.113.9"},
		{"10.0.0.1:5", "rubbish", "10.0.0.1"},
		{"10.0.0.1:5", "", "10.0.0.1"},
		{"@", "203.0.113.9", "@"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tt.remote
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		require.Equal(t, tt.want, from(r), tt)
	}
}
