package proxy

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// javaProperties returns the system properties in the options of a JVM; of two
// with one name the last holds.
func javaProperties(options string) (map[string]string, error) {
	words, err := splitShell(options)
	if err != nil {
		return nil, err
	}
	props := map[string]string{}
	for _, w := range words {
		if name, value, ok := strings.Cut(strings.TrimPrefix(w, "-D"), "="); ok && strings.HasPrefix(w, "-D") {
			props[name] = value
		}
	}
	return props, nil
}

// javaVerdict applies the system properties in the options of a JVM.
func javaVerdict(options string, u *url.URL) Verdict {
	props, err := javaProperties(options)
	if err != nil {
		return Verdict{Refuses: "JVM_OPTS: " + err.Error()}
	}
	host := props[u.Scheme+".proxyHost"]
	if host == "" {
		return Verdict{}
	}
	direct, set := props["http.nonProxyHosts"]
	if !set || direct != "" { // only an empty list takes them away
		direct += "|" + javaAlways
	}
	for item := range strings.SplitSeq(direct, "|") {
		if javaMatch(item, u.Hostname()) {
			return Verdict{}
		}
	}
	port := props[u.Scheme+".proxyPort"]
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return Verdict{Proxy: "http://" + host + ":" + port}
}

// javaAlways is what Java adds to a list by itself.
const javaAlways = "localhost|127.*|[::1]|0.0.0.0|[::0]"

// javaMatch: * at the beginning or the end of an item; nothing else.
func javaMatch(item, host string) bool {
	item, host = strings.ToLower(item), strings.ToLower(host)
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	before, after := strings.HasPrefix(item, "*"), strings.HasSuffix(item, "*") && len(item) > 1
	middle := strings.TrimPrefix(item, "*")
	if after {
		middle = strings.TrimSuffix(middle, "*")
	}
	switch {
	case item == "":
		return false
	case before && after:
		return strings.Contains(host, middle)
	case before:
		return strings.HasSuffix(host, middle)
	case after:
		return strings.HasPrefix(host, middle)
	}
	return host == item
}

// javaOptions returns the options of a JVM, and what they cannot say.
func (s Settings) javaOptions() ([]string, []Loss) {
	var options []string
	var lost []Loss
	for _, p := range []struct {
		name string
		a    Address
	}{{"http", s.HTTP}, {"https", s.HTTPS}} {
		if p.a.IsZero() {
			continue
		}
		if p.a.Scheme == "https" {
			lost = append(lost, Loss{Item: p.a.String(), Why: "Java speaks plain HTTP to a proxy", Instead: "let the proxy listen for http:// as well"})
			continue
		}
		options = append(options, "-D"+p.name+".proxyHost="+p.a.Host, "-D"+p.name+".proxyPort="+strconv.Itoa(p.a.Port))
		if p.a.User != "" {
			lost = append(lost, Loss{Item: p.a.String(), Why: "Java reads no login from its options", Instead: "set an Authenticator in the program, or let the proxy know the machine by its address"})
		}
	}
	if len(options) == 0 {
		return nil, lost
	}
	var hosts []string
	for _, r := range s.Rules() {
		items, loss := javaItems(r)
		hosts = append(hosts, items...)
		if loss != nil {
			lost = append(lost, *loss)
		}
	}
	// An authenticated tunnel for https is off in Java unless this list is empty.
	for _, a := range []Address{s.HTTP, s.HTTPS} {
		if a.User != "" {
			options = append(options, "-Djdk.http.auth.tunneling.disabledSchemes=")
			break
		}
	}
	return append(options, "-Dhttp.nonProxyHosts="+strings.Join(hosts, "|")), lost
}

// javaItems writes a rule for Java.
func javaItems(r Rule) ([]string, *Loss) {
	if r.Port != 0 {
		return nil, &Loss{Item: r.String(), Why: "Java knows no ports here", Instead: "leave out the port: then all ports are reached directly"}
	}
	switch {
	case r.All:
		return []string{"*"}, nil
	case r.Below:
		return []string{"*." + r.Host}, nil
	case r.Host != "":
		return []string{r.Host, "*." + r.Host}, nil
	case r.single() && r.Net.Addr().Is4():
		return []string{r.Net.Addr().String()}, nil
	case r.single():
		return []string{"[" + r.Net.Addr().String() + "]"}, nil
	case r.Net.Addr().Is4() && r.Net.Bits()%8 == 0 && r.Net.Bits() > 0:
		return []string{strings.Join(strings.Split(r.Net.Addr().String(), ".")[:r.Net.Bits()/8], ".") + ".*"}, nil
	}
	return nil, &Loss{Item: r.String(), Why: "Java knows no networks", Instead: "name the hosts, or a network that ends at a byte (10.0.0.0/8)"}
}

// ReadJavaOptions reads the settings from the options of a JVM, as
// installations have them in JVM_OPTS. Options about other things are left
// out. An error wraps [ci.ErrInvalid].
func ReadJavaOptions(options string) (Settings, error) {
	props, err := javaProperties(options)
	if err != nil {
		return Settings{}, fmt.Errorf("%w: JVM_OPTS: %w", ci.ErrInvalid, err)
	}
	address := func(scheme, port string) string {
		host := props[scheme+".proxyHost"]
		if host == "" {
			return ""
		}
		if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
			host = "[" + host + "]"
		}
		if p := props[scheme+".proxyPort"]; p != "" {
			port = p
		}
		return (&url.URL{Scheme: "http", Host: host + ":" + port}).String()
	}
	// Java has no proxy for https when only that for http is set.
	s, err := Parse(address("http", "80"), address("https", "443"), "")
	if err != nil {
		return Settings{}, err
	}
	if props["https.proxyHost"] == "" {
		s.HTTPS = Address{}
	}
	s.Direct, err = ParseRules(props["http.nonProxyHosts"])
	return s, err
}
