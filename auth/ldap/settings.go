package ldap

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	wire "github.com/go-ldap/ldap/v3"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
)

// A Type is a kind of directory; it decides the defaults.
type Type string

// The two types of the guide. FreeIPA and 389 Directory Server are OpenLDAP
// with other names of attributes.
const (
	OpenLDAP        Type = "openldap"
	ActiveDirectory Type = "active-directory"
)

// An Encryption is how what goes over the network is hidden.
type Encryption string

// The three of the guide. StartTLS and LDAPS end in the same TLS; neither falls
// back to plain when the server refuses.
const (
	Plain    Encryption = "plain"
	StartTLS Encryption = "starttls"
	LDAPS    Encryption = "ldaps"
)

// Settings are the fields of the guide's form, and three groups that go beyond
// it. What the form calls required is required.
type Settings struct {
	Type       Type       // required
	Hostname   string     // required; an IP address needs a certificate that names it
	Port       int        // required; 389 for plain and StartTLS, 636 for LDAPS as a rule
	Encryption Encryption // "" is plain, as in the form
	// SearchUser is the full DN of who searches, as in cn=admin,dc=example,dc=org;
	// Active Directory takes user@domain too.
	SearchUser     string
	SearchPassword string
	BaseDN         string // required, as in dc=example,dc=org
	// UserSearchDN is where people are, below BaseDN: ou=users. A DN that ends
	// with BaseDN is taken as it is. Whoever is elsewhere may not log in.
	UserSearchDN  string
	UsernameField string // required: the attribute that people type, as in uid or mail
	// GroupMembership is the attribute of a group that lists its members; "" is
	// uniqueMember, in Active Directory member. memberUid holds uids, not DNs.
	GroupMembership string
	// GroupObjectClass is the class of groups; "" is groupOfUniqueNames, in
	// Active Directory group.
	GroupObjectClass string

	Network Network
	People  People
	Groups  Groups
}

// Network says how to reach the servers, beyond the guide's form.
type Network struct {
	Others         []string      // host:port of further servers with the same content, in the order in which they are tried
	CA             []byte        // certificates in PEM that the server's may be signed by; nil is those of the system
	CAFile         string        // where CA was read from, for the command lines of a [Trace]
	ServerName     string        // the name in the certificate; "" is the host of the connection
	AllowPlaintext bool          // lets passwords cross the network unencrypted
	Timeout        time.Duration // of one connection or request; 0 is 5 s
	Connections    int           // at most so many at once for searches, and as many for binds; 0 is 8
}

// People names attributes of the entries of people.
type People struct {
	ObjectClass string // "" is inetOrgPerson, in Active Directory user
	// Subject is the attribute that never changes; "" is entryUUID, in Active
	// Directory objectGUID. FreeIPA has ipaUniqueID, 389 nsUniqueId. "dn" is the
	// last resort: who is moved or renamed then is somebody else.
	Subject string
	Email   string // "" is mail
	Name    string // "" is displayName, and cn where that is empty
}

// Groups says which groups count, and for what.
type Groups struct {
	SearchDN string // where groups are, as UserSearchDN; "" is BaseDN
	Nested   Nested // "" is Chain in Active Directory, otherwise Expand
	Depth    int    // of nested groups with Expand; 0 is 20
	Required string // name or DN of the group that people must be in; "" is none
	// Roles are tried in order: the first whose group the person is in counts.
	Roles []RoleOf
}

// Nested says how groups within groups are found.
type Nested string

// Off sees direct groups only. Chain has Active Directory do it in one request.
// Expand asks for the groups of all groups found so far, level by level, and
// works everywhere. MemberOf believes the attribute memberOf of the person,
// which a FreeIPA keeps complete and an OpenLDAP fills with direct groups.
const (
	Off      Nested = "off"
	Chain    Nested = "chain"
	Expand   Nested = "expand"
	MemberOf Nested = "memberof"
)

// A RoleOf gives a role to the members of a group, which is named by its cn or,
// where names are not unique, by its DN.
type RoleOf struct {
	Group string
	Role  auth.Role
}

// attributeName keeps what is no attribute out of filters.
var attributeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)

// Complete returns the settings with their defaults filled in. Its error names
// every field that is wrong, as it is called in the file of settings, and what
// to write; it is a [ci.ErrInvalid].
func (s Settings) Complete() (Settings, error) {
	ad := s.Type == ActiveDirectory
	pick := func(field *string, open, active string) {
		if ad {
			open = active
		}
		*field = cmp.Or(*field, open)
	}
	pick(&s.GroupMembership, "uniqueMember", "member")
	pick(&s.GroupObjectClass, "groupOfUniqueNames", "group")
	pick(&s.People.ObjectClass, "inetOrgPerson", "user")
	pick(&s.People.Subject, "entryUUID", "objectGUID")
	pick(&s.People.Email, "mail", "mail")
	pick(&s.People.Name, "displayName", "displayName")
	pick((*string)(&s.Groups.Nested), string(Expand), string(Chain))
	s.Encryption = cmp.Or(s.Encryption, Plain)
	s.Network.Timeout = cmp.Or(s.Network.Timeout, 5*time.Second)
	s.Network.Connections = cmp.Or(s.Network.Connections, 8)
	s.Groups.Depth = cmp.Or(s.Groups.Depth, 20)
	if err := errors.Join(append(s.wrongForm(), s.wrongBeyond()...)...); err != nil {
		return s, fmt.Errorf("%w: %w", err, ci.ErrInvalid)
	}
	s.UserSearchDN = s.below(s.UserSearchDN)
	s.Groups.SearchDN = s.below(s.Groups.SearchDN)
	return s, nil
}

// wrongForm judges the fields of the guide's form.
func (s Settings) wrongForm() []error {
	var wrong []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	add(s.Type != OpenLDAP && s.Type != ActiveDirectory, "type: %.50q is neither openldap nor active-directory", s.Type)
	add(s.Hostname == "", "hostname is missing: the name of the directory server, as in ldap.example.org")
	add(strings.ContainsAny(s.Hostname, "/ @") || strings.Count(s.Hostname, ":") == 1, "hostname: %.100q is no host name; write ldap.example.org, without ldap:// and without a port", s.Hostname)
	add(s.Port < 1 || s.Port > 65535, "port: %d is no port; plain and starttls use 389 as a rule, ldaps 636", s.Port)
	switch s.Encryption {
	case Plain:
		add(!s.Network.AllowPlaintext && !s.local(), "encryption: plain sends every password readably to %s; write starttls or ldaps, or allow_plaintext: true if you accept that", s.Hostname)
	case StartTLS, LDAPS:
	default:
		add(true, "encryption: %.50q is none of plain, starttls and ldaps", s.Encryption)
	}
	add(s.SearchUser == "", "search_user is missing: the full DN of a user who may read people and groups, as in cn=admin,dc=example,dc=org")
	if !(s.Type == ActiveDirectory && strings.ContainsAny(s.SearchUser, `@\`)) {
		add(s.SearchUser != "" && !isDN(s.SearchUser), "search_user: %.200q is no DN, as in cn=admin,dc=example,dc=org", s.SearchUser)
	}
	add(s.SearchPassword == "", "search_password is missing: a bind without one is anonymous")
	add(!isDN(s.BaseDN), "base_dn: %.200q is no DN, as in dc=example,dc=org", s.BaseDN)
	add(s.UserSearchDN == "", "user_search_dn is missing: where people are below base_dn, as in ou=users; write base_dn again for the whole tree")
	add(s.UserSearchDN != "" && !isDN(s.UserSearchDN), "user_search_dn: %.200q is no DN, as in ou=users", s.UserSearchDN)
	add(s.UsernameField == "", "username_field is missing: the attribute with the name that people log in with, as in uid, mail or sAMAccountName")
	return wrong
}

// wrongBeyond judges what goes beyond the form.
func (s Settings) wrongBeyond() []error {
	var wrong []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	for key, name := range map[string]string{
		"username_field": s.UsernameField, "group_membership": s.GroupMembership, "group_object_class": s.GroupObjectClass,
		"user_object_class": s.People.ObjectClass, "subject_field": s.People.Subject, "email_field": s.People.Email, "name_field": s.People.Name,
	} {
		add(name != "" && !attributeName.MatchString(name), "%s: %.100q is no name of an attribute or class", key, name)
	}
	for _, o := range s.Network.Others {
		_, err := parseServer(o)
		add(err != nil, "servers: %.100q is not host:port, as in ldap2.example.org:636", o)
	}
	if s.Network.CA != nil {
		add(!x509.NewCertPool().AppendCertsFromPEM(s.Network.CA), "ca: there is no certificate in it; it must be PEM, with BEGIN CERTIFICATE")
	}
	add(s.Network.Timeout < 0 || s.Network.Timeout > time.Minute, "timeout: %s is not between 1 ms and 1 m", s.Network.Timeout)
	add(s.Network.Connections < 0 || s.Network.Connections > 100, "connections: %d is not between 1 and 100", s.Network.Connections)
	add(s.Groups.Depth < 0 || s.Groups.Depth > 100, "group_depth: %d is not between 1 and 100", s.Groups.Depth)
	add(s.Groups.SearchDN != "" && !isDN(s.Groups.SearchDN), "group_search_dn: %.200q is no DN, as in ou=groups", s.Groups.SearchDN)
	switch s.Groups.Nested {
	case Off, Expand:
	case Chain:
		add(s.Type != ActiveDirectory, "nested_groups: only Active Directory knows chain; write expand")
	case MemberOf:
		add(s.Type == ActiveDirectory, "nested_groups: memberOf of Active Directory leaves out nested and primary groups; write chain or expand")
	default:
		add(true, "nested_groups: %.50q is none of off, chain, expand and memberof", s.Groups.Nested)
	}
	for _, r := range s.Groups.Roles {
		add(r.Group == "", "group_roles: the group of role %.50q is missing", r.Role)
		switch r.Role {
		case auth.RoleRead, auth.RoleWrite, auth.RoleAll, auth.RoleAuditor, auth.RoleOperator:
		default:
			add(true, "group_roles: %.50q is none of read-settings, write-settings, all, auditor and operator", r.Role)
		}
	}
	return wrong
}

// local reports whether all servers are on this machine.
func (s Settings) local() bool {
	for _, e := range s.servers() {
		a, err := netip.ParseAddr(e.host)
		if e.host != "localhost" && (err != nil || !a.IsLoopback()) {
			return false
		}
	}
	return true
}

// below returns the DN as a full one.
func (s Settings) below(dn string) string {
	switch {
	case dn == "":
		return s.BaseDN
	case within(dn, s.BaseDN):
		return dn
	}
	return dn + "," + s.BaseDN
}

func isDN(text string) bool {
	dn, err := wire.ParseDN(text)
	return err == nil && len(dn.RDNs) > 0
}
