package ldap

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"

	wire "github.com/go-ldap/ldap/v3"

	"github.com/rondo-ci/rondo/ci"
)

// Refused is what a person is told whose login was refused, whatever the reason
// is: it must not tell a stranger who exists, is locked or was dismissed.
const Refused = "the login or the password is wrong, or this account may not log in here"

// A Refusal is why somebody may not log in, for operators. It is a
// [ci.ErrDenied]; one of [Directory.Lookup] is a [ci.ErrNotFound].
type Refusal struct {
	// Reason is a word to count by: login, unknown, ambiguous, password,
	// disabled, expired, locked, hours, workstation, password-expired,
	// must-change, group, moved.
	Reason string
	// Code is the data code of Active Directory, as in 52e; "" elsewhere.
	Code string
	// Advice is a sentence with what to do. It holds no password.
	Advice string

	lookup bool
}

// Error returns the reason, the code and the advice.
func (r *Refusal) Error() string {
	if r.Code != "" {
		return fmt.Sprintf("%s (data %s): %s", r.Reason, r.Code, r.Advice)
	}
	return r.Reason + ": " + r.Advice
}

// Unwrap returns [ci.ErrDenied] or [ci.ErrNotFound].
func (r *Refusal) Unwrap() error {
	if r.lookup {
		return ci.ErrNotFound
	}
	return ci.ErrDenied
}

func refuse(reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Advice: fmt.Sprintf(format, args...)}
}

var dataCode = regexp.MustCompile(`\bdata ([0-9a-fA-F]{1,8})\b`)

// bindCodes are what Active Directory says behind "data" when it refuses a bind
// with result 49, in hexadecimal: codes of Windows errors.
var bindCodes = map[string]Refusal{
	"525": {Reason: "unknown", Advice: "the directory knows no such user any more; was it deleted a moment ago?"},
	"52e": {Reason: "password", Advice: "the password is wrong"},
	"530": {Reason: "hours", Advice: "the account may not log in at this time; see its logon hours"},
	"531": {Reason: "workstation", Advice: "the account may log in on listed computers only; add the domain controller to its logon workstations or empty that list"},
	"532": {Reason: "password-expired", Advice: "the password has expired; the person must set a new one, on a computer of the domain for one"},
	"533": {Reason: "disabled", Advice: "the account is disabled; enable it in Active Directory if that is wrong"},
	"701": {Reason: "expired", Advice: "the account has expired; see its accountExpires"},
	"773": {Reason: "must-change", Advice: "the person must change the password at the next logon, which can't be done here"},
	"775": {Reason: "locked", Advice: "the account is locked after too many wrong passwords; unlock it or wait for the lockout duration"},
}

// refusedBind turns the answer to a person's bind into a refusal. It returns nil
// for what is no answer about the person, such as a server that is busy.
func refusedBind(err error) *Refusal {
	var e *wire.Error
	if !errors.As(err, &e) {
		return nil
	}
	switch e.ResultCode {
	case wire.LDAPResultInvalidCredentials:
		if m := dataCode.FindStringSubmatch(e.Err.Error()); m != nil {
			code := strings.ToLower(m[1])
			if r, ok := bindCodes[code]; ok {
				r.Code = code
				return &r
			}
			return &Refusal{Reason: "password", Code: code, Advice: "Active Directory refuses with a code that we don't know; look it up among the Windows system errors"}
		}
		return refuse("password", "the password is wrong, or the entry has none")
	case wire.LDAPResultInappropriateAuthentication:
		return refuse("password", "the entry has no password to bind with")
	case wire.LDAPResultNoSuchObject:
		return refuse("unknown", "the entry is gone since it was found")
	case wire.LDAPResultConstraintViolation:
		return refuse("locked", "the directory takes no more passwords for this account for now: %s", diagnosis(err))
	case wire.LDAPResultUnwillingToPerform, wire.LDAPResultInsufficientAccessRights:
		return refuse("disabled", "the directory does not let this account bind: %s", diagnosis(err))
	}
	return nil
}

// policies are the errors of the password policy control of OpenLDAP
// (draft-behera-ldap-password-policy, 6.2), which says more than result 49.
var policies = map[int8]Refusal{
	0: {Reason: "password-expired", Advice: "the password has expired; the person must set a new one in the directory"},
	1: {Reason: "locked", Advice: "the account is locked (see its pwdAccountLockedTime); unlock it or wait for pwdLockoutDuration"},
	2: {Reason: "must-change", Advice: "an administrator has set the password; the person must change it in the directory first"},
}

// diagnosis is the server's own text, cut.
func diagnosis(err error) string {
	var e *wire.Error
	if !errors.As(err, &e) || e.Err == nil {
		return ""
	}
	text := strings.ToValidUTF8(strings.Trim(e.Err.Error(), "\x00 \n"), "?")
	if text == "" || text == "<nil>" {
		text = "no further word from the server"
	}
	return fmt.Sprintf("%.300s", text)
}

// explain adds to the directory's error what an operator can do about it. The
// field is the one that the request leans on.
func explain(err error, field string) error {
	var e *wire.Error
	if !errors.As(err, &e) || broken(err) {
		return err
	}
	said := diagnosis(err)
	hint := ""
	switch e.ResultCode {
	case wire.LDAPResultInvalidCredentials:
		hint = "search_user or search_password is wrong"
		if m := dataCode.FindStringSubmatch(said); m != nil {
			hint += "; " + bindCodes[strings.ToLower(m[1])].Advice
		}
	case wire.LDAPResultNoSuchObject:
		hint = fmt.Sprintf("%s does not exist, or the search user may not see it", field)
		if e.MatchedDN != "" {
			hint += fmt.Sprintf("; what exists of it is %.200q", e.MatchedDN)
		}
	case wire.LDAPResultInvalidDNSyntax:
		hint = field + " is no DN to this server"
	case wire.LDAPResultStrongAuthRequired, wire.LDAPResultConfidentialityRequired:
		hint = "the server wants encryption: set encryption to starttls or ldaps"
	case wire.LDAPResultSizeLimitExceeded, wire.LDAPResultTimeLimitExceeded, wire.LDAPResultAdminLimitExceeded:
		hint = "narrow user_search_dn or group_search_dn, have the server index the attribute, or raise its limits for the search user"
	case wire.LDAPResultOperationsError:
		if strings.Contains(said, "000004DC") {
			hint = "the server has forgotten the bind of this connection; is search_user allowed to read?"
		}
	case wire.LDAPResultUnavailableCriticalExtension:
		hint = "the server does not know the matching rule or control; set nested_groups to expand"
	case wire.LDAPResultInsufficientAccessRights:
		hint = "search_user may not read this"
	case wire.LDAPResultReferral:
		hint = "the server refers to another one, which is not followed; name that one as hostname"
	case wire.LDAPResultUnwillingToPerform:
		hint = "the server does not want to"
	}
	text := fmt.Sprintf("%s (result %d): %s", strings.ToLower(wire.LDAPResultCodeMap[e.ResultCode]), e.ResultCode, said)
	if hint != "" {
		text = hint + ": " + text
	}
	return answer(text)
}

// An answer is an error that came over a connection which is still good.
type answer string

func (a answer) Error() string { return string(a) }

// explainTLS puts into words why a server can't be trusted.
func explainTLS(err error, server string) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	hint := ""
	switch {
	case errors.As(err, &unknown):
		hint = "its certificate is signed by an authority that this machine does not know; put that one's certificate into ca, or into a folder of trust, and have the server send intermediate ones"
	case errors.As(err, &name):
		hint = "its certificate is for another name; set hostname, or server_name, to one in it"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		hint = "its certificate is out of date; renew it there, and see that both clocks are right"
	case errors.As(err, &record):
		hint = "it does not speak TLS on this port; ldaps is on 636 as a rule, starttls on 389"
	case strings.Contains(err.Error(), "protocol version"):
		hint = "it speaks no TLS 1.2 or newer; enable that there"
	case strings.Contains(err.Error(), "negative serial number"):
		hint = "the serial number of its certificate is negative, as in those that Samba makes for itself; give it another"
	default:
		return fmt.Errorf("TLS with %s: %w", server, err)
	}
	return fmt.Errorf("TLS with %s: %s: %w", server, hint, err)
}

// broken reports whether the error says that the connection is of no use any
// more, rather than that the server has answered with an error.
func broken(err error) bool {
	var e *wire.Error
	var r *Refusal
	var a answer
	switch {
	case err == nil, errors.As(err, &r), errors.As(err, &a):
		return false
	case !errors.As(err, &e):
		return true
	case e.ResultCode >= 200:
		return e.ResultCode != wire.ErrorFilterCompile
	}
	return e.ResultCode == wire.LDAPResultBusy || e.ResultCode == wire.LDAPResultUnavailable
}

// unreachable says in words why no connection came about.
func unreachable(err error, server string) error {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return fmt.Errorf("cannot reach %s: there is no such host; see hostname", server)
	}
	return fmt.Errorf("cannot reach %s: %w", server, err)
}
