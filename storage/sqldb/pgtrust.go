package sqldb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
)

// beforeConnect changes the configuration of one connection.
type beforeConnect = func(context.Context, *pgx.ConnConfig) error

// trusting gives connections the authorities that are trusted now, where the
// address of the database names none of its own (sslrootcert).
func trusting(roots func() *x509.CertPool) beforeConnect {
	return func(_ context.Context, c *pgx.ConnConfig) error {
		if roots == nil {
			return nil
		}
		pool := roots()
		c.TLSConfig = trust(c.TLSConfig, pool)
		c.Fallbacks = slices.Clone(c.Fallbacks) // all connections share what is there
		for i, f := range c.Fallbacks {
			with := *f
			with.TLSConfig = trust(f.TLSConfig, pool)
			c.Fallbacks[i] = &with
		}
		return nil
	}
}

// trust returns the configuration with the authorities.
func trust(t *tls.Config, pool *x509.CertPool) *tls.Config {
	switch {
	case t == nil || t.RootCAs != nil:
		return t
	case t.InsecureSkipVerify && t.VerifyPeerCertificate == nil: // sslmode require and prefer check nothing
		return t
	}
	t = t.Clone()
	t.RootCAs = pool
	if t.InsecureSkipVerify { // sslmode verify-ca checks the authority and not the name
		t.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error { return signed(raw, pool) }
	}
	return t
}

// signed checks a chain, not the name in it.
func signed(raw [][]byte, pool *x509.CertPool) error {
	var leaf *x509.Certificate
	between := x509.NewCertPool()
	for i, der := range raw {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		if i == 0 {
			leaf = c
		} else {
			between.AddCert(c)
		}
	}
	if leaf == nil {
		return errors.New("the server shows no certificate")
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: between})
	return err
}
