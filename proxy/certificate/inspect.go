package certificate

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Inspect checks a file of certificates and a file with the private key of the
// first of them; both may be one file. Nothing of the key is in the report. It
// looks at nothing but the two texts and, for trust, at the roots.
func Inspect(certificates, key []byte, o Options) Report {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	var r Report
	all := r.readCertificates(certificates)
	signer := r.readKey(key)
	if len(all) == 0 {
		return r
	}
	leaf := r.leaf(all, signer)
	if leaf == nil {
		return r
	}
	r.Chain = r.order(leaf, all)
	r.checkLeaf(leaf, o)
	r.checkDates(o)
	r.checkTrust(o)
	r.checkCallback(o)
	r.fix(all)
	return r
}

// leaf returns the certificate that the key belongs to; without a key, the first
// that is not an authority's.
func (r *Report) leaf(all []*x509.Certificate, key crypto.Signer) *x509.Certificate {
	if key != nil {
		for _, c := range all {
			if public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && public.Equal(key.Public()) {
				return c
			}
		}
		if !slices.ContainsFunc(all, func(c *x509.Certificate) bool { return c.KeyUsage&x509.KeyUsageCertSign == 0 || len(names(c)) > 0 }) {
			r.noLeaf(all)
			return nil
		}
		r.add(Error, KeyMismatch, fmt.Sprintf("the private key belongs to none of the %d certificates (the first is for %s)", len(all), name(all[0])),
			"take the key with which the request for this certificate was made")
		return nil
	}
	for _, c := range all {
		if !c.IsCA || len(names(c)) > 0 { // a host may be its own authority
			return c
		}
	}
	r.noLeaf(all)
	return nil
}

func (r *Report) noLeaf(all []*x509.Certificate) {
	r.add(Error, NoLeaf, "the file holds certificates of authorities only: "+name(all[0]), "put the certificate of the host before them")
}

// order returns the chain from the leaf on, by who signed whom. What is not part
// of it, and what stood elsewhere, is told.
func (r *Report) order(leaf *x509.Certificate, all []*x509.Certificate) []*x509.Certificate {
	chain := []*x509.Certificate{leaf}
	for c := leaf; !selfSigned(c); {
		i := slices.IndexFunc(all, func(x *x509.Certificate) bool { return !slices.ContainsFunc(chain, x.Equal) && signed(x, c) })
		if i < 0 {
			break
		}
		c = all[i]
		chain = append(chain, c)
	}
	var unique []*x509.Certificate
	for _, c := range all {
		if !slices.ContainsFunc(unique, c.Equal) {
			unique = append(unique, c)
		}
	}
	for _, c := range unique {
		if !slices.ContainsFunc(chain, c.Equal) {
			r.add(Warning, Extra, "the certificate "+name(c)+" has nothing to do with that of "+name(leaf), "take it out")
		}
	}
	in := slices.DeleteFunc(unique, func(c *x509.Certificate) bool { return !slices.ContainsFunc(chain, c.Equal) })
	for i, c := range in {
		if !c.Equal(chain[i]) {
			r.add(Error, WrongOrder, fmt.Sprintf("%s stands where %s belongs: clients read the host's certificate first, then who signed it, and so on", name(c), name(chain[i])),
				"use the file in the right order (rondo tls verify --fix writes it)")
			break
		}
	}
	if last := chain[len(chain)-1]; len(chain) > 1 && selfSigned(last) {
		r.add(Warning, RootIncluded, "the root "+name(last)+" is in the file: clients have it already", "leave it out")
	}
	return chain
}

// signed reports whether by signed c, or is at least who c says it was when the
// signature is of a kind that nobody checks any more.
func signed(by, c *x509.Certificate) bool {
	if !bytes.Equal(by.RawSubject, c.RawIssuer) || !by.IsCA {
		return false
	}
	if len(by.SubjectKeyId) > 0 && len(c.AuthorityKeyId) > 0 && !bytes.Equal(by.SubjectKeyId, c.AuthorityKeyId) {
		return false
	}
	err := c.CheckSignatureFrom(by)
	return err == nil || weakSignature(c)
}

func selfSigned(c *x509.Certificate) bool {
	if !bytes.Equal(c.RawSubject, c.RawIssuer) {
		return false
	}
	return c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil || weakSignature(c)
}

func weakSignature(c *x509.Certificate) bool {
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return true
	}
	return false
}

// name is what people call a certificate.
func name(c *x509.Certificate) string {
	switch {
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case c.Subject.CommonName != "":
		return c.Subject.CommonName
	case len(c.IPAddresses) > 0:
		return c.IPAddresses[0].String()
	}
	return c.Subject.String()
}

// names are all that a certificate is for.
func names(c *x509.Certificate) string {
	all := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	return strings.Join(all, ", ")
}

// checkLeaf checks the host's own certificate.
func (r *Report) checkLeaf(c *x509.Certificate, o Options) {
	if len(c.DNSNames)+len(c.IPAddresses) == 0 {
		host := o.Host
		if host == "" {
			host = c.Subject.CommonName
		}
		if o.Host != "" && !strings.EqualFold(c.Subject.CommonName, o.Host) {
			r.add(Error, HostMismatch, fmt.Sprintf("it is for %s, not for %s", c.Subject.CommonName, o.Host), "get one for "+o.Host+", or change the host name of the server")
		}
		bad := Error
		if selfSigned(c) { // whoever trusts it does so by hand anyway
			bad = Warning
		}
		r.add(bad, CommonName, fmt.Sprintf("it names %q as common name only, which clients do not read any more", c.Subject.CommonName),
			"ask for one with subjectAltName: openssl req ... -addext subjectAltName="+altName(host))
	} else if o.Host != "" && c.VerifyHostname(o.Host) != nil {
		r.add(Error, HostMismatch, fmt.Sprintf("it is for %s, not for %s", names(c), o.Host), "get one for "+o.Host+", or change the host name of the server (a wildcard covers one level only)")
	}
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) {
		r.add(Error, NotForServers, "its extended key usage does not say server authentication", "ask for a certificate for a web server")
	}
	for i, x := range r.Chain {
		if weakSignature(x) && (i == 0 || !selfSigned(x)) {
			r.add(Error, WeakSignature, fmt.Sprintf("%s is signed with %s, which clients refuse", name(x), x.SignatureAlgorithm), "let it be issued anew, with SHA-256")
		}
	}
}

func altName(host string) string {
	if net.ParseIP(host) != nil {
		return "IP:" + host
	}
	return "DNS:" + host
}

// soon is when a certificate should be renewed at the latest, and longest how
// long browsers let those of public authorities live.
const (
	soon    = 21 * 24 * time.Hour
	longest = 398 * 24 * time.Hour
)

// checkDates checks when the chain holds.
func (r *Report) checkDates(o Options) {
	const day = "2006-01-02"
	bad := Error
	if o.BehindBalancer {
		bad = Warning
	}
	end := r.Chain[0].NotAfter
	for _, c := range r.Chain {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
		switch {
		case o.Now.Before(c.NotBefore):
			r.add(bad, NotYetValid, fmt.Sprintf("%s is valid from %s on", name(c), c.NotBefore.UTC().Format(day)), "check the clock of this machine, or wait")
		case o.Now.After(c.NotAfter):
			r.add(bad, Expired, fmt.Sprintf("%s has expired on %s", name(c), c.NotAfter.UTC().Format(day)), "renew it")
		case c.NotAfter.Sub(o.Now) < soon:
			r.add(Warning, ExpiresSoon, fmt.Sprintf("%s expires on %s", name(c), c.NotAfter.UTC().Format(day)), "renew it")
		}
	}
	r.DaysLeft = int(end.Sub(o.Now).Hours() / 24)
	if leaf := r.Chain[0]; leaf.NotAfter.Sub(leaf.NotBefore) > longest && !selfSigned(leaf) {
		r.add(Warning, TooLong, fmt.Sprintf("it lives %d days; browsers take at most 398 from public authorities", int(leaf.NotAfter.Sub(leaf.NotBefore).Hours()/24)), "ask for a shorter one")
	}
}

// checkTrust checks whether the chain reaches somebody whom this machine trusts.
func (r *Report) checkTrust(o Options) {
	leaf, last := r.Chain[0], r.Chain[len(r.Chain)-1]
	roots := o.Roots
	if roots == nil {
		var err error
		if roots, err = x509.SystemCertPool(); err != nil {
			roots = x509.NewCertPool()
		}
	}
	between := x509.NewCertPool()
	for _, c := range r.Chain[1:] {
		between.AddCert(c)
	}
	at := leaf.NotAfter.Add(-time.Second) // dates were checked before
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err == nil {
		return
	}
	bad := Error
	if o.BehindBalancer {
		bad = Warning
	}
	switch {
	case selfSigned(leaf):
		r.add(Warning, SelfSigned, "it is signed by itself: clients that were not told to trust it refuse it", "add it to /usr/local/share/ca-certificates of clients, or get one of an authority (for the start it will do)")
	case selfSigned(last):
		r.add(Warning, Untrusted, "this machine does not trust the root "+name(last), "put it into /usr/local/share/ca-certificates of every machine that comes here")
	default:
		fix := "add the certificate of " + last.Issuer.String()
		if len(last.IssuingCertificateURL) > 0 {
			fix += ", to be had at " + last.IssuingCertificateURL[0]
		}
		r.add(bad, LeafOnly, fmt.Sprintf("the chain ends at %s, which is signed by %s, whom this machine does not know", name(last), last.Issuer.CommonName), fix)
	}
}

// checkCallback compares the address that a code host has.
func (r *Report) checkCallback(o Options) {
	if o.Callback == "" || o.Host == "" {
		return
	}
	u, err := url.Parse(o.Callback)
	if err != nil || u.Scheme != "https" || !strings.EqualFold(u.Hostname(), o.Host) {
		r.add(Error, CallbackMismatch, fmt.Sprintf("the code host calls %q, and this server is https://%s", o.Callback, o.Host), "set the callback URL of the OAuth app to https://"+o.Host+"/auth/github")
	}
}

// fix makes the file as it should be.
func (r *Report) fix(all []*x509.Certificate) {
	var b bytes.Buffer
	n := 0
	for i, c := range r.Chain {
		if i > 0 && selfSigned(c) {
			break
		}
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // a buffer takes it
		r.Changed = r.Changed || i >= len(all) || !all[i].Equal(c)
		n++
	}
	r.Fixed, r.Changed = b.Bytes(), r.Changed || n != len(all)
}
