package ldap

import (
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	wire "github.com/go-ldap/ldap/v3"
)

// maxLogin is how long a login may be, in bytes.
const maxLogin = 256

// cleanLogin returns the login without the space around it, and false for what
// can't be one.
func cleanLogin(login string) (string, bool) {
	if len(login) > 4*maxLogin || !utf8.ValidString(login) {
		return "", false
	}
	login = strings.TrimSpace(login)
	if login == "" || len(login) > maxLogin || strings.ContainsFunc(login, unicode.IsControl) {
		return "", false
	}
	return login, true
}

// key returns the DN in one spelling, so that equal ones are equal strings.
// Comparing strings as they come would miss escapes, space and case.
func key(dn string) string {
	parsed, err := wire.ParseDN(dn)
	if err != nil {
		return strings.ToLower(dn)
	}
	return strings.ToLower(parsed.String())
}

// within reports whether the DN is the base or below it.
func within(dn, base string) bool {
	d, err := wire.ParseDN(dn)
	if err != nil {
		return false
	}
	b, err := wire.ParseDN(base)
	return err == nil && (b.EqualFold(d) || b.AncestorOfFold(d))
}

// hexed writes any bytes as the value of a filter.
func hexed(value []byte) string {
	var b strings.Builder
	for _, c := range value {
		fmt.Fprintf(&b, `\%02x`, c)
	}
	return b.String()
}

// guid writes an objectGUID as administrators see it. Its first three parts
// have their least byte first (MS-DTYP, 2.3.4.2).
func guid(b []byte) string {
	if len(b) != 16 {
		return hex.EncodeToString(b)
	}
	return fmt.Sprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%x-%x", b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8:10], b[10:16])
}

// bytesOf is the reverse of guid; nil is no GUID.
func bytesOf(guid string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(guid, "-", ""))
	if err != nil || len(b) != 16 {
		return nil
	}
	b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
	b[4], b[5], b[6], b[7] = b[5], b[4], b[7], b[6]
	return b
}
