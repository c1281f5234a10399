package authtest

import (
	"strings"

	wire "github.com/go-ldap/ldap/v3"
)

// An entry is one of the tree. Who has it holds the lock of the directory.
type entry struct {
	dn       string
	attrs    map[string][]string // by name in small letters
	names    map[string]string   // how the name is written
	normals  map[string][]string // the values that are names of entries, in one spelling
	password string
	fails    int // wrong passwords in a row
}

func newEntry(dn string, attributes map[string][]string) *entry {
	e := &entry{dn: dn, attrs: map[string][]string{}, names: map[string]string{}, normals: map[string][]string{}}
	for name, values := range attributes {
		e.set(name, values...)
	}
	return e
}

func (e *entry) get(name string) []string { return e.attrs[strings.ToLower(name)] }

func (e *entry) set(name string, values ...string) {
	k := strings.ToLower(name)
	if len(values) == 0 {
		delete(e.attrs, k)
		delete(e.normals, k)
		return
	}
	e.attrs[k], e.names[k] = values, name
	if isDNAttribute(k) {
		e.normals[k] = nil
		for _, v := range values {
			e.normals[k] = append(e.normals[k], normal(v))
		}
	}
}

func (e *entry) first(name string) string {
	if v := e.get(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// operational attributes come only if they are asked for by name or by +.
func operational(name string) bool {
	switch strings.ToLower(name) {
	case "entryuuid", "memberof", "pwdaccountlockedtime", "pwdendtime", "msds-user-account-control-computed":
		return true
	}
	return false
}

func isDNAttribute(name string) bool {
	switch strings.ToLower(name) {
	case "member", "uniquemember", "memberof", "distinguishedname":
		return true
	}
	return false
}

// normal returns the name of an entry in one spelling.
func normal(dn string) string {
	parsed, err := wire.ParseDN(dn)
	if err != nil {
		return strings.ToLower(dn)
	}
	return strings.ToLower(parsed.String())
}

// below reports whether the normal name is the base or below it.
func below(name, base string) bool {
	return base == "" || name == base || strings.HasSuffix(name, ","+base)
}
