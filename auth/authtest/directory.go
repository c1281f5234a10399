package authtest

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	wire "github.com/go-ldap/ldap/v3"
)

// A Persona is which product the fake directory behaves like.
type Persona string

// The two personas. They differ in attributes, in how a bind may name who
// binds, in what a refused bind says, and in the rules of filters.
const (
	OpenLDAP        Persona = "openldap"
	ActiveDirectory Persona = "active-directory"
)

// What every fake directory has.
const (
	Base           = "dc=example,dc=org"
	SearchPassword = "search-Passw0rd!"
)

// SearchUser is who may read; nobody else may.
const SearchUser = "cn=reader,dc=example,dc=org"

// A Directory is an LDAP server in this process. It is a [Keeper] of itself.
// All methods may be called at once.
type Directory struct {
	persona Persona

	mu       sync.Mutex
	entries  map[string]*entry // by normal name
	order    []string          // as they were added
	rid      uint32            // the last part of the newest SID
	fault    Fault
	requests []Request
	links    int
}

// NewDirectory returns a directory with units and the search user, and with
// nobody else.
func NewDirectory(p Persona) *Directory {
	d := &Directory{persona: p, entries: map[string]*entry{}, rid: 1100}
	d.add(Base, map[string][]string{"objectClass": {"top", "domain"}})
	d.add(SearchUser, map[string][]string{"objectClass": {"top", "organizationalRole"}, "cn": {"reader"}}).password = SearchPassword
	for _, unit := range []string{"people", "staff", "outside", "groups"} {
		d.add(UnitDN(unit), map[string][]string{"objectClass": {"top", "organizationalUnit"}, "ou": {unit}})
	}
	if p == ActiveDirectory {
		d.add("cn=Domain Users,cn=Users,"+Base, map[string][]string{
			"objectClass": {"top", "group"}, "cn": {"Domain Users"}, "sAMAccountName": {"Domain Users"}, "objectSid": {sid(513)},
		})
	}
	return d
}

// UnitDN is the name of a unit: people, staff below it, outside, groups.
func UnitDN(unit string) string {
	if unit == "staff" {
		return "ou=staff,ou=people," + Base
	}
	return "ou=" + unit + "," + Base
}

// add keeps an entry; the caller has the lock or is the constructor.
func (d *Directory) add(dn string, attributes map[string][]string) *entry {
	e := newEntry(dn, attributes)
	if len(e.get("entryUUID")) == 0 && d.persona == OpenLDAP {
		e.set("entryUUID", uuid())
	}
	if d.persona == ActiveDirectory {
		e.set("objectGUID", string(random(16)))
		e.set("distinguishedName", dn)
	}
	n := normal(dn)
	d.entries[n] = e
	d.order = append(d.order, n)
	return e
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

func uuid() string {
	b := random(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// sid returns S-1-5-21-1-2-3-rid.
func sid(rid uint32) string {
	b := []byte{1, 5, 0, 0, 0, 0, 0, 5}
	for _, part := range []uint32{21, 1, 2, 3, rid} {
		b = binary.LittleEndian.AppendUint32(b, part)
	}
	return string(b)
}

// memberAttribute is where a group lists who is in it.
func (d *Directory) memberAttribute() string {
	if d.persona == ActiveDirectory {
		return "member"
	}
	return "uniqueMember"
}

// named returns the person or group of that name; the caller has the lock.
func (d *Directory) named(name string) (*entry, error) {
	attributes := []string{"uid", "cn"}
	if d.persona == ActiveDirectory {
		attributes = []string{"sAMAccountName", "cn"}
	}
	for _, a := range attributes {
		for _, n := range d.order {
			if e := d.entries[n]; e != nil && strings.EqualFold(e.first(a), name) {
				return e, nil
			}
		}
	}
	return nil, fmt.Errorf("the directory has no %q", name)
}

// AddPerson adds a person.
func (d *Directory) AddPerson(p Person) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	attributes := map[string][]string{"cn": {p.Name}, "displayName": {p.Name}, "sn": {p.Name}, "objectClass": {"top", "person", "inetOrgPerson"}, "uid": {p.Login}}
	if p.Mail != "" {
		attributes["mail"] = []string{p.Mail}
	}
	if d.persona == ActiveDirectory {
		d.rid++
		attributes["objectClass"] = []string{"top", "person", "organizationalPerson", "user"}
		attributes["objectCategory"] = []string{"person"}
		attributes["sAMAccountName"] = []string{p.Login}
		attributes["userPrincipalName"] = []string{p.Login + "@example.org"}
		attributes["userAccountControl"] = []string{"512"}
		attributes["accountExpires"] = []string{"9223372036854775807"}
		attributes["primaryGroupID"] = []string{"513"}
		attributes["objectSid"] = []string{sid(d.rid)}
		delete(attributes, "uid")
	}
	unit := p.Unit
	if unit == "" {
		unit = "people"
	}
	dn := "cn=" + wire.EscapeDN(p.Name) + "," + UnitDN(unit)
	if d.entries[normal(dn)] != nil {
		return fmt.Errorf("add %s: it is there already", dn)
	}
	d.add(dn, attributes).password = p.Password
	return nil
}

// AddGroup adds a group with members, which are people or groups.
func (d *Directory) AddGroup(name string, members ...string) error {
	d.mu.Lock()
	attributes := map[string][]string{"objectClass": {"top", "groupOfUniqueNames"}, "cn": {name}}
	if d.persona == ActiveDirectory {
		d.rid++
		attributes = map[string][]string{"objectClass": {"top", "group"}, "cn": {name}, "sAMAccountName": {name}, "objectSid": {sid(d.rid)}}
	}
	d.add("cn="+wire.EscapeDN(name)+","+UnitDN("groups"), attributes)
	d.mu.Unlock()
	for _, m := range members {
		if err := d.AddMember(name, m); err != nil {
			return err
		}
	}
	return nil
}

// AddMember puts a person or group into a group.
func (d *Directory) AddMember(group, member string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	g, err := d.named(group)
	if err != nil {
		return err
	}
	m, err := d.named(member)
	if err != nil {
		return err
	}
	g.set(d.memberAttribute(), append(slices.Clone(g.get(d.memberAttribute())), m.dn)...)
	m.set("memberOf", append(slices.Clone(m.get("memberOf")), g.dn)...)
	return nil
}

// Move puts a person into another unit; groups follow.
func (d *Directory) Move(login, unit string) error {
	return d.rename(login, func(e *entry) string { return "cn=" + wire.EscapeDN(e.first("cn")) + "," + UnitDN(unit) })
}

// Rename gives a person another login and another name, and so another DN.
func (d *Directory) Rename(login, to string) error {
	return d.rename(login, func(e *entry) string {
		_, parent, _ := strings.Cut(normal(e.dn), ",ou=")
		e.set("cn", to)
		if d.persona == ActiveDirectory {
			e.set("sAMAccountName", to)
			e.set("userPrincipalName", to+"@example.org")
		} else {
			e.set("uid", to)
		}
		return "cn=" + wire.EscapeDN(to) + ",ou=" + parent
	})
}

func (d *Directory) rename(login string, name func(*entry) string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, err := d.named(login)
	if err != nil {
		return err
	}
	old := normal(e.dn)
	delete(d.entries, old)
	e.dn = name(e)
	n := normal(e.dn)
	d.entries[n] = e
	d.order[slices.Index(d.order, old)] = n
	for _, other := range d.entries {
		members := slices.Clone(other.get(d.memberAttribute()))
		if i := slices.IndexFunc(members, func(m string) bool { return normal(m) == old }); i >= 0 {
			members[i] = e.dn
			other.set(d.memberAttribute(), members...)
		}
	}
	return nil
}

// Set puts a person into a state.
func (d *Directory) Set(login string, s State) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, err := d.named(login)
	if err != nil {
		return err
	}
	if s == Gone {
		delete(d.entries, normal(e.dn))
		return nil
	}
	if d.persona == OpenLDAP {
		switch s {
		case Disabled:
			e.set("pwdAccountLockedTime", "000001010000Z")
		case Locked:
			e.set("pwdAccountLockedTime", time.Now().UTC().Format("20060102150405Z"))
		case Expired:
			e.set("pwdEndTime", "20200101000000Z")
		case MustChange:
			e.set("pwdReset", "TRUE")
		}
		return nil
	}
	switch s {
	case Disabled:
		e.set("userAccountControl", "514")
	case Locked:
		e.set("msDS-User-Account-Control-Computed", "16")
	case Expired:
		e.set("accountExpires", "132223104000000000") // 2020
	case MustChange:
		e.set("pwdLastSet", "0")
	}
	return nil
}

// SetAttribute gives a person or group other values of an attribute; none takes
// it away.
func (d *Directory) SetAttribute(name, attribute string, values ...string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, err := d.named(name)
	if err == nil {
		e.set(attribute, values...)
	}
	return err
}
