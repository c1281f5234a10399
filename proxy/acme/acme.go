// Package acme gets certificates from an authority that speaks ACME (Let's
// Encrypt and others), by DNS-01: the proof is a TXT record, so no port has to be
// open and nothing has to be stopped.
//
// A [Client] keeps two files up to date, which a certificate.Keeper reads: it
// asks for a certificate when there is none, when the hosts have changed, and
// when two thirds of its life are over. When a renewal fails the old one stays
// and the next try comes later each time, below the limits of authorities. The
// account's key is kept beside.
//
// Records are made by the DNS of Amazon (route53) or Cloudflare, or by a program
// of the operator's (exec), which may do it anywhere. The package never answers
// a challenge by HTTP.
package acme

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	mrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	legoacme "github.com/go-acme/lego/v5/acme"
	"github.com/go-acme/lego/v5/certcrypto"
	"github.com/go-acme/lego/v5/certificate"
	"github.com/go-acme/lego/v5/challenge"
	"github.com/go-acme/lego/v5/challenge/dns01"
	"github.com/go-acme/lego/v5/lego"
	"github.com/go-acme/lego/v5/providers/dns/cloudflare"
	"github.com/go-acme/lego/v5/providers/dns/exec"
	"github.com/go-acme/lego/v5/providers/dns/route53"
	"github.com/go-acme/lego/v5/registration"
	"github.com/rondo-ci/rondo/ci"
	keep "github.com/rondo-ci/rondo/proxy/certificate"
)

// Config says what to ask for, whom, and how to prove it.
type Config struct {
	// Hosts are the names of the certificate; *.example.com is allowed.
	Hosts []string
	// Email is told by the authority when something is wrong; it may be "".
	Email string
	// Directory is the authority; "" is Let's Encrypt.
	Directory string
	// DNS is route53, cloudflare or exec.
	DNS string
	// Program is that of exec: it is called with present or cleanup, the name of
	// the record and its value.
	Program string
	// Token is that of cloudflare; it is secret.
	Token string
	// Folder is where the account is kept, and Cert and Key are the files.
	Folder, Cert, Key string
	// HTTP is the client; nil is the default one.
	HTTP *http.Client
	// Unchecked does not wait until the record is seen in the DNS, for a DNS
	// that this machine does not see.
	Unchecked bool
	Log       *slog.Logger // nil is silent
}

// Check returns what is wrong with the settings, all of it, as errors that wrap
// [ci.ErrInvalid].
func (c Config) Check() error {
	var wrong []error
	bad := func(text string) { wrong = append(wrong, fmt.Errorf("%w: acme: %s", ci.ErrInvalid, text)) }
	if len(c.Hosts) == 0 {
		bad("hosts is missing: the names that the certificate is for")
	}
	switch c.DNS {
	case "route53":
	case "cloudflare":
		if c.Token == "" {
			bad("token is missing: one of cloudflare with the right Zone.DNS Edit")
		}
	case "exec":
		if !filepath.IsAbs(c.Program) {
			bad("program is missing: the whole path of a program that makes and removes the record")
		}
	default:
		bad(fmt.Sprintf("dns %q is none of route53, cloudflare and exec", c.DNS))
	}
	if c.Directory != "" && !strings.HasPrefix(c.Directory, "https://") {
		bad("directory is no address of an authority, as in https://acme-v02.api.letsencrypt.org/directory")
	}
	return errors.Join(wrong...)
}

// A Client keeps a certificate up to date.
type Client struct {
	cfg Config
	log *slog.Logger
	dns challenge.Provider
}

// New returns a client. It does nothing until Run or Renew.
func New(cfg Config) (*Client, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{cfg: cfg, log: cfg.Log}
	var err error
	switch cfg.DNS {
	case "route53":
		c.dns, err = route53.NewDNSProvider()
	case "cloudflare":
		set := cloudflare.NewDefaultConfig()
		set.AuthToken = cfg.Token
		c.dns, err = cloudflare.NewDNSProviderConfig(set)
	default:
		set := exec.NewDefaultConfig()
		set.Program = cfg.Program
		set.SequenceInterval = 0
		if cfg.Unchecked {
			set.PollingInterval = 100 * time.Millisecond
		}
		c.dns, err = exec.NewDNSProviderConfig(set)
	}
	if err != nil {
		return nil, fmt.Errorf("acme: %s: %w", cfg.DNS, err)
	}
	return c, nil
}

// The pauses after a failed try: an authority allows five an hour.
const (
	shortest = 15 * time.Minute
	longest  = 12 * time.Hour
)

// Run renews the certificate whenever it is time, until ctx ends; then it
// returns nil. What comes of it is said on the log.
func (c *Client) Run(ctx context.Context) error {
	pause := shortest
	for {
		wait := time.Hour
		if c.Due(time.Now()) {
			err := c.Renew(ctx)
			if err != nil && ctx.Err() == nil {
				c.log.Error("no new certificate, the old one stays", "err", err, "again", pause)
				wait = pause + time.Duration(mrand.Int64N(int64(pause/4)))
				pause = min(2*pause, longest)
			} else {
				pause = shortest
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// Due reports whether a certificate should be asked for now: there is none, it
// is for other hosts, or two thirds of its life are over.
func (c *Client) Due(now time.Time) bool {
	text, err := os.ReadFile(c.cfg.Cert)
	block, _ := pem.Decode(text)
	if err != nil || block == nil {
		return true
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil || leaf.CheckSignatureFrom(leaf) == nil { // that of the start
		return true
	}
	want, have := slices.Clone(c.cfg.Hosts), slices.Clone(leaf.DNSNames)
	slices.Sort(want)
	slices.Sort(have)
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	return !slices.Equal(want, have) || now.After(leaf.NotBefore.Add(life/3*2))
}

// Renew asks for a certificate now and writes the files, the key first.
func (c *Client) Renew(ctx context.Context) error {
	client, err := c.client(ctx)
	if err != nil {
		return err
	}
	got, err := client.Certificate.Obtain(ctx, certificate.ObtainRequest{Domains: c.cfg.Hosts, Bundle: true, KeyType: certcrypto.EC256})
	if err != nil {
		return fmt.Errorf("acme: certificate for %s: %w", strings.Join(c.cfg.Hosts, ", "), err)
	}
	if err := keep.WriteFile(c.cfg.Key, got.PrivateKey, 0o600); err != nil {
		return fmt.Errorf("acme: %w", err)
	}
	if err := keep.WriteFile(c.cfg.Cert, got.Certificate, 0o644); err != nil {
		return fmt.Errorf("acme: %w", err)
	}
	c.log.Info("new certificate", "hosts", strings.Join(c.cfg.Hosts, ", "), "file", c.cfg.Cert)
	return nil
}

// account is who asks, at one authority.
type account struct {
	Email        string                    `json:"email"`
	Directory    string                    `json:"directory"`
	Key          string                    `json:"key"` // PEM
	Registration *legoacme.ExtendedAccount `json:"registration"`

	signer crypto.Signer
}

// GetEmail, GetRegistration and GetPrivateKey implement registration.User.
func (a *account) GetEmail() string                           { return a.Email }
func (a *account) GetRegistration() *legoacme.ExtendedAccount { return a.Registration }
func (a *account) GetPrivateKey() crypto.Signer               { return a.signer }

// client returns a client of the authority with an account there.
func (c *Client) client(ctx context.Context) (*lego.Client, error) {
	file := filepath.Join(c.cfg.Folder, "acme-account.json")
	a, err := c.account(file)
	if err != nil {
		return nil, err
	}
	set := lego.NewConfig(a)
	if c.cfg.Directory != "" {
		set.CADirURL = c.cfg.Directory
	}
	if c.cfg.HTTP != nil {
		set.HTTPClient = c.cfg.HTTP
	}
	client, err := lego.NewClient(set)
	if err != nil {
		return nil, fmt.Errorf("acme: reach %s: %w", set.CADirURL, err)
	}
	var opts []dns01.ChallengeOption
	if c.cfg.Unchecked {
		opts = append(opts, dns01.PropagationWait(0, true))
	}
	if err := client.Challenge.SetDNS01Provider(c.dns, opts...); err != nil {
		return nil, fmt.Errorf("acme: %w", err)
	}
	if a.Registration != nil {
		return client, nil
	}
	if a.Registration, err = client.Registration.Register(ctx, registration.RegisterOptions{TermsOfServiceAgreed: true}); err != nil {
		return nil, fmt.Errorf("acme: account: %w", err)
	}
	return client, a.save(file)
}

// account returns the kept account, or a new one for another authority.
func (c *Client) account(file string) (*account, error) {
	var a account
	text, err := os.ReadFile(file)
	if err == nil && json.Unmarshal(text, &a) == nil && a.Directory == c.cfg.Directory {
		if block, _ := pem.Decode([]byte(a.Key)); block != nil {
			if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
				a.signer, _ = k.(crypto.Signer)
				a.Email = c.cfg.Email
				return &a, nil
			}
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("acme: account: %w", err)
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &account{Email: c.cfg.Email, Directory: c.cfg.Directory, signer: k}, nil
}

func (a *account) save(file string) error {
	der, err := x509.MarshalPKCS8PrivateKey(a.signer)
	if err != nil {
		return fmt.Errorf("acme: account: %w", err)
	}
	a.Key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	body, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("acme: account: %w", err)
	}
	if err := keep.WriteFile(file, body, 0o600); err != nil {
		return fmt.Errorf("acme: account: %w", err)
	}
	return nil
}
