package ldap_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/auth/ldap"
	"github.com/rondo-ci/rondo/ci"
)

func good() ldap.Settings {
	return ldap.Settings{
		Type: ldap.OpenLDAP, Hostname: "ldap.example.org", Port: 636, Encryption: ldap.LDAPS, SearchUser: "cn=admin,dc=example,dc=org",
		SearchPassword: "s3cret", BaseDN: "dc=example,dc=org", UserSearchDN: "ou=users", UsernameField: "mail",
	}
}

// The defaults switch with the type, as the guide says.
func TestLDP01_LDP07_LDP08_Defaults(t *testing.T) {
	s, err := good().Complete()
	require.NoError(t, err)
	require.Equal(t, "uniqueMember", s.GroupMembership)
	require.Equal(t, "groupOfUniqueNames", s.GroupObjectClass)
	require.Equal(t, "entryUUID", s.People.Subject)
	require.Equal(t, ldap.Expand, s.Groups.Nested)
	require.Equal(t, "ou=users,dc=example,dc=org", s.UserSearchDN, "relative to the base")
	require.Equal(t, "dc=example,dc=org", s.Groups.SearchDN)

	ad := good()
	ad.Type, ad.UserSearchDN, ad.SearchUser = ldap.ActiveDirectory, "OU=Users, DC=Example,DC=org", "svc@example.org"
	s, err = ad.Complete()
	require.NoError(t, err)
	require.Equal(t, "member", s.GroupMembership)
	require.Equal(t, "group", s.GroupObjectClass)
	require.Equal(t, "objectGUID", s.People.Subject)
	require.Equal(t, ldap.Chain, s.Groups.Nested)
	require.Equal(t, "OU=Users, DC=Example,DC=org", s.UserSearchDN, "full already")

	custom := good()
	custom.GroupMembership, custom.GroupObjectClass = "member", "groupOfNames"
	s, err = custom.Complete()
	require.NoError(t, err)
	require.Equal(t, "member", s.GroupMembership)
}

func TestLDP02_LDP05_Mistakes(t *testing.T) {
	for want, change := range map[string]func(*ldap.Settings){
		"type: ":                      func(s *ldap.Settings) { s.Type = "novell" },
		"hostname is missing":         func(s *ldap.Settings) { s.Hostname = "" },
		"without ldap:// and":         func(s *ldap.Settings) { s.Hostname = "ldap://x" },
		"port: 0 is no port":          func(s *ldap.Settings) { s.Port = 0 },
		"none of plain, starttls and": func(s *ldap.Settings) { s.Encryption = "ssl" },
		"allow_plaintext: true":       func(s *ldap.Settings) { s.Encryption = "" },
		"search_user is missing":      func(s *ldap.Settings) { s.SearchUser = "" },
		"search_user: \"admin\"":      func(s *ldap.Settings) { s.SearchUser = "admin" },
		"search_password is missing":  func(s *ldap.Settings) { s.SearchPassword = "" },
		"base_dn: ":                   func(s *ldap.Settings) { s.BaseDN = "example.org" },
		"user_search_dn is missing":   func(s *ldap.Settings) { s.UserSearchDN = "" },
		"user_search_dn: ":            func(s *ldap.Settings) { s.UserSearchDN = "users" },
		"username_field is missing":   func(s *ldap.Settings) { s.UsernameField = "" },
		"username_field: ":            func(s *ldap.Settings) { s.UsernameField = "uid=*)(x" },
		"group_object_class: ":        func(s *ldap.Settings) { s.GroupObjectClass = "a)(b" },
		"servers: ":                   func(s *ldap.Settings) { s.Network.Others = []string{"ldap2"} },
		"ca: there is no certificate": func(s *ldap.Settings) { s.Network.CA = []byte("x") },
		"timeout: ":                   func(s *ldap.Settings) { s.Network.Timeout = 1 << 50 },
		"only Active Directory knows": func(s *ldap.Settings) { s.Groups.Nested = ldap.Chain },
		"memberOf of Active":          func(s *ldap.Settings) { s.Type, s.Groups.Nested = ldap.ActiveDirectory, ldap.MemberOf },
		"nested_groups: \"deep\"":     func(s *ldap.Settings) { s.Groups.Nested = "deep" },
		"group_search_dn: ":           func(s *ldap.Settings) { s.Groups.SearchDN = "groups" },
		"group_roles: \"root\"":       func(s *ldap.Settings) { s.Groups.Roles = []ldap.RoleOf{{Group: "g", Role: "root"}} },
		"group_roles: the group":      func(s *ldap.Settings) { s.Groups.Roles = []ldap.RoleOf{{Role: "all"}} },
	} {
		s := good()
		change(&s)
		_, err := ldap.New(s, ldap.Config{})
		require.ErrorIs(t, err, ci.ErrInvalid, want)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "s3cret")
	}
	_, err := ldap.Settings{}.Complete()
	for _, field := range []string{"type", "hostname", "port", "search_user", "search_password", "base_dn", "user_search_dn", "username_field"} {
		require.ErrorContains(t, err, field, "all at once")
	}
	local := good()
	local.Hostname, local.Encryption, local.Port = "127.0.0.1", "", 389
	_, err = local.Complete()
	require.NoError(t, err, "plain on loopback")
	local.Network.Others = []string{"ldap2.example.org:389"}
	_, err = local.Complete()
	require.ErrorContains(t, err, "allow_plaintext")
}

// Completing twice is completing once.
func TestSettings_Complete_Twice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := good()
		s.UserSearchDN = rapid.StringMatching(`(ou|OU|cn)=[a-zA-Z ,+="\\]{1,8}`).Draw(t, "unit")
		once, err := s.Complete()
		if err != nil {
			return
		}
		twice, err := once.Complete()
		if err != nil || twice.UserSearchDN != once.UserSearchDN {
			t.Fatalf("%q, then %q, %v", once.UserSearchDN, twice.UserSearchDN, err)
		}
	})
}

// FuzzSettings: no text makes the checks panic.
func FuzzSettings(f *testing.F) {
	f.Add("openldap", "h", "cn=a", "dc=b", "ou=c", "uid", "g")
	f.Add("active-directory", "[::1]", `a\b`, `dc=\,`, "#", "x;y", "cn=g,dc=b")
	f.Fuzz(func(t *testing.T, typ, host, user, base, unit, field, group string) {
		s := good()
		s.Type, s.Hostname, s.SearchUser, s.BaseDN, s.UserSearchDN, s.UsernameField, s.Groups.Required = ldap.Type(typ), host, user, base, unit, field, group
		s.Groups.SearchDN = strings.ToUpper(unit)
		_, _ = ldap.New(s, ldap.Config{})
	})
}
