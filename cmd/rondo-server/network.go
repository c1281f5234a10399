package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/metrics"
	"github.com/rondo-ci/rondo/proxy"
	"github.com/rondo-ci/rondo/proxy/acme"
	"github.com/rondo-ci/rondo/proxy/certificate"
	"github.com/rondo-ci/rondo/proxy/trust"
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

// reach is how a server, and commands with its settings, reach the world:
// through which proxies, and whom they trust. All clients are made with it.
type reach struct {
	proxies proxy.Settings
	roots   *trust.Roots
	jobs    bool
}

// openReach reads what the settings say of the way out; nil of both is what the
// environment and the usual folder say.
func openReach(p *proxySettings, folders []string, log *slog.Logger) (*reach, error) {
	proxies, err := p.settings(true)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	roots, err := trust.Open(trust.Config{Folders: folders, Log: log})
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	return &reach{proxies: proxies, roots: roots, jobs: p != nil && p.Jobs}, nil
}

// reach is how a server or a command with the settings reaches the world. What
// belongs to the installation is reached without a proxy.
func (s *settings) reach(log *slog.Logger) (*reach, error) {
	r, err := openReach(s.Proxy, s.Trust, log)
	if err != nil {
		return nil, err
	}
	own := []string{s.URL}
	if n := s.Nomad; n != nil {
		own = append(own, n.Address, n.Door)
	}
	if s.Cluster != nil {
		own = append(own, s.Cluster.Advertise)
	}
	for _, address := range own {
		if rule, err := proxy.ParseRules(hostName(address)); err == nil { // what is no rule, no proxy knows either
			r.proxies = r.proxies.Add(rule...)
		}
	}
	return r, nil
}

// way returns a transport for a client, which trusts also what is in a file.
func (r *reach) way(file string) (http.RoundTripper, error) {
	if file == "" {
		return trust.NewWay(r.roots, r.proxies, nil), nil
	}
	more, err := certificatesIn(file)
	return trust.NewWay(r.roots, r.proxies, more), err
}

// client returns a client that gives up after a while; 0 is never.
func (r *reach) client(limit time.Duration) *http.Client {
	return &http.Client{Timeout: limit, Transport: trust.NewWay(r.roots, r.proxies, nil)}
}

// wrap is for clients with transports of their own kind: they go through the
// proxies too, and trust whom all do.
func (r *reach) wrap(t *http.Transport) http.RoundTripper {
	t.Proxy = r.proxies.Func()
	return trust.Over(r.roots, t)
}

// trusting is wrap for clients that know their proxy.
func (r *reach) trusting(t *http.Transport) http.RoundTripper { return trust.Over(r.roots, t) }

// certificatesIn returns what is in a file in PEM form.
func certificatesIn(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(text) {
		err = fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return text, err
}

// poolOf returns those of a file as the only ones that a part trusts; nil
// without a file.
func poolOf(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := certificatesIn(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return pool, nil
}

// forJobs adds what jobs have to know of the way out to what else they may
// know, as the weakest: the proxy, if the settings say so.
func (r *reach) forJobs(next func(context.Context, ci.Need) ([]ci.Var, []ci.SSHKey, error)) func(context.Context, ci.Need) ([]ci.Var, []ci.SSHKey, error) {
	if !r.jobs {
		return next
	}
	env, _ := r.proxies.Environ() // what it cannot say, rondo proxy check tells
	return func(ctx context.Context, n ci.Need) ([]ci.Var, []ci.SSHKey, error) {
		vars, keys, err := next(ctx, n)
		if err != nil {
			return vars, keys, err
		}
		var all []ci.Var
		for _, e := range env {
			name, value, _ := strings.Cut(e, "=")
			all = append(all, ci.Var{Name: name, Value: value, Secret: strings.Contains(value, "@")})
		}
		return append(all, vars...), keys, nil
	}
}

// trusted is what jobs trust besides their images, as PEM.
func (r *reach) trusted() string { return string(r.roots.Own()) }

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
