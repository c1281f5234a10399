package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A Rule says what is reached without a proxy. One of its fields is set.
type Rule struct {
	// All is everything.
	All bool
	// Net is a network of addresses, one address among them. It holds for
	// addresses as they stand in a URL; names are not looked up.
	Net netip.Prefix
	// Host is a name. It holds for its subdomains too; with Below for those
	// only.
	Host  string
	Below bool
	// Port restricts Host or Net to one port; 0 is all.
	Port int
}

// ParseRules reads a list of what is not proxied, as NO_PROXY has it: names
// (example.com and what is below it), .example.com and *.example.com (only
// what is below), addresses, networks (10.0.0.0/8), and each with :port, and *.
// Commas, blanks and | separate, because people write all three. An item that
// is none of these is an error that wraps [ci.ErrInvalid]; all are named.
func ParseRules(text string) ([]Rule, error) {
	var rules []Rule
	var wrong []error
	for _, item := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", |\t\r\n", r) }) {
		r, err := parseRule(item)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%w: no proxy for %q: %w", ci.ErrInvalid, item, err))
			continue
		}
		if !slices.Contains(rules, r) {
			rules = append(rules, r)
		}
	}
	return rules, errors.Join(wrong...)
}

func parseRule(item string) (Rule, error) {
	if item == "*" {
		return Rule{All: true}, nil
	}
	if strings.Contains(item, "://") {
		return Rule{}, errors.New("write the host alone, without a protocol")
	}
	if p, err := netip.ParsePrefix(item); err == nil {
		return Rule{Net: p.Masked()}, nil
	}
	if strings.Contains(item, "/") {
		return Rule{}, errors.New("not a network such as 10.0.0.0/8")
	}
	if ip, err := netip.ParseAddr(strings.Trim(item, "[]")); err == nil && ip.Zone() == "" {
		return Rule{Net: netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen())}, nil
	}
	if p, ok := wildcard(item); ok {
		return Rule{Net: p}, nil
	}
	host, digits, port := item, "", 0
	if before, after, found := cutLast(item, ":"); found {
		host, digits = before, after
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 || n > 65535 {
			return Rule{}, fmt.Errorf("the port %q is not a number from 1 to 65535", digits)
		}
		port = n
		if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && ip.Zone() == "" {
			return Rule{Net: netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()), Port: port}, nil
		}
	}
	below := false
	for _, prefix := range []string{"*.", "."} {
		if rest, ok := strings.CutPrefix(host, prefix); ok {
			host, below = rest, true
			break
		}
	}
	name, ok := hostName(host)
	if !ok {
		return Rule{}, errors.New("not a host name, an address or a network")
	}
	return Rule{Host: name, Below: below, Port: port}, nil
}

// wildcard reads what Java and people write for a network on the border of a
// byte: 10.*, 192.168.*, and 192.0.2. with a dot at the end.
func wildcard(item string) (netip.Prefix, bool) {
	rest, ok := strings.CutSuffix(item, ".*")
	if !ok {
		if rest, ok = strings.CutSuffix(item, "."); !ok {
			return netip.Prefix{}, false
		}
	}
	n := strings.Count(rest, ".") + 1
	if n > 3 {
		return netip.Prefix{}, false
	}
	ip, err := netip.ParseAddr(rest + strings.Repeat(".0", 4-n))
	if err != nil {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(ip, 8*n), true
}

// Holds reports whether the rule is about this host, a name or an address
// without brackets, and port.
func (r Rule) Holds(host string, port int) bool {
	if r.All {
		return true
	}
	if r.Port != 0 && r.Port != port {
		return false
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return r.Net.IsValid() && r.Net.Contains(ip.Unmap().WithZone(""))
	}
	if r.Host == "" {
		return false
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == r.Host && !r.Below || strings.HasSuffix(host, "."+r.Host)
}

// single reports whether the rule is about one address.
func (r Rule) single() bool { return r.Net.IsValid() && r.Net.IsSingleIP() }

// String returns the rule in the form that most programs read.
func (r Rule) String() string {
	text := r.Host
	switch {
	case r.All:
		return "*"
	case r.single():
		text = r.Net.Addr().String()
		if r.Port != 0 && r.Net.Addr().Is6() {
			text = "[" + text + "]"
		}
	case r.Net.IsValid():
		text = r.Net.String()
	case r.Below:
		text = "." + r.Host
	}
	if r.Port != 0 {
		text += ":" + strconv.Itoa(r.Port)
	}
	return text
}
