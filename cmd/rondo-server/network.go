package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/rondo-ci/rondo/metrics"
	"github.com/rondo-ci/rondo/proxy"
	"github.com/rondo-ci/rondo/proxy/acme"
	"github.com/rondo-ci/rondo/proxy/certificate"
)

// networkHelp is what the help of serve says of proxySettings, tlsSettings and
// trusted folders.
const networkHelp = `  proxy:                             # for all clients; leave out to follow HTTP_PROXY and its like
    http: http://10.0.0.33:3128      # https is the same, unless it is said
    login: file:/etc/rondo/proxy-login # user:password
    direct: [10.0.1.0/24, ghe.example.com, s3.amazonaws.com]
    jobs: true                       # steps get it in their environment
  trust: [/usr/local/share/ca-certificates] # authorities that all clients and jobs trust besides
                                     # the system's (the default); read each minute and at SIGHUP
  tls:                               # without, put a proxy with TLS before it
    cert: /etc/rondo/tls.crt         # read again when it changes
    key: /etc/rondo/tls.key
    # or self_signed: true           # for the start
    # or acme: {hosts: [ci.example.com], email: ops@example.com, dns: route53}
    #   dns: cloudflare with token, or exec with program; directory for another authority
    redirect: 0.0.0.0:80             # sends http:// to url
    proxy_protocol: true             # a TCP balancer in proxies says who calls
    agents: true                     # their door speaks TLS too`

// proxySettings say through which proxy the server reaches the world.
type proxySettings struct {
	HTTP   string    `yaml:"http"`
	HTTPS  string    `yaml:"https"`
	Login  secretRef `yaml:"login"`
	Direct []string  `yaml:"direct"`
	Jobs   bool      `yaml:"jobs"`
}

// tlsSettings say which certificate the server shows.
type tlsSettings struct {
	Cert          string        `yaml:"cert"`
	Key           string        `yaml:"key"`
	SelfSigned    bool          `yaml:"self_signed"`
	ACME          *acmeSettings `yaml:"acme"`
	Redirect      string        `yaml:"redirect"`
	ProxyProtocol bool          `yaml:"proxy_protocol"`
	Agents        bool          `yaml:"agents"`
}

// acmeSettings say who issues it.
type acmeSettings struct {
	Hosts     []string  `yaml:"hosts"`
	Email     string    `yaml:"email"`
	Directory string    `yaml:"directory"`
	DNS       string    `yaml:"dns"`
	Program   string    `yaml:"program"`
	Token     secretRef `yaml:"token"`
}

// settings returns the proxies, and those of the environment when nothing is
// said.
func (p *proxySettings) settings(secret bool) (proxy.Settings, error) {
	if p == nil {
		return proxy.FromEnviron(os.LookupEnv)
	}
	login := ""
	if p.Login != "" && secret {
		var err error
		if login, err = p.Login.read(); err != nil {
			return proxy.Settings{}, fmt.Errorf("proxy.login: %w", err)
		}
		user, pass, _ := strings.Cut(login, ":")
		login = url.UserPassword(user, pass).String() + "@"
	}
	with := func(address string) string {
		scheme, rest, ok := strings.Cut(address, "://")
		if !ok || login == "" {
			return address
		}
		return scheme + "://" + login + rest
	}
	return proxy.Parse(with(p.HTTP), with(p.HTTPS), strings.Join(p.Direct, ","))
}

func (p *proxySettings) check() error {
	if p == nil {
		return nil
	}
	wrong := []error{p.Login.check("proxy.login", false)}
	for _, a := range []string{p.HTTP, p.HTTPS} {
		if strings.Contains(a, "@") {
			wrong = append(wrong, errors.New("proxy: the login does not stand in the address: write login: file:PATH"))
		}
	}
	if _, err := p.settings(false); err != nil {
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

func (t *tlsSettings) check(u string, proxies networks) error {
	if t == nil {
		return nil
	}
	var wrong []error
	ways := 0
	for _, has := range []bool{t.Cert != "" || t.Key != "", t.SelfSigned, t.ACME != nil} {
		if has {
			ways++
		}
	}
	switch {
	case ways != 1:
		wrong = append(wrong, errors.New("tls: say one of cert and key, self_signed, and acme"))
	case (t.Cert == "") != (t.Key == ""):
		wrong = append(wrong, errors.New("tls: cert and key belong together"))
	}
	if !strings.HasPrefix(u, "https://") {
		wrong = append(wrong, errors.New("tls: the url of the server must begin with https://"))
	}
	if t.ProxyProtocol && len(proxies) == 0 {
		wrong = append(wrong, errors.New("tls.proxy_protocol: say in proxies from which networks it is believed"))
	}
	if t.Redirect != "" {
		if _, _, err := net.SplitHostPort(t.Redirect); err != nil {
			wrong = append(wrong, fmt.Errorf("tls.redirect: %q is not host:port, as in 0.0.0.0:80", t.Redirect))
		}
	}
	if a := t.ACME; a != nil {
		wrong = append(wrong, a.Token.check("tls.acme.token", a.DNS == "cloudflare"))
		cfg := a.config()
		cfg.Token = string(a.Token)
		if err := cfg.Check(); err != nil {
			wrong = append(wrong, fieldsOf("tls", err))
		}
	}
	return errors.Join(wrong...)
}

func (a *acmeSettings) config() acme.Config {
	return acme.Config{Hosts: a.Hosts, Email: a.Email, Directory: a.Directory, DNS: a.DNS, Program: a.Program}
}

// secure puts TLS, and what a balancer says, before the listeners of pages and
// agents.
func (s *teamServer) secure(set settings) error {
	t := set.TLS
	if t == nil {
		return nil
	}
	s.tls = t
	cert, key := t.Cert, t.Key
	host := hostName(set.URL)
	if cert == "" {
		cert, key = s.folder.Join("tls.crt"), s.folder.Join("tls.key")
		hosts := []string{host}
		if a := t.ACME; a != nil {
			hosts = a.Hosts
		}
		if err := certificate.Provisional(cert, key, hosts...); err != nil {
			return fmt.Errorf("tls: %w", err)
		}
	}
	keeper, err := certificate.Open(cert, key, certificate.Options{Host: host, Roots: s.reach.roots.Pool(), BehindBalancer: len(set.Proxies) > 0}, s.log)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	s.shown = keeper
	s.parts = append(s.parts, keeper.Run)
	if a := t.ACME; a != nil {
		cfg := a.config()
		cfg.Folder, cfg.Cert, cfg.Key, cfg.HTTP, cfg.Log = s.folder.Path, cert, key, s.reach.client(2*time.Minute), s.log
		if cfg.Token, err = a.Token.read(); err != nil {
			return fmt.Errorf("tls.acme.token: %w", err)
		}
		client, err := acme.New(cfg)
		if err != nil {
			return fmt.Errorf("tls: %w", err)
		}
		s.parts = append(s.parts, client.Run)
	}
	if t.ProxyProtocol {
		s.page = fromBalancer(s.page, set.Proxies)
	}
	s.page = tls.NewListener(s.page, keeper.Config())
	if t.Agents {
		s.agentDoor = tls.NewListener(s.agentDoor, keeper.Config())
	}
	s.strict = !t.SelfSigned // who trusts a provisional one once should be able to go back
	if t.Redirect == "" {
		return nil
	}
	l, err := listen(t.Redirect)
	if err != nil {
		return fmt.Errorf("tls.redirect: %w", err)
	}
	s.parts = append(s.parts, func(ctx context.Context) error { return serve(ctx, l, redirect(set.URL)) })
	return nil
}

// scheme is what an address of the server begins with.
func (s *teamServer) scheme(page bool) string {
	if t := s.settings.TLS; t != nil && (page || t.Agents) {
		return "https://"
	}
	return "http://"
}

// hostName is the host of an address, without its port.
func hostName(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// fromBalancer believes what a balancer in one of the networks says with the
// PROXY protocol, versions 1 and 2, of who calls; from elsewhere such a header
// ends the connection, and none is needed.
func fromBalancer(l net.Listener, from networks) net.Listener {
	return &proxyproto.Listener{Listener: l, ReadHeaderTimeout: 10 * time.Second, ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
		if a, ok := o.Upstream.(*net.TCPAddr); ok && from.contain(a.AddrPort().Addr()) {
			return proxyproto.USE, nil
		}
		return proxyproto.REJECT, nil
	}}
}

// redirect sends everything to the same path of the server's own address.
func redirect(u string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, u+r.URL.RequestURI(), http.StatusPermanentRedirect)
	})
}

// strict tells browsers to come by TLS only.
func strict(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		next.ServeHTTP(w, r)
	})
}

// certificateFigures tell how long the certificate holds.
func (in *installation) certificateFigures(context.Context) ([]metrics.Sample, error) {
	return []metrics.Sample{{Name: "certificate.days_left", Kind: metrics.Gauge, Value: float64(in.shown.DaysLeft()), Tags: metrics.Tags("host", hostName(in.url)), Time: time.Now()}}, nil
}
