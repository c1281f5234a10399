package certificate

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
)

// readCertificates returns the certificates of a file in its order.
func (r *Report) readCertificates(text []byte) []*x509.Certificate {
	var all []*x509.Certificate
	rest, around := unmark(text), false
	for {
		before := rest
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			around = around || len(bytes.TrimSpace(before)) > 0 && len(all) > 0
			break
		}
		if i := bytes.Index(before, []byte("-----BEGIN")); len(bytes.TrimSpace(before[:i])) > 0 {
			around = true
		}
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			continue // a key in the same file is read elsewhere
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			r.add(Error, NotPEM, fmt.Sprintf("certificate number %d of the file cannot be read: %v", len(all)+1, err), "export it again, in PEM form")
			continue
		}
		all = append(all, c)
	}
	if around || len(unmark(text)) != len(text) {
		r.add(Warning, TextAround, "there is text around the certificates, or a byte order mark before them", "leave only the blocks from BEGIN CERTIFICATE to END CERTIFICATE")
	}
	if len(all) == 0 && !r.Has(NotPEM) {
		r.noPEM(text)
	}
	return all
}

// noPEM says what a file without certificates in PEM form is instead.
func (r *Report) noPEM(text []byte) {
	const der = "openssl x509 -inform der -in FILE -out cert.pem"
	if _, err := x509.ParseCertificate(text); err == nil {
		r.add(Error, NotPEM, "the file is a certificate in DER form", "turn it into PEM: "+der)
		return
	}
	switch {
	case len(text) > 4 && text[0] == 0x30 && bytes.Contains(text[:min(len(text), 64)], []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07}):
		r.add(Error, NotPEM, "the file looks like PKCS #12 (.p12, .pfx)", "turn it into PEM: openssl pkcs12 -in FILE -out all.pem -nodes")
	case bytes.Contains(text, []byte("-----BEGIN CERTIFICATE REQUEST")):
		r.add(Error, NoCertificate, "the file is a request for a certificate", "upload what the authority sent back")
	case bytes.Contains(text, []byte("PRIVATE KEY-----")):
		r.add(Error, NoCertificate, "the file holds a private key and no certificate", "upload the certificate here and the key in its own field")
	case bytes.Contains(text, []byte("-----BEGIN CERTIFICATE")):
		r.add(Error, NotPEM, "a certificate begins in the file and cannot be read to its end", "copy it whole, with the line END CERTIFICATE")
	default:
		r.add(Error, NoCertificate, "the file holds no certificate", "it begins with the line -----BEGIN CERTIFICATE-----")
	}
}

// unmark takes a byte order mark away.
func unmark(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) }

// readKey returns the private key of a file, nil with a finding if there is
// none that can be used.
func (r *Report) readKey(text []byte) crypto.Signer {
	rest := unmark(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			r.add(Error, KeyEncrypted, "the private key is protected by a passphrase", "take it away: openssl pkey -in key.pem -out plain.pem")
			return nil
		}
		if block.Type == "OPENSSH PRIVATE KEY" {
			r.add(Error, KeyUnreadable, "this is a key for SSH", "the key of a certificate begins with BEGIN PRIVATE KEY, BEGIN RSA PRIVATE KEY or BEGIN EC PRIVATE KEY")
			return nil
		}
		key, err := parseKey(block)
		if err != nil {
			r.add(Error, KeyUnreadable, "the private key cannot be read", "export it again, in PEM form, without a passphrase")
			return nil
		}
		r.checkKey(key)
		return key
	}
	r.add(Error, KeyMissing, "there is no private key", "it begins with the line -----BEGIN PRIVATE KEY-----, and belongs to the request that the certificate was made from")
	return nil
}

func parseKey(block *pem.Block) (crypto.Signer, error) {
	if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return k, nil
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	s, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T signs nothing", k)
	}
	return s, nil
}

// checkKey says whether clients take a key.
func (r *Report) checkKey(key crypto.Signer) {
	weak := func(text string) {
		r.add(Error, KeyWeak, text, "make a new one: openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out request.pem")
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if n := k.N.BitLen(); n < 2048 {
			weak(fmt.Sprintf("the RSA key has %d bits; clients want 2048", n))
		}
	case *ecdsa.PrivateKey:
		if n := k.Curve.Params().BitSize; n < 256 {
			weak(fmt.Sprintf("the curve %s is too small; clients want P-256", k.Curve.Params().Name))
		}
	case ed25519.PrivateKey:
		r.add(Warning, KeyWeak, "the key is Ed25519, which browsers do not take yet", "use P-256 where browsers come")
	default:
		weak(fmt.Sprintf("clients do not take a key of type %T", key))
	}
}
