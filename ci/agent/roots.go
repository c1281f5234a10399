package agent

import (
	"fmt"
	"os"

	"github.com/rondo-ci/rondo/ci"
)

// The files in the scratch folder with what steps trust: all of it, and what the
// installation adds to the system's.
const (
	allRoots = "trusted.pem"
	ownRoots = "trusted-own.pem"
)

// systemRoots are where systems keep the certificates that their programs trust.
func systemRoots() []string {
	return []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}
}

// trust writes the certificates of the installation behind those of the system
// that the steps see, and returns the variables by which tools find them. There
// are none without certificates of the installation. Java reads a store of its
// own and is not told.
func (s *session) trust() ([]ci.Var, error) {
	if s.work.Roots == "" {
		return nil, nil
	}
	all, own := s.temporary(allRoots), s.temporary(ownRoots)
	err := s.within(func() error {
		var system []byte
		for _, path := range systemRoots() {
			if text, err := os.ReadFile(path); err == nil {
				system = append(text, '\n')
				break
			}
		}
		// They are secret to nobody.
		if err := os.WriteFile(all, append(system, s.work.Roots...), 0o644); err != nil {
			return err
		}
		return os.WriteFile(own, []byte(s.work.Roots), 0o644)
	})
	if err != nil {
		return nil, fmt.Errorf("trusted certificates: %w", err)
	}
	var vars []ci.Var
	for _, name := range []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE"} {
		vars = append(vars, ci.Var{Name: name, Value: all})
	}
	return append(vars, ci.Var{Name: "NODE_EXTRA_CA_CERTS", Value: own}), nil
}
