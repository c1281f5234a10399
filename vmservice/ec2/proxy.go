package ec2

import (
	"net/http"
	"net/netip"
	"net/url"
)

// proxyOf is the proxy of the environment, and none for link-local addresses
// and Amazon's own of IPv6, whatever NO_PROXY says (guide, "Proxies").
func proxyOf(r *http.Request) (*url.URL, error) {
	if a, err := netip.ParseAddr(r.URL.Hostname()); err == nil && (a.IsLinkLocalUnicast() || a == netip.MustParseAddr("fd00:ec2::254")) {
		return nil, nil
	}
	return http.ProxyFromEnvironment(r)
}
