package guest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// certificates are those of one engine. The key of their authority is gone when
// they are made: nobody can make others.
type certificates struct {
	ca                    string
	serverCert, serverKey string
	clientCert, clientKey string
	clientPair            tls.Certificate
	authority             *x509.CertPool
}

// newCertificates makes certificates for the engine at host, an address or a
// name, that are good from five minutes ago, since clocks differ, until the
// end.
func newCertificates(host string, now, end time.Time) (certificates, error) {
	authority, key, err := issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "Rondo, Docker of " + host}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}, nil, nil, now, end)
	if err != nil {
		return certificates{}, err
	}
	server := &x509.Certificate{
		Subject: pkix.Name{CommonName: host}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		server.IPAddresses = []net.IP{ip}
	} else {
		server.DNSNames = []string{host}
	}
	client := &x509.Certificate{
		Subject: pkix.Name{CommonName: "job"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	c := certificates{ca: certPEM(authority), authority: x509.NewCertPool()}
	c.authority.AddCert(authority)
	for _, made := range []struct {
		template  *x509.Certificate
		cert, key *string
	}{{server, &c.serverCert, &c.serverKey}, {client, &c.clientCert, &c.clientKey}} {
		cert, own, err := issue(made.template, authority, key, now, end)
		if err != nil {
			return certificates{}, err
		}
		der, err := x509.MarshalECPrivateKey(own)
		if err != nil {
			return certificates{}, err
		}
		*made.cert, *made.key = certPEM(cert), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	}
	c.clientPair, err = tls.X509KeyPair([]byte(c.clientCert), []byte(c.clientKey))
	return c, err
}

func certPEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// issue makes a key and signs a certificate for it: by the authority, or by
// itself if there is none.
func issue(template, authority *x509.Certificate, by *ecdsa.PrivateKey, now, end time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, nil, err
	}
	template.NotBefore, template.NotAfter = now.Add(-5*time.Minute), end
	if authority == nil {
		authority, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, &key.PublicKey, by)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}
