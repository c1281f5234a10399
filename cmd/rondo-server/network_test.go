package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/proxy/certificate"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// A server with a certificate of its own, plain HTTP that sends to it, and jobs
// that trust what the installation does and know its proxy.
func TestCRT07_ServeWithTLS(t *testing.T) {
	dir := serverDir(t)
	folder, ca := filepath.Join(dir, "authorities"), filepath.Join(dir, "ca")
	require.NoError(t, os.Mkdir(folder, 0o755))
	require.NoError(t, certificate.Provisional(filepath.Join(folder, "acme.crt"), ca+".key", "authority.test")) // any authority will do
	r := newRepo(t, `
version: 2.1
jobs:
  hi:
    machine: true
    steps:
      - run: 'for v in SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE GIT_SSL_CAINFO AWS_CA_BUNDLE NODE_EXTRA_CA_CERTS; do eval "f=\$$v"; echo "$v $(grep -c BEGIN "$f")"; done'
      - run: echo "$http_proxy $HTTPS_PROXY $no_proxy"
workflows: {main: {jobs: [hi]}}
`)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	at := plain.Addr().String()
	require.NoError(t, plain.Close())
	file, data := filepath.Join(dir, "rondo.yml"), filepath.Join(dir, "data")
	text := fmt.Sprintf("url: https://localhost:8443\nlisten: 127.0.0.1:0\nagents: 127.0.0.1:0\ndata: %s\nfolders: [%s]\ntrust: [%s]\n"+
		"proxy: {http: \"http://10.0.0.33:3128\", direct: [ghe.example.com], jobs: true}\ntls: {self_signed: true, redirect: \"%s\"}\n", data, r.dir, folder, at)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	s := start(t, program(t, "serve", "--json", "--config", file))
	require.True(t, strings.HasPrefix(s.URL, "https://"), s.URL)
	own, err := os.ReadFile(filepath.Join(data, "tls.crt"))
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(own))
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Get(s.URL + "/login")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "HTTP/2.0", res.Proto)
	require.Empty(t, res.Header.Get("Strict-Transport-Security"), "not with a provisional one")
	res, err = client.Get("http://" + at + "/pipelines?x=1")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusPermanentRedirect, res.StatusCode)
	require.Equal(t, "https://localhost:8443/pipelines?x=1", res.Header.Get("Location"))
	old := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost", MaxVersion: tls.VersionTLS11}}}
	_, err = old.Get(s.URL)
	require.Error(t, err)

	token, err := os.ReadFile(filepath.Join(data, "token"))
	require.NoError(t, err)
	s.Token = strings.TrimSpace(string(token))
	ended := s.waitEnd(ci.WorkflowEnded, "main")
	require.Equal(t, ci.Success, ended.Status)
	read := func(step int) string {
		req, err := http.NewRequest("GET", s.URL+fmt.Sprintf("/api/v2/rondo/log?task=%s.0&step=%d", jobOf(t, client, s, ended), step), nil)
		require.NoError(t, err)
		req.Header.Set("Circle-Token", s.Token)
		res, err := client.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return string(body)
	}
	first := read(1)
	require.Contains(t, first, "NODE_EXTRA_CA_CERTS 1")
	system := bytes.Count(mustRead("/etc/ssl/certs/ca-certificates.crt"), []byte("BEGIN"))
	require.Contains(t, first, fmt.Sprintf("SSL_CERT_FILE %d", system+1))
	require.Contains(t, read(2), "http://10.0.0.33:3128 http://10.0.0.33:3128 localhost,127.0.0.0/8")
	require.Equal(t, 0, s.stop(), s.errors())
}

func mustRead(path string) []byte {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return text
}

// A balancer says who calls; nobody else may.
func TestCRT05_ProxyProtocol(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var from networks
	require.NoError(t, from.UnmarshalYAML(yamlOf(t, "[127.0.0.0/8]")))
	seen := make(chan string, 1)
	srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.RemoteAddr }), ReadHeaderTimeout: time.Second}
	go func() { _ = srv.Serve(fromBalancer(l, from)) }() // until it is closed
	defer srv.Close()
	ask := func(before string) string {
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer c.Close()
		_, err = io.WriteString(c, before+"GET / HTTP/1.0\r\n\r\n")
		require.NoError(t, err)
		select {
		case got := <-seen:
			return got
		case <-time.After(2 * time.Second):
			return ""
		}
	}
	require.Equal(t, "203.0.113.7:51000", ask("PROXY TCP4 203.0.113.7 10.0.0.1 51000 443\r\n"))
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x08\x0a\x00\x00\x01\xc7\x38\x01\xbb"
	require.Equal(t, "203.0.113.8:51000", ask(v2))
	require.Contains(t, ask("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"), "127.0.0.1:", "a health check of the balancer itself")
	require.Contains(t, ask(""), "127.0.0.1:", "without a header, the balancer itself")
	require.Empty(t, ask("PROXY TCP4 nonsense\r\n"))

	other, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var strangers networks
	require.NoError(t, strangers.UnmarshalYAML(yamlOf(t, "[10.0.0.0/8]")))
	srv2 := &http.Server{Handler: srv.Handler, ReadHeaderTimeout: time.Second}
	go func() { _ = srv2.Serve(fromBalancer(other, strangers)) }() // until it is closed
	defer srv2.Close()
	l = other
	require.Empty(t, ask("PROXY TCP4 203.0.113.7 10.0.0.1 51000 443\r\n"), "from elsewhere it is a lie")
	require.Contains(t, ask(""), "127.0.0.1:")
}

func TestCRT11_Settings(t *testing.T) {
	for text, want := range map[string]string{
		"tls: {}": "say one of cert and key, self_signed, and acme",
		"tls: {self_signed: true, cert: x, key: y}": "say one of",
		"tls: {cert: x}": "cert and key belong together",
		"tls: {self_signed: true, proxy_protocol: true}":    "say in proxies",
		"tls: {self_signed: true, redirect: x}":             "tls.redirect",
		"tls: {acme: {dns: bind}}":                          `tls.acme.dns "bind"`,
		"tls: {acme: {hosts: [a], dns: cloudflare}}":        "tls.acme.token is missing",
		"proxy: {http: \"10.0.0.33:3128\"}":                 "write http://10.0.0.33:3128",
		"proxy: {http: \"http://u:p@h:1\"}":                 "write login: file:PATH",
		"proxy: {http: \"http://h:1\", direct: [\"a..b\"]}": `no proxy for "a..b"`,
	} {
		_, err := parseSettings([]byte("url: https://x\ndata: d\n" + text + "\n"))
		require.ErrorContains(t, err, want, text)
	}
	_, err := parseSettings([]byte("url: http://x\ndata: d\ntls: {self_signed: true}\n"))
	require.ErrorContains(t, err, "must begin with https://")
}

// yamlOf is a text as the node that a decoder hands over.
func yamlOf(t *testing.T, text string) *yaml.Node {
	var n yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(text), &n))
	return n.Content[0]
}

// jobOf returns the one job of a workflow.
func jobOf(t *testing.T, client *http.Client, s *server, e ci.Event) string {
	req, err := http.NewRequest("GET", s.URL+"/api/v2/workflow/"+string(e.Workflow)+"/job", nil)
	require.NoError(t, err)
	req.Header.Set("Circle-Token", s.Token)
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	var all struct{ Items []struct{ ID string } }
	require.NoError(t, json.NewDecoder(res.Body).Decode(&all))
	return all.Items[0].ID
}
