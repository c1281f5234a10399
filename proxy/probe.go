package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"
)

// Func returns the settings as [http.Transport] takes them.
func (s Settings) Func() func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		a, _ := s.For(r.URL)
		return a.URL(), nil
	}
}

// A Probe is what came of reaching an address.
type Probe struct {
	URL     string
	Via     string        // the proxy, without its password; "" is none
	Connect time.Duration // until the connection stood: to the proxy, if there is one
	First   time.Duration // until the first byte of the answer
	Status  int           // 0 is no answer
	// Issuer is who signed the certificate of the other side, when that is
	// nobody whom this machine trusts: a proxy that reads TLS signs anew.
	Issuer string
	// Advice says what is wrong and what to do; "" is that all is well.
	Advice string
	Err    error
}

// Try reaches an address by these settings once, and says in Advice what a
// failure means. roots are who is trusted; nil is this machine's. The address is
// asked with HEAD, and any answer of the other side is good. It takes at most
// limit, 10 s if that is 0.
func (s Settings) Try(ctx context.Context, u *url.URL, roots *x509.CertPool, limit time.Duration) Probe {
	if limit <= 0 {
		limit = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	via, _ := s.For(u)
	p := Probe{URL: u.Redacted(), Via: via.String()}
	start := time.Now()
	var connect, first atomic.Int64 // a dial may go on when we have given up
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectDone:          func(_, _ string, _ error) { connect.Store(int64(time.Since(start))) },
		GotFirstResponseByte: func() { first.Store(int64(time.Since(start))) },
	})
	transport := &http.Transport{Proxy: s.Func(), TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	transport.OnProxyConnectResponse = Connected
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, u.String(), nil)
	if err != nil {
		p.Err, p.Advice = err, "the address cannot be read"
		return p
	}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err == nil {
		p.Status = res.StatusCode
		err = Answered(via.URL(), res)
		_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16))
		_ = res.Body.Close()
	}
	p.Connect, p.First = time.Duration(connect.Load()), time.Duration(first.Load())
	p.Err, p.Advice = err, diagnose(err, &p, via, limit)
	return p
}

// diagnose says what a failure means.
func diagnose(err error, p *Probe, via Address, limit time.Duration) string {
	var unknown x509.UnknownAuthorityError
	var dial *net.OpError
	var name *net.DNSError
	var refused *Refusal
	switch {
	case errors.As(err, &refused):
		p.Status = refused.Status
		return refused.advice()
	case err == nil && !via.IsZero() && (p.Status == http.StatusForbidden || p.Status == http.StatusBadGateway || p.Status == http.StatusServiceUnavailable || p.Status == http.StatusGatewayTimeout):
		return fmt.Sprintf("answered %d: that may be the proxy's own word; see its log", p.Status)
	case err == nil:
		return ""
	case errors.As(err, &unknown) && unknown.Cert != nil:
		p.Issuer = unknown.Cert.Issuer.String()
		if via.IsZero() {
			return "signed by " + p.Issuer + ", whom this machine does not trust: add its certificate to /usr/local/share/ca-certificates"
		}
		return "signed by " + p.Issuer + ": the proxy probably reads TLS and signs anew; add its certificate to /usr/local/share/ca-certificates"
	case errors.As(err, &name) && via.IsZero():
		return "the name " + name.Name + " is not known here, and there is no proxy for it"
	case errors.As(err, &name):
		return "the name of the proxy, " + name.Name + ", is not known here"
	case errors.Is(err, context.DeadlineExceeded) && p.Connect == 0:
		return "nothing answers at " + where(p, via) + " within " + limit.String() + ": a firewall swallows it, or the address is wrong"
	case errors.Is(err, context.DeadlineExceeded):
		return where(p, via) + " takes the connection and then says nothing for " + limit.String()
	case errors.As(err, &dial) && (dial.Op == "dial" || dial.Op == "proxyconnect"):
		return "no connection to " + where(p, via)
	}
	return "see the error"
}

func where(p *Probe, via Address) string {
	if via.IsZero() {
		return p.URL
	}
	return "the proxy " + via.String()
}
