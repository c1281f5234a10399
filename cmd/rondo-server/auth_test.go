package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOPS06_Bootstrap starts a server with people: the link of its log makes
// the administrator, whose cookie opens the pages and whose token the API; a
// stranger gets to see the login.
func TestOPS06_Bootstrap(t *testing.T) {
	s, _ := team(t, "auth: {local: true}\nfolders: ["+newRepo(t, hello).dir+"]\n")
	link := regexp.MustCompile(`/bootstrap\?token=[\w]+`).FindString(s.errors())
	require.NotEmpty(t, link, s.errors())
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &http.Client{Jar: jar}
	do := func(b *http.Client, method, path string, form url.Values) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, s.URL+path, strings.NewReader(form.Encode()))
		require.NoError(t, err)
		r.Header.Set("Accept", "text/html")
		if form != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		res, err := b.Do(r)
		require.NoError(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(text)
	}
	account := url.Values{"login": {"root"}, "password": {"a long password"}}
	code, text := do(http.DefaultClient, "GET", "/", nil)
	require.Equal(t, 200, code)
	require.Contains(t, text, "<h1>Log in</h1>")
	code, _ = do(http.DefaultClient, "POST", "/bootstrap", account)
	require.Equal(t, 403, code, "without the link")
	code, _ = do(browser, "GET", link, nil)
	require.Equal(t, 200, code)
	code, text = do(browser, "POST", "/bootstrap", account)
	require.Equal(t, 200, code, text)
	require.Contains(t, text, "<h1>Users</h1>")
	require.Contains(t, text, "root")
	code, _ = do(http.DefaultClient, "GET", link, nil)
	require.Equal(t, 403, code, "the link is good once")

	code, text = do(browser, "POST", "/account", url.Values{"do": {"create"}, "label": {"cli"}})
	require.Equal(t, 200, code)
	s.Token = regexp.MustCompile(`rondo_user_[a-z2-7]{38}`).FindString(text)
	code, body := s.call("GET", "/api/v2/me", "")
	require.Equal(t, 200, code)
	require.Contains(t, string(body), `"login":"root"`)
	code, body = s.call("GET", "/api/v2/rondo/users/statistics", "")
	require.Equal(t, 200, code)
	require.Contains(t, string(body), `"admin":"all"`)

	code, text = do(browser, "POST", "/logout", url.Values{})
	require.Equal(t, 200, code)
	require.Contains(t, text, "<h1>Log in</h1>")
	code, _ = do(browser, "POST", "/login", url.Values{"login": {"root"}, "password": {"another password"}})
	require.Equal(t, 403, code)
	code, text = do(browser, "POST", "/login", url.Values{"login": {"root"}, "password": {"a long password"}, "to": {"//evil.example"}})
	require.Equal(t, 200, code)
	require.Contains(t, text, "Pipelines", "our own home page")
}

func TestSettings_Auth(t *testing.T) {
	const head = "url: https://ci.example.com\ndata: /var/lib/rondo\n"
	_, err := parseSettings([]byte(head + "auth: {local: true, recheck: 5m, github: {client_id: x, client_secret: env:S, orgs: [acme]}}\n"))
	require.NoError(t, err)
	for text, want := range map[string]string{
		"auth: {first_admin: king}":                         "neither link nor login",
		"auth: {github: {client_secret: env:S}}":            "client_id is missing",
		"auth: {github: {client_id: x}}":                    "client_secret is missing",
		"auth: {github: {client_id: x, client_secret: s3}}": "not the secret itself",
		"auth: {ldap: {}}":                                  "not known",
	} {
		_, err := parseSettings([]byte(head + text))
		require.ErrorContains(t, err, want)
	}
}
