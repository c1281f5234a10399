package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// errAddress says that an address is not one that messages may go to.
var errAddress = errors.New("the address is not allowed")

// reserved are the networks that are not of the public internet, besides those
// that package netip knows by name. What is wrapped in NAT64 is looked at as
// what it wraps.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carriers' own; a cloud's metadata at 100.100.100.200
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("168.63.129.16/32"), // a cloud's own agent
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), // Teredo and others
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), // 6to4 hides an IPv4 address
	netip.MustParsePrefix("3fff::/20"),
	netip.MustParsePrefix("5f00::/16"),
	netip.MustParsePrefix("fec0::/10"),
}

// nat64 is the well-known prefix before an IPv4 address.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// allowed reports whether messages may go to the address.
func allowed(ip netip.Addr, allow []netip.Prefix) bool {
	ip = ip.WithZone("").Unmap()
	if nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	for _, p := range allow {
		if p.Contains(ip) {
			return true
		}
	}
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, p := range reserved {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// portAllowed reports whether messages may go to the port: not to those of
// mail, login and the like.
func portAllowed(n int) bool { return n == 80 || n == 443 || n >= 1024 && n <= 65535 }

// A road is how requests are made.
type road struct {
	given http.RoundTripper
	proxy func(*http.Request) (*url.URL, error)
	allow []netip.Prefix
	// direct and proxied have two each: for webhooks that want certificates
	// checked, and for those that do not.
	direct, proxied [2]http.RoundTripper
}

func newRoad(cfg Config) road {
	r := road{given: cfg.Transport, proxy: cfg.Proxy, allow: cfg.Allow}
	guarded := &net.Dialer{Timeout: timeout, Control: func(_, address string, _ syscall.RawConn) error { return r.control(address) }}
	plain := &net.Dialer{Timeout: timeout}
	for i := range 2 {
		r.direct[i] = cfg.wrap(transport(guarded, nil, i == 1))
		r.proxied[i] = cfg.wrap(transport(plain, always(cfg.Proxy), i == 1))
	}
	return r
}

// wrap returns what carries requests.
func (c Config) wrap(t *http.Transport) http.RoundTripper {
	if c.Wrap != nil {
		return c.Wrap(t)
	}
	return t
}

// always refuses where the proxy function, asked once more, wants to go
// directly after all: that road has no guard of its own.
func always(proxy func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		u, err := proxy(r)
		if err == nil && u == nil {
			err = errAddress
		}
		return u, err
	}
}

func transport(d *net.Dialer, proxy func(*http.Request) (*url.URL, error), noVerify bool) *http.Transport {
	return &http.Transport{
		DialContext: d.DialContext, Proxy: proxy,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: noVerify}, // the owner of the webhook asked for it
		TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout, IdleConnTimeout: 30 * time.Second,
		MaxIdleConns: 100, MaxIdleConnsPerHost: 2, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		DisableCompression: true, // an answer is not read, so it need not grow
	}
}

// control looks at the address that is about to be dialled.
func (r road) control(address string) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !allowed(a.Addr(), r.allow) || !portAllowed(int(a.Port())) {
		return errAddress
	}
	return nil
}

// do makes one request.
func (r road) do(req *http.Request, noVerify bool) (*http.Response, error) {
	way, err := r.choose(req, noVerify)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: way, Timeout: timeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	return client.Do(req)
}

func (r road) choose(req *http.Request, noVerify bool) (http.RoundTripper, error) {
	i := 0
	if noVerify {
		i = 1
	}
	if r.given != nil {
		return r.given, nil
	}
	if r.proxy == nil {
		return r.direct[i], nil
	}
	u, err := r.proxy(req)
	if err != nil {
		return nil, fmt.Errorf("choose proxy: %w", err)
	}
	if u == nil {
		return r.direct[i], nil
	}
	return r.proxied[i], r.ask(req.Context(), req.URL)
}

// ask looks at what a proxy is going to dial, as far as names resolve here.
// Where they do not, the proxy's own rules have to do.
func (r road) ask(ctx context.Context, u *url.URL) error {
	var ips []netip.Addr
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		ips = []netip.Addr{ip}
	} else if ips, err = net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname()); err != nil {
		return nil
	}
	for _, ip := range ips {
		if !allowed(ip, r.allow) {
			return errAddress
		}
	}
	return nil
}

// close drops idle connections.
func (r road) close() {
	for _, all := range [][2]http.RoundTripper{r.direct, r.proxied} {
		for _, t := range all {
			client := http.Client{Transport: t}
			client.CloseIdleConnections()
		}
	}
}
