package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/proxy"
	"github.com/rondo-ci/rondo/proxy/trust"
)

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

// beyond are the addresses of the settings that a proxy may have to be asked
// for, by the part that names them.
func (s *settings) beyond() map[string]string {
	all := map[string]string{}
	if g := s.GitHub; g != nil {
		all["github"] = cmp.Or(g.Host, "https://api.github.com")
	}
	if b := s.Storage.S3; b != nil && b.Proxy == "" {
		all["storage.s3"] = cmp.Or(b.Endpoint, "https://s3."+cmp.Or(b.Region, "us-east-1")+".amazonaws.com")
	}
	if v := s.Secrets.Vault; v != nil {
		all["secrets.vault"] = v.Address
	}
	if s.Machines.Provider == onEC2 {
		all["machines"] = cmp.Or(s.Machines.Endpoint, "https://ec2."+s.Machines.Region+".amazonaws.com")
	}
	m := s.Metrics
	if d := m.DataDog; d != nil && d.Agent == "" {
		all["metrics.datadog"] = cmp.Or(d.URL, "https://api."+cmp.Or(d.Site, "datadoghq.com"))
	}
	if c := m.CloudWatch; c != nil && (c.Endpoint != "" || c.Region != "") {
		all["metrics.cloudwatch"] = cmp.Or(c.Endpoint, "https://monitoring."+c.Region+".amazonaws.com")
	}
	if t := m.Traces; t != nil {
		all["metrics.traces"] = t.Endpoint
	}
	for _, sink := range s.Audit.Sinks {
		if sink.Webhook != "" {
			all["audit.sinks: "+sink.Name] = sink.Webhook
		}
	}
	return all
}

// tryProxy tries what is reached by a proxy, once, and tells each thing that is
// wrong with the proxy once, whoever has to suffer from it. Nobody waits for
// it: what needs no proxy works without.
func (r *reach) tryProxy(ctx context.Context, log *slog.Logger, beyond map[string]string) {
	var mu sync.Mutex
	var wait sync.WaitGroup
	wrong := map[string][]string{} // advice: parts
	for part, address := range beyond {
		u, err := url.Parse(address)
		if err != nil {
			continue // whoever uses it says so
		}
		if via, _ := r.proxies.For(u); via.IsZero() {
			continue
		}
		wait.Go(func() {
			if p := r.proxies.Try(ctx, u, r.roots.Pool(), 0); p.Advice != "" {
				mu.Lock()
				defer mu.Unlock()
				wrong[p.Advice] = append(wrong[p.Advice], part)
			}
		})
	}
	wait.Wait()
	if ctx.Err() != nil {
		return
	}
	for _, advice := range slices.Sorted(maps.Keys(wrong)) {
		slices.Sort(wrong[advice])
		log.Warn("proxy: "+advice, "for", strings.Join(wrong[advice], ", "))
	}
}
