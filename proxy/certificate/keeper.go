package certificate

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// look is how often files are looked at.
const look = time.Minute

// A Keeper holds the certificate of a server in two files and gives it to
// [tls.Config]. Files that change count within a minute, without a restart; a
// pair that clients would refuse is said, and the one before stays. All methods
// are safe for concurrent use.
type Keeper struct {
	cert, key string
	o         Options
	log       *slog.Logger

	mu    sync.Mutex
	now   *tls.Certificate
	texts [2][]byte
}

// Open reads the two files. What is wrong with them is an error that wraps
// [ci.ErrInvalid] and says all of it; warnings go to the log.
func Open(cert, key string, o Options, log *slog.Logger) (*Keeper, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{cert: cert, key: key, o: o, log: log}
	_, err := k.Reload()
	return k, err
}

// Reload reads the files again and reports whether the certificate is another
// one now.
func (k *Keeper) Reload() (bool, error) {
	cert, err := os.ReadFile(k.cert)
	if err != nil {
		return false, fmt.Errorf("certificate: %w", err)
	}
	key, err := os.ReadFile(k.key)
	if err != nil {
		return false, fmt.Errorf("private key: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now != nil && bytes.Equal(cert, k.texts[0]) && bytes.Equal(key, k.texts[1]) {
		return false, nil
	}
	r := Inspect(cert, key, k.o)
	var wrong []error
	for _, f := range r.Findings {
		switch {
		case f.Severity == Warning:
			k.log.Warn("certificate: "+f.Text, "fix", f.Fix, "file", k.cert)
		case f.Code == WrongOrder || f.Code == LeafOnly: // it is put right, or served as it is
			k.log.Error("certificate: "+f.Text, "fix", f.Fix, "file", k.cert)
		default:
			wrong = append(wrong, fmt.Errorf("%s: %s", f.Text, f.Fix))
		}
	}
	if len(wrong) > 0 {
		return false, fmt.Errorf("%w: certificate %s: %w", ci.ErrInvalid, k.cert, errors.Join(wrong...))
	}
	pair, err := tls.X509KeyPair(r.Fixed, key)
	if err != nil {
		return false, fmt.Errorf("%w: certificate %s: %w", ci.ErrInvalid, k.cert, err)
	}
	k.now, k.texts = &pair, [2][]byte{cert, key}
	return true, nil
}

// Run looks for changes until ctx ends; then it returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		changed, err := k.Reload()
		switch {
		case err == nil && changed:
			k.log.Info("certificate was read again", "file", k.cert, "days_left", k.DaysLeft())
			said = ""
		case err != nil && err.Error() != said:
			said = err.Error()
			k.log.Error("certificate stays as it was", "err", err)
		}
	}
}

// Certificate implements GetCertificate of [tls.Config].
func (k *Keeper) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now, nil
}

// DaysLeft is how many days the certificate still holds.
func (k *Keeper) DaysLeft() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now == nil || k.now.Leaf == nil {
		return 0
	}
	return int(time.Until(k.now.Leaf.NotAfter).Hours() / 24)
}

// Config returns what a server needs: TLS 1.2 or newer, and the certificate of
// the moment.
func (k *Keeper) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: k.Certificate, NextProtos: []string{"h2", "http/1.1"}}
}

// selfSignedLife is how long a certificate of our own lives.
const selfSignedLife = 825 * 24 * time.Hour

// Provisional makes the two files with a certificate that is signed by itself for
// the hosts, names or addresses, unless they exist. It is for the start: clients
// that were not told to trust it refuse it.
func Provisional(cert, key string, hosts ...string) error {
	if _, err := os.Stat(cert); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	c := &x509.Certificate{
		SerialNumber: n, Subject: pkix.Name{CommonName: "Rondo"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(selfSignedLife),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true, // so that a folder of authorities takes it
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		return err
	}
	text, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return err
	}
	// The key first: a certificate that exists says that both do.
	if err := WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}), 0o600); err != nil {
		return err
	}
	return WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

// WriteFile replaces a file in one step and returns when it is durable.
func WriteFile(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
