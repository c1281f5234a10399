package trust_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/proxy"
	"github.com/rondo-ci/rondo/proxy/trust"
	"github.com/stretchr/testify/require"
)

// site is a server whose certificate is signed by an authority of its own.
func site(t testing.TB) (address string, authority, leaf []byte) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Own CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	require.NoError(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, ca, key.Public(), caKey)
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	block := func(b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b}) }
	return s.URL, block(caDER), block(der)
}

func TestCRT01_FolderIsTrusted(t *testing.T) {
	url, ca, leaf := site(t)
	folder := t.TempDir()
	var log bytes.Buffer
	r, err := trust.Open(trust.Config{Folders: []string{folder, folder + "/missing"}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	client := http.Client{Transport: trust.NewWay(r, proxy.Settings{}, nil)}
	get := func() error {
		res, err := client.Get(url)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	require.ErrorContains(t, get(), "certificate signed by unknown authority")
	require.Nil(t, r.Own())

	// The host's own certificate is not what is wanted, and that is said.
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "acme"), 0o755))
	file := filepath.Join(folder, "acme", "ghe.crt")
	require.NoError(t, os.WriteFile(file, leaf, 0o644))
	changed, err := r.Reload()
	require.NoError(t, err)
	require.True(t, changed)
	require.Contains(t, log.String(), "wanted is that of the authority")
	require.Error(t, get())

	require.NoError(t, os.WriteFile(file, append(append([]byte("# ours\n"), leaf...), ca...), 0o644))
	changed, err = r.Reload()
	require.NoError(t, err)
	require.True(t, changed)
	require.NoError(t, get(), "without a new client")
	require.Equal(t, string(ca), string(r.Own()))
	require.True(t, bytes.HasSuffix(trust.Bundle(r.Own()), ca))
	changed, err = r.Reload()
	require.NoError(t, err)
	require.False(t, changed)

	require.NoError(t, os.Remove(file))
	_, err = r.Reload()
	require.NoError(t, err)
	require.Error(t, get(), "trust ends as it began")

	// Only one client trusts what it alone was given.
	own := http.Client{Transport: trust.NewWay(r, proxy.Settings{}, ca)}
	res, err := own.Get(url)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Error(t, get())
}

func TestPRX01_WayGoesThroughTheProxy(t *testing.T) {
	var asked string
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked = r.RequestURI }))
	defer p.Close()
	r, err := trust.Open(trust.Config{Folders: []string{t.TempDir()}})
	require.NoError(t, err)
	s, err := proxy.Parse(p.URL, "", "direct.test")
	require.NoError(t, err)
	client := http.Client{Transport: trust.NewWay(r, s, nil)}
	res, err := client.Get("http://example.test/x")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "http://example.test/x", asked)
	_, err = client.Get("http://direct.test:1/")
	require.Error(t, err)
}

func ExampleOpen() {
	r, err := trust.Open(trust.Config{Folders: []string{"/no/such/folder"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := http.Client{Transport: trust.NewWay(r, proxy.Settings{}, nil)}
	fmt.Println(len(r.Own()), client.Transport != nil) // r.Run follows changes
	// Output: 0 true
}
