package certificate

import (
	"crypto/x509"
	"time"
)

// A Severity says how bad a [Finding] is.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // clients will refuse it
	Warning Severity = "warning" // it works, and should be mended
)

// A Code names a kind of finding. Codes are stable: command, page and tests use
// them.
type Code string

// The codes.
const (
	NotPEM           Code = "not_pem"              // DER, PKCS #12 or something else
	NoCertificate    Code = "no_certificate"       // the file holds none
	KeyMissing       Code = "key_missing"          // no private key
	KeyEncrypted     Code = "key_encrypted"        // the key wants a passphrase
	KeyUnreadable    Code = "key_unreadable"       // the key cannot be read
	KeyWeak          Code = "key_weak"             // RSA below 2048 bits, or an unusual curve
	KeyMismatch      Code = "key_mismatch"         // the key belongs to none of the certificates
	WrongOrder       Code = "wrong_order"          // the host's certificate must come first, its signer next
	LeafOnly         Code = "missing_intermediate" // the chain does not reach a root
	NoLeaf           Code = "no_leaf"              // only certificates of authorities
	Extra            Code = "extra_certificate"    // one that the chain does not need
	RootIncluded     Code = "root_included"        // harmless, and sent to everybody
	HostMismatch     Code = "host_mismatch"        // not for this host
	CommonName       Code = "common_name_only"     // no subject alternative names: nobody accepts that any more
	NotYetValid      Code = "not_yet_valid"        // its time has not come
	Expired          Code = "expired"              // its time is over
	ExpiresSoon      Code = "expires_soon"         // in less than 21 days
	TooLong          Code = "lives_too_long"       // over 398 days: browsers refuse it of public authorities
	NotForServers    Code = "not_for_servers"      // extended key usage without server authentication
	WeakSignature    Code = "weak_signature"       // SHA-1 or MD5
	Untrusted        Code = "untrusted"            // signed by nobody whom this machine trusts
	SelfSigned       Code = "self_signed"          // by itself: browsers warn
	ServedDiffers    Code = "served_differs"       // the running server shows another one
	OldProtocol      Code = "old_protocol"         // below TLS 1.2
	Unreachable      Code = "unreachable"          // nothing answers there
	CallbackMismatch Code = "callback_mismatch"    // the address that the code host calls is another one
	TextAround       Code = "text_around"          // text, or a byte order mark, around the blocks
)

// A Finding is one thing that is wrong.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Text     string   `json:"text"` // what is wrong, with names and dates
	Fix      string   `json:"fix"`  // what to do
}

// Options say what a certificate is for. The zero Options check the files only.
type Options struct {
	// Host is the name or address under which clients come; "" is not checked.
	Host string
	// Now is the time to check dates with; zero is now.
	Now time.Time
	// Roots are trusted; nil are those of this machine.
	Roots *x509.CertPool
	// BehindBalancer says that clients see the certificate of a load balancer
	// instead: what they would refuse is a warning only.
	BehindBalancer bool
	// Callback is the address that the code host has for this server.
	Callback string
}

// A Report is what [Inspect] found.
type Report struct {
	Findings []Finding `json:"findings"`
	// Chain is the certificate of the host and its signers, in order; nil when
	// there is none. Fixed is that as PEM, without what nobody needs.
	Chain []*x509.Certificate `json:"-"`
	Fixed []byte              `json:"-"`
	// Changed says that Fixed has other certificates or another order than the
	// file.
	Changed bool `json:"changed"`
	// DaysLeft is how long the chain holds, from now.
	DaysLeft int `json:"days_left"`
}

// OK reports whether clients will accept it: there is no finding of severity
// [Error].
func (r Report) OK() bool {
	for _, f := range r.Findings {
		if f.Severity == Error {
			return false
		}
	}
	return true
}

// Has reports whether there is a finding of that code.
func (r Report) Has(c Code) bool {
	for _, f := range r.Findings {
		if f.Code == c {
			return true
		}
	}
	return false
}

func (r *Report) add(s Severity, c Code, text, fix string) {
	r.Findings = append(r.Findings, Finding{Code: c, Severity: s, Text: text, Fix: fix})
}
