// Package trust holds the certificates of authorities that every client of an
// installation trusts: those of the system, and those that operators put into a
// folder (/usr/local/share/ca-certificates by the operations guide).
//
// [Roots] are these certificates as they are now: files that are added, changed
// or taken away count within a minute, without a restart. A [Way] is an HTTP
// transport that follows them, and the settings of package proxy.
//
// Go itself reads the system's certificates once and never looks into that
// folder, so every client has to be given a Way or the pool of Roots. The
// package never trusts anybody because a peer says so.
package trust

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Folder is where operators put certificates by the guide.
const Folder = "/usr/local/share/ca-certificates"

// look is how often files are looked at.
const look = time.Minute

// Config says where certificates are. The zero Config works.
type Config struct {
	// Folders are read with what is below them; nil is [Folder]. One that does
	// not exist has none. Files end in .crt or .pem.
	Folders []string
	Log     *slog.Logger // nil is silent
}

// Roots are the certificates that are trusted. All methods are safe for
// concurrent use.
type Roots struct {
	folders []string
	log     *slog.Logger

	mu     sync.Mutex
	pool   *x509.CertPool
	own    []byte // PEM of what is in the folders
	sum    [32]byte
	number int // of changes
	failed bool
}

// Open reads the certificates. A folder that cannot be read is an error; a file
// that holds no certificate, or one of no authority, is said on the log and left
// out.
func Open(cfg Config) (*Roots, error) {
	if cfg.Folders == nil {
		cfg.Folders = []string{Folder}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Roots{folders: cfg.Folders, log: cfg.Log}
	_, err := r.Reload()
	return r, err
}

// Reload reads the files again and reports whether anything has changed.
func (r *Roots) Reload() (bool, error) {
	var own bytes.Buffer
	var files []string
	for _, folder := range r.folders {
		found, err := certificateFiles(folder)
		if err != nil {
			return false, fmt.Errorf("trusted certificates: %w", err)
		}
		files = append(files, found...)
	}
	texts := make([][]byte, len(files))
	all := sha256.New()
	for i, f := range files {
		text, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) { // replaced just now
			continue
		}
		if err != nil {
			return false, fmt.Errorf("trusted certificates: %w", err)
		}
		texts[i] = text
		fmt.Fprintf(all, "%s\x00%d\x00", f, len(text))
		all.Write(text)
	}
	sum := [32]byte(all.Sum(nil))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pool != nil && sum == r.sum {
		return false, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	for i, text := range texts {
		n := 0
		for _, c := range certificates(text) {
			if !c.IsCA {
				r.log.Warn("not trusted: the certificate of a host; wanted is that of the authority which signed it", "file", files[i], "subject", c.Subject.String(), "issuer", c.Issuer.String())
				continue
			}
			pool.AddCert(c)
			_ = pem.Encode(&own, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // a buffer takes it
			n++
		}
		if n == 0 {
			r.log.Warn("no certificate of an authority in the file", "file", files[i])
		}
	}
	r.pool, r.own, r.sum, r.number = pool, own.Bytes(), sum, r.number+1
	return true, nil
}

// certificateFiles returns the files in a folder and below, by name.
func certificateFiles(folder string) ([]string, error) {
	var all []string
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !d.IsDir() && (strings.HasSuffix(path, ".crt") || strings.HasSuffix(path, ".pem")) {
			all = append(all, path)
		}
		return err
	})
	slices.Sort(all)
	return all, err
}

// certificates returns those of a file, in PEM or DER form.
func certificates(text []byte) []*x509.Certificate {
	if c, err := x509.ParseCertificate(text); err == nil {
		return []*x509.Certificate{c}
	}
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return all
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			all = append(all, c)
		}
	}
}

// Run looks for changes until ctx ends; then it returns nil.
func (r *Roots) Run(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			r.Look()
		}
	}
}

// Look does what Run does once a minute: it reads the files again and says on
// the log what came of it, an error once.
func (r *Roots) Look() {
	changed, err := r.Reload()
	r.mu.Lock()
	was := r.failed
	r.failed = err != nil
	r.mu.Unlock()
	switch {
	case err != nil && !was:
		r.log.Error("trusted certificates stay as they were", "err", err)
	case changed:
		r.log.Info("trusted certificates have changed")
	}
}

// Pool returns the certificates as they are now. It must not be changed.
func (r *Roots) Pool() *x509.CertPool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pool
}

// Number grows by one with each change.
func (r *Roots) Number() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.number
}

// Own returns what operators have added, as PEM; nil is nothing. It is what jobs
// have to trust besides what their images do.
func (r *Roots) Own() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.own)
}

// Bundle returns the certificates of a system, as the file has it that programs
// of this machine read, followed by more. No such file is no error.
func Bundle(more []byte) []byte {
	for _, path := range []string{
		"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
	} {
		if text, err := os.ReadFile(path); err == nil {
			return append(append(text, '\n'), more...)
		}
	}
	return slices.Clone(more)
}
