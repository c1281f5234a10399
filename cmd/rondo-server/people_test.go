package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/auth/ldap"
)

// A server with a directory: people log in with their password there, the
// first one is the administrator, and what they did is in the book.
func TestLDP01_ServeWithADirectory(t *testing.T) {
	directory := authtest.NewDirectory(authtest.OpenLDAP)
	k := authtest.Start(t, directory, ldap.StartTLS)
	require.NoError(t, directory.AddPerson(authtest.Person{Login: "ada", Password: "ada-secret", Name: "Ada", Mail: "ada@example.org"}))
	dir := serverDir(t)
	ca, search := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "search")
	require.NoError(t, os.WriteFile(ca, k.Settings().Network.CA, 0o600))
	require.NoError(t, os.WriteFile(search, []byte(authtest.SearchPassword), 0o600))
	s, _ := team(t, fmt.Sprintf(`auth: {first_admin: login}
ldap: {type: openldap, hostname: 127.0.0.1, port: %d, encryption: starttls, search_user: %q, search_password: "file:%s",
  base_dn: %q, user_search_dn: ou=people, username_field: uid, ca: %s, timeout: 5s}
`, k.Settings().Port, authtest.SearchUser, search, authtest.Base, ca))
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &http.Client{Jar: jar}
	post := func(path string, form url.Values) (int, string) {
		t.Helper()
		res, err := browser.PostForm(s.URL+path, form)
		require.NoError(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(text)
	}
	code, text := post("/login", url.Values{"login": {"ada"}, "password": {"wrong"}})
	require.Equal(t, 403, code)
	require.NotContains(t, text, "ldap")
	code, text = post("/login", url.Values{"login": {"ada"}, "password": {"ada-secret"}})
	require.Equal(t, 200, code, text)
	code, text = post("/account", url.Values{"do": {"create"}, "label": {"cli"}})
	require.Equal(t, 200, code)
	s.Token = regexp.MustCompile(`rondo_user_[a-z2-7]{38}`).FindString(text)
	code, text = s.call("GET", "/api/v2/rondo/users", "")
	require.Equal(t, 200, code, text)
	require.Contains(t, text, "ada@example.org")
	s.eventually("the book", func() bool {
		code, text = s.call("GET", "/api/v2/rondo/audit", "")
		return code == 200 && regexp.MustCompile(`"user\.(create|logged_in)"`).MatchString(text) && regexp.MustCompile(`personal_token`).MatchString(text)
	})
	require.NotContains(t, s.errors(), "ada-secret")
	require.NotContains(t, text, "ada-secret")
	require.Equal(t, 0, s.stop(), s.errors())
}
