package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// An Address is where a proxy listens: always all three parts, because some
// programs (apt among them) refuse an address without a scheme. The zero
// Address is no proxy.
type Address struct {
	Scheme string // http or https: how to talk to the proxy itself
	Host   string // a name or an IP, without brackets
	Port   int
	User   string // "" is no login
	pass   string
}

// ParseAddress reads <protocol>://<host>:<port>, with user:password@ before the
// host where the proxy wants a login. "" is the zero Address. An error names
// the missing part and the text that was probably meant, and wraps
// [ci.ErrInvalid]; it never shows the password.
func ParseAddress(text string) (Address, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return Address{}, nil
	}
	a, err := parseAddress(text)
	if err != nil {
		return Address{}, fmt.Errorf("%w: proxy %q: %w", ci.ErrInvalid, hidden(text), err)
	}
	return a, nil
}

func parseAddress(text string) (Address, error) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		rest = text
		if user, host, ok := cutLast(rest, "@"); ok {
			rest = "USER:PASSWORD@" + host
			_ = user
		}
		return Address{}, fmt.Errorf("the protocol is missing: write http://%s", strings.TrimLeft(rest, "/:"))
	}
	scheme = strings.ToLower(scheme)
	if scheme != "http" && scheme != "https" {
		return Address{}, fmt.Errorf("the protocol %q is not supported: use http or https", scheme)
	}
	if strings.HasSuffix(rest, ".pac") || strings.Contains(rest, ".pac?") {
		return Address{}, errors.New("this is the address of a PAC file: write that of the proxy that it names")
	}
	login, place, hasLogin := cutLast(strings.TrimSuffix(rest, "/"), "@")
	if !hasLogin {
		place = login
	}
	if i := strings.IndexAny(place, "/?#"); i >= 0 {
		return Address{}, fmt.Errorf("a proxy has no path: leave out %q", place[i:])
	}
	a := Address{Scheme: scheme}
	var err error
	if a.Host, a.Port, err = parsePlace(scheme, place); err != nil {
		return Address{}, err
	}
	if !hasLogin {
		return a, nil
	}
	user, pass, _ := strings.Cut(login, ":")
	if a.User, err = url.PathUnescape(user); err == nil {
		a.pass, err = url.PathUnescape(pass)
	}
	if err != nil || a.User == "" || strings.ContainsAny(login, " \t\r\n") || !printable(a.User+a.pass) {
		return Address{}, errors.New("the login is not readable: write user:password, with %XX for characters such as @ : / %")
	}
	return a, nil
}

// parsePlace reads host:port.
func parsePlace(scheme, place string) (string, int, error) {
	if place == "" {
		return "", 0, fmt.Errorf("the host is missing: write %s://HOST:PORT", scheme)
	}
	if ip, err := netip.ParseAddr(place); err == nil && ip.Is6() {
		return "", 0, fmt.Errorf("an IPv6 address stands in brackets: write %s://[%s]:PORT", scheme, place)
	}
	host, digits, err := net.SplitHostPort(place)
	if err != nil || digits == "" {
		return "", 0, fmt.Errorf("the port is missing: write %s://%s:PORT (squid listens on 3128)", scheme, strings.TrimSuffix(place, ":"))
	}
	port, err := strconv.Atoi(digits)
	if err != nil || port < 1 || port > 65535 || strings.HasPrefix(digits, "+") {
		return "", 0, fmt.Errorf("the port %q is not a number from 1 to 65535", digits)
	}
	if host == "" {
		return "", 0, fmt.Errorf("the host is missing: write %s://HOST:%d", scheme, port)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Zone() != "" {
			return "", 0, fmt.Errorf("the zone in %q is known to this machine only: write an address without %%", host)
		}
		return ip.String(), port, nil
	}
	name, ok := hostName(host)
	if !ok {
		return "", 0, fmt.Errorf("%q is no host name and no IP address", host)
	}
	return name, port, nil
}

// cutLast cuts around the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// hostName returns the name in lower case, without a dot at the end, and false
// if it is none. Only ASCII: programs differ in how they write others.
func hostName(s string) (string, bool) {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if s == "" || len(s) > 253 {
		return "", false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", false
		}
		for _, c := range []byte(label) {
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return "", false
			}
		}
	}
	return s, true
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// hidden is the text of an address without its login, for errors.
func hidden(text string) string {
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		scheme, rest = "", text
	} else {
		scheme += "://"
	}
	if _, place, ok := cutLast(rest, "@"); ok {
		rest = "...@" + place
	}
	return scheme + rest
}

// IsZero reports whether there is no proxy.
func (a Address) IsZero() bool { return a == Address{} }

// Place returns host:port, with brackets around an IPv6 address.
func (a Address) Place() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

// URL returns the address with login and password, for programs.
func (a Address) URL() *url.URL {
	if a.IsZero() {
		return nil
	}
	u := &url.URL{Scheme: a.Scheme, Host: a.Place()}
	switch {
	case a.pass != "":
		u.User = url.UserPassword(a.User, a.pass)
	case a.User != "":
		u.User = url.User(a.User)
	}
	return u
}

// text returns what programs read: the URL with every character of the login
// escaped that a program might take for something else.
func (a Address) text() string {
	if a.IsZero() {
		return ""
	}
	login := ""
	if a.User != "" {
		login = escape(a.User)
		if a.pass != "" {
			login += ":" + escape(a.pass)
		}
		login += "@"
	}
	return a.Scheme + "://" + login + a.Place()
}

// escape writes all but letters, digits and - . _ ~ as %XX.
func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// String returns the address for people: the password is "...".
func (a Address) String() string {
	switch {
	case a.IsZero():
		return ""
	case a.User == "":
		return a.Scheme + "://" + a.Place()
	case a.pass == "":
		return a.Scheme + "://" + escape(a.User) + "@" + a.Place()
	}
	return a.Scheme + "://" + escape(a.User) + ":...@" + a.Place()
}
