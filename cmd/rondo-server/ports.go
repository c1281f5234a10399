package main

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// A portRule is a line of the guide's tables of ports, or one that only Rondo
// has, and what it is with some settings.
type portRule struct {
	Machine   string `json:"machine"`   // whose firewall it is about
	Port      string `json:"port"`      // one, or a range as in 64535-65535
	Protocol  string `json:"protocol"`  // tcp or udp
	Direction string `json:"direction"` // in, out, or both
	Peer      string `json:"peer"`      // the source or destination
	Use       string `json:"use"`
	// Guide is whether the line is the guide's.
	Guide bool `json:"guide"`
	// Applies is whether the port has to be open with these settings, Opens
	// which port that is when it is not the guide's, and Here which setting it
	// is, or why nothing needs it.
	Applies bool   `json:"applies"`
	Opens   string `json:"opens"`
	Here    string `json:"here"`
}

// The machines of the guide's tables.
const (
	hostServices = "Services Machine"
	hostClients  = "Nomad Clients"
	hostNomad    = "Nomad Servers"
	hostGitHub   = "GitHub"
	hostPostgres = "PostgreSQL Servers"
	hostMongo    = "MongoDB Servers"
	hostRabbit   = "RabbitMQ Servers"
	hostRedis    = "Redis Servers"
	hostMachines = "Machines of jobs"
	hostServers  = "Other servers of the cluster"
	hostLDAP     = "Directory"
	hostVault    = "Vault"

	endUsers       = "End users"
	administrators = "Administrators"
)

// A portPlan knows what the settings listen at and call.
type portPlan struct {
	set   settings
	rules []portRule
}

// portRules are all lines, in the guide's order.
func portRules(s settings) []portRule {
	p := &portPlan{set: s}
	p.services()
	p.outbound()
	p.clients()
	p.others()
	p.ours()
	return p.rules
}

// says is what a line is with the settings.
type says struct {
	applies bool
	opens   string // "" is the guide's
	here    string
}

func (p *portPlan) add(guide bool, machine, port, protocol, direction, peer, use string, s says) {
	p.rules = append(p.rules, portRule{machine, port, protocol, direction, peer, use, guide, s.applies, cmp.Or(s.opens, port), s.here})
}

func needless(format string, args ...any) says { return says{here: fmt.Sprintf(format, args...)} }

// listens is a line for what listens at an address; one of this machine alone
// needs no hole.
func listens(setting, address string) says {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return needless("%s is not set", setting)
	}
	if ip, err := netip.ParseAddr(host); host == "localhost" || err == nil && ip.IsLoopback() {
		return needless("%s: %s is reached from this machine only", setting, address)
	}
	return says{true, port, setting + ": " + address}
}

// calls is a line for what is called at an address.
func calls(setting, address string) says {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return needless("%s is not set", setting)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "postgres": "5432", "postgresql": "5432"}[u.Scheme]
	}
	if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "localhost" || err == nil && ip.IsLoopback() {
		return needless("%s is on this machine", setting)
	}
	return says{true, port, setting + ": " + u.Scheme + "://" + u.Host}
}

// only leaves a line out unless something is used.
func (s says) only(used bool, without string) says {
	if !used {
		return needless("not used: %s", without)
	}
	return s
}

// services are the ports that users, administrators and the cluster reach.
func (p *portPlan) services() {
	s, in := p.set, func(port, protocol, peer, use string, x says) {
		p.add(true, hostServices, port, protocol, "in", peer, use, x)
	}
	in("80", "tcp", endUsers, "web pages over HTTP", p.page("http"))
	in("443", "tcp", endUsers, "web pages over HTTPS", p.page("https"))
	in("4434", "tcp", endUsers, "web pages over HTTPS", p.door("4434", s.Ports.Pages, "ports.pages", "live events come by the port of the pages"))
	for _, port := range []string{"7171", "8081"} {
		in(port, "tcp", endUsers, "artifacts", p.door(port, s.Ports.Artifacts, "ports.artifacts", "artifacts come by the port of the pages"))
	}
	in("22", "tcp", administrators, "SSH", says{true, "", "the SSH server of the host itself"})
	in("8800", "tcp", administrators, "admin console", p.door("8800", s.Ports.Pages, "ports.pages", "the console is /settings at the port of the pages"))
	statsd := needless("not used: metrics.statsd is not set")
	if s.Metrics.StatsD != nil {
		statsd = listens("metrics.statsd.listen", s.Metrics.StatsD.Listen)
	}
	in("8125", "udp", hostClients, "metrics", statsd)
	in("8125", "udp", hostNomad, "metrics", statsd.only(s.Nomad != nil, "nomad is not set"))
	in("8125", "udp", "All Database Servers", "metrics", statsd.only(s.Database != "", "the database is a file of this machine"))
	both := func(port, use string, x says) { p.add(true, hostServices, port, "tcp", "both", hostClients, use, x) }
	both("4647", "RPC of Nomad", p.nomadHere())
	both("8585", "agents get work and report", p.agents())
	both("7171", "artifacts", needless("not used by Rondo: agents store artifacts through their door, 8585"))
	both("3001", "machines of jobs", p.machines())
	for _, port := range []string{"80", "443"} {
		p.add(true, hostServices, port, "tcp", "both", hostGitHub, "webhooks and API", p.github(port))
	}
}

// page is a line for the pages over a scheme.
func (p *portPlan) page(scheme string) says {
	own, _, _ := strings.Cut(p.set.URL, "://")
	switch {
	case scheme == own:
		x := listens("listen", p.set.Listen)
		if !x.applies { // a proxy of this machine serves it
			return says{true, "", x.here + ", by a proxy that serves " + p.set.URL}
		}
		return x
	case scheme == "http" && p.set.TLS != nil && p.set.TLS.Redirect != "":
		return listens("tls.redirect", p.set.TLS.Redirect)
	case scheme == "http":
		return needless("not used: url is https, and tls.redirect is not set")
	}
	return needless("not used: url is http")
}

// door is a line for a port of old, which a setting opens.
func (p *portPlan) door(port string, open []string, setting, otherwise string) says {
	for _, address := range open {
		if _, n, err := net.SplitHostPort(address); err == nil && n == port {
			return listens(setting, address)
		}
	}
	return needless("not used by Rondo: %s; %s opens it", otherwise, setting)
}

func (p *portPlan) agents() says {
	x := listens("agents", p.set.Agents)
	if p.set.Nomad == nil {
		return x.only(x.applies, "agents run on this machine; nomad is not set")
	}
	return x
}

// nomadHere is a line for clients that reach a Nomad on this machine.
func (p *portPlan) nomadHere() says {
	if p.set.Nomad == nil {
		return needless("not used: agents run on this machine; nomad is not set")
	}
	if x := calls("nomad.address", p.set.Nomad.Address); !x.applies {
		return says{true, "", "the server of Nomad runs on this machine"}
	}
	return needless("the servers of Nomad are elsewhere: see %s", hostNomad)
}

func (p *portPlan) machines() says {
	const why = "agents ask for machines at their door, 8585; this one is for /status and /load"
	if !p.set.Machines.on() {
		return needless("not used: %s, and machines.provider is none", why)
	}
	x := listens("machines.listen", p.set.Machines.listen())
	x.here += "; " + why
	return x
}

// github is a line for a code host: webhooks come to the url, and its API is
// called.
func (p *portPlan) github(port string) says {
	if p.set.GitHub == nil {
		return needless("not used: github is not set")
	}
	host := cmp.Or(p.set.GitHub.Host, "https://github.com")
	in, out := calls("url", p.set.URL), calls("github.host", host)
	switch inHere, outHere := in.opens == port, out.opens == port; {
	case inHere && outHere:
		return says{true, "", "webhooks to " + p.set.URL + ", API of " + host}
	case inHere:
		return says{true, "", "webhooks to " + p.set.URL}
	case outHere:
		return says{true, "", "API of " + host}
	}
	return needless("not used: neither url nor github.host has it")
}
