package certificate_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/proxy/certificate"
	"github.com/stretchr/testify/require"
)

var today = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// made is a certificate with its key.
type made struct {
	*x509.Certificate
	key crypto.Signer
}

func newKey(t testing.TB, kind string) crypto.Signer {
	var k crypto.Signer
	var err error
	switch kind {
	case "rsa":
		k, err = rsa.GenerateKey(rand.Reader, 2048)
	case "rsa1024":
		k, err = rsa.GenerateKey(rand.Reader, 1024)
	case "ed25519":
		_, k, err = ed25519.GenerateKey(rand.Reader)
	case "p224":
		k, err = ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	default:
		k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	require.NoError(t, err)
	return k
}

// issue makes a certificate, signed by itself if by is nil.
func issue(t testing.TB, by *made, key crypto.Signer, change func(*x509.Certificate)) made {
	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	c := &x509.Certificate{SerialNumber: n, NotBefore: today.AddDate(0, -1, 0), NotAfter: today.AddDate(0, 2, 0), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	change(c)
	parent, signer := c, key
	if by != nil {
		parent, signer = by.Certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	require.NoError(t, err)
	out, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return made{out, key}
}

func authority(t testing.TB, by *made, name string) made {
	return issue(t, by, newKey(t, ""), func(c *x509.Certificate) {
		c.Subject, c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = pkix.Name{CommonName: name}, true, true, x509.KeyUsageCertSign, nil
		c.NotAfter = today.AddDate(5, 0, 0)
	})
}

func pemOf(all ...made) []byte {
	var b bytes.Buffer
	for _, c := range all {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return b.Bytes()
}

func keyPEM(t testing.TB, k crypto.Signer) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func host(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = names }
}

func codes(r certificate.Report) []certificate.Code {
	var all []certificate.Code
	for _, f := range r.Findings {
		all = append(all, f.Code)
	}
	return all
}

// The guide wants the full chain in a form that all read. Each of the ways to
// get it wrong has a name of its own, and what is wrong in the words of the file.
func TestCRT02_FiveWaysToGetItWrong(t *testing.T) {
	root := authority(t, nil, "Acme Root")
	one := authority(t, &root, "Acme Issuing")
	roots := x509.NewCertPool()
	roots.AddCert(root.Certificate)
	o := certificate.Options{Host: "ci.example.com", Now: today, Roots: roots}
	key := newKey(t, "rsa")
	leaf := issue(t, &one, key, host("ci.example.com"))
	old := issue(t, &one, key, func(c *x509.Certificate) {
		c.DNSNames, c.NotBefore, c.NotAfter = []string{"ci.example.com"}, today.AddDate(-1, 0, 0), today.AddDate(0, 0, -1)
	})
	named := map[certificate.Code]bool{}
	for want, c := range map[certificate.Code]struct {
		file []byte
		says string
	}{
		certificate.LeafOnly:   {pemOf(leaf), "signed by Acme Issuing, whom this machine does not know"},
		certificate.NoLeaf:     {pemOf(root), "authorities"},
		certificate.WrongOrder: {pemOf(one, leaf), "first"},
		certificate.NotPEM:     {leaf.Raw, "DER"},
		certificate.Expired:    {pemOf(old, one), "2026-11-24"},
	} {
		r := certificate.Inspect(c.file, keyPEM(t, key), o)
		require.False(t, r.OK(), want)
		require.True(t, r.Has(want), "%s: %+v", want, r.Findings)
		require.Contains(t, fmt.Sprint(r.Findings), c.says)
		for _, f := range r.Findings {
			require.NotEmpty(t, f.Fix, want)
		}
		named[want] = true
	}
	require.Len(t, named, 5)
	require.True(t, certificate.Inspect(pemOf(leaf, one), keyPEM(t, key), o).OK(), "the full chain")
}

// What openssl of the guide makes is taken, with a warning, for the host in it
// and for no other; a common name on a certificate of an authority is not.
func TestCRT09_SelfSignedByTheGuide(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil && os.Getenv("CI") != "true" {
		t.Skip("needs openssl")
	}
	dir := t.TempDir()
	cmd := exec.Command("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-x509", "-days", "30", "-out", "certificate.pem", "-subj", "/CN=ci.example.com")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	cert, err := os.ReadFile(filepath.Join(dir, "certificate.pem"))
	require.NoError(t, err)
	key, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	require.NoError(t, err)
	r := certificate.Inspect(cert, key, certificate.Options{Host: "ci.example.com"})
	require.True(t, r.OK(), "%+v", r.Findings)
	require.Equal(t, []certificate.Code{certificate.CommonName, certificate.SelfSigned}, codes(r))
	r = certificate.Inspect(cert, key, certificate.Options{Host: "other.example.com"})
	require.False(t, r.OK())
	require.Contains(t, fmt.Sprint(r.Findings), "it is for ci.example.com, not for other.example.com", "CRT-08")
}

// Every fault of the spec, for every kind of key, by its code and with a way
// out.
func TestCRT11_Findings(t *testing.T) {
	root := authority(t, nil, "Acme Root")
	one := authority(t, &root, "Acme Issuing 1")
	two := authority(t, &one, "Acme Issuing 2")
	other := authority(t, nil, "Other Root")
	roots := x509.NewCertPool()
	roots.AddCert(root.Certificate)
	o := certificate.Options{Host: "ci.example.com", Now: today, Roots: roots}
	key := newKey(t, "")
	leaf := issue(t, &two, key, host("ci.example.com"))
	with := func(change func(*x509.Certificate)) made { return issue(t, &two, key, change) }
	chain := func(l made) []byte { return pemOf(l, two, one) }
	good, k := chain(leaf), keyPEM(t, key)
	legacy, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", []byte("x"), []byte("pass"), x509.PEMCipherAES256) //nolint:staticcheck // what people still have
	require.NoError(t, err)
	behind := o
	behind.BehindBalancer = true
	callback := o
	callback.Callback = "http://ci.example.com/auth/github"
	small := newKey(t, "rsa1024")
	ed := newKey(t, "ed25519")
	p224 := newKey(t, "p224")
	selfMade := issue(t, nil, key, host("ci.example.com"))
	days := func(from, to int) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.DNSNames, c.NotBefore, c.NotAfter = []string{"ci.example.com"}, today.AddDate(0, 0, from), today.AddDate(0, 0, to)
		}
	}
	for name, c := range map[string]struct {
		cert, key []byte
		o         certificate.Options
		want      []certificate.Code
		ok        bool
	}{
		"good":                 {good, k, o, nil, true},
		"good, one file":       {append(slices.Clone(good), k...), append(slices.Clone(good), k...), o, nil, true},
		"with CRLF":            {bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")), k, o, nil, true},
		"key encrypted":        {good, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}), o, []certificate.Code{certificate.KeyEncrypted}, false},
		"key encrypted, old":   {good, pem.EncodeToMemory(legacy), o, []certificate.Code{certificate.KeyEncrypted}, false},
		"no key":               {good, nil, o, []certificate.Code{certificate.KeyMissing}, false},
		"key for SSH":          {good, pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte("x")}), o, []certificate.Code{certificate.KeyUnreadable}, false},
		"key damaged":          {good, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), o, []certificate.Code{certificate.KeyUnreadable}, false},
		"another key":          {good, keyPEM(t, newKey(t, "rsa")), o, []certificate.Code{certificate.KeyMismatch}, false},
		"intermediate first":   {pemOf(two, leaf, one), k, o, []certificate.Code{certificate.WrongOrder}, false},
		"shuffled":             {pemOf(one, two, leaf), k, o, []certificate.Code{certificate.WrongOrder}, false},
		"leaf only":            {pemOf(leaf), k, o, []certificate.Code{certificate.LeafOnly}, false},
		"gap":                  {pemOf(leaf, one), k, o, []certificate.Code{certificate.Extra, certificate.LeafOnly}, false},
		"root only":            {pemOf(root), nil, o, []certificate.Code{certificate.KeyMissing, certificate.NoLeaf}, false},
		"root included":        {pemOf(leaf, two, one, root), k, o, []certificate.Code{certificate.RootIncluded}, true},
		"something else in it": {pemOf(leaf, two, one, other), k, o, []certificate.Code{certificate.Extra}, true},
		"DER":                  {leaf.Raw, k, o, []certificate.Code{certificate.NotPEM}, false},
		"empty":                {nil, k, o, []certificate.Code{certificate.NoCertificate}, false},
		"a request":            {[]byte("-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n"), k, o, []certificate.Code{certificate.NoCertificate}, false},
		"cut off":              {good[:100], k, o, []certificate.Code{certificate.NotPEM}, false},
		"byte order mark":      {append([]byte("\xef\xbb\xbf"), good...), k, o, []certificate.Code{certificate.TextAround}, true},
		"text before":          {append([]byte("subject=CN = ci\n"), good...), k, o, []certificate.Code{certificate.TextAround}, true},
		"other host":           {chain(with(host("other.example.com"))), k, o, []certificate.Code{certificate.HostMismatch}, false},
		"wildcard":             {chain(with(host("*.example.com"))), k, o, nil, true},
		"wildcard too deep":    {chain(with(host("*.com"))), k, o, []certificate.Code{certificate.HostMismatch}, false},
		"common name only":     {chain(with(func(c *x509.Certificate) { c.Subject.CommonName = "ci.example.com" })), k, o, []certificate.Code{certificate.CommonName}, false},
		"expired":              {chain(with(days(-90, -1))), k, o, []certificate.Code{certificate.Expired}, false},
		"expired, balancer":    {chain(with(days(-90, -1))), k, behind, []certificate.Code{certificate.Expired}, true},
		"not yet":              {chain(with(days(1, 90))), k, o, []certificate.Code{certificate.NotYetValid}, false},
		"soon":                 {chain(with(days(-60, 10))), k, o, []certificate.Code{certificate.ExpiresSoon}, true},
		"too long":             {chain(with(days(-1, 500))), k, o, []certificate.Code{certificate.TooLong}, true},
		"for clients": {chain(with(func(c *x509.Certificate) {
			c.DNSNames, c.ExtKeyUsage = []string{"ci.example.com"}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		})), k, o, []certificate.Code{certificate.NotForServers}, false},
		"RSA 1024":         {chain(issue(t, &two, small, host("ci.example.com"))), keyPEM(t, small), o, []certificate.Code{certificate.KeyWeak}, false},
		"P-224":            {chain(issue(t, &two, p224, host("ci.example.com"))), keyPEM(t, p224), o, []certificate.Code{certificate.KeyWeak}, false},
		"Ed25519":          {chain(issue(t, &two, ed, host("ci.example.com"))), keyPEM(t, ed), o, []certificate.Code{certificate.KeyWeak}, true},
		"self-signed":      {pemOf(selfMade), k, o, []certificate.Code{certificate.SelfSigned}, true},
		"root not trusted": {pemOf(issue(t, &other, key, host("ci.example.com")), other), k, o, []certificate.Code{certificate.RootIncluded, certificate.Untrusted}, true},
		"callback by http": {good, k, callback, []certificate.Code{certificate.CallbackMismatch}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := certificate.Inspect(c.cert, c.key, c.o)
			require.Equal(t, c.want, codes(r), "%+v", r.Findings)
			require.Equal(t, c.ok, r.OK())
			for _, f := range r.Findings {
				require.NotEmpty(t, f.Text)
				require.NotEmpty(t, f.Fix)
			}
			if len(r.Fixed) > 0 { // what is mended needs no mending
				again := certificate.Inspect(r.Fixed, c.key, c.o)
				require.False(t, again.Changed)
				for _, never := range []certificate.Code{certificate.WrongOrder, certificate.Extra, certificate.RootIncluded, certificate.TextAround} {
					require.False(t, again.Has(never), never)
				}
			}
		})
	}
}

func FuzzInspect(f *testing.F) {
	root := authority(f, nil, "Root")
	key := newKey(f, "")
	f.Add(pemOf(issue(f, &root, key, host("ci.example.com")), root), keyPEM(f, key))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAA\n"), []byte("-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		r := certificate.Inspect(cert, key, certificate.Options{Host: "ci.example.com", Now: today, Roots: x509.NewCertPool()})
		require.Equal(t, r.Chain == nil, r.Fixed == nil)
	})
}

// What a real server shows, and what openssl prints of it.
func TestCRT03_Served(t *testing.T) {
	root := authority(t, nil, "Acme Root")
	between := authority(t, &root, "Acme Issuing")
	roots := x509.NewCertPool()
	roots.AddCert(root.Certificate)
	key := newKey(t, "rsa")
	leaf := issue(t, &between, key, func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = []string{"ci.example.com"}, []net.IP{net.IPv4(127, 0, 0, 1)}
		c.NotBefore, c.NotAfter = time.Now().AddDate(0, -1, 0), time.Now().AddDate(0, 2, 0)
	})
	serve := func(chain ...[]byte) string {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: chain, PrivateKey: key}}}
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	full := serve(leaf.Raw, between.Raw)
	o := certificate.Options{Host: "ci.example.com", Roots: roots}
	r := certificate.Served(t.Context(), full, pemOf(leaf), o)
	require.Empty(t, r.Findings)
	r = certificate.Served(t.Context(), serve(leaf.Raw), pemOf(between), o) // TRB-02
	require.Equal(t, []certificate.Code{certificate.LeafOnly, certificate.ServedDiffers}, codes(r))
	require.Contains(t, r.Findings[0].Text, "Acme Issuing")
	r = certificate.Served(t.Context(), full, nil, certificate.Options{Host: "other.example.com", Roots: roots})
	require.Equal(t, []certificate.Code{certificate.HostMismatch}, codes(r))
	r = certificate.Served(t.Context(), "127.0.0.1:1", nil, o)
	require.Equal(t, []certificate.Code{certificate.Unreachable}, codes(r))

	text, chain, err := certificate.Capture(t.Context(), full)
	require.NoError(t, err)
	require.Len(t, chain, 2)
	require.Equal(t, pemOf(leaf, between), text)
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("openssl is not installed")
		}
		t.Skip("openssl is not installed")
	}
	cmd := exec.CommandContext(t.Context(), openssl, "s_client", "-showcerts", "-connect", full)
	cmd.Stdin = strings.NewReader("")
	out, _ := cmd.Output() // it ends as the connection does
	var theirs []byte
	for rest := out; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		theirs = append(theirs, pem.EncodeToMemory(block)...)
	}
	require.Equal(t, string(theirs), string(text))
}

// openssl agrees about what is good, and accepts what we made of a bad order.
func TestCRT12_OpenSSLAgrees(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	root := authority(t, nil, "Acme Root")
	one := authority(t, &root, "Acme Issuing")
	key := newKey(t, "")
	leaf := issue(t, &one, key, host("ci.example.com"))
	roots := x509.NewCertPool()
	roots.AddCert(root.Certificate)
	r := certificate.Inspect(pemOf(one, leaf), keyPEM(t, key), certificate.Options{Host: "ci.example.com", Now: today, Roots: roots})
	require.True(t, r.Changed)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/ca.pem", pemOf(root), 0o600))
	require.NoError(t, os.WriteFile(dir+"/fixed.pem", r.Fixed, 0o600))
	out, err := exec.Command(openssl, "verify", "-attime", fmt.Sprint(today.Unix()), "-verify_hostname", "ci.example.com", "-CAfile", dir+"/ca.pem", "-untrusted", dir+"/fixed.pem", dir+"/fixed.pem").CombinedOutput()
	require.NoError(t, err, string(out))
}

func ExampleInspect() {
	r := certificate.Inspect([]byte("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"), nil, certificate.Options{Host: "ci.example.com"})
	for _, f := range r.Findings {
		fmt.Printf("%s %s: %s; %s\n", f.Severity, f.Code, f.Text, f.Fix)
	}
	// Output:
	// error no_certificate: the file holds a private key and no certificate; upload the certificate here and the key in its own field
	// error key_missing: there is no private key; it begins with the line -----BEGIN PRIVATE KEY-----, and belongs to the request that the certificate was made from
}

func ExampleServed() {
	r := certificate.Served(context.Background(), "127.0.0.1:1", nil, certificate.Options{Host: "ci.example.com"})
	fmt.Println(r.OK(), r.Findings[0].Code)
	// Output: false unreachable
}
