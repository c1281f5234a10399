package authtest_test

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	wire "github.com/go-ldap/ldap/v3"

	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/auth/ldap"
)

// An admin keeps a real directory as its administrators do: over LDAP.
type admin struct {
	conn     *wire.Conn
	settings ldap.Settings
	secure   string // the address of LDAPS
}

func (a admin) Settings() ldap.Settings { return a.settings }

func (a admin) ad() bool { return a.settings.Type == ldap.ActiveDirectory }

func (a admin) unit(unit string) string {
	if unit == "staff" {
		return "ou=staff,ou=people," + a.settings.BaseDN
	}
	return "ou=" + unit + "," + a.settings.BaseDN
}

// units adds the units that a Keeper has.
func (a admin) units() error {
	for _, u := range []string{"people", "staff", "outside", "groups"} {
		r := wire.NewAddRequest(a.unit(u), nil)
		r.Attribute("objectClass", []string{"organizationalUnit"})
		r.Attribute("ou", []string{u})
		if err := a.conn.Add(r); err != nil {
			return fmt.Errorf("add %s: %w", u, err)
		}
	}
	return nil
}

func (a admin) loginAttribute() string {
	if a.ad() {
		return "sAMAccountName"
	}
	return "uid"
}

func (a admin) dn(name string) (string, error) {
	r, err := a.conn.Search(&wire.SearchRequest{BaseDN: a.settings.BaseDN, Scope: wire.ScopeWholeSubtree, Attributes: []string{"1.1"},
		Filter: fmt.Sprintf("(|(%s=%s)(cn=%[2]s))", a.loginAttribute(), wire.EscapeFilter(name))})
	if err != nil {
		return "", err
	}
	if len(r.Entries) != 1 {
		return "", fmt.Errorf("%d entries are %q", len(r.Entries), name)
	}
	return r.Entries[0].DN, nil
}

func (a admin) AddPerson(p authtest.Person) error {
	if p.Unit == "" {
		p.Unit = "people"
	}
	r := wire.NewAddRequest("cn="+rdn(p.Name)+","+a.unit(p.Unit), nil)
	r.Attribute("cn", []string{p.Name})
	r.Attribute("sn", []string{p.Name})
	r.Attribute("displayName", []string{p.Name})
	r.Attribute(a.loginAttribute(), []string{p.Login})
	if p.Mail != "" {
		r.Attribute("mail", []string{p.Mail})
	}
	if a.ad() {
		r.Attribute("objectClass", []string{"user"})
		r.Attribute("userPrincipalName", []string{p.Login + "@ad.example.test"})
		r.Attribute("userAccountControl", []string{"512"})
		r.Attribute("unicodePwd", []string{quoted(p.Password)})
	} else {
		r.Attribute("objectClass", []string{"inetOrgPerson"})
		r.Attribute("userPassword", []string{p.Password})
	}
	return a.conn.Add(r)
}

// rdn escapes a value in the way that all servers take: Samba knows no escaped
// letters, only escaped numbers.
func rdn(value string) string {
	var b strings.Builder
	for _, c := range []byte(value) {
		if strings.ContainsRune(`,+"\<>;=#`, rune(c)) {
			fmt.Fprintf(&b, `\%02X`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// quoted is how Active Directory takes a password.
func quoted(password string) string {
	var b []byte
	for _, c := range utf16.Encode([]rune(`"` + password + `"`)) {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return string(b)
}

func (a admin) AddGroup(name string, members ...string) error {
	r := wire.NewAddRequest("cn="+rdn(name)+","+a.unit("groups"), nil)
	r.Attribute("cn", []string{name})
	if a.ad() {
		r.Attribute("objectClass", []string{"group"})
	} else {
		r.Attribute("objectClass", []string{"groupOfUniqueNames"})
	}
	var dns []string
	for _, m := range members {
		dn, err := a.dn(m)
		if err != nil {
			return err
		}
		dns = append(dns, dn)
	}
	r.Attribute(a.memberAttribute(), dns)
	return a.conn.Add(r)
}

func (a admin) memberAttribute() string {
	if a.ad() {
		return "member"
	}
	return "uniqueMember"
}

func (a admin) AddMember(group, member string) error {
	m, err := a.dn(member)
	if err != nil {
		return err
	}
	return a.change(group, func(r *wire.ModifyRequest) { r.Add(a.memberAttribute(), []string{m}) })
}

func (a admin) change(name string, change func(*wire.ModifyRequest)) error {
	dn, err := a.dn(name)
	if err != nil {
		return err
	}
	r := wire.NewModifyRequest(dn, nil)
	change(r)
	return a.conn.Modify(r)
}

func (a admin) Move(login, unit string) error {
	dn, err := a.dn(login)
	if err != nil {
		return err
	}
	parsed, err := wire.ParseDN(dn)
	if err != nil {
		return err
	}
	return a.rename(dn, parsed.RDNs[0].String(), a.unit(unit))
}

// rename gives the entry another DN and waits until its groups know: refint of
// OpenLDAP follows later.
func (a admin) rename(dn, first, parent string) error {
	groups := func(dn string) (int, error) {
		r, err := a.conn.Search(&wire.SearchRequest{BaseDN: a.settings.BaseDN, Scope: wire.ScopeWholeSubtree, Attributes: []string{"1.1"},
			Filter: fmt.Sprintf("(%s=%s)", a.memberAttribute(), wire.EscapeFilter(dn))})
		if err != nil {
			return 0, err
		}
		return len(r.Entries), nil
	}
	before, err := groups(dn)
	if err != nil {
		return err
	}
	if err := a.conn.ModifyDN(wire.NewModifyDNRequest(dn, first, true, parent)); err != nil {
		return err
	}
	parsed, err := wire.ParseDN(dn)
	if err != nil {
		return err
	}
	if parent == "" {
		parsed.RDNs = parsed.RDNs[1:]
		parent = parsed.String()
	}
	for range 1000 {
		if n, err := groups(first + "," + parent); err != nil || n == before {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("groups do not follow %s", dn)
}

func (a admin) Rename(login, to string) error {
	err := a.change(login, func(r *wire.ModifyRequest) {
		r.Replace(a.loginAttribute(), []string{to})
		r.Replace("displayName", []string{to})
	})
	if err != nil {
		return err
	}
	dn, err := a.dn(to)
	if err != nil {
		return err
	}
	return a.rename(dn, "cn="+rdn(to), "")
}

func (a admin) Set(login string, s authtest.State) error {
	dn, err := a.dn(login)
	if err != nil {
		return err
	}
	if s == authtest.Gone {
		return a.conn.Del(wire.NewDelRequest(dn, nil))
	}
	if s == authtest.Locked {
		return a.lock(dn)
	}
	attribute := map[bool]map[authtest.State][2]string{
		true:  {authtest.Disabled: {"userAccountControl", "514"}, authtest.Expired: {"accountExpires", "132223104000000000"}, authtest.MustChange: {"pwdLastSet", "0"}},
		false: {authtest.Disabled: {"pwdAccountLockedTime", "000001010000Z"}, authtest.Expired: {"pwdEndTime", "20200101000000Z"}, authtest.MustChange: {"pwdReset", "TRUE"}},
	}[a.ad()][s]
	return a.change(login, func(r *wire.ModifyRequest) { r.Replace(attribute[0], []string{attribute[1]}) })
}

// lock has somebody guess the password.
func (a admin) lock(dn string) error {
	c, err := wire.DialURL("ldaps://"+a.secure, wire.DialWithTLSConfig(&tls.Config{InsecureSkipVerify: true})) // loopback
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for range 5 {
		_ = c.Bind(dn, "wrong")
	}
	return nil
}

// tool returns the path of a program, or ends the test.
func tool(t testing.TB, name string, places ...string) string {
	t.Helper()
	for _, p := range append([]string{name}, places...) {
		if path, err := exec.LookPath(p); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed, and .ci/run should have seen to it", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// eventually returns the first connection that works.
func eventually(t testing.TB, ended <-chan error, said func() string, dial func() (*wire.Conn, error)) *wire.Conn {
	t.Helper()
	limit := time.After(time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := dial()
		if err == nil {
			return c
		}
		select {
		case <-tick.C:
		case e := <-ended:
			t.Fatalf("the server ended: %v\n%s", e, said())
		case <-limit:
			t.Fatalf("the server does not answer: %v\n%s", err, said())
		}
	}
}
