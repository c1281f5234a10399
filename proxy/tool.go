package proxy

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// A Tool is a program that has rules of its own about proxies.
type Tool string

// The tools whose rules are known. What they do was measured with the versions
// in the comments; tests repeat that with the programs of the machine.
const (
	Curl   Tool = "curl"   // 7.88.1
	Git    Tool = "git"    // over HTTP: the rules of curl
	Wget   Tool = "wget"   // 1.21.3
	Python Tool = "python" // urllib of 3.11
	Apt    Tool = "apt"    // 2.6
	Go     Tool = "go"     // x/net/http/httpproxy; Docker, Nomad, Vault and Rondo
	Docker Tool = "docker" // the engine, a Go program
	Java   Tool = "java"   // 17, which reads JVM_OPTS instead
)

// Tools returns all tools, those of the environment first.
func Tools() []Tool { return []Tool{Curl, Git, Wget, Python, Apt, Go, Docker, Java} }

// A Verdict says what a tool does with an address.
type Verdict struct {
	// Proxy is the proxy that it asks, as the tool read it; "" is none.
	Proxy string
	// Refuses says why the tool does not even try; "" is that it does.
	Refuses string
}

// Verdict foretells what the tool does with u in an environment.
func (t Tool) Verdict(lookup func(string) (string, bool), u *url.URL) Verdict {
	if t == Java {
		v, _ := lookup("JVM_OPTS")
		return javaVerdict(v, u)
	}
	env := t.read(lookup)
	proxy := env.http
	if u.Scheme == "https" {
		proxy = env.https
	}
	switch {
	case t == Go || t == Docker:
		return goVerdict(env, u)
	case proxy == "":
		return Verdict{}
	case t == Apt && !strings.Contains(proxy, "://"):
		return Verdict{Refuses: fmt.Sprintf("apt wants a protocol before %s", hidden(proxy))}
	case bypass[t](env.direct, u):
		return Verdict{}
	}
	return Verdict{Proxy: proxy}
}

// A reading is what a tool takes from the environment.
type reading struct{ http, https, direct string }

// read picks the variables by the rules of the tool: which of them are read in
// which case, and which case wins.
func (t Tool) read(lookup func(string) (string, bool)) reading {
	first := func(names ...string) string {
		for _, n := range names {
			if v, _ := lookup(n); v != "" {
				return v
			}
		}
		return ""
	}
	switch t {
	case Curl, Git: // no HTTP_PROXY: a CGI program would take it from a header
		return reading{first("http_proxy", "all_proxy", "ALL_PROXY"), first("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"), first("no_proxy", "NO_PROXY")}
	case Wget, Apt:
		return reading{first("http_proxy"), first("https_proxy"), first("no_proxy")}
	case Go, Docker:
		return reading{first("HTTP_PROXY", "http_proxy"), first("HTTPS_PROXY", "https_proxy"), first("NO_PROXY", "no_proxy")}
	}
	return reading{first("http_proxy", "HTTP_PROXY"), first("https_proxy", "HTTPS_PROXY"), first("no_proxy", "NO_PROXY")}
}

// bypass are the rules about NO_PROXY of the tools that are not written in Go.
var bypass = map[Tool]func(list string, u *url.URL) bool{
	Curl: curlBypass, Git: curlBypass, Wget: wgetBypass, Python: pythonBypass, Apt: aptBypass,
}

// curlBypass: items between commas or blanks; a dot at the beginning or end of
// an item does not count; subdomains are meant as well; networks by address;
// no ports; * only alone.
func curlBypass(list string, u *url.URL) bool {
	if list == "*" {
		return true
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	ip, err := netip.ParseAddr(host)
	for item := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		item = strings.ToLower(item)
		if err == nil {
			if a, bad := netip.ParseAddr(strings.Trim(item, "[]")); bad == nil && a == ip {
				return true
			}
			if p, bad := netip.ParsePrefix(item); bad == nil && p.Contains(ip) {
				return true
			}
			continue
		}
		item = strings.TrimSuffix(strings.TrimPrefix(item, "."), ".")
		if item != "" && (host == item || strings.HasSuffix(host, "."+item)) {
			return true
		}
	}
	return false
}

// wgetBypass: items between commas, blanks around them do not count; an item
// with a dot before it means subdomains only. No networks, ports or *.
func wgetBypass(list string, u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	for item := range strings.SplitSeq(list, ",") {
		item = strings.ToLower(strings.TrimSpace(item))
		switch {
		case item == "":
		case host == item:
			return true
		case strings.HasPrefix(item, "."):
			if strings.HasSuffix(host, item) {
				return true
			}
		case strings.HasSuffix(host, "."+item):
			return true
		}
	}
	return false
}

// pythonBypass: items between commas; a dot before one does not count; the
// port of the address is compared if it is written there; * only alone.
func pythonBypass(list string, u *url.URL) bool {
	if strings.TrimSpace(list) == "*" {
		return true
	}
	with, without := strings.ToLower(u.Host), strings.ToLower(u.Hostname())
	for item := range strings.SplitSeq(list, ",") {
		item = strings.ToLower(strings.TrimLeft(strings.TrimSpace(item), "."))
		if item == "" {
			continue
		}
		for _, host := range []string{with, without} {
			if host == item || strings.HasSuffix(host, "."+item) {
				return true
			}
		}
	}
	return false
}

// aptBypass: whatever the host ends with, blanks included: also notexample.com
// for example.com.
func aptBypass(list string, u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	for item := range strings.SplitSeq(list, ",") {
		if item != "" && strings.HasSuffix(host, strings.ToLower(item)) {
			return true
		}
	}
	return false
}

// goVerdict asks the code that Go programs run.
func goVerdict(env reading, u *url.URL) Verdict {
	c := httpproxy.Config{HTTPProxy: env.http, HTTPSProxy: env.https, NoProxy: env.direct}
	p, err := c.ProxyFunc()(u)
	switch {
	case err != nil:
		return Verdict{Refuses: "Go cannot read the address of the proxy"}
	case p == nil:
		return Verdict{}
	}
	return Verdict{Proxy: p.String()}
}
