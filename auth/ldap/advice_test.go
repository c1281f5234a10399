package ldap

import (
	"errors"
	"fmt"
	"testing"
	"time"

	wire "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// Each code of Active Directory has its reason; what is no answer about the
// person is no refusal.
func TestRefusedBind(t *testing.T) {
	for code, reason := range map[string]string{
		"525": "unknown", "52e": "password", "530": "hours", "531": "workstation", "532": "password-expired",
		"533": "disabled", "701": "expired", "773": "must-change", "775": "locked", "9999": "password",
	} {
		said := fmt.Errorf("80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data %s, v3839\x00", code)
		r := refusedBind(wire.NewError(wire.LDAPResultInvalidCredentials, said))
		require.NotNil(t, r, code)
		require.Equal(t, reason, r.Reason, code)
		require.Equal(t, code, r.Code)
		require.NotEmpty(t, r.Advice)
		require.ErrorIs(t, r, ci.ErrDenied)
	}
	for _, code := range []uint16{wire.LDAPResultReferral, wire.LDAPResultBusy, wire.LDAPResultUnavailable, wire.LDAPResultOperationsError, wire.ErrorNetwork} {
		require.Nil(t, refusedBind(wire.NewError(code, errors.New("x"))), code)
	}
	require.Nil(t, refusedBind(nil))
	require.Nil(t, refusedBind(errors.New("reset")))
}

func TestExplain(t *testing.T) {
	for code, want := range map[uint16]string{
		wire.LDAPResultStrongAuthRequired:           "set encryption to starttls or ldaps",
		wire.LDAPResultNoSuchObject:                 "base_dn does not exist",
		wire.LDAPResultInvalidDNSyntax:              "base_dn is no DN",
		wire.LDAPResultSizeLimitExceeded:            "narrow user_search_dn",
		wire.LDAPResultUnavailableCriticalExtension: "set nested_groups to expand",
		wire.LDAPResultInsufficientAccessRights:     "search_user may not read",
		wire.LDAPResultReferral:                     "name that one as hostname",
		wire.LDAPResultProtocolError:                "protocol error",
	} {
		err := explain(wire.NewError(code, errors.New("said")), "base_dn")
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, fmt.Sprintf("(result %d): said", code))
		require.False(t, broken(err))
	}
	require.NoError(t, explain(nil, ""))
	require.True(t, broken(explain(wire.NewError(wire.ErrorNetwork, errors.New("reset")), "")))
}

func TestBarred(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		typ              Type
		attribute, value string
		reason           string
	}{
		{OpenLDAP, "nsAccountLock", "TRUE", "disabled"}, {OpenLDAP, "nsAccountLock", "FALSE", ""},
		{OpenLDAP, "pwdAccountLockedTime", "000001010000Z", "disabled"}, {OpenLDAP, "pwdAccountLockedTime", "20260101000000Z", "locked"},
		{OpenLDAP, "pwdEndTime", "20260101000000Z", "expired"}, {OpenLDAP, "pwdEndTime", "20260103000000.5Z", ""}, {OpenLDAP, "pwdStartTime", "20260103000000Z", "expired"},
		{OpenLDAP, "shadowExpire", "1", "expired"}, {OpenLDAP, "shadowExpire", "-1", ""}, {OpenLDAP, "shadowExpire", "99999", ""}, {OpenLDAP, "shadowExpire", "x", ""},
		{ActiveDirectory, "userAccountControl", "514", "disabled"}, {ActiveDirectory, "userAccountControl", "512", ""},
		{ActiveDirectory, "accountExpires", "0", ""}, {ActiveDirectory, "accountExpires", "9223372036854775807", ""},
		{ActiveDirectory, "accountExpires", "132223104000000000", "expired"}, {ActiveDirectory, "accountExpires", "140000000000000000", ""},
		{ActiveDirectory, "msDS-User-Account-Control-Computed", "16", "locked"}, {ActiveDirectory, "msDS-User-Account-Control-Computed", "8388608", ""},
	} {
		d := &Directory{s: Settings{Type: c.typ}}
		r := d.barred(wire.NewEntry("cn=x", map[string][]string{c.attribute: {c.value}}), now)
		if c.reason == "" {
			require.Nil(t, r, c)
			continue
		}
		require.NotNil(t, r, c)
		require.Equal(t, c.reason, r.Reason, c)
	}
}

func TestNames(t *testing.T) {
	const id = "c40912fd-edf6-42e7-9330-b76331ffd974"
	b := bytesOf(id)
	require.Equal(t, byte(0xfd), b[0], "the first part has its least byte first")
	require.Equal(t, id, guid(b))
	require.Nil(t, bytesOf("*"))
	require.Equal(t, `\00\2a\ff`, hexed([]byte{0, '*', 0xff}))
	require.Equal(t, key(`CN=Lovelace\, Ada , OU=X`), key(`cn=lovelace\2c ada,ou=x`))
	require.True(t, within("CN=a, OU=Users,DC=x", "ou=users,dc=X"))
	require.False(t, within("cn=a,ou=otherusers,dc=x", "ou=users,dc=x"))
	require.False(t, within(`cn=a\,ou=users,dc=x`, "ou=users,dc=x"), "an escaped comma separates nothing")
}

// FuzzNames: no name or number from a directory makes its readers panic.
func FuzzNames(f *testing.F) {
	f.Add(`cn=a\2c,dc=b`, "dc=b", []byte{1, 5, 0, 0, 0, 0, 0, 5, 1, 0, 0, 0}, "513")
	f.Fuzz(func(t *testing.T, dn, base string, sid []byte, rid string) {
		_, _, _ = key(dn), within(dn, base), firstRDN(dn)
		e := &wire.Entry{DN: dn, Attributes: []*wire.EntryAttribute{
			{Name: "objectSid", Values: []string{string(sid)}, ByteValues: [][]byte{sid}},
			wire.NewEntryAttribute("primaryGroupID", []string{rid}), wire.NewEntryAttribute("accountExpires", []string{rid}),
			wire.NewEntryAttribute("shadowExpire", []string{rid}), wire.NewEntryAttribute("pwdEndTime", []string{rid}),
		}}
		_ = primaryGroup(e)
		_ = guid(sid)
		for _, typ := range []Type{OpenLDAP, ActiveDirectory} {
			_ = (&Directory{s: Settings{Type: typ}}).barred(e, time.Unix(0, 0))
		}
		if login, ok := cleanLogin(dn); ok {
			d := &Directory{s: Settings{Type: ActiveDirectory, UsernameField: "sAMAccountName", People: People{ObjectClass: "user"}}}
			if _, err := wire.CompileFilter(d.loginFilter(login)); err != nil {
				t.Fatalf("%q: %v", login, err)
			}
		}
	})
}
