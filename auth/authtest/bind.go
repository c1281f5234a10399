package authtest

import (
	"crypto/subtle"
	"strconv"
	"strings"
	"time"
)

// lockout is how long an account stays locked.
const lockout = time.Hour

// stillLocked reports whether the time of locking bars a bind.
func stillLocked(text string) bool {
	t, err := time.Parse("20060102150405Z", text)
	return text != "" && (err != nil || text == "000001010000Z" || time.Since(t) < lockout)
}

// maxFails wrong passwords lock an account.
const maxFails = 3

// bind answers a simple bind; every bind ends the one before it.
func (s *session) bind(id int64, op, controls element) bool {
	s.who = ""
	name, secret := op.at(1).text(), op.at(2)
	if op.at(0).number() != 3 || secret.tag != 0x80 {
		return s.result(id, opBind, 7, "", "only simple binds of version 3")
	}
	d := s.d
	d.mu.Lock()
	code, text, policy, who := d.decide(name, secret.text())
	d.mu.Unlock()
	s.who = who
	if _, asked := control(controls, oidPolicy); asked && d.persona == OpenLDAP && policy >= 0 {
		value := sequence(tagSequence, integer(0x81, int64(policy)))
		return s.result(id, opBind, code, "", text, sequence(tagSequence, octets(oidPolicy), octets(string(value.bytes()))))
	}
	return s.result(id, opBind, code, "", text)
}

// decide judges a bind; policy is the error of the password policy, -1 for
// none. The caller has the lock.
func (d *Directory) decide(name, password string) (code int, text string, policy int, who string) {
	if name == "" {
		return 0, "", -1, ""
	}
	if password == "" {
		if d.persona == ActiveDirectory || d.fault.AnonymousSuccess {
			return 0, "", -1, "" // as nobody (RFC 4513, 5.1.2)
		}
		return 53, "unauthenticated bind (DN with no password) disallowed", -1, ""
	}
	e := d.whoBinds(name)
	if e == nil {
		return d.no("525", -1)
	}
	right := e.password != "" && subtle.ConstantTimeCompare([]byte(e.password), []byte(password)) == 1
	if !right {
		e.fails++
		if e.fails >= maxFails && d.persona == OpenLDAP {
			e.set("pwdAccountLockedTime", time.Now().UTC().Format("20060102150405Z"))
		} else if e.fails >= maxFails {
			e.set("msDS-User-Account-Control-Computed", "16")
		}
	}
	computed, _ := strconv.Atoi(e.first("msDS-User-Account-Control-Computed"))
	control, _ := strconv.Atoi(e.first("userAccountControl"))
	switch {
	case computed&16 != 0, stillLocked(e.first("pwdAccountLockedTime")):
		return d.no("775", 1)
	case !right:
		return d.no("52e", -1)
	case control&2 != 0:
		return d.no("533", -1)
	case e.first("accountExpires") == "132223104000000000", e.first("pwdEndTime") != "":
		return d.no("701", -1)
	case e.first("pwdLastSet") == "0":
		return d.no("773", -1)
	}
	e.fails = 0
	e.set("pwdAccountLockedTime")
	if e.first("pwdReset") != "" {
		return 0, "", 2, normal(e.dn)
	}
	return 0, "", -1, normal(e.dn)
}

func (d *Directory) no(data string, policy int) (int, string, int, string) {
	if d.persona == ActiveDirectory {
		return 49, "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data " + data + ", v1db1\x00", -1, ""
	}
	return 49, "", policy, ""
}

// whoBinds finds the entry by its DN; Active Directory takes other names too.
func (d *Directory) whoBinds(name string) *entry {
	if e := d.entries[normal(name)]; e != nil || d.persona != ActiveDirectory {
		return e
	}
	_, account, _ := strings.Cut(name, `\`)
	for _, e := range d.entries {
		if upn := e.first("userPrincipalName"); upn != "" && strings.EqualFold(upn, name) {
			return e
		}
		if sam := e.first("sAMAccountName"); sam != "" && strings.EqualFold(sam, account) {
			return e
		}
	}
	return nil
}
