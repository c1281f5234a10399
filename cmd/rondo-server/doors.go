package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// portsHelp is what the help of serve says of portsSettings.
const portsHelp = `  ports:                             # doors that people and firewalls know from before
    pages: ["0.0.0.0:4434", "0.0.0.0:8800"]     # as listen
    artifacts: ["0.0.0.0:7171", "0.0.0.0:8081"] # artifacts of jobs and nothing else
`

// portsSettings are further addresses of the pages, and some that have
// artifacts only. They are TLS where listen is. Of several servers, that which
// conducts serves them.
type portsSettings struct {
	Pages     []string `yaml:"pages"`
	Artifacts []string `yaml:"artifacts"`
}

func (p portsSettings) check() error {
	var wrong []error
	for key, all := range map[string][]string{"pages": p.Pages, "artifacts": p.Artifacts} {
		for _, address := range all {
			if _, _, err := net.SplitHostPort(address); err != nil {
				wrong = append(wrong, fmt.Errorf("ports.%s: %q is not host:port, as in 0.0.0.0:7171", key, address))
			}
		}
	}
	return errors.Join(wrong...)
}

// openDoors opens the further addresses of the settings.
func (s *teamServer) openDoors(p portsSettings) error {
	for _, d := range []struct {
		setting string
		all     []string
		wrap    func(http.Handler) http.Handler
	}{{"ports.pages", p.Pages, func(h http.Handler) http.Handler { return h }}, {"ports.artifacts", p.Artifacts, s.artifactsOnly}} {
		for _, address := range d.all {
			l, err := listen(address)
			if err != nil {
				return fmt.Errorf("%s: %w", d.setting, err)
			}
			s.further = append(s.further, l)
			if s.tls != nil && s.tls.ProxyProtocol {
				l = fromBalancer(l, s.settings.Proxies)
			}
			if s.shown != nil {
				l = tls.NewListener(l, s.shown.Config())
			}
			s.parts = append(s.parts, func(ctx context.Context) error { return serve(ctx, l, d.wrap(s.handler())) })
		}
	}
	return nil
}

// artifactsOnly lets through what downloads artifacts, from pages and API; who
// may is asked as at the other doors.
func (s *teamServer) artifactsOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		way := strings.Split(r.URL.Path, "/")
		artifact := strings.HasPrefix(r.URL.Path, "/artifacts/") || len(way) > 1 && way[1] == "api" && slices.Contains(way, "artifacts")
		if !artifact || r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "This port has artifacts of jobs only; the rest is at "+s.url, http.StatusNotFound)
			return
		}
		next.ServeHTTP(w, r)
	})
}
