package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/auth/ldap"
)

// LDP-09: the command shows every step, and says no with its exit.
func TestLDP09_LdapTest(t *testing.T) {
	server := authtest.NewDirectory(authtest.OpenLDAP)
	k := authtest.Start(t, server, ldap.StartTLS)
	require.NoError(t, server.AddPerson(authtest.Person{Login: "ada", Password: "ada-secret", Name: "Ada"}))
	require.NoError(t, server.AddGroup("ops", "ada"))
	dir := serverDir(t)
	ca, file := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "rondo.yml")
	require.NoError(t, os.WriteFile(ca, k.Settings().Network.CA, 0o600))
	t.Setenv("RONDO_TEST_SEARCH", authtest.SearchPassword)
	t.Setenv("RONDO_TEST_ADA", "ada-secret")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `url: https://ci.example.com
data: %s
ldap:
  type: openldap
  hostname: 127.0.0.1
  port: %d
  encryption: starttls
  search_user: %s
  search_password: env:RONDO_TEST_SEARCH
  base_dn: %s
  user_search_dn: ou=people
  username_field: uid
  test_username: ada
  test_password: env:RONDO_TEST_ADA
  ca: %s
  timeout: 5s
  group_roles: [{group: ops, role: operator}]
`, dir, k.Settings().Port, authtest.SearchUser, authtest.Base, ca), 0o600))
	try := func(args ...string) (string, error) {
		var out strings.Builder
		cmd := ldapCommand()
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs(append([]string{"test", "--config", file}, args...))
		cmd.SilenceUsage = true
		err := cmd.ExecuteContext(t.Context())
		require.NotContains(t, out.String(), "secret")
		require.NotContains(t, out.String(), authtest.SearchPassword)
		return out.String(), err
	}
	out, err := try()
	require.NoError(t, err, out)
	require.Contains(t, out, "the password is right")
	require.Contains(t, out, "role operator")
	require.Contains(t, out, "LDAPTLS_CACERT="+ca+" ldapsearch -x -LLL -H ldap://127.0.0.1:")
	out, err = try("bob")
	require.ErrorContains(t, err, "may not log in")
	require.Contains(t, out, `nobody below ou=people,dc=example,dc=org has uid "bob"`)
}

func TestSettings_LDAP(t *testing.T) {
	_, err := parseSettings([]byte("url: https://ci\ndata: d\nldap: {type: openldap, search_password: s3cret}\n"))
	require.ErrorContains(t, err, "ldap.search_password: write env:NAME or file:PATH")
	require.NotContains(t, err.Error(), "s3cret")
	_, err = parseSettings([]byte("url: https://ci\ndata: d\nldap: {type: openldap, search_password: \"env:P\", hostname: h}\n"))
	require.ErrorContains(t, err, "user_search_dn is missing")
	_, err = parseSettings([]byte("url: https://ci\ndata: d\nldap: {hots: x}\n"))
	require.ErrorContains(t, err, "key hots is not known")
}

// The settings in the help are good ones, key by key.
func TestLDAPHelp(t *testing.T) {
	_, text, _ := strings.Cut(ldapCommand().Long, "\n\n")
	text = strings.Replace(text, "All of the following may be left out:\n", "", 1)
	text = strings.ReplaceAll("\n"+text, "\n  ", "\n")
	s, err := parseSettings([]byte("url: https://ci\ndata: d\n" + text))
	require.NoError(t, err, text)
	require.Equal(t, "uid", s.LDAP.UsernameField)
	require.Equal(t, "displayName", s.LDAP.NameField)
	require.Len(t, s.LDAP.GroupRoles, 1)
}
