package proxy_test

import (
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/proxy"
	"github.com/stretchr/testify/require"
)

// relay is a proxy for CONNECT and plain requests that sends everything to one
// server, and wants a login if there is one.
func relay(t *testing.T, to, login string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", r.Header.Get("Proxy-Authorization"))
		user, pass, _ := r.BasicAuth()
		if login != "" && user+":"+pass != login {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		if r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if strings.HasPrefix(r.Host, "forbidden") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		in, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(in, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
		_, _ = io.Copy(in, out)
		_ = in.Close()
	}))
	t.Cleanup(s.Close)
	return s
}

func TestPRX09_Probe(t *testing.T) {
	site := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	defer site.Close()
	roots := x509.NewCertPool()
	roots.AddCert(site.Certificate())
	place := site.Listener.Addr().String()
	hole, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	require.NoError(t, err)
	defer hole.Close()
	shut, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, shut.Close())

	free, login := relay(t, place, ""), relay(t, place, "u:p@ss")
	for name, c := range map[string]struct {
		proxy, url, says string
		roots            *x509.CertPool
	}{
		"through":      {free.URL, "https://example.com/", "", roots},
		"plain":        {free.URL, "http://example.com/", "", roots},
		"with login":   {strings.Replace(login.URL, "http://", "http://u:p%40ss@", 1), "https://example.com/", "", roots},
		"no login":     {login.URL, "https://example.com/", "wants a login", roots},
		"wrong login":  {strings.Replace(login.URL, "http://", "http://u:x@", 1), "https://example.com/", "refuses the login of u", roots},
		"wrong, plain": {strings.Replace(login.URL, "http://", "http://u:x@", 1), "http://example.com/", "refuses the login of u", roots},
		"forbidden":    {free.URL, "https://forbidden.example.com/", "its rules", roots},
		"signs anew":   {free.URL, "https://example.com/", "the proxy probably reads TLS", x509.NewCertPool()},
		"shut":         {"http://" + shut.Addr().String(), "https://example.com/", "no connection to the proxy", roots},
		"hole":         {"http://" + hole.Addr().String(), "https://example.com/", "says nothing", roots},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := proxy.Parse(c.proxy, "", "")
			require.NoError(t, err)
			p := s.Try(t.Context(), address(t, c.url), c.roots, 2*time.Second)
			require.NotContains(t, p.Via, "ss@")
			if c.says == "" {
				require.NoError(t, p.Err)
				require.Empty(t, p.Advice)
				return
			}
			require.Contains(t, p.Advice, c.says)
		})
	}
	// What is reached directly asks no proxy, also when that is dead.
	s, err := proxy.Parse("http://"+shut.Addr().String(), "", "")
	require.NoError(t, err)
	require.NoError(t, s.Try(t.Context(), address(t, "https://"+place+"/"), roots, 2*time.Second).Err)
}
