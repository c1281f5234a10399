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
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/auth/ldap"
)

// A visitor is somebody with a browser.
type visitor struct {
	t   *testing.T
	s   *server
	jar http.CookieJar
}

func newVisitor(t *testing.T, s *server) *visitor {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &visitor{t, s, jar}
}

// open asks for a page, or sends a form.
func (g *visitor) open(want int, path string, form url.Values) string {
	g.t.Helper()
	r, err := http.NewRequest("GET", g.s.URL+path, nil)
	if form != nil {
		r, err = http.NewRequest("POST", g.s.URL+path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	require.NoError(g.t, err)
	r.Header.Set("Accept", "text/html")
	res, err := (&http.Client{Jar: g.jar}).Do(r)
	require.NoError(g.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(g.t, err)
	require.Equal(g.t, want, res.StatusCode, string(text))
	return string(text)
}

// administrator makes the local account root by the link in the log.
func (g *visitor) administrator() {
	g.t.Helper()
	link := regexp.MustCompile(`/bootstrap\?token=[\w]+`).FindString(g.s.errors())
	require.NotEmpty(g.t, link)
	g.open(200, link, nil)
	require.Contains(g.t, g.open(200, "/bootstrap", url.Values{"login": {"root"}, "password": {"a long password"}}), "<h1>Users</h1>")
}

// OPS-07: whoever is on the machine lets the administrator in again. The
// sessions end, the link is good once, the tokens stay, and it is on record.
func TestOPS07_AuthReset(t *testing.T) {
	s, data := team(t, "auth: {local: true}\n")
	file := filepath.Join(filepath.Dir(data), "rondo.yml")
	g := newVisitor(t, s)
	_, err := program(t, "auth", "reset", "--config", file).Output()
	require.Error(t, err, "there is no account yet")
	g.administrator()
	out, err := program(t, "auth", "reset", "--config", file).CombinedOutput()
	require.NoError(t, err, string(out))
	link := regexp.MustCompile(`/create-password\?token=\w+`).FindString(string(out))
	require.NotEmpty(t, link, string(out))
	require.Contains(t, g.open(200, "/admin/users", nil), "<h1>Log in</h1>", "the old session is revoked")
	g.open(403, "/login", url.Values{"login": {"root"}, "password": {"a long password"}})
	require.Contains(t, g.open(200, link, nil), "<b>root</b>")
	form := url.Values{"password": {"another password"}, "again": {"another password"}}
	require.Contains(t, g.open(200, "/create-password", form), "The password is changed")
	require.Contains(t, g.open(200, "/admin/users", nil), "<h1>Users</h1>")
	newVisitor(t, s).open(403, link, nil)
	out, err = program(t, "auth", "reset", "--config", file, "bob").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), `"bob" is none of the accounts of this server, which are root`)
	s.eventually("the book", func() bool {
		_, text := s.call("GET", "/api/v2/rondo/audit", "")
		return strings.Contains(string(text), "rondo.user.password_reset") && strings.Contains(string(text), "rondo.user.password_change")
	})
	require.NotContains(t, s.errors(), "another password")
	require.Equal(t, 0, s.stop(), s.errors())
	out, err = program(t, "auth", "reset", "--config", file).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "no server runs on")
}

// LDP-13: a directory is turned on where there are users already. The command
// lists them with who they may be, links and unlinks; the page tries a login.
func TestLDP13_UsersOfTheDirectory(t *testing.T) {
	directory := authtest.NewDirectory(authtest.OpenLDAP)
	k := authtest.Start(t, directory, ldap.StartTLS)
	require.NoError(t, directory.AddPerson(authtest.Person{Login: "root", Password: "root-there", Name: "Root"}))
	require.NoError(t, directory.AddPerson(authtest.Person{Login: "ada", Password: "ada-secret", Name: "Ada", Mail: "ada@example.org"}))
	dir := serverDir(t)
	ca, search := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "search")
	require.NoError(t, os.WriteFile(ca, k.Settings().Network.CA, 0o600))
	require.NoError(t, os.WriteFile(search, []byte(authtest.SearchPassword), 0o600))
	s, data := team(t, fmt.Sprintf(`auth: {local: true}
ldap: {type: openldap, hostname: 127.0.0.1, port: %d, encryption: starttls, search_user: %q, search_password: "file:%s",
  base_dn: %q, user_search_dn: ou=people, username_field: uid, ca: %s, timeout: 5s}
`, k.Settings().Port, authtest.SearchUser, search, authtest.Base, ca))
	file := filepath.Join(filepath.Dir(data), "rondo.yml")
	g := newVisitor(t, s)
	g.administrator()
	list := func(args ...string) string {
		t.Helper()
		out, err := program(t, append([]string{"ldap", "users", "--config", file}, args...)...).CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	require.Regexp(t, `root +all +root +same login`, list())
	require.Regexp(t, `root +all +root +same login`, list("--link-all"), "an address is asked for, a login is not enough")
	require.Regexp(t, `root +all +root +linked`, list("--link", "root=root"))
	other := newVisitor(t, s)
	other.open(200, "/login", url.Values{"login": {"root"}, "password": {"root-there"}})
	require.Contains(t, other.open(200, "/admin/users", nil), "1 person with an account", "it is the same user, and the administrator")
	require.Contains(t, other.open(200, "/admin/ldap/users", nil), "1 of 1 user can")
	text := other.open(200, "/admin/ldap", nil)
	for _, want := range []string{"search_password", ">set<", authtest.SearchUser, "expand"} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, authtest.SearchPassword)
	text = other.open(200, "/admin/ldap", url.Values{"do": {"test"}, "login": {"ada"}, "password": {"ada-secret"}})
	require.Contains(t, text, "ada may log in")
	require.Contains(t, text, "LDAPTLS_CACERT="+ca)
	require.NotContains(t, text, "ada-secret")
	for range 4 { // wrong passwords here count as those of a login do
		other.open(200, "/admin/ldap", url.Values{"do": {"test"}, "login": {"ada"}, "password": {"guess"}})
	}
	require.Contains(t, other.open(403, "/admin/ldap", url.Values{"do": {"test"}, "login": {"ada"}, "password": {"guess"}}), "Too many tries")
	require.Regexp(t, `root +all +root +same login`, list("--unlink", "root"))
	_, err := program(t, "ldap", "users", "--config", file, "--link", "root=nobody").Output()
	require.Error(t, err)
	s.eventually("the book", func() bool {
		_, text := s.call("GET", "/api/v2/rondo/audit", "")
		book := string(text)
		return strings.Contains(book, "rondo.user.link") && strings.Contains(book, "rondo.user.unlink") && strings.Contains(book, "rondo.directory.test")
	})
	require.Equal(t, 0, s.stop(), s.errors())
}
