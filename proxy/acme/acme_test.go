package acme_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/proxy/acme"
	"github.com/rondo-ci/rondo/proxy/certificate"
	"github.com/stretchr/testify/require"
)

// world is an authority (Let's Encrypt's own test server, in this process), a
// DNS that it asks, and a program that makes records there.
type world struct {
	directory, program string
	client             *http.Client
	dns                *challtestsrv.ChallSrv
	mu                 sync.Mutex
	records            []string
	deaf               bool // the program makes nothing
}

func newWorld(t *testing.T) *world {
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("curl is not installed")
		}
		t.Skip("curl is not installed")
	}
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "20") // a client has to bear that
	quiet := log.New(io.Discard, "", 0)
	port, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	address := port.LocalAddr().String()
	require.NoError(t, port.Close())
	w := &world{}
	w.dns, err = challtestsrv.New(challtestsrv.Config{Log: quiet, DNSAddrs: []string{address}})
	require.NoError(t, err)
	go w.dns.Run()
	t.Cleanup(w.dns.Shutdown)

	store := db.NewMemoryStore()
	authority := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "the one", ValidityPeriod: 90 * 24 * 3600}})
	front := wfe.New(quiet, store, va.New(quiet, 0, 0, true, address, store), authority, []string{"authority.test"}, true, false, 0, 0)
	server := httptest.NewTLSServer(front.Handler())
	t.Cleanup(server.Close)
	w.directory, w.client = server.URL+wfe.DirectoryPath, server.Client()

	records := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		name, value := r.URL.Query().Get("name"), r.URL.Query().Get("value")
		w.records = append(w.records, r.URL.Path+" "+name)
		switch {
		case w.deaf:
		case r.URL.Path == "/present":
			w.dns.AddDNSTXTRecord(name, value)
		default:
			w.dns.DeleteDNSTXTRecord(name)
		}
	}))
	t.Cleanup(records.Close)
	w.program = filepath.Join(t.TempDir(), "record")
	script := fmt.Sprintf("#!/bin/sh\nexec curl -fsS --get --data-urlencode \"name=$2\" --data-urlencode \"value=$3\" \"%s/$1\"\n", records.URL)
	require.NoError(t, os.WriteFile(w.program, []byte(script), 0o755))
	return w
}

func (w *world) config(folder string, hosts ...string) acme.Config {
	return acme.Config{
		Hosts: hosts, Email: "ops@example.com", Directory: w.directory, DNS: "exec", Program: w.program, HTTP: w.client, Unchecked: true,
		Folder: folder, Cert: filepath.Join(folder, "tls.crt"), Key: filepath.Join(folder, "tls.key"),
	}
}

// From nothing to a certificate that a running server shows, to a new one for
// more hosts, without a stop.
func TestCRT10_DNS01(t *testing.T) {
	w := newWorld(t)
	folder := t.TempDir()
	cfg := w.config(folder, "ci.example.com")
	require.NoError(t, certificate.Provisional(cfg.Cert, cfg.Key, "ci.example.com"))
	var log bytes.Buffer
	keeper, err := certificate.Open(cfg.Cert, cfg.Key, certificate.Options{Host: "ci.example.com"}, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	site, err := tls.Listen("tcp", "127.0.0.1:0", keeper.Config())
	require.NoError(t, err)
	defer site.Close()
	go func() { _ = http.Serve(site, http.NotFoundHandler()) }() // until it is closed
	shown := func() *x509.Certificate {
		_, chain, err := certificate.Capture(t.Context(), site.Addr().String())
		require.NoError(t, err)
		return chain[0]
	}
	require.Equal(t, "Rondo", shown().Issuer.CommonName)

	c, err := acme.New(cfg)
	require.NoError(t, err)
	require.True(t, c.Due(time.Now()), "that of the start does not count")
	require.NoError(t, c.Renew(t.Context()))
	require.False(t, c.Due(time.Now()))
	require.True(t, c.Due(time.Now().Add(61*24*time.Hour)), "two thirds of 90 days")
	changed, err := keeper.Reload()
	require.NoError(t, err)
	require.True(t, changed)
	require.Contains(t, shown().Issuer.CommonName, "Pebble Intermediate CA")
	require.Equal(t, []string{"/present _acme-challenge.ci.example.com.", "/cleanup _acme-challenge.ci.example.com."}, w.records)
	info, err := os.Stat(cfg.Key)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())

	// Apex and wildcard have one name for their records; the account is used again.
	account, err := os.ReadFile(filepath.Join(folder, "acme-account.json"))
	require.NoError(t, err)
	c, err = acme.New(w.config(folder, "example.com", "*.example.com"))
	require.NoError(t, err)
	require.True(t, c.Due(time.Now()))
	require.NoError(t, c.Renew(t.Context()))
	again, err := os.ReadFile(filepath.Join(folder, "acme-account.json"))
	require.NoError(t, err)
	require.Equal(t, string(account), string(again))
}

// A record that nobody makes: the old certificate stays, and the error says
// which host and why.
func TestCRT10_Failure(t *testing.T) {
	w := newWorld(t)
	w.deaf = true
	folder := t.TempDir()
	cfg := w.config(folder, "ci.example.com")
	require.NoError(t, certificate.Provisional(cfg.Cert, cfg.Key, "ci.example.com"))
	before, err := os.ReadFile(cfg.Cert)
	require.NoError(t, err)
	c, err := acme.New(cfg)
	require.NoError(t, err)
	err = c.Renew(t.Context())
	require.ErrorContains(t, err, "certificate for ci.example.com")
	require.ErrorContains(t, err, "TXT")
	after, err := os.ReadFile(cfg.Cert)
	require.NoError(t, err)
	require.Equal(t, before, after)
	cfg.Program = "/no/such/program"
	c, err = acme.New(cfg)
	require.NoError(t, err)
	require.ErrorContains(t, c.Renew(t.Context()), "/no/such/program")
}

func TestCRT10_Fields(t *testing.T) {
	for says, c := range map[string]acme.Config{
		"hosts is missing":              {DNS: "route53"},
		`dns "bind" is none of`:         {DNS: "bind", Hosts: []string{"a"}},
		"token is missing":              {DNS: "cloudflare", Hosts: []string{"a"}},
		"program is missing":            {DNS: "exec", Program: "rel", Hosts: []string{"a"}},
		"directory is no address of an": {DNS: "route53", Hosts: []string{"a"}, Directory: "http://x"},
	} {
		_, err := acme.New(c)
		require.ErrorIs(t, err, ci.ErrInvalid)
		require.ErrorContains(t, err, says)
	}
}

func ExampleConfig_Check() {
	err := acme.Config{DNS: "exec", Program: "record.sh"}.Check()
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Println(line)
	}
	// Output:
	// invalid: acme: hosts is missing: the names that the certificate is for
	// invalid: acme: program is missing: the whole path of a program that makes and removes the record
}
