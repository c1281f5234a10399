package proxy

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Settings say which proxies are used, and for what not. The zero Settings
// reach everything directly. They are values: to change them, make new ones.
type Settings struct {
	HTTP  Address // for http:// addresses
	HTTPS Address // for https:// addresses
	// Direct is what is reached without a proxy, besides what never is.
	Direct []Rule
	// Known are addresses of the installation. Those in a network of Direct
	// are named one by one for tools that know no networks.
	Known []netip.Addr
}

// Parse reads settings from the three texts that environments have. https is
// the proxy of http when it is "". All mistakes are in the error, which wraps
// [ci.ErrInvalid].
func Parse(http, https, direct string) (Settings, error) {
	var s Settings
	var wrong [3]error
	s.HTTP, wrong[0] = ParseAddress(http)
	s.HTTPS, wrong[1] = ParseAddress(https)
	s.Direct, wrong[2] = ParseRules(direct)
	if err := errors.Join(wrong[:]...); err != nil {
		return Settings{}, err
	}
	if s.HTTPS.IsZero() {
		s.HTTPS = s.HTTP
	}
	return s, nil
}

// FromEnviron reads the settings of an environment, which lookup knows
// ([os.LookupEnv]). Lower case comes before upper case, as in curl.
func FromEnviron(lookup func(string) (string, bool)) (Settings, error) {
	get := func(name string) string {
		for _, n := range []string{name, strings.ToUpper(name)} {
			if v, _ := lookup(n); v != "" {
				return v
			}
		}
		return ""
	}
	return Parse(get("http_proxy"), get("https_proxy"), get("no_proxy"))
}

// always is what no proxy may answer for: this machine, and the metadata
// addresses of clouds (AWS in both families, and that of its containers).
func always() []Rule {
	rules := []Rule{{Host: "localhost"}}
	for _, text := range []string{"127.0.0.0/8", "::1/128", "169.254.169.254/32", "fd00:ec2::254/128", "169.254.170.2/32"} {
		rules = append(rules, Rule{Net: netip.MustParsePrefix(text)})
	}
	return rules
}

// Rules returns all that is reached directly: what never is proxied, and then
// what the settings say.
func (s Settings) Rules() []Rule {
	rules := always()
	for _, r := range s.Direct {
		if !slices.Contains(rules, r) {
			rules = append(rules, r)
		}
	}
	return rules
}

// Add returns the settings with more that is reached directly.
func (s Settings) Add(rules ...Rule) Settings {
	s.Direct = slices.Clone(s.Direct)
	for _, r := range rules {
		if !slices.Contains(s.Direct, r) {
			s.Direct = append(s.Direct, r)
		}
	}
	return s
}

// IsZero reports whether there is no proxy at all.
func (s Settings) IsZero() bool { return s.HTTP.IsZero() && s.HTTPS.IsZero() }

// For returns the proxy for an address, or the zero Address and the rule by
// which it is reached directly (the zero Rule: there is no proxy for it).
func (s Settings) For(u *url.URL) (Address, Rule) {
	host, port := hostPort(u)
	for _, r := range s.Rules() {
		if r.Holds(host, port) {
			return Address{}, r
		}
	}
	switch u.Scheme {
	case "http", "ws":
		return s.HTTP, Rule{}
	case "https", "wss":
		return s.HTTPS, Rule{}
	}
	return Address{}, Rule{}
}

// hostPort returns the host of a URL, and its port or that of its scheme.
func hostPort(u *url.URL) (string, int) {
	if p, err := strconv.Atoi(u.Port()); err == nil {
		return u.Hostname(), p
	}
	return u.Hostname(), map[string]int{"http": 80, "ws": 80, "https": 443, "wss": 443}[u.Scheme]
}
